"""One option of the product, however it is spelt: on the command line, in the environment, in TOML.

Here: what is known of every option. Which there are is said in the files beside this one, a topic each; the
command line, the reference page, the schema and the readers of the environment and of files are made from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from container.config.values import Switch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container.config.values import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option.

    `spellings`: on the command line, the canonical long one first. `negative`: what switches it off. `default`: the
    value without it, None for none. `many`: it may be given several times, and its value is a tuple.
    `variables`: names in the environment besides `CONTAINER_…`, in the order they count. `key`: its name in
    TOML, that of the long spelling unless said otherwise. `only_here`: it is for the command line alone, such as the
    name of the file itself. `table`: what says it in a file, where that is no key at the top. `hidden`: taken for
    those who know it from elsewhere, not told of in `--help`. `bare`: the text it stands for where its value is left
    out, on the command line.
    """

    spellings: tuple[str, ...]
    type: Text
    help: str
    default: Any = None
    negative: str | None = None
    many: bool = False
    variables: tuple[str, ...] = ()
    key: str = ""
    only_here: bool = False
    table: str = ""
    hidden: bool = False
    bare: str = ""

    @property
    def long(self) -> str:
        return self.spellings[0]

    @property
    def name(self) -> str:
        """Its key in TOML."""
        return self.key or self.long.removeprefix("--")

    @property
    def field(self) -> str:
        """Its name among the values of a configuration."""
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        return "CONTAINER_" + self.long.removeprefix("--").replace("-", "_").upper()

    @property
    def is_switch(self) -> bool:
        return isinstance(self.type, Switch)

    @property
    def shown_default(self) -> str:
        """The default as it would be typed; nothing when there is none to show."""
        if self.default is None:
            return self.type.none
        if self.is_switch:
            return "yes" if self.default else ""
        values = self.default if self.many else (self.default,)
        return ", ".join(self.type.show(each) for each in values)


@dataclass(frozen=True, slots=True)
class Section:
    """Options of one topic, under its title."""

    title: str
    options: Sequence[Option]


def option(*spellings: str, type: Text, help: str, **more: Any) -> Option:
    """An option with a value; the first spelling is the canonical one."""
    first = next(each for each in spellings if each.startswith("--"))
    others = tuple(each for each in spellings if each != first)
    return Option(spellings=(first, *others), type=type, help=help, **more)


def switch(*spellings: str, help: str, default: bool = False, **more: Any) -> Option:
    """An option without a value; one that is on by default has a `--no-…`."""
    long = next(each for each in spellings if each.startswith("--"))
    negative = f"--no-{long.removeprefix('--')}" if default else None
    return option(*spellings, type=Switch(), help=help, default=default, negative=negative, **more)
