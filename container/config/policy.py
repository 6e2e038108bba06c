"""What can hold for any mount, whatever its kind: keys that put a small wrapper around it.

Here: the wrappers in their order, each with its key and how it is told of again. Not here: the wrappers
themselves (tree/, resources/, sessions/).
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any, Final

from container.config.compound import HeaderField, Several, Spelt, Table
from container.config.encoders import parse_encoders, spell_encoders
from container.config.kinds.kind import Key, construct, load
from container.config.problems import ConfigProblem
from container.config.values import Number, Schema, Size, Text
from container.service.logs import LogFile
from container.tree.accesslog import FORMATS, AccessLog, make_formatter
from container.tree.own_log import LogTo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from container.tree.resource import Resource

_RATE: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)/(s|m|h|d)?(?::([0-9]{1,9}))?")
_PER: Final = {None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RULE: Final = "container.resources.rewrite:RewriteRule"
# As a table has it: a path, or with a status in front where a redirect leads.
_TARGET: Final = re.compile(r"(?:([0-9]{3}) )?(.*)", re.DOTALL)
# What never refuses a request.
_ANYWHERE: Final = ("compress", "variables", "access-log", "headers")
_NETWORKS: Final = Several(Text("NETWORK"))


@dataclass(frozen=True, slots=True)
class Policy:
    """A key and the wrapper it stands for: `home` is its class, `wrap` puts one around a resource, `value` gives what
    the key says of one, None when that cannot be said. The `made_with` of a wrapper are the arguments that no key
    says."""

    key: Key
    home: str
    wrap: Callable[[Resource, Any], Resource]
    value: Callable[[Any], Any]

    @property
    def is_guard(self) -> bool:
        """Does it matter what it is around and what is around it?"""
        return self.key.name not in _ANYWHERE

    def makes(self, resource: Resource) -> bool:
        return type(resource) is load(self.home)

    def say(self, resource: Resource) -> Any:
        """How a file says it, so that the same is made of what is inside; None when it cannot."""
        made_with: Mapping[str, object] = getattr(resource, "made_with", {})
        usual = signature(type(resource).__init__).parameters
        if any(each != usual[name].default for name, each in made_with.items()):
            return None
        value = self.value(resource)
        return None if value is None else self.key.say(value)


def _made(home: str) -> Callable[..., Resource]:
    def make(inner: Resource, *arguments: Any, **keywords: Any) -> Resource:
        return construct(load(home), inner, *arguments, **keywords)

    return make


class Fields(Table):
    """Fields of answers by name."""

    def __init__(self) -> None:
        super().__init__("NAME: VALUE", ":")

    def parse(self, text: str, name: str) -> dict[str, Any]:
        return _several(HeaderField().parse(line, name) for line in self.split(text))

    def load(self, value: object, name: str) -> dict[str, Any]:
        given = super().load(value, name)
        return _several(HeaderField().parse(f"{field}: {each}", name) for field, each in given.items())


def _several(pairs: Any) -> dict[str, Any]:
    return dict(pairs)


def _rate(text: str, name: str) -> tuple[float, float, int | None]:
    match = _RATE.fullmatch(text)
    if match is None:
        raise ConfigProblem(f'expected a rate such as "10/s", "100/m" or "10/s:50" for {name}, got {text!r}')
    return _rate_in(match)


def _rate_in(match: re.Match[str]) -> tuple[float, float, int | None]:
    return float(match[1]), _PER[match[2]], int(match[3]) if match[3] else None


def _spell_rate(rate: tuple[float, float, int | None]) -> str:
    count, per, burst = rate
    unit = next((unit for unit, seconds in _PER.items() if seconds == per and unit), None)
    number = f"{count:.9f}".rstrip("0").removesuffix(".")
    return f"{number}/{unit}" + (f":{burst}" if burst is not None else "")


def _encoders(text: str, name: str) -> Any:
    return () if text == "none" else parse_encoders(text)


def _spell_encoders(encoders: Any) -> list[str]:
    return spell_encoders(encoders) or ["none"]


def _sessions(inner: Resource, spec: str) -> Resource:
    from container.sessions.registry import make_store

    return construct(lambda: load("container.sessions:Sessions")(inner, store=make_store(spec)))


def _basic(inner: Resource, path: str) -> Resource:
    return construct(load("container.resources.auth:BasicAuth"), inner, htpasswd=path)


class LogPlace(Text):
    """Where requests of a place are logged: `no`, `FILE` or `FORMAT:FILE`; the value is that text."""

    toml = "false or a file"

    def __init__(self) -> None:
        super().__init__("no|[FORMAT:]FILE")

    def load(self, value: object, name: str) -> str:
        if value is False:
            return "no"
        loaded: str = super().load(value, name)
        return loaded

    def spell(self, value: str) -> Any:
        return False if value == "no" else value

    def show(self, value: str) -> str:
        return value

    def schema(self) -> Schema:
        return {"anyOf": [{"const": False}, {"type": "string", "minLength": 1}]}


def _log_to(inner: Resource, name: str) -> Resource:
    if name == "no":
        return LogTo(inner, None)
    form, colon, path = name.partition(":")
    if not colon or form not in FORMATS:
        form, path = "combined", name
    try:
        stream = sys.stdout if path == "-" else LogFile(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigProblem(f"expected a file to write to as access-log, got {path!r}: {reason}") from error
    return LogTo(inner, AccessLog(stream, make_formatter(form)), name=name)


def _rewriter(inner: Resource, rules: Mapping[str, str]) -> Resource:
    make = load(_RULE)
    made = []
    for pattern, text in rules.items():
        target = _TARGET.fullmatch(text)
        assert target is not None, "it takes any text"
        made.append(make(pattern, target[2], redirect=int(target[1]) if target[1] else None))
    rewriter: Resource = load("container.resources.rewrite:Rewriter")(inner, *made)
    return rewriter


def _rules_of(resource: Any) -> dict[str, str] | None:
    """Those that a pattern and a target say all of, each pattern once."""
    rules = resource.rules
    if not all(type(each) is load(_RULE) for each in rules):
        return None
    table = {
        each.pattern: each.target if each.redirect is None else f"{each.redirect} {each.target}"
        for each in rules
        if not each.is_conditional
    }
    return table if len(table) == len(rules) else None


def _once(fields: Sequence[tuple[str, str]]) -> dict[str, str] | None:
    """Fields that come once each."""
    table = dict(fields)
    return table if len(table) == len(fields) else None


def spec_of(store: Any) -> str | None:
    """How a store of sessions is spelt; None for one of somebody's own, or with options of its own."""
    kind = type(store)
    if kind is load("container.sessions:MemoryStore"):
        return "memory"
    if kind is load("container.sessions.sqlite:SQLiteStore"):
        spec = f"sqlite:{store.path}"
    elif kind.__name__ == "RedisStore":  # its client library need not be there
        spec = store.url
    else:
        return None
    usual = signature(kind.__init__).parameters.values()
    options = (each for each in usual if each.kind is each.KEYWORD_ONLY)
    return spec if all(getattr(store, each.name) == each.default for each in options) else None


def _rate_of(resource: Any) -> tuple[float, float, int | None] | None:
    usual = max(1, int(resource.rate))
    rate = float(resource.rate), float(resource.per), None if resource.burst == usual else resource.burst
    match = _RATE.fullmatch(_spell_rate(rate))
    return rate if match is not None and _rate_in(match) == rate else None


# From the innermost to the outermost.
POLICIES: Final = (
    Policy(
        Key("rewrites", Table("PATTERN=TARGET"),
            "Rules by the regular expression for the whole path: the path to answer in its place, /items/{1}, or where "
            "to send the client, 301 /items/{1}."),
        "container.resources.rewrite:Rewriter",
        lambda inner, rules: construct(_rewriter, inner, rules),
        _rules_of,
    ),
    Policy(
        Key("compress", Spelt("NAME[:LEVEL],...", _encoders, _spell_encoders, joint=","),
            "Encode its answers: zstd, br, gzip, deflate, those preferred first; none: as they are."),
        "container.tree.encoding:Encoded",
        _made("container.tree.encoding:Encoded"),
        lambda resource: tuple(resource.rules.encoders.values()),
    ),
    Policy(
        Key("variables", Table("NAME=VALUE"), "Further variables: in environs of WSGI, for scripts and responders."),
        "container.tree.policies:Variables",
        _made("container.tree.policies:Variables"),
        lambda resource: resource.variables,
    ),
    Policy(
        Key("limit-request-body", Size(), "The largest content of a request, else 413."),
        "container.tree.policies:BodyLimit",
        _made("container.tree.policies:BodyLimit"),
        lambda resource: resource.limit,
    ),
    Policy(
        Key("sessions", Text("STORE"), "Keep sessions: memory, sqlite:FILE or redis://HOST:PORT/DATABASE."),
        "container.sessions:Sessions",
        _sessions,
        lambda resource: spec_of(resource.store),
    ),
    Policy(
        Key("htpasswd", Text("FILE"), "For those only whom a file of htpasswd knows."),
        "container.resources.auth:BasicAuth",
        _basic,
        lambda resource: resource.htpasswd,
    ),
    Policy(
        Key("forward-auth", Text("URL"), "For those only of whom the server at URL says so."),
        "container.resources.auth:ForwardAuth",
        _made("container.resources.auth:ForwardAuth"),
        lambda resource: resource.url,
    ),
    Policy(
        Key("concurrency", Number(1, 1_000_000), "Requests at a time; more are answered 503."),
        "container.resources.access:ConcurrencyLimit",
        _made("container.resources.access:ConcurrencyLimit"),
        lambda resource: resource.limit,
    ),
    Policy(
        Key("rate-limit", Spelt("N/UNIT[:BURST]", _rate, _spell_rate), "Requests of one client: 10/s, 100/m:20."),
        "container.resources.access:RateLimit",
        lambda inner, rate: construct(
            load("container.resources.access:RateLimit"), inner, rate[0], per=rate[1], burst=rate[2]
        ),
        _rate_of,
    ),
    Policy(
        Key("deny", _NETWORKS, "Not for clients of these networks."),
        "container.resources.access:Deny",
        _made("container.resources.access:Deny"),
        lambda resource: resource.networks.entries,
    ),
    Policy(
        Key("allow", _NETWORKS, "For clients of these networks only."),
        "container.resources.access:Allow",
        _made("container.resources.access:Allow"),
        lambda resource: resource.networks.entries,
    ),
    Policy(
        Key("access-log", LogPlace(), "no, or a log of its own: a file, with its format in front as in json:FILE."),
        "container.tree.own_log:LogTo",
        _log_to,
        lambda resource: "no" if resource.access_log is None else resource.name or None,
    ),
    Policy(
        Key("headers", Fields(), "Fields to add to its answers."),
        "container.tree.policies:AddHeaders",
        _made("container.tree.policies:AddHeaders"),
        lambda resource: _once(resource.headers.items()),
    ),
)  # fmt: skip
BY_NAME: Final = {each.key.name: each for each in POLICIES}
