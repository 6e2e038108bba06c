"""Ids that go with a request, to applications, programs, other servers and back. Covers AS-08, LG-02."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from container.message.headers import Headers
from container.protocol.cgi import make_variables
from container.resources.asgi import ASGIResource
from container.resources.wsgi import WSGIResource
from container.testing import Client
from container.tree.accesslog import make_formatter
from container.tree.request_ids import RequestIds
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import Leaf, MemoryLog

if TYPE_CHECKING:
    from container.message.request import Request

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
VALID = f"00-{TRACE}-00f067aa0ba902b7-01"


def told(headers: dict[str, str], **options: Any) -> tuple[Request, Headers]:
    """The request as a resource sees it, and the fields of the answer."""
    seen: list[Request] = []
    with Client(Site(RequestIds(Leaf(lambda each: seen.append(each) or "x"), **options))) as client:
        response = client.get("/", headers=headers)
    return seen[0], Headers(response.headers.items())


def values(request: Request, name: bytes) -> list[bytes]:
    return [value for candidate, value in request.raw_headers if candidate == name]


def test_a_request_without_any_gets_both() -> None:
    request, fields = told({})
    assert values(request, b"x-request-id") == [request.id.encode()]
    assert values(request, b"traceparent") == [request.trace.header()]
    assert request.id == request.trace.trace_id
    assert request.headers["X-Request-ID"] == request.id
    assert "X-Request-ID" not in fields


def test_what_is_valid_goes_on_as_it_came() -> None:
    sent = {"X-Request-ID": "abc", "traceparent": VALID, "tracestate": "a=b"}
    request, _ = told(sent)
    for name, value in sent.items():
        assert values(request, name.lower().encode()) == [value.encode()]
    assert (request.id, request.trace.trace_id) == ("abc", TRACE)


def test_a_trace_without_an_id_gives_its_own() -> None:
    request, _ = told({"traceparent": VALID, "tracestate": "a=b"})
    assert values(request, b"x-request-id") == [TRACE.encode()]
    assert values(request, b"traceparent") == [VALID.encode()]
    assert values(request, b"tracestate") == [b"a=b"]


def test_what_is_not_valid_is_replaced_and_so_is_what_belongs_to_it() -> None:
    request, _ = told({"X-Request-ID": "<script>", "traceparent": "00-zz", "tracestate": "a=b"})
    assert values(request, b"x-request-id") == [request.id.encode()]
    assert re.fullmatch("[0-9a-f]{32}", request.id)
    assert values(request, b"traceparent") == [request.trace.header()]
    assert values(request, b"tracestate") == []


def test_clients_can_be_left_without_a_say() -> None:
    request, _ = told({"X-Request-ID": "abc", "traceparent": VALID, "tracestate": "a=b"}, accept=False)
    assert request.id != "abc"
    assert request.trace.trace_id != TRACE
    assert values(request, b"x-request-id") == [request.id.encode()]
    assert values(request, b"tracestate") == []


def test_the_answer_tells_the_id_where_that_is_asked_for() -> None:
    request, fields = told({"X-Request-ID": "abc"}, send=True)
    assert fields.get_all("X-Request-ID") == ["abc"]
    request, fields = told({"X-Request-ID": "a b"}, send=True)
    assert fields.get_all("X-Request-ID") == [request.id]


def wsgi_echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    names = ("container.request_id", "HTTP_X_REQUEST_ID", "HTTP_TRACEPARENT")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([environ.get(name) for name in names]).encode()]


async def asgi_echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    fields = dict(scope["headers"])
    found = [scope.get("container.request_id")]
    found += [fields[name].decode() if name in fields else None for name in (b"x-request-id", b"traceparent")]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(found).encode()})


@pytest.mark.parametrize(
    "app", [WSGIResource(wsgi_echo), WSGIResource(wsgi_echo, threads=0), ASGIResource(asgi_echo, lifespan="off")],
    ids=["threads", "inline", "asgi"],
)  # fmt: skip
def test_applications_are_told_and_so_is_the_log(app: Any) -> None:
    log = MemoryLog(make_formatter("%(request_id)s %(trace_id)s"))
    with Client(Site(RequestIds(app), access_log=log)) as client:
        sent = client.get("/", headers={"X-Request-ID": "abc", "traceparent": VALID}).json()
        new = client.get("/").json()
    assert sent == ["abc", "abc", VALID]
    assert new[0] == new[1]
    assert new[2].split("-")[1] == new[0]
    assert log.lines == [f"abc {TRACE}", f"{new[0]} {new[0]}"]


@pytest.mark.parametrize(
    "app", [WSGIResource(wsgi_echo), ASGIResource(asgi_echo, lifespan="off")], ids=["wsgi", "asgi"]
)
def test_without_it_applications_see_what_clients_say_and_no_more(app: Any) -> None:
    with Client(Site(app)) as client:
        assert client.get("/", headers={"X-Request-ID": "<b>"}).json() == [None, "<b>", None]


def test_programs_are_told_in_their_variables() -> None:
    request, _ = told({"X-Request-ID": "abc"})
    variables = make_variables(request, {}, b"/x", b"")
    assert variables["HTTP_X_REQUEST_ID"] == "abc"
    assert variables["HTTP_TRACEPARENT"] == request.trace.header().decode()


# Error pages.


def broken(_: object) -> None:
    raise LookupError("of the application")


def test_the_page_of_an_error_names_the_request() -> None:
    log = MemoryLog(make_formatter("%(request_id)s"))
    with Client(Site(Leaf(broken), access_log=log)) as client:
        page = client.get("/").text
        problem = client.get("/", headers={"Accept": "application/json"}).json()
        missing = client.get("/", headers={"X-Request-ID": "abc"}).text
    first, second, third = log.lines
    assert f"Request {first}<" in page
    assert problem["request_id"] == second
    assert (third, "Request abc<" in missing) == ("abc", True)


def test_a_page_for_what_the_client_did_wrong_names_none() -> None:
    with Client(Site(Resource())) as client:
        response = client.get("/missing", headers={"X-Request-ID": "abc"})
    assert response.status == 404
    assert "abc" not in response.text
