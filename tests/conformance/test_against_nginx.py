"""The same tree served by nginx and by container: the same answers to some hundred requests (ST-01 to ST-11).

What differs on purpose is in DIFFERENCES with its reason, and nothing else may. All run as processes of their own on
ports of the loopback: nginx, `container`, and gunicorn with our workers.
"""

from __future__ import annotations

import http.client
import itertools
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.conformance.board import Board
from tests.conformance.conftest import DRILLS, WORKERS, gunicorn
from tests.system.ports import await_port, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="needs the Debian package nginx")

PAST = 1_000_000_000


def date(offset: int) -> str:
    return formatdate(PAST + offset, usegmt=True)


CONFIG = """
worker_processes 1; daemon off; master_process off;
pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off; sendfile on; gzip_static on; gzip_vary on; etag on;
    types {{ text/html html; text/plain txt; text/css css; application/gzip gz; }}
    charset utf-8; charset_types text/html text/plain text/css;
    default_type application/octet-stream;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {tree}; index index.html; absolute_redirect off; }}
}}
"""


class Case(NamedTuple):
    """A request: `{etag}` in a field stands for the tag that the server itself gave for the target."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return " ".join([self.method, self.target, *(f"{name}: {value};" for name, value in self.fields)])


class Seen(NamedTuple):
    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes


COMPARED = (
    "Content-Type", "Content-Length", "Content-Range", "Content-Encoding", "Last-Modified", "Accept-Ranges",
    "Vary", "Location", "Allow",
)  # fmt: skip

RANGES = [
    "bytes=0-3", "bytes=15-99", "bytes=0-99999999999999999999999", "bytes=4-", "bytes=-5", "bytes=-100",
    "bytes=-16", "bytes=-0", "bytes=16-", "bytes=67-108", "bytes=0-0", "bytes=15-15", "bytes=0-15", "bytes=0-",
    "bytes=5-4", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes", "foo=1-2", "BYTES=0-1", "bytes=+1-3",
    "bytes= 1-3", "bytes=1 - 3", "bytes=1-3,", "bytes=,1-3", "bytes=1-2,, ,", "bytes=0-1,4-5",
    "bytes=0-1, 4-5 , 8-9", "bytes=0-1,40-50", "bytes=40-50,60-70", "bytes=0-1,0-1,0-1", "bytes=0-,0-,0-",
    "bytes=4-5,0-1", "bytes=0-9,5-12", "bytes=-3,0-1", "bytes=0-1,a-b", "bytes=0-1;4-5", "bytes=1", "bytes=--1",
    "bytes=0x1-2", "bytes=00-03",
]  # fmt: skip
CONDITIONS: list[tuple[tuple[str, str], ...]] = [
    (("If-None-Match", "{etag}"),),
    (("If-None-Match", "W/{etag}"),),
    (("If-None-Match", '"x"'),),
    (("If-None-Match", '"x", {etag}'),),
    (("If-None-Match", '{etag},"x"'),),
    (("If-None-Match", '"x" , W/{etag}, "y"'),),
    (("If-None-Match", "*"),),
    (("If-None-Match", "unquoted"),),
    (("If-None-Match", ""),),
    (("If-Match", "{etag}"),),
    (("If-Match", "W/{etag}"),),
    (("If-Match", '"x"'),),
    (("If-Match", '"x", {etag}'),),
    (("If-Match", "*"),),
    (("If-Modified-Since", date(0)),),
    (("If-Modified-Since", date(1)),),
    (("If-Modified-Since", date(-1)),),
    (("If-Modified-Since", "garbage"),),
    (("If-Modified-Since", "Sunday, 09-Sep-01 01:46:40 GMT"),),
    (("If-Modified-Since", "Sun Sep  9 01:46:40 2001"),),
    (("If-Unmodified-Since", date(0)),),
    (("If-Unmodified-Since", date(1)),),
    (("If-Unmodified-Since", date(-1)),),
    (("If-Unmodified-Since", "garbage"),),
    (("If-None-Match", '"x"'), ("If-Modified-Since", date(0))),
    (("If-None-Match", "{etag}"), ("If-Modified-Since", date(-1))),
    (("If-None-Match", "{etag}"), ("If-Modified-Since", date(0))),
    (("If-Match", "{etag}"), ("If-Unmodified-Since", date(-1))),
    (("If-Match", '"x"'), ("If-None-Match", "{etag}")),
    (("If-Match", "{etag}"), ("If-None-Match", "{etag}")),
    (("If-Unmodified-Since", date(-1)), ("If-Modified-Since", date(0))),
    (("If-Match", '"x"'), ("Range", "bytes=0-3")),
    (("If-None-Match", "{etag}"), ("Range", "bytes=0-3")),
    (("If-None-Match", '"x"'), ("Range", "bytes=0-3")),
    (("If-Modified-Since", date(0)), ("Range", "bytes=99-")),
    (("Range", "bytes=0-3"), ("If-Range", "{etag}")),
    (("Range", "bytes=0-3"), ("If-Range", "W/{etag}")),
    (("Range", "bytes=0-3"), ("If-Range", '"x"')),
    (("Range", "bytes=0-3"), ("If-Range", date(0))),
    (("Range", "bytes=0-3"), ("If-Range", date(1))),
    (("Range", "bytes=0-3"), ("If-Range", date(-1))),
    (("Range", "bytes=0-3"), ("If-Range", "garbage")),
    (("Range", "bytes=99-"), ("If-Range", '"x"')),
    (("Range", "bytes=99-"), ("If-Range", "{etag}")),
    (("If-Range", "{etag}"),),
    (("Range", "bytes=0-3"), ("If-Range", "{etag}"), ("If-None-Match", '"x"')),
]
ENCODINGS = [
    "gzip", "x-gzip", "gzip;q=0", "gzip;q=0.5", "gzip; q=1", "*", "*;q=0", "identity", "deflate", "deflate, gzip",
    "GZIP", "gzip;q=0, *", "gzip, identity;q=0", "identity, gzip", "", "gzip;q=x", "gzip;q=0.001",
    "identity;q=1, gzip;q=0.5",
]  # fmt: skip
TARGETS = [
    "/", "/a.txt", "/a.css", "/a.css.gz", "/noext", "/a.unknown", "/empty.txt", "/sub", "/sub/", "/sub?x=1&y=2",
    "/nope", "/a.txt/", "/a.txt/x", "/large.bin", "/bare/", "/a%2Etxt", "/gr%C3%BC%C3%9Fe.txt", "/%61.txt",
]  # fmt: skip


def cases() -> list[Case]:
    found = [Case(method, target, ()) for target in TARGETS for method in ("GET", "HEAD")]
    for target in ("/a.txt", "/large.bin"):
        found += [Case("GET", target, (("Range", value),)) for value in RANGES]
    found += [
        Case("GET", "/empty.txt", (("Range", value),)) for value in ("bytes=0-", "bytes=-5", "bytes=0-0")
    ]
    found += [Case("HEAD", "/a.txt", (("Range", value),)) for value in ("bytes=0-3", "bytes=99-")]
    for method, fields in itertools.product(("GET", "HEAD"), CONDITIONS):
        found.append(Case(method, "/a.txt", fields))
    found += [Case("GET", "/large.bin", fields) for fields in CONDITIONS]
    found += [Case("GET", "/a.css", (("Accept-Encoding", value),)) for value in ENCODINGS]
    gzipped = ("Accept-Encoding", "gzip")
    found += [
        Case("GET", "/a.css", (gzipped, *fields)) for fields in CONDITIONS if fields[0][0] != "If-Range"
    ]
    found += [
        Case("GET", "/a.css", (gzipped, ("Range", value)))
        for value in ("bytes=0-3", "bytes=-4", "bytes=999-")
    ]
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("compared") / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "bare").mkdir()
    contents = {
        "index.html": b"<p>home",
        "a.txt": b"0123456789abcdef",
        "a.css": b"p { color: red }",
        "a.css.gz": bytes.fromhex("1f8b0800000000000003") + b"not really gzip, but nobody looks",
        "noext": b"x",
        "a.unknown": b"x",
        "empty.txt": b"",
        "sub/index.html": b"<p>sub",
        "large.bin": bytes(range(256)) * 2048,
        "grüße.txt": b"hi",
    }
    for name, content in contents.items():
        (tree / name).write_bytes(content)
        os.utime(tree / name, (PAST, PAST))
    for folder in (tree, *tree.parents):
        if folder.name.startswith("pytest") or "compared" in str(folder):
            folder.chmod(0o755)  # nginx gives up the rights of root
    return tree


@pytest.fixture(scope="module")
def nginx(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Case, Seen]]:
    """What nginx answers."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, tree=tree))
    with running([str(NGINX), "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")], port):
        yield answers_of(port)


@pytest.fixture(scope="module", params=["container", *DRILLS])
def ours(tree: Path, request: pytest.FixtureRequest) -> Iterator[dict[Case, Seen]]:
    """What we answer."""
    if request.param in WORKERS:
        with gunicorn(request.param, Board({}), application="files()", CONFORMANCE_FOLDER=str(tree)) as host:
            yield answers_of(host.port)
        return
    port = free_port()
    command = [
        *(sys.executable, "-m", "container", "--path", str(tree), "--no-listing", "--no-access-log"),
        *("--listen", f"tcp:{port}:interface=127.0.0.1"),
    ]
    with running(command, port):
        yield answers_of(port)


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    try:
        await_port(port, process)
        yield
    finally:
        process.terminate()
        process.wait(10)


def fetch(port: int, case: Case, etags: dict[str, str]) -> Seen:
    """One request on a connection of its own, sent exactly as written."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest(case.method, case.target, skip_accept_encoding=True)
        for name, value in case.fields:
            connection.putheader(name, value.replace("{etag}", etags.get(case.target, "")))
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
        fields = []
        for name in COMPARED:
            value = answer.headers.get(name)
            if value is not None:
                fields.append((name, value))
    finally:
        connection.close()
    return normal(answer.status, fields, body)


def normal(status: int, fields: list[tuple[str, str]], body: bytes) -> Seen:
    """What is left when the words of error pages and the boundaries of parts are taken away."""
    known = dict(fields)
    if known.get("Content-Type", "").startswith("multipart/byteranges"):
        boundary = known["Content-Type"].partition("boundary=")[2].strip('"')
        body = re.sub(rb"^\r\n", b"", body).replace(boundary.encode(), b"BOUNDARY")
        known["Content-Type"] = "multipart/byteranges"
        known["Content-Length"] = "parts"
    elif status >= 300:
        body = b""
        for name in ("Content-Type", "Content-Length"):
            known.pop(name, None)
    if status != 200:
        known.pop("Accept-Ranges", None)  # ours stays on 206: harmless
    if status >= 400:
        known.pop("Vary", None)  # our error pages depend on nothing but Accept
    if "Content-Encoding" in known:
        known.pop("Accept-Ranges", None)  # nginx has no ranges of stored codings
    # The Location of a redirect is the same for a browser, whichever way it is spelt.
    if "Location" in known:
        known["Location"] = known["Location"].removeprefix(".")
    return Seen(status, tuple(sorted(known.items())), body)


def etag_of(port: int, target: str, *, gzipped: bool) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest("GET", target, skip_accept_encoding=True)
        if gzipped:
            connection.putheader("Accept-Encoding", "gzip")
        connection.endheaders()
        answer = connection.getresponse()
        answer.read()
        return answer.headers["ETag"] or ""
    finally:
        connection.close()


def answers_of(port: int) -> dict[Case, Seen]:
    plain = {target: etag_of(port, target, gzipped=False) for target in ("/a.txt", "/large.bin", "/a.css")}
    coded = plain | {"/a.css": etag_of(port, "/a.css", gzipped=True)}
    return {
        case: fetch(port, case, coded if ("Accept-Encoding", "gzip") in case.fields else plain)
        for case in cases()
    }


class Difference(NamedTuple):
    """What differs on purpose: for which requests, the statuses of both, and why ours is right."""

    ours: int
    nginx: int
    reason: str
    requests: Callable[[Case], bool]


def asks(case: Case, name: str, *values: str) -> bool:
    return any(value in values if values else True for field, value in case.fields if field == name)


MALFORMED = (
    "bytes=5-4", "bytes=,", "bytes=-", "bytes=a-b", "bytes=+1-3", "bytes=0-1,a-b", "bytes=0-1;4-5", "bytes=1",
    "bytes=--1", "bytes=0x1-2",
)  # fmt: skip
SATISFIED = (
    (("If-None-Match", '"x"'), ("Range", "bytes=0-3")),
    (("Range", "bytes=0-3"),),
    (("Range", "bytes=0-3"), ("If-Range", "{etag}")),
    (("Range", "bytes=0-3"), ("If-Range", date(0))),
    (("Range", "bytes=0-3"), ("If-Range", "{etag}"), ("If-None-Match", '"x"')),
)
UNSATISFIED = ((("Range", "bytes=99-"),), (("Range", "bytes=99-"), ("If-Range", "{etag}")))
GZIP = ("Accept-Encoding", "gzip")


def is_gzipped(case: Case, *fields: tuple[tuple[str, str], ...]) -> bool:
    return case.fields in [(GZIP, *more) for more in fields]


DIFFERENCES: dict[str, Difference] = {
    "a directory without index": Difference(
        404, 403, "that there is a directory is nobody's business",
        lambda case: case.target == "/bare/",
    ),
    "a malformed range": Difference(
        200, 416, "a malformed Range is ignored (RFC 9110 14.2)",
        lambda case: asks(case, "Range", *MALFORMED),
    ),
    "a range with spaces inside": Difference(
        200, 206, "the grammar has no spaces there (RFC 9110 14.1.1)",
        lambda case: asks(case, "Range", "bytes=1 - 3"),
    ),
    "a range to beyond 2^63": Difference(
        206, 416, "a last position beyond the end is the end (RFC 9110 14.1.2)",
        lambda case: asks(case, "Range", "bytes=0-99999999999999999999999"),
    ),
    "empty members of a list": Difference(
        206, 416, "recipients must accept them (RFC 9110 5.6.1.2)",
        lambda case: asks(case, "Range", "bytes=1-3,", "bytes=,1-3", "bytes=1-2,, ,"),
    ),
    "a range of an empty file": Difference(
        416, 200, "no position lies in it (RFC 9110 14.1.2)",
        lambda case: case.target == "/empty.txt" and asks(case, "Range", "bytes=0-", "bytes=0-0"),
    ),
    "HEAD with a range": Difference(
        200, 206, "ranges are defined for GET only (RFC 9110 14.2)",
        lambda case: case.method == "HEAD" and case.fields in SATISFIED,
    ),
    "HEAD with a range that cannot be": Difference(
        200, 416, "ranges are defined for GET only (RFC 9110 14.2)",
        lambda case: case.method == "HEAD" and case.fields in UNSATISFIED,
    ),
    "If-Modified-Since later than the file": Difference(
        304, 200, "not modified since then (RFC 9110 13.1.3); nginx compares for equality by default",
        lambda case: (("If-Modified-Since", date(1)),) in (case.fields, case.fields[1:]),
    ),
    "If-Unmodified-Since that is no date": Difference(
        200, 412, "an invalid date is ignored (RFC 9110 13.1.4)",
        lambda case: asks(case, "If-Unmodified-Since", "garbage"),
    ),
    "If-None-Match with an older If-Modified-Since": Difference(
        304, 200, "If-None-Match overrides it (RFC 9110 13.1.3)",
        lambda case: asks(case, "If-None-Match", "{etag}") and asks(case, "If-Modified-Since", date(-1)),
    ),
    "If-Match with an older If-Unmodified-Since": Difference(
        200, 412, "If-Match overrides it (RFC 9110 13.1.4)",
        lambda case: asks(case, "If-Match", "{etag}") and asks(case, "If-Unmodified-Since"),
    ),
    "a coding under its old name, or any": Difference(
        200, 200, "x-gzip is gzip (RFC 9110 8.4.1.3), * is every coding (RFC 9110 12.5.3)",
        lambda case: asks(case, "Accept-Encoding", "x-gzip", "*"),
    ),
    "identity preferred": Difference(
        200, 200, "the client's weights count (RFC 9110 12.4.2)",
        lambda case: asks(case, "Accept-Encoding", "identity;q=1, gzip;q=0.5"),
    ),
    "ranges of a stored coding": Difference(
        206, 200, "it is a representation with a length like any other",
        lambda case: is_gzipped(case, *SATISFIED, (("Range", "bytes=-4"),)),
    ),
    "impossible ranges of a stored coding": Difference(
        416, 200, "it is a representation with a length like any other",
        lambda case: is_gzipped(case, (("Range", "bytes=99-"), ("If-Range", "{etag}")), (("Range", "bytes=999-"),)),
    ),
}  # fmt: skip


def test_there_is_enough_to_compare() -> None:
    assert len(cases()) >= 150


@pytest.mark.parametrize("case", cases(), ids=str)
def test_the_answer_is_that_of_nginx(case: Case, ours: dict[Case, Seen], nginx: dict[Case, Seen]) -> None:
    """ST-01 to ST-13, ST-15, RQ-10: status, fields and content, but for what is in the table."""
    expected = [each for each in DIFFERENCES.values() if each.requests(case)]
    if not expected:
        assert ours[case] == nginx[case]
    else:
        (difference,) = expected
        assert (ours[case].status, nginx[case].status) == difference[:2]
        assert ours[case] != nginx[case]


@pytest.mark.parametrize("name", DIFFERENCES)
def test_every_difference_is_told(name: str) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "files.md").read_text()
    assert name in text
    assert any(DIFFERENCES[name].requests(case) for case in cases())
