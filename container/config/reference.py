"""The reference page, docs/reference.md, from the tables that everything else is made from too:

python -m container.config.reference > docs/reference.md
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from container.config.kinds.registry import KINDS, unique_kinds
from container.config.options import SECTIONS
from container.config.options.old import REPLACED
from container.config.options.python import PYTHON
from container.config.policy import POLICIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container.config.kinds.kind import Key, Kind
    from container.config.options import Option
    from container.config.values import Text

_BEGINNING: Final = """# Reference

Every option, in every spelling. This page is made of the tables that the command itself is made of
(`python -m container.config.reference > docs/reference.md`); what the options are for is told in
[configuration](configuration.md).

* On the **command line** an option is `--name VALUE`; further spellings stand behind it.
* In the **environment** it is the variable named here; options that may be repeated take one value a line, addresses
  also with spaces between them.
* In a **file** it is a key at the top; options that may be repeated take a list, those of names and values a table.
* In a **`.tac` file** it is an argument of what is made there, where one is named.

The command line counts before `CONTAINER_CMD_ARGS`, a variable of further arguments, that before the environment, that
before the file, and all of them before defaults.
"""
_MOUNTS: Final = """## Mounts

A mount is `--mount /prefix=KIND:ARG` on the command line, with `--mount-option /prefix:KEY=VALUE` for its keys; of a
virtual host it is `//host/prefix`. In a file it is a table:

```toml
[[mount]]
path = "/api"            # where; with host = "a.example" for one host only
asgi = "api:app"         # its kind, and what it holds; app = "module:name" finds the kind out
request-timeout = "30s"  # a key of the kind
compress = "br,gzip"     # a key that any mount may have
```

Several sites are `[[site]]` tables with `listen`, options of the sections above from addresses to answers, and
`[[site.mount]]`s.

In a `.tac` file it is `root.mount("api", ASGIResource(app, request_timeout=30))`: keys are arguments of the class, in
Python's spelling, and those that any mount may have are classes of their own.
"""
_OLD: Final = """## Options of others

Not taken, and why:
"""


def make_reference() -> str:
    """The whole page."""
    lines = [_BEGINNING]
    for section in SECTIONS:
        lines += [f"## {section.title}", "", *_table(_OPTION, map(_of_option, section.options)), ""]
    lines.append(_MOUNTS)
    for kind in unique_kinds():
        lines += [*_of_kind(kind), ""]
    lines += ["### Any mount", "", *_table(_POLICY, map(_of_policy, POLICIES)), "", _OLD]
    lines += _table(
        ("option", "instead"), ((f"`{name}`", _cell(why)) for name, why in sorted(REPLACED.items()))
    )
    return "\n".join(lines) + "\n"


_OPTION: Final = ("option", "environment", "file", "`.tac`", "default", "what it does")
_KEY: Final = ("key", "value", "argument", "default", "what it does")
_POLICY: Final = ("key", "value", "`.tac`", "what it does")


def _of_option(option: Option) -> tuple[str, ...]:
    value = "" if option.is_switch else f" {option.type.metavar}"
    spellings = [f"`{option.long}{value}`", *(f"`{each}`" for each in option.spellings[1:])]
    spellings += [f"`{option.negative}`"] * (option.negative is not None)
    own = () if option.only_here else (option.variable,)
    variables = [f"`{each}`" for each in (*own, *option.variables)]
    key = "" if option.only_here else (option.table and f"`{option.table}`") or f"`{option.name}`"
    default = f"`{option.shown_default}`" if option.shown_default else ""
    help_text = option.help.replace("{kinds}", ", ".join(KINDS))
    argument = f"`{PYTHON[option.name]}`" if option.name in PYTHON else ""
    return (
        _cell(", ".join(spellings)),
        ", ".join(variables),
        _cell(key),
        argument,
        default,
        _cell(help_text),
    )


def _of_kind(kind: Kind) -> Iterator[str]:
    aliases = f" (also {', '.join(f'`{each}`' for each in kind.aliases)})" if kind.aliases else ""
    yield f"### `{kind.name}`: {kind.metavar}"
    yield ""
    yield f"{kind.help}{aliases} In a `.tac` file: `{kind.home.rpartition(':')[2]}`."
    if kind.keys:
        usual = kind.defaults()
        yield ""
        yield from _table(_KEY, (_of_key(key, usual.get(key.name)) for key in kind.keys))


def _of_key(key: Key, default: Any) -> tuple[str, ...]:
    shown = "" if default in (None, (), {}) else f"`{_default(key.type, default)}`"
    return (
        f"`{key.name}`",
        _cell(f"`{key.type.metavar}`"),
        f"`{key.keyword}`",
        shown or key.type.none,
        _cell(key.help),
    )


def _default(of: Text, value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else of.show(value)


def _of_policy(policy: Any) -> tuple[str, ...]:
    key = policy.key
    home = policy.home.rpartition(":")[2]
    return f"`{key.name}`", _cell(f"`{key.type.metavar}`"), f"`{home}`", _cell(key.help)


def _table(heads: tuple[str, ...], rows: Any) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(make_reference())
