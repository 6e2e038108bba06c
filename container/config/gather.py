"""All that was said, from everywhere: the command line, files of variables, the environment, a configuration file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from container.config.blame import blaming
from container.config.environment import ARGUMENTS, Environment, adopt, read_env_file
from container.config.file import File, find_file, read_file
from container.config.layers import Configuration, from_texts, merge
from container.config.mounts import Mount, collect, overlay, parse_mounts
from container.config.static import parse_static

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from container.config.layers import Layer

# Who names a root on the command line does not mean what happens to lie in the directory.
ROOTS: Final = ("app", "wsgi", "asgi", "class", "path", "cgi", "python", "resource_script", "user_dirs")
_PLACED: Final = (*ROOTS, "mount", "vhost", "static", "static_path_mount")


@dataclass(frozen=True, slots=True)
class Gathered:
    """The values of all options, the mounts, and the file that some of it was read from. `sites` are further ones,
    each with all that holds for it."""

    configuration: Configuration
    mounts: list[Mount]
    file: str | None
    sites: tuple[tuple[Configuration, list[Mount]], ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def parts(self) -> list[tuple[Configuration, list[Mount]]]:
        """What is said of each site: what stands at the top is one when it has something to serve, or is all."""
        top = (self.configuration, self.mounts)
        serves = self.mounts or any(self.configuration.given.get(root) for root in ROOTS)
        return [top, *self.sites] if serves or not self.sites else [*self.sites]


def gather(
    texts: Mapping[str, Sequence[str]],
    further: Mapping[str, Sequence[str]] | None = None,
    *,
    reading: str | None = None,
) -> Gathered:
    """`texts` are those of the command line, by field, `further` those of ARGUMENTS. ConfigProblem for what cannot be
    understood anywhere.

    Variables of files are put into the environment of the process, and what `--env` says replaces them. `reading`:
    the file to read again, when all else is as it was found before.
    """
    line = from_texts(texts)
    origin = f"{ARGUMENTS}: "
    with blaming(origin):
        spoken = from_texts(further or {})
    typed = line, replace(spoken, origins=dict.fromkeys(spoken.values, origin))
    for path in (path for each in typed for path in each.values.get("env_file", ()) if reading is None):
        adopt(read_env_file(path))
    environment = Environment.read()
    around = environment.layer()
    file = _file(typed, around) if reading is None else read_file(reading)
    layers = [*typed, around, *([file.layer] if file is not None else [])]
    configuration = merge(layers)
    mounts: list[Mount] = []
    keys: list[str] = []
    for layer in (*typed, around):
        mounts = overlay(mounts, parse_mounts(layer.values.get("mount", ()), layer.values.get("vhost", ())))
        keys += layer.values.get("mount_option", ())
    mounts = collect([*mounts, *parse_static(configuration.values, configuration.given)])
    if file is not None:
        mounts = overlay(mounts, file.mounts)
    mounts = collect(mounts, reversed(keys))
    for text in configuration.values["env"]:
        name, _, value = text.partition("=")
        adopt({name: value}, replace=True)
    sites: list[tuple[Configuration, list[Mount]]] = []
    for own, own_mounts in file.sites if file is not None else ():
        sites.append((merge([*typed, around, own, *layers[3:]]), collect(own_mounts)))
    path = file.path if file is not None else None
    return Gathered(configuration, mounts, path, tuple(sites), tuple(environment.strangers()))


def _file(typed: Sequence[Layer], around: Layer) -> File | None:
    """The file that was named, else the one that lies here, unless arguments name a root."""
    path = next((path for each in (*typed, around) if (path := each.values.get("config")) is not None), None)
    if path is not None:
        return read_file(path)
    if any(field in each.values for each in typed for field in _PLACED):
        return None
    found = find_file()
    return None if found is None else read_file(found)
