"""What there is to serve in a directory, told by looks: names of files, and names that modules bind.

Nothing is imported. Not here: what is made of it (welcome.py).
"""

from __future__ import annotations

import ast
import os
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from container.config.importer import DEFAULT_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

# A directory of a thousand files is looked at no longer than one of a few.
_ENTRIES_MAX: Final = 500
_SIZE_MAX: Final = 256 * 1024
_FOUND_MAX: Final = 8
# Modules that hold applications by custom, those more likely first.
_MODULES: Final = ("asgi", "wsgi", "app", "main", "application", "server", "api", "web")
_FACTORIES: Final = ("create_app", "make_app", "get_app", "create_application")
_PUBLIC: Final = ("public", "static", "htdocs", "www", "dist", "build", "site", "_site", "html", "docs")
_SETTINGS: Final = re.compile(r"""DJANGO_SETTINGS_MODULE["'],\s*["']([\w.]+)\.settings[\w.]*["']""")
_MODULE: Final = re.compile(r"[A-Za-z_]\w*")
# What is called, and what comes of it.
_KINDS: Final = {
    "FastAPI": "FastAPI", "Starlette": "Starlette", "Flask": "Flask", "Quart": "Quart", "Litestar": "Litestar",
    "Sanic": "Sanic", "get_wsgi_application": "Django", "get_asgi_application": "Django on the event loop",
    "Site": "tree of resources", "Application": "tree of resources", "Bottle": "Bottle", "App": "", "API": "",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to serve: where it is, what it is in a few words, and the command that serves it."""

    place: str
    what: str
    command: str


def survey(directory: str) -> list[Finding]:
    """What was found, the likeliest first, each thing once; empty for a directory that cannot be read."""
    try:
        names = sorted(os.listdir(directory))[:_ENTRIES_MAX]
    except OSError:
        return []
    found: dict[str, Finding] = {}
    for finding in _all(directory, names):
        found.setdefault(finding.command, finding)
        if len(found) == _FOUND_MAX:
            break
    return list(found.values())


def _all(directory: str, names: list[str]) -> Iterator[Finding]:
    for name in names:
        if name.endswith(".tac"):
            yield Finding(name, "a tree described in Python", f"container -y {shlex.quote(name)}")
    if "manage.py" in names:
        yield from _django(directory)
    modules = [name.removesuffix(".py") for name in names if name.endswith(".py") and name != "manage.py"]
    modules.sort(key=_likeliness)
    for module in modules:
        yield from _module(directory, module)
    for name in names:
        if os.path.isfile(os.path.join(directory, name, "__init__.py")):
            for module in ("__init__", *_MODULES):
                yield from _module(directory, f"{name}.{module}".removesuffix(".__init__"))
    yield from _files(directory, names)


def _likeliness(module: str) -> tuple[int, str]:
    return (_MODULES.index(module) if module in _MODULES else len(_MODULES)), module


def _django(directory: str) -> Iterator[Finding]:
    match = _SETTINGS.search(_read(os.path.join(directory, "manage.py")))
    if match is None:
        return
    for kind, what in (("wsgi", "Django"), ("asgi", "Django on the event loop")):
        if os.path.isfile(os.path.join(directory, *match[1].split("."), f"{kind}.py")):
            yield Finding("manage.py", what, f"container {match[1]}.{kind}:application")


def _module(directory: str, module: str) -> Iterator[Finding]:
    """The application a module binds, if any."""
    if not all(map(_MODULE.fullmatch, module.split("."))):
        return
    place = os.path.join(*module.split("."))
    path = os.path.join(directory, place)
    place, path = (
        (f"{place}.py", f"{path}.py") if not os.path.isdir(path) else (place + os.sep, f"{path}/__init__.py")
    )
    try:
        tree = ast.parse(_read(path))
    except (SyntaxError, ValueError, RecursionError):
        return
    bound = dict(_bound(tree))
    for name in DEFAULT_NAMES:
        if name in bound:
            yield Finding(place, bound[name] or "application", f"container {module}:{name}")
            return
    for name in _FACTORIES:
        if bound.get(name) == "function":
            yield Finding(place, "makes an application", f"container --factory {module}:{name}")
            return


def _bound(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The names a module binds at its top, with what each probably is."""
    for node in tree.body:
        if isinstance(node, ast.AsyncFunctionDef):
            yield node.name, "ASGI application"
        elif isinstance(node, ast.FunctionDef):
            yield node.name, "WSGI application" if len(node.args.args) == 2 else "function"
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    yield target.id, _kind(node.value)


def _kind(value: ast.expr) -> str:
    called = value.func if isinstance(value, ast.Call) else None
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return _KINDS.get(name, "")


def _files(directory: str, names: list[str]) -> Iterator[Finding]:
    for name in (".", *(name for name in _PUBLIC if name in names)):
        inside = set(names) if name == "." else _list(os.path.join(directory, name))
        place = "" if name == "." else f"{name}/"
        scripts = next((each for each in sorted(inside) if each.endswith((".php", ".rpy"))), None)
        if scripts is not None:
            yield Finding(place + scripts, "files and scripts", f"container --path {name} --scripts")
        elif "index.html" in inside:
            yield Finding(f"{place}index.html", "files", f"container --path {name}")
    if "cgi-bin" in names:
        yield Finding("cgi-bin/", "files and CGI scripts", "container --cgi .")


def _list(directory: str) -> set[str]:
    try:
        return set(os.listdir(directory))
    except OSError:
        return set()


def _read(path: str) -> str:
    """The beginning of a file; nothing of one that cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(_SIZE_MAX).decode("utf-8", "replace")
    except OSError:
        return ""
