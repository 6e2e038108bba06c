"""The environment of the process: read once, as a value; `CONTAINER_…` for every option, and a few names that
everybody uses. And files of variables, `--env-file`.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, Self

from container.config.compound import check_variable
from container.config.layers import Layer, parsed
from container.config.options import OPTIONS
from container.config.problems import ConfigProblem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from container.config.options import Option

_PREFIX: Final = "CONTAINER_"
# Arguments that count after those of the command line, and before all else.
ARGUMENTS: Final = "CONTAINER_CMD_ARGS"
# Names of others begin so too: only what is nearly one of ours is taken for a slip.
_ALIKE: Final = 0.8


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables there were."""

    variables: Mapping[str, str]

    @classmethod
    def read(cls) -> Self:
        """As it is now."""
        return cls(dict(os.environ))

    def layer(self) -> Layer:
        """What it says of options; ConfigProblem names the variable. An empty variable says nothing."""
        values = {}
        names = {}
        for field, option in OPTIONS.items():
            for name in _names(option):
                text = self.variables.get(name, "")
                if text:
                    texts = option.type.split(text) if option.many else [text]
                    values[field] = _located(name, option, texts)
                    names[field] = name
                    break
        return Layer(values, names, {field: f"{name}: " for field, name in names.items()})

    def strangers(self) -> Iterator[str]:
        """What is probably a slip: a line for each variable that looks like ours and is of no option."""
        known = [option.variable.removeprefix(_PREFIX) for option in OPTIONS.values() if not option.only_here]
        known.append(ARGUMENTS.removeprefix(_PREFIX))
        for name in self.variables:
            rest = name.removeprefix(_PREFIX)
            if rest != name and rest not in known and (close := get_close_matches(rest, known, 1, _ALIKE)):
                yield f'no option has the variable {name} (did you mean "{_PREFIX}{close[0]}"?)'


def _located(name: str, option: Option, texts: Sequence[str]) -> Any:
    try:
        return parsed(option, texts, name)
    except ConfigProblem as problem:
        if name in str(problem):
            raise
        raise ConfigProblem(f"{name}: {problem}") from problem


def _names(option: Option) -> tuple[str, ...]:
    return option.variables if option.only_here else (option.variable, *option.variables)


def read_env_file(path: str) -> dict[str, str]:
    """The variables of a file of `NAME=value` lines, as docker and dotenv have them; ConfigProblem names the line."""
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        raise ConfigProblem(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise ConfigProblem(f"{path}: expected UTF-8, got byte 0x{error.object[error.start]:02x}") from error
    for each in parse_stream(io.StringIO(text)):
        if each.error or (each.key is not None and each.value is None):
            line = each.original.line
            said = each.original.string.strip().partition("\n")[0]
            raise ConfigProblem(f'{path}:{line}: expected "NAME=value", got {said!r}')
    found = {
        name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value is not None
    }
    for name, value in found.items():
        check_variable(name, value, path)
    return found


def adopt(variables: Mapping[str, str], *, replace: bool = False) -> None:
    """Put variables into the environment of the process, where the application looks; those that are there stay
    unless they are to be replaced."""
    for name, value in variables.items():
        if replace or name not in os.environ:
            os.environ[name] = value
