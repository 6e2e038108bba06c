"""What a Python object found under a name can be: a resource, an application of WSGI or ASGI, a class of handlers.

Not here: importing (importer.py), telling WSGI from ASGI (detect.py).
"""

from __future__ import annotations

from inspect import isclass
from typing import TYPE_CHECKING, Any

from container.config.detect import check_asgi, check_wsgi, interface_of
from container.config.importer import ImportProblem, check_callable, import_object
from container.service.application import Application
from container.tree.resource import Resource

if TYPE_CHECKING:
    from container.config.settings import Settings


def as_resource(value: object, name: str, settings: Settings) -> Resource:
    """A Site or Resource itself, or what runs a WSGI or ASGI application or the handlers of a class; `name` is
    how the user spelt it."""
    if isinstance(value, Resource):
        return value
    if isinstance(value, Application):
        raise ImportProblem(f"expected something to mount, got an Application from {name!r}")
    if isclass(value) and issubclass(value, Resource | Application):
        raise ImportProblem(f'expected an instance, got class {value.__name__!r} from {name!r} (add "()"?)')
    if _is_handler(value):
        return handler_resource(value, settings)
    if interface_of(check_callable(value, name)) == "wsgi":
        return _wsgi_resource(value, name, settings)
    return _asgi_resource(value, name, settings)


def _wsgi_resource(value: object, name: str, settings: Settings) -> Resource:
    from container.resources.wsgi import WSGIResource  # late: a tree of files needs no threads

    return WSGIResource(
        check_wsgi(value, name),
        threads=settings.threads,
        queue_limit=settings.queue_limit,
        request_timeout=settings.request_timeout,
    )


def _is_handler(value: object) -> bool:
    """A class that was written for http.server."""
    return isclass(value) and any(base.__module__ == "http.server" for base in value.__mro__)


def handler_resource(value: Any, settings: Settings) -> Resource:
    """What runs `value`, a class of handlers for http.server."""
    from container.resources.handler import HandlerResource

    # Handlers know of no loop: where applications run inline, they have a thread.
    return HandlerResource(
        value,
        threads=max(1, settings.threads),
        queue_limit=settings.queue_limit,
        request_timeout=settings.request_timeout,
    )


def _asgi_resource(value: object, name: str, settings: Settings, *, told: bool = False) -> Resource:
    from container.resources.asgi import ASGIResource

    return ASGIResource(
        check_asgi(value, name, told=told),
        lifespan=settings.lifespan,
        websocket=settings.websocket,
        request_timeout=settings.request_timeout,
    )


def wsgi(name: str, settings: Settings, *, factory: bool = False) -> Resource:
    """What runs the WSGI application that `name` leads to."""
    return _wsgi_resource(_application(name, "wsgi", factory), name, settings)


def asgi(name: str, settings: Settings, *, factory: bool = False) -> Resource:
    """What runs the ASGI application that `name` leads to."""
    return _asgi_resource(_application(name, "asgi", factory), name, settings, told=True)


def _application(name: str, kind: str, factory: bool) -> object:
    """What a name leads to that was said to be an application of `kind`."""
    value = import_object(name, factory=factory)
    if isinstance(value, Resource | Application):
        article = "an" if kind == "asgi" else "a"
        got = type(value).__name__
        raise ImportProblem(
            f"expected {article} {kind.upper()} application, got {got} from {name!r} (give it without {kind})"
        )
    return value
