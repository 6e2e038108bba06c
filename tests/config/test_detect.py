"""WSGI, ASGI 3 or ASGI 2: told by looks."""

from __future__ import annotations

from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import pytest

from container.config.detect import check_asgi, check_wsgi, interface_of
from container.config.importer import ImportProblem
from container.config.objects import as_resource
from container.config.settings import Settings
from container.resources.asgi import ASGIResource
from container.resources.wsgi import WSGIResource
from container.testing import Client

if TYPE_CHECKING:
    from collections.abc import Callable


class CallableObject:
    def __call__(self, environ: object, start_response: object) -> None: ...


class ClassAsApplication:
    def __init__(self, environ: object, start_response: object) -> None: ...


def wrapped() -> Callable[..., object]:
    def one(request: object) -> None: ...

    @wraps(one)
    def application(*arguments: object) -> None: ...

    return application


WSGI = [CallableObject(), ClassAsApplication, wrapped(), lambda *both: None, CallableObject().__call__, print]


@pytest.mark.parametrize("application", WSGI)
def test_what_looks_like_a_wsgi_application(application: Any) -> None:
    assert interface_of(application) == "wsgi"
    assert check_wsgi(application, "x") is application
    assert isinstance(as_resource(application, "x", Settings()), WSGIResource)


class AsgiObject:
    async def __call__(self, scope: object, receive: object, send: object) -> None: ...


class PlainAsgiObject:
    def __call__(self, scope: object, receive: object, send: object) -> None: ...


class AsgiClass:
    def __init__(self, scope: object, receive: object, send: object) -> None: ...
    def __await__(self) -> Any: ...


async def asgi_function(scope: object, receive: object, send: object) -> None: ...


def with_more(scope: object, receive: object, send: object, debug: bool = False) -> None: ...


ASGI = [
    AsgiObject(), PlainAsgiObject(), AsgiClass, asgi_function, with_more, AsgiObject().__call__,
    partial(asgi_function), partial(with_more, debug=True),
]  # fmt: skip


@pytest.mark.parametrize("application", ASGI)
def test_what_looks_like_asgi(application: Any) -> None:
    assert interface_of(application) == "asgi"
    assert check_asgi(application, "x") is application
    assert isinstance(as_resource(application, "x", Settings()), ASGIResource)
    with pytest.raises(ImportProblem, match="expected a WSGI application, got 'x': that is ASGI"):
        check_wsgi(application, "x")


class Asgi2Class:
    def __init__(self, scope: dict[str, Any]) -> None:
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.scope["path"].encode()})


def asgi2_function(scope: dict[str, Any]) -> Asgi2Class:
    return Asgi2Class(scope)


@pytest.mark.parametrize("application", [Asgi2Class, asgi2_function])
def test_asgi_2_is_wrapped(application: Any) -> None:
    assert interface_of(application) == "asgi2"
    with Client(as_resource(application, "x", Settings(lifespan="off"))) as client:
        assert client.get("/some/path").text == "/some/path"


def test_who_says_that_it_is_asgi_is_believed() -> None:
    def hidden(*arguments: Any) -> None: ...

    with pytest.raises(ImportProblem, match="expected an ASGI application"):
        check_asgi(hidden, "x")
    assert check_asgi(hidden, "x", told=True) is hidden
    with pytest.raises(ImportProblem, match="expected an ASGI application, called with"):
        check_asgi(CallableObject(), "x", told=True)
