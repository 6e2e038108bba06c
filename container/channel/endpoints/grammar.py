"""The grammar of endpoint strings, that of strports, and the register of schemes.

":" separates fields, a field is VALUE or KEY=VALUE, a backslash takes the next character as it is. Fields
without a key take the keys in order: `tcp:80:127.0.0.1` is `tcp:port=80:interface=127.0.0.1`. Not here: what
the schemes mean by their fields.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from container.channel.endpoints.base import DEFAULT_BACKLOG, Endpoint, EndpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Entry points of this group, named as their scheme, lead to parsers.
PLUGINS = "container.endpoints"

# Scheme names hold no dot and none is "localhost": a host before a port never hides a misspelt scheme.
_SCHEME = re.compile(r"(?!localhost$)[a-z][a-z0-9+-]*")
NAMED_HOST = re.compile(r"localhost|(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z][A-Za-z0-9-]{0,62}")
_SHORT_HOST = re.compile(
    rf"(?:\[(?P<six>[^\]]*)\]|(?P<host>[0-9]+\.[0-9.]+|{NAMED_HOST.pattern}))(?P<rest>:.*)?"
)
_SHORT_PORT = re.compile(r"[0-9]+(?::.*)?")
NUMBER = re.compile(r"[0-9]{1,10}")
_SWITCH = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a scheme's parser is given: the whole text, the rest after the scheme, and the rest in fields."""

    text: str
    scheme: str
    rest: str
    fields: tuple[tuple[str | None, str], ...]

    def bind(self, *names: str) -> dict[str, str]:
        """Name every field, `names` being all known keys in order, of which the first is required."""
        bound: dict[str, str] = {}
        unnamed = iter(names)
        for key, value in self.fields:
            if key is None:
                name = next(unnamed, None)
                if name is None:
                    raise self.error(f"the end after {names[-1]}", value, self.hint())
            elif key in names:
                name = key
            else:
                raise self.error(f"one of {', '.join(names)}", key, nearest(key, names) or self.hint())
            if name in bound:
                raise self.error(f"{name} once", value, self.hint())
            bound[name] = value
        if not bound.get(names[0]):
            raise EndpointError(
                f'expected "{self.scheme}:{names[0].upper()}", got {self.text!r}{self.hint()}'
            )
        return bound

    def number(self, name: str, value: str, lowest: int, highest: int) -> int:
        if NUMBER.fullmatch(value) and lowest <= int(value) <= highest:
            return int(value)
        raise self.error(f"{name} from {lowest} to {highest}", value)

    def switch(self, name: str, value: str) -> bool:
        if value in _SWITCH:
            return _SWITCH[value]
        raise self.error(f"{name}=1 or {name}=0", value)

    def error(self, expected: str, got: str, hint: str = "") -> EndpointError:
        return EndpointError(f"expected {expected}, got {got!r} in {self.text!r}{hint}")

    def hint(self) -> str:
        """The two mistakes the grammar invites: an IPv6 address as it is, a path with "=" in it."""
        if "::" in self.text:
            return r' (write ":" inside a value as "\:")'
        return r' (write "=" inside a path as "\=")' if "/" in self.text and "=" in self.text else ""


Parser: TypeAlias = "Callable[[Arguments], Endpoint]"
_schemes: dict[str, Parser] = {}


def register(name: str, parser: Parser) -> None:
    """Make `name:…` an endpoint string that `parser` reads."""
    if not _SCHEME.fullmatch(name):
        raise ValueError(f"expected a scheme of lower-case letters, digits, + and -, got {name!r}")
    if name in _schemes:
        raise ValueError(f"the endpoint scheme {name!r} is registered already")
    _schemes[name] = parser


def parse_endpoint(text: str) -> Endpoint:
    """The endpoint `text` stands for; EndpointError when it stands for none."""
    scheme, colon, rest = text.partition(":")
    parser = _schemes.get(scheme)
    if parser is None and colon and _SCHEME.fullmatch(scheme):
        parser = _plugin(text, scheme)
    if parser is not None:
        return parser(Arguments(text, scheme, rest, split_fields(rest) if ":" in text else ()))
    parse_tcp = _schemes["tcp"]
    if _SHORT_PORT.fullmatch(text):
        return parse_tcp(Arguments(text, "tcp", text, split_fields(text)))
    short = _SHORT_HOST.fullmatch(text)
    if short is None:
        raise EndpointError(f'expected "tcp:PORT", got {text!r}{_scheme_hint(text, scheme)}')
    host = short["host"] or short["six"]
    rest = (short["rest"] or "")[1:]
    if not rest:
        raise EndpointError(f'expected "{text.rstrip(":")}:PORT", got {text!r}')
    fields = (*split_fields(rest), ("interface", host))
    return _schemes["tcp" if short["host"] else "tcp6"](Arguments(text, "tcp", rest, fields))


def _plugin(text: str, scheme: str) -> Parser | None:
    """The parser that an installed package has for `scheme`, from then on registered."""
    from importlib.metadata import entry_points  # late: it is slow to import

    for entry in entry_points(group=PLUGINS, name=scheme):
        try:
            parser: Parser = entry.load()
        except Exception as error:  # the package's own code
            what = f"{type(error).__name__}: {error}"
            raise EndpointError(f"cannot load {entry.value} for {text!r}: {what}") from error
        register(scheme, parser)
        return parser
    return None


def split_fields(text: str) -> tuple[tuple[str | None, str], ...]:
    """Split at ":" and each field at its first "=": key, or None, and value."""
    fields: list[tuple[str | None, str]] = []
    key: str | None = None
    value = ""
    characters = iter(text)
    for character in characters:
        if character == "\\":
            escaped = next(characters, None)
            if escaped is None:
                raise EndpointError(f"expected a character after the last backslash, got {text!r}")
            value += escaped
        elif character == ":":
            fields.append((key, value))
            key, value = None, ""
        elif character == "=" and key is None:
            key, value = value, ""
        else:
            value += character
    return (*fields, (key, value))


def nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name.lower(), known, 1)
    return f' (did you mean "{close[0]}"?)' if close else ""


def _scheme_hint(text: str, scheme: str) -> str:
    if text.startswith(("/", "./")):
        return f' (did you mean "unix:{text}"?)'
    if "::" in text:
        return ' (an IPv6 address is written "[::1]:PORT")'
    return nearest(scheme, _schemes) or f" (known: {', '.join(sorted(_schemes))})"


def parse_backlog(arguments: Arguments, bound: dict[str, str]) -> int:
    text = bound.get("backlog")
    return DEFAULT_BACKLOG if text is None else arguments.number("backlog", text, 1, 65535)
