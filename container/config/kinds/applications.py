"""Applications: WSGI, ASGI, handlers of `http.server`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from container.config.detect import check_asgi, check_wsgi
from container.config.importer import ImportProblem, check_callable, import_object
from container.config.kinds.kind import Key, Kind, construct
from container.config.names import name_of
from container.config.values import Choice, Duration, Number, Size, Switch, Text
from container.service.application import Application
from container.tree.resource import Resource

if TYPE_CHECKING:
    from container.config.settings import Settings

_THREADS: Final = Key(
    "threads", Number(0, 10_000), "Threads of its own; 0 runs it on the event loop.", inherits="threads"
)
_QUEUE: Final = Key(
    "queue-limit", Number(1, 10_000_000), "Requests that may wait for a thread; more are answered 503.",
    attribute="pool.queue_limit", inherits="queue_limit",
)  # fmt: skip
_DEADLINE: Final = Key(
    "request-timeout", Duration(off=True), "How long it may take, else 504.", inherits="request_timeout"
)


def wsgi_resource(value: object, name: str, arguments: dict[str, Any]) -> Resource:
    """What runs the WSGI application `value`."""
    from container.resources.wsgi import WSGIResource  # late: a tree of files needs no threads

    return construct(WSGIResource, check_wsgi(value, name), **arguments)


def asgi_resource(value: object, name: str, arguments: dict[str, Any], *, told: bool = False) -> Resource:
    """What runs the ASGI application `value`; `told` when the user says that it is one."""
    from container.resources.asgi import ASGIResource

    if (websocket := arguments.get("websocket")) is not None:
        arguments["websocket"] = replace(websocket, max_frame=websocket.max_message)
    return construct(ASGIResource, check_asgi(value, name, told=told), **arguments)


def handler_resource(value: Any, arguments: dict[str, Any]) -> Resource:
    """What runs `value`, a class of handlers for http.server."""
    from container.resources.handler import HandlerResource

    # Handlers know of no loop: where applications run inline, they have a thread.
    threads = max(1, arguments.pop("threads"))
    return construct(HandlerResource, value, threads=threads, **arguments)


def _wsgi(name: str, settings: Settings, arguments: dict[str, Any]) -> Resource:
    return wsgi_resource(_application(name, "wsgi"), name, arguments)


def _asgi(name: str, settings: Settings, arguments: dict[str, Any]) -> Resource:
    return asgi_resource(_application(name, "asgi"), name, arguments, told=True)


def _handler(name: str, settings: Settings, arguments: dict[str, Any]) -> Resource:
    return handler_resource(check_callable(import_object(name), name), arguments)


def _application(name: str, kind: str) -> object:
    """What a name leads to that was said to be an application of `kind`."""
    value = import_object(name)
    if isinstance(value, Resource | Application):
        article = "an" if kind == "asgi" else "a"
        got = type(value).__name__
        raise ImportProblem(
            f"expected {article} {kind.upper()} application, got {got} from {name!r} (give it without {kind})"
        )
    return value


WSGI: Final = Kind(
    name="wsgi", metavar="NAME", help="A WSGI application: package.module:name.",
    make=_wsgi, keys=(_THREADS, _QUEUE, _DEADLINE),
    home="container.resources.wsgi:WSGIResource", subject=lambda resource: name_of(resource.app),
)  # fmt: skip
ASGI: Final = Kind(
    name="asgi", metavar="NAME", help="An ASGI application.",
    make=_asgi, home="container.resources.asgi:ASGIResource", subject=lambda resource: name_of(resource.app),
    parts={"websocket": "container.message.websocket:WebSocketOptions"},
    keys=(
        Key("lifespan", Choice(("auto", "on", "off")), "Start and stop it by the lifespan protocol.",
            inherits="lifespan"),
        Key("required", Switch(), "When it does not start, the server does not; else it is answered for with 503."),
        Key("root-path", Text("PATH"), "What a proxy in front has cut off the path."),
        _DEADLINE,
        Key("ws-max-size", Size(), "The largest message of a WebSocket, else 1009.",
            argument="websocket.max_message", inherits="websocket.max_message"),
        Key("ws-max-queue", Number(1, 100_000), "Messages that may wait for the application.",
            argument="websocket.queue_messages", inherits="websocket.queue_messages"),
        Key("ws-ping-interval", Duration(off=True), "Ping a WebSocket that was silent for so long.",
            argument="websocket.ping_interval", inherits="websocket.ping_interval"),
        Key("ws-ping-timeout", Duration(), "How long a WebSocket may stay silent after a ping.",
            argument="websocket.ping_timeout", inherits="websocket.ping_timeout"),
        Key("ws-per-message-deflate", Switch(), "Agree to compress messages.",
            argument="websocket.deflate", inherits="websocket.deflate"),
    ),
)  # fmt: skip
HANDLER: Final = Kind(
    name="handler", metavar="NAME", help="A class of handlers that was written for http.server.",
    make=_handler, home="container.resources.handler:HandlerResource",
    subject=lambda resource: name_of(resource.handler),
    keys=(
        Key("threads", Number(0, 10_000), "Threads of its own, at least one.", attribute="pool.threads",
            inherits="threads"),
        _QUEUE,
        replace(_DEADLINE, attribute="deadlines.timeout"),
    ),
)  # fmt: skip
