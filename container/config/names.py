"""From a Python object back to the name it can be imported by: the reverse of importer.py."""

from __future__ import annotations

import sys
from types import ModuleType

from container.config.tac import MODULE_NAME

# Looked for first, as people call them.
_USUAL = ("application", "app", "wsgi", "asgi")
_NOT_THEIRS = ("__main__", MODULE_NAME, "builtins")


def name_of(value: object) -> str | None:
    """`module:name`, when importing that leads to this very object; None when nothing does."""
    name = getattr(value, "__qualname__", None)
    module = getattr(value, "__module__", None)
    if isinstance(name, str) and isinstance(module, str) and _leads_to(value, module, name):
        return f"{module}:{name}"
    found = [
        (attribute not in _USUAL, module.count("."), module, attribute)
        for module, attribute in _places(value)
    ]
    return ":".join(min(found)[2:]) if found else None


def _leads_to(value: object, module: str, name: str) -> bool:
    here: object = sys.modules.get(module)
    if module in _NOT_THEIRS or here is None:
        return False
    for part in name.split("."):
        here = getattr(here, part, None)
    return here is value


def _places(value: object) -> list[tuple[str, str]]:
    """Everywhere the object is bound in a module. What is imported from elsewhere counts too: which is its home
    cannot be told of an instance, so the shortest name wins."""
    return [
        (module.__name__, attribute)
        for key, module in list(sys.modules.items())
        if isinstance(module, ModuleType) and key not in _NOT_THEIRS and key == module.__name__
        for attribute, each in list(vars(module).items())
        if each is value
    ]
