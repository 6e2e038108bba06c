"""A kind of thing that can be mounted, `KIND:ARG` on the command line and `KIND = ARG` in a file, with the keys it has.

Here: from a name, an argument and keys to the arguments of a constructor, and back from a resource to what it was
made with. A constructor's argument is told by an attribute of the resource, or by its
`made_with`. Not here: which kinds there are (the
files beside this one), what policies can be around any of them (policy.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib import import_module
from inspect import Parameter, signature
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from container.config.importer import ImportProblem
from container.config.problems import ConfigProblem
from container.config.values import Switch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from container.config.settings import Settings
    from container.config.values import Text
    from container.tree.resource import Resource

# Makes a resource of the argument and of constructor's arguments by name. Raises ConfigProblem or ImportProblem.
Make = "Callable[[str, Settings, dict[str, Any]], Resource]"


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a kind. `argument`: that of the constructor it is, its own name unless said; `part.name` for a
    field of a value that the constructor takes. `attribute`: where the resource tells it, as attrgetter has it, or a
    function. `inherits`: the field of Settings that holds for mounts which do not say. `default`: what it is when
    nobody says, if that is not the constructor's."""

    name: str
    type: Text
    help: str
    argument: str = ""
    attribute: str | Callable[[Any], Any] = ""
    inherits: str = ""
    default: Any = ...

    @property
    def keyword(self) -> str:
        return self.argument or self.name.replace("-", "_")

    def told(self, resource: Resource) -> Any:
        """What `resource` was made with."""
        where = self.attribute or self.keyword
        if callable(where):
            return where(resource)
        made_with: Mapping[str, Any] = getattr(resource, "made_with", {})
        return made_with[where] if where in made_with else attrgetter(where)(resource)

    def say(self, value: Any) -> Any:
        """How a file says `value`; None when what is read there is another, as values made in Python may be."""
        try:
            said = self.type.spell(value)
            again = self.type.spell(self.type.load(said, self.name))
        except (ConfigProblem, ImportProblem, TypeError, ValueError, AttributeError):
            return None
        return said if again == said else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind. `home`: `module:Class` of what it makes, whose signature has the defaults; of subclasses nothing is
    told, they are somebody's own. `parts`: constructor's arguments that are made of several keys, and what makes
    them. `subject`: what the argument was, told by a resource; None when that cannot be said in text."""

    name: str
    metavar: str
    help: str
    make: Callable[[str, Settings, dict[str, Any]], Resource]
    keys: tuple[Key, ...] = ()
    home: str = ""
    subject: Callable[[Any], str | list[str] | None] = lambda resource: None
    parts: Mapping[str, str] = field(default_factory=dict)
    # What has the defaults of the keys, where `home` hands them on.
    signature: str = ""
    # Further names, for the command line.
    aliases: tuple[str, ...] = ()

    def key(self, name: str) -> Key | None:
        return next((each for each in self.keys if each.name == name), None)

    def arguments(self, given: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
        """The constructor's arguments: what is given by key, else what holds for all that are named."""
        inherited = {key.keyword: attrgetter(key.inherits)(settings) for key in self.keys if key.inherits}
        values = {name: value for name, value in inherited.items() if value is not None} | {
            key.keyword: given[key.name] for key in self.keys if key.name in given
        }
        arguments = {name: value for name, value in values.items() if "." not in name}
        for part, home in self.parts.items():
            prefix = f"{part}."
            said = {
                name.removeprefix(prefix): each for name, each in values.items() if name.startswith(prefix)
            }
            if said:
                arguments[part] = _compose(load(home), said)
        return arguments

    def defaults(self) -> dict[str, Any]:
        """What holds for keys that are not given, by their names."""
        parameters = signature(load(self.signature or self.home).__init__).parameters if self.home else {}
        found: dict[str, Any] = {key.name: False for key in self.keys if isinstance(key.type, Switch)}
        for key in self.keys:
            part, _, name = key.keyword.partition(".")
            if key.default is not ...:
                found[key.name] = key.default
            elif name and part in self.parts:
                found[key.name] = getattr(load(self.parts[part])(), name)
            elif part in parameters and parameters[part].default is not Parameter.empty:
                found[key.name] = parameters[part].default
        return found

    def has_more(self, resource: Any) -> bool:
        """Was it made with anything that no key says?"""
        made_with = getattr(resource, "made_with", None) or getattr(
            getattr(resource, "gateway", None), "made_with", {}
        )
        named = {key.keyword.partition(".")[0] for key in self.keys}
        usual = signature(load(self.signature or self.home).__init__).parameters
        return any(
            value != usual[name].default
            for name, value in made_with.items()
            if name not in named and usual[name].default is not Parameter.empty
        )

    def makes(self, resource: Resource) -> bool:
        return bool(self.home) and type(resource) is load(self.home)


def load(home: str) -> Any:
    """What `module:name` leads to, in this package: late, as heavy imports are."""
    module, _, name = home.partition(":")
    return getattr(import_module(module), name)


def construct(make: Callable[..., Resource], *arguments: Any, **keywords: Any) -> Resource:
    """What `make` gives; what it says against its arguments is said of the configuration."""
    try:
        return make(*arguments, **keywords)
    except (ValueError, RuntimeError) as error:
        raise ConfigProblem(str(error)) from error


def _compose(make: Callable[[], Any], said: Mapping[str, Any]) -> Any:
    try:
        return replace(make(), **said)
    except ValueError as error:
        raise ConfigProblem(str(error)) from error
