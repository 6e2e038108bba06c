"""PY-06: the validator of the standard library, between our server and an application, finds nothing (PEP 3333)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final
from wsgiref.validate import validator

import pytest

from container.resources.wsgi import WSGIResource
from tests.conformance.board import Board, Lines
from tests.conformance.client import Client
from tests.conformance.conftest import (
    DEPTHS,
    SERVERS,
    WORKERS,
    Place,
    gunicorn,
    path_of,
    running,
    site_for,
)
from tests.leaf import request as head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

THREADS: Final = {"threads": 4, "inline": 0}
CHUNKED: Final = b"3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\n\r\n"


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Echoes, in the way its path says."""
    content = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"none"
    way = environ["PATH_INFO"]
    length = [("Content-Length", str(len(content)))] if way == "/sized" else []
    write = start_response("200 OK", [("Content-Type", "text/plain"), *length])
    if environ["REQUEST_METHOD"] == "HEAD":
        return []
    if way == "/written":
        write(content[:1])
        return [content[1:]]
    return iter([content[:1], content[1:]]) if way == "/streamed" else [content]


def validated() -> Any:
    return validator(application)


@pytest.fixture(scope="module")
def warnings() -> Lines:
    """Of servers that are processes of their own."""
    return Lines()


@pytest.fixture(scope="module", params=SERVERS)
def places(request: pytest.FixtureRequest, warnings: Lines) -> Iterator[dict[Any, Place]]:
    if request.param in WORKERS:
        keys = [(kind, depth) for kind in THREADS for depth in DEPTHS]
        with gunicorn(request.param, Board({}, warnings)) as host:
            yield {key: Place(host.port, path_of(*key, "/validator")) for key in keys}
        return
    sites = {
        (kind, depth): site_for(WSGIResource(validated(), threads=threads), depth)
        for kind, threads in THREADS.items()
        for depth in DEPTHS
    }
    with running(request.param, sites) as ports:
        yield {key: Place(port, key[1]) for key, port in ports.items()}


@pytest.mark.parametrize("kind", THREADS)
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("way", ["plain", "sized", "streamed", "written"])
@pytest.mark.parametrize(
    ("method", "fields", "content", "told"),
    [
        ("GET", [], b"", b"none"),
        ("HEAD", [], b"", b""),
        ("POST", ["Content-Length: 5", "Content-Type: text/plain"], b"hello", b"hello"),
        ("POST", ["Content-Length: 0"], b"", b"none"),
        ("POST", ["Transfer-Encoding: chunked"], CHUNKED, b"hello"),
        ("POST", ["Transfer-Encoding: chunked"], b"0\r\n\r\n", b"none"),
    ],
)
def test_the_validator_finds_nothing(
    places: dict[Any, Place], warnings: Lines, caplog: pytest.LogCaptureFixture, kind: str, depth: str, way: str,
    method: str, fields: list[str], content: bytes, told: bytes,
) -> None:  # fmt: skip
    place = places[kind, depth]
    with caplog.at_level(logging.WARNING), Client(place.port) as client:
        client.send(head(f"{place.path}/{way}?a=b", *fields, method=method) + content)
        response = client.response(method)
        assert (response.status, response.body, response.complete) == (200, told, True)
        # Another one on the same connection: by then the first has been closed.
        client.send(head(f"{place.path}/plain", "Connection: close"))
        assert client.response().body == b"none"
        assert client.rest() == b""
    assert (caplog.records, warnings) == ([], [])
