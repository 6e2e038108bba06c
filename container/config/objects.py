"""What a Python object found under a name can be: a resource, an application of WSGI or ASGI, a class of handlers.

Not here: importing (importer.py), telling WSGI from ASGI (detect.py), the keys of kinds (kinds/).
"""

from __future__ import annotations

from inspect import isclass
from typing import TYPE_CHECKING, Any

from container.config.detect import interface_of
from container.config.importer import ImportProblem, check_callable
from container.config.kinds.applications import (
    ASGI,
    HANDLER,
    WSGI,
    asgi_resource,
    handler_resource,
    wsgi_resource,
)
from container.service.application import Application
from container.tree.resource import Resource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container.config.kinds.kind import Kind
    from container.config.settings import Settings


def kind_of(value: object, name: str) -> Kind | None:
    """The kind of application a Python object is, None for what is a resource already; `name` is how the user
    spelt it. ImportProblem for anything else."""
    if isinstance(value, Resource):
        return None
    if isinstance(value, Application):
        raise ImportProblem(f"expected something to mount, got an Application from {name!r}")
    if isclass(value) and issubclass(value, Resource | Application):
        raise ImportProblem(f'expected an instance, got class {value.__name__!r} from {name!r} (add "()"?)')
    if _is_handler(value):
        return HANDLER
    return WSGI if interface_of(check_callable(value, name)) == "wsgi" else ASGI


def as_resource(
    value: object, name: str, settings: Settings, given: Mapping[str, Any] | None = None
) -> Resource:
    """A Site or Resource itself, or what runs an application, with the keys of its kind that were given."""
    kind = kind_of(value, name)
    if kind is None:
        assert isinstance(value, Resource), "that is what no kind means"
        return value
    arguments = kind.arguments(given or {}, settings)
    if kind is HANDLER:
        return handler_resource(value, arguments)
    return wsgi_resource(value, name, arguments) if kind is WSGI else asgi_resource(value, name, arguments)


def _is_handler(value: object) -> bool:
    """A class that was written for http.server."""
    return isclass(value) and any(base.__module__ == "http.server" for base in value.__mro__)
