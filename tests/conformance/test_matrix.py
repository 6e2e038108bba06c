"""The matrix: what the server does for whatever is mounted, whichever kind it is, all of it in one tree.

Rows are the tests, columns the kinds of `columns.py`; all kinds are mounted side by side in one site that
keeps sessions, encodes, logs and has error pages of its own. A cell that cannot be is in CANNOT, with the reason.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import zlib
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import pytest

from container.encoders.gzip import Gzip
from container.message.response import Response
from container.resources.sendfile import SendfileFrom
from container.sessions import Sessions
from container.sessions.sqlite import SQLiteStore
from container.tree.resource import Resource
from container.tree.site import Site
from tests.conformance.columns import (
    COLUMNS,
    FAILURES,
    FILE,
    ON_DISK,
    OWN,
    PROCESSES,
    PROGRAMS,
    TEXT,
    Stage,
    holds,
)
from tests.leaf import log_line, request
from tests.scripts import ScriptDirectory, is_running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container.testing import Client
    from tests.conformance import leaves
    from tests.conformance.conftest import Tree
    from tests.conformance.leaves import Marks

# By row and column: why there is no such cell.
CANNOT: Final = {
    ("session", "static"): "a file asks for nothing",
    ("session", "as-is"): "a file asks for nothing",
    ("session", "handler"): "what was written for http.server knows a socket and no request of ours",
    ("session", "proxy"): "what another server answers has sessions of that server",
    ("session", "proxy-unix"): "what another server answers has sessions of that server",
    ("ranges", "cgi"): "a program has no way to hand over a file but X-Sendfile",
    ("ranges", "cgi-warm"): "a program has no way to hand over a file but X-Sendfile",
    ("ranges", "fastcgi"): "a program has no way to hand over a file but X-Sendfile",
    ("ranges", "scgi"): "a program has no way to hand over a file but X-Sendfile",
    ("ranges", "uwsgi"): "a program has no way to hand over a file but X-Sendfile",
    ("ranges", "script"): "what a script makes are native resources: that column's",
    ("ranges", "handler"): "a handler writes to a socket; it has X-Sendfile",
    ("ranges", "as-is"): "the file says itself what its answer is; it has X-Sendfile",
    ("x-sendfile", "static"): "it is a file already",
    ("own-error", "static"): "a file that is not there says nothing",
}
ROWS: Final = (
    "session",
    "encoder",
    "ranges",
    "x-sendfile",
    "access-log",
    "error-page",
    "own-error",
    "disconnect",
)
# A new connection for each request: with several workers, another one may answer.
ALONE: Final = {"Connection": "close"}


class Root(Resource):
    """Holds what runs beside the tree, until the tree is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.open = ExitStack()

    async def stop(self) -> None:
        await asyncio.to_thread(self.open.close)


def make_tree(told: leaves.Stage) -> Site:
    """All kinds side by side; several processes may make it of the same files."""
    root = Root()
    for name, make in COLUMNS.items():
        stage = Stage(ScriptDirectory(told.folder / "scripts"), told.folder / name, root.open, told)
        stage.prepare()
        root.mount(name, SendfileFrom(make(stage), told.folder))
    return Site(
        root,
        encoders=[Gzip()],
        sessions=Sessions(store=SQLiteStore(told.folder / "sessions")),
        access_log=lambda exchange: told.take().note(log_line(exchange)),
        headers={"X-Site": "ours"},
        error_pages={status: Response.text(f"our {status}", status) for status in {500, *FAILURES.values()}},
    )


class Matrix:
    """The tree, a client of it, and what it has logged in this test."""

    def __init__(self, tree: Tree, marks: Marks) -> None:
        self.client = tree.client
        self.marks = marks
        self._tree = tree

    def logged(self, path: str, count: int) -> list[str]:
        """The lines of requests below `path` when there are so many, each from its request on to its size."""

        def lines() -> list[str]:
            parts = [line.split('"') for line in self.marks.notes]
            return [part[1] + part[2].rstrip() for part in parts if part[1].split()[1].startswith(path)]

        self.client.wait_until(lambda: len(lines()) >= count, f"{count} lines")
        return lines()

    def holds(self, name: str) -> bool:
        """Has a process that serves the tree this file open?"""
        return any(holds(pid, self._tree.stage.folder / name) for pid in self._tree.processes)


@pytest.fixture
def matrix(tree: Tree, marks: Marks) -> Iterator[Matrix]:
    tree.client.cookies.clear()
    yield Matrix(tree, marks)
    tree.client.cookies.clear()


def cells(row: str) -> pytest.MarkDecorator:
    """Every column that has this row."""
    assert row in ROWS
    return pytest.mark.parametrize("column", [each for each in COLUMNS if (row, each) not in CANNOT])


def test_every_cell_is_tested_or_has_a_reason() -> None:
    assert {row for row, _ in CANNOT} <= set(ROWS)
    assert {column for _, column in CANNOT} <= set(COLUMNS)
    assert all(CANNOT.values())


# Sessions.


@cells("session")
def test_all_share_one_visitor_session(matrix: Matrix, column: str) -> None:
    """SE-01, SE-09, AS-08: begun by a native resource, seen and changed here, and seen there again; encoded too."""
    client = matrix.client
    count, name = client.get("/native/visit", headers=ALONE).text.split()
    assert count == "1"
    answer = client.get(f"/{column}/visit", headers=ALONE | {"Accept-Encoding": "gzip"})
    assert {"Cookie", "Accept-Encoding"} <= set(answer.headers["Vary"].split(", "))
    seen = gzip.decompress(answer.body).decode().split()
    if column in PROGRAMS:
        assert seen == [name, "eva"]
        return
    assert seen == ["2", name]
    assert client.get("/native/visit", headers=ALONE).text.split() == ["3", name]


@cells("session")
def test_nobody_sees_the_session_of_another(matrix: Matrix, column: str) -> None:
    """SE-01: a visitor without a cookie, or with an id that was never given out, has none yet."""
    client = matrix.client
    name = client.get("/native/visit", headers=ALONE).text.split()[1]
    client.cookies.clear()
    for forged in ({}, {"Cookie": f"session={'x' * len(name)}"}):
        seen = client.get(f"/{column}/visit", headers=ALONE | forged).text.split()
        if column in PROGRAMS:
            assert seen == ["None", "None"]
        else:
            assert seen[0] == "1"
            assert seen[1] not in (name, "x" * len(name))
        client.cookies.clear()


@pytest.mark.parametrize("column", COLUMNS)
def test_who_does_not_ask_gets_no_session(matrix: Matrix, column: str) -> None:
    """SE-07: a cookie comes with the first change of a session, not before."""
    answer = matrix.client.get(f"/{column}/page")
    assert "Set-Cookie" not in answer.headers


# Content codings.


@cells("encoder")
def test_what_is_worth_it_is_encoded(matrix: Matrix, column: str) -> None:
    """EN-01, EN-03, EN-04: with Vary, decodable, and not for those who do not take it."""
    client = matrix.client
    encoded = client.get(f"/{column}/page", headers={"Accept-Encoding": "gzip"})
    assert encoded.status == 200
    assert encoded.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in encoded.headers["Vary"]
    assert gzip.decompress(encoded.body) == TEXT
    assert len(encoded.body) < len(TEXT)
    assert not encoded.headers.get("ETag", 'W/""').startswith('"')
    for others in ({}, {"Accept-Encoding": "gzip;q=0"}):
        plain = client.get(f"/{column}/page", headers=others)
        assert plain.body == TEXT
        assert "Content-Encoding" not in plain.headers
        assert "Accept-Encoding" in plain.headers["Vary"]


# Conditions and ranges.


def check_ranges(client: Client, path: str) -> None:
    whole = client.get(path)
    assert (whole.status, whole.body) == (200, FILE)
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert whole.headers["Content-Length"] == str(len(FILE))
    etag = whole.headers["ETag"]
    assert etag.startswith('"')

    def ask(**fields: str) -> Any:
        return client.get(path, headers={name.replace("_", "-"): value for name, value in fields.items()})

    same = ask(If_None_Match=etag)
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", etag)
    assert ask(If_None_Match='"other"').status == 200
    assert ask(If_Match='"other"').status == 412
    part = ask(Range="bytes=5-7")
    assert (part.status, part.body) == (206, FILE[5:8])
    assert part.headers["Content-Range"] == f"bytes 5-7/{len(FILE)}"
    assert ask(Range="bytes=-3").body == FILE[-3:]
    parts = ask(Range="bytes=0-1,5-6")
    assert (parts.status, parts.headers["Content-Type"].partition(";")[0]) == (206, "multipart/byteranges")
    assert ask(Range="bytes=5-7", If_Range=etag).status == 206
    assert ask(Range="bytes=5-7", If_Range='"other"').body == FILE
    beyond = ask(Range=f"bytes={len(FILE)}-")
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{len(FILE)}")
    # A part is never encoded, and the whole has another validator when it is.
    assert "Content-Encoding" not in ask(Range="bytes=5-1500", Accept_Encoding="gzip").headers
    assert ask(Accept_Encoding="gzip").headers["ETag"] == f"W/{etag}"


@cells("ranges")
def test_one_engine_for_conditions_and_ranges(matrix: Matrix, column: str) -> None:
    """RQ-10, RT-15, ST-05 to ST-11: by what each kind has for files."""
    check_ranges(matrix.client, f"/{column}/file")


@cells("x-sendfile")
def test_whoever_names_a_file_has_it_sent(matrix: Matrix, column: str) -> None:
    check_ranges(matrix.client, f"/{column}/sent")


# The access log.


@cells("access-log")
def test_every_answer_is_one_line(matrix: Matrix, column: str) -> None:
    """With its status and the bytes of its content as they went out."""
    client = matrix.client
    client.get(f"/{column}/page?a=1")
    encoded = client.get(f"/{column}/page", headers={"Accept-Encoding": "gzip"})
    client.get(f"/{column}/fail")
    assert matrix.logged(f"/{column}/", 3) == [
        f"GET /{column}/page?a=1 HTTP/1.1 200 {len(TEXT)}",
        f"GET /{column}/page HTTP/1.1 200 {len(encoded.body)}",
        f"GET /{column}/fail HTTP/1.1 {FAILURES.get(column, 500)} 7",
    ]


# Error pages.


@cells("error-page")
def test_what_goes_wrong_gets_the_page_of_the_site(
    matrix: Matrix, column: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With the fields of the site, and the connection goes on; a file that is not there goes wrong as 404."""
    caplog.set_level(logging.CRITICAL)
    connection = matrix.client.connect()
    connection.send(request(f"/{column}/fail") + request(f"/{column}/page"))
    answer = connection.receive()
    status = FAILURES.get(column, 500)
    assert (answer.status, answer.text) == (status, f"our {status}")
    assert answer.headers["X-Site"] == "ours"
    assert connection.receive().body == TEXT


@cells("own-error")
def test_an_error_of_its_own_stays_its_own(matrix: Matrix, column: str) -> None:
    answer = matrix.client.get(f"/{column}/own")
    assert (answer.status, answer.body) == (404, OWN)
    assert answer.headers["X-Site"] == "ours"


# A client that leaves.


@cells("disconnect")
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_a_client_that_leaves_is_noticed(
    matrix: Matrix, column: str, coding: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What made the answer is told or ended, nothing stays open, and the log has one line. EN-04: until then an
    encoded stream can be decoded as it comes."""
    caplog.set_level(logging.CRITICAL)
    client = matrix.client
    decoder = zlib.decompressobj(31)
    with client.stream("GET", f"/{column}/stream", headers={"Accept-Encoding": coding}) as stream:
        assert stream.status == 200
        first = b""
        while len(first) < 100:
            first += decoder.decompress(next(stream)) if coding == "gzip" else next(stream)
    if column in PROCESSES:
        pid = int(first.split()[0])
        client.wait_until(lambda: not is_running(pid), "the end of the script")
    elif column in ON_DISK:
        client.wait_until(lambda: not matrix.holds(f"{column}/{ON_DISK[column]}"), "the file to be closed")
    else:
        assert first.startswith(TEXT[:100])
        client.wait_until(matrix.marks.left.is_set, "the end of the stream")
    [line] = matrix.logged(f"/{column}/stream", 1)
    assert line.startswith(f"GET /{column}/stream HTTP/1.1 200 ")
    assert client.get(f"/{column}/page").body == TEXT
    assert matrix.logged(f"/{column}/", 2)[:-1] == [line]
