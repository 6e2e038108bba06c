"""Files: what is served, what is hidden, and that every file is closed again."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
from http.client import IncompleteRead
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from container.message.file_body import FileBody
from container.message.response import Response
from container.resources.media_types import media_types
from container.resources.static import Files
from container.resources.static.cache import BELIEVED_S, SMALL
from container.tree.pages import ErrorPage
from container.tree.resource import Resource
from container.tree.site import Site
from tests.resources.static_wire import (
    BLOCK,
    LINKS,
    PAST,
    PAST_TEXT,
    Answer,
    Wire,
    ask,
    connect,
    exchange,
    head,
    let_pass,
    statuses,
)

if TYPE_CHECKING:
    pass

# A file.


def test_a_file_comes_with_its_type_length_and_validators(public: Path) -> None:
    """ST-01"""
    answer = ask(Files(public), "/f.txt")
    assert answer.status == 200
    assert answer.body == b"hello\n"
    assert answer.headers == {
        "Server": "container",
        "Connection": "close",
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": "6",
        "Last-Modified": PAST_TEXT,
        "ETag": f'"{PAST * 10**9:x}-6"',
        "Accept-Ranges": "bytes",
    }
    assert answer.writes == 1


@pytest.mark.parametrize("size", [0, 1, BLOCK, SMALL - 1, SMALL, SMALL + 1, 2 * SMALL])
def test_files_of_any_size_arrive_whole(public: Path, size: int) -> None:
    content = os.urandom(size)
    (public / "x.bin").write_bytes(content)
    answer = ask(Files(public), "/x.bin")
    assert answer.body == content
    assert answer.headers["Content-Length"] == str(size)
    assert "Transfer-Encoding" not in answer.headers
    assert (answer.writes == 1) == (size <= SMALL)


@pytest.mark.parametrize("name", ["f.txt", "zero.txt", "big.bin", ""])
def test_head_has_the_fields_of_get_and_no_content(public: Path, big: Path, name: str) -> None:
    """ST-02"""
    get, answer = (ask(Files(public), f"/{name}", method) for method in ("GET", "HEAD"))
    assert answer.headers == get.headers
    assert answer.body == b""
    assert answer.writes == 1


def test_a_changed_file_has_another_tag(public: Path) -> None:
    first = ask(Files(public), "/f.txt").headers["ETag"]
    (public / "f.txt").write_text("HELLO\n")
    assert ask(Files(public), "/f.txt").headers["ETag"] != first


@pytest.mark.parametrize("stamp", [-86400, time.time() + 86400], ids=["before 1970", "to come"])
def test_a_time_that_cannot_be_is_no_validator(public: Path, stamp: float) -> None:
    os.utime(public / "f.txt", (stamp, stamp))
    answer = ask(Files(public), "/f.txt", If_Modified_Since="Fri, 31 Dec 9999 23:59:59 GMT")
    assert answer.status == 200
    assert "Last-Modified" not in answer.headers
    assert "ETag" in answer.headers


def test_a_single_file_may_be_mounted(public: Path) -> None:
    root = Resource()
    root.mount("robots.txt", Files(public / "f.txt"))
    assert ask(root, "/robots.txt").body == b"hello\n"
    assert statuses(root, ["/robots.txt/", "/robots.txt/x"]) == {"/robots.txt/": 404, "/robots.txt/x": 404}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_405_and_say_what_is_allowed(public: Path, method: str) -> None:
    answer = ask(Files(public), "/f.txt", method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


def test_options_tells_the_methods(public: Path) -> None:
    assert ask(Files(public), "/f.txt", "OPTIONS").headers["Allow"] == "GET, HEAD, OPTIONS"


def test_children_in_front_of_the_files_win(public: Path) -> None:
    files = Files(public)
    files.mount("f.txt", ErrorPage(418))
    assert statuses(files, ["/f.txt", "/docs/"]) == {"/f.txt": 418, "/docs/": 200}


# Preconditions.


def test_a_304_has_the_validators_and_nothing_of_the_content(public: Path) -> None:
    """ST-05: and no Content-Length."""
    etag = ask(Files(public), "/f.txt").headers["ETag"]
    site = Site(Files(public), headers={"Cache-Control": "max-age=60", "Vary": "Accept-Encoding"})
    for method in ("GET", "HEAD"):
        answer = ask(site, "/f.txt", method, If_None_Match=f'"x", W/{etag}')
        assert answer.status == 304
        assert answer.body == b""
        assert answer.headers == {
            "Server": "container",
            "Connection": "close",
            "ETag": etag,
            "Last-Modified": PAST_TEXT,
            "Cache-Control": "max-age=60",
            "Vary": "Accept-Encoding",
        }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"If_Modified_Since": PAST_TEXT}, 304),
        ({"If_Modified_Since": "Mon, 07 Nov 1994 08:49:37 GMT"}, 304),
        ({"If_Modified_Since": "Sun, 06 Nov 1994 08:49:36 GMT"}, 200),
        ({"If_Modified_Since": "garbage"}, 200),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"x"', "If_Modified_Since": PAST_TEXT}, 200),
        ({"If_Match": '"x"'}, 412),
        ({"If_Match": "*"}, 200),
        ({"If_Unmodified_Since": PAST_TEXT}, 200),
        ({"If_Unmodified_Since": "Sun, 06 Nov 1994 08:49:36 GMT"}, 412),
        ({"Range": "bytes=0-1"}, 206),
    ],
)
@pytest.mark.parametrize("name", ["f.txt", "big.bin"])
def test_preconditions_are_honoured(
    public: Path, big: Path, name: str, fields: dict[str, str], expected: int
) -> None:
    """ST-05, ST-06"""
    os.utime(big, (PAST, PAST))
    assert ask(Files(public), f"/{name}", **fields).status == expected


# Types.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.TXT", "text/plain; charset=utf-8"),
        ("a.html", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.svg", "image/svg+xml"),
        ("a.xml", "application/xml"),
        ("a.png", "image/png"),
        ("a.jpg", "image/jpeg"),
        ("a.webp", "image/webp"),
        ("a.woff2", "font/woff2"),
        ("a.wasm", "application/wasm"),
        ("a.gz", "application/gzip"),
        ("a.tar.gz", "application/gzip"),
        ("a.css.gz", "application/gzip"),
        ("a.tgz", "application/gzip"),
        ("a.patch", "text/plain; charset=utf-8"),
        ("a.unknown", "application/octet-stream"),
        ("a.html.unknown", "application/octet-stream"),
        ("noext", "application/octet-stream"),
        ("a.", "application/octet-stream"),
    ],
)
def test_the_extension_tells_the_type(public: Path, name: str, expected: str) -> None:
    (public / name).write_bytes(b"x")
    answer = ask(Files(public), f"/{name}")
    assert answer.headers["Content-Type"] == expected
    assert "Content-Encoding" not in answer.headers
    unknown = expected == "application/octet-stream"
    assert answer.headers.get("X-Content-Type-Options") == ("nosniff" if unknown else None)


def test_an_index_has_the_type_of_its_own_name(public: Path) -> None:
    assert ask(Files(public), "/docs/").headers["Content-Type"] == "text/html; charset=utf-8"


def test_types_can_be_added_and_replaced(public: Path) -> None:
    for name in ("a.foo", "a.Bar", "a.txt", "a.other"):
        (public / name).write_bytes(b"x")
    files = Files(
        public,
        types={".FOO": "text/x-foo", "bar": "image/x-bar", ".txt": "text/plain; charset=latin-1"},
        default_type="text/html",
    )
    types = {name: ask(files, f"/{name}").headers["Content-Type"] for name in ("a.foo", "a.Bar", "a.txt")}
    assert types == {
        "a.foo": "text/x-foo; charset=utf-8",
        "a.Bar": "image/x-bar",
        "a.txt": "text/plain; charset=latin-1",
    }
    other = ask(files, "/a.other").headers
    assert (other["Content-Type"], other["X-Content-Type-Options"]) == ("text/html; charset=utf-8", "nosniff")


@pytest.mark.parametrize("bad", ["text", "", "text/plain\r\nX: y"])
def test_a_type_that_is_none_is_refused_at_once(public: Path, bad: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Files(public, default_type=bad)
    with pytest.raises(ValueError, match="expected"):
        Files(public, types={".x": bad})


def test_no_text_is_without_charset_and_no_key_without_dot() -> None:
    table = media_types()
    assert not [key for key in table if not key.startswith(".") or key != key.lower()]
    assert not [value for value in table.values() if value.startswith("text/") and "charset" not in value]


# Directories.


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/docs", "./docs/"),
        ("/docs?x=1&y=2", "./docs/?x=1&y=2"),
        ("/docs/deep", "./deep/"),
        ("/empty", "./empty/"),
        ("/d%6Fcs", "./d%6Fcs/"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_directory_without_slash_redirects_and_keeps_the_query(
    public: Path, target: str, location: str, method: str
) -> None:
    answer = ask(Files(public), target, method)
    assert (answer.status, answer.headers["Location"]) == (301, location)


def test_a_redirect_never_leads_to_another_host(public: Path) -> None:
    assert ask(Files(public), "//evil.example/docs").status == 404
    (public / "evil.example").mkdir()
    assert ask(Files(public), "//evil.example").status == 404
    assert ask(Files(public), "//evil.example/..").status == 404


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/s", (301, "./s/")),
        ("/s?q", (301, "./s/?q")),
        ("/s/", (200, None)),
        ("/s/docs", (301, "./docs/")),
        ("/s/docs/", (200, None)),
        ("/s/docs/deep/page.html", (200, None)),
        ("/s/docs/deep/", (404, None)),
        ("/", (200, None)),
    ],
)
def test_files_may_be_mounted_below_a_name(
    public: Path, target: str, expected: tuple[int, str | None]
) -> None:
    root = Resource()
    root.mount("s", Files(public))
    root.mount("", Files(public))
    answer = ask(root, target)
    assert (answer.status, answer.headers.get("Location")) == expected


def test_the_first_index_that_is_a_file_is_served(public: Path) -> None:
    (public / "docs" / "a.htm").mkdir()
    os.mkfifo(public / "docs" / "b.htm")
    (public / "docs" / "c.htm").write_text("c")
    files = Files(public, index=("missing", "a.htm", "b.htm", "c.htm", "index.html"))
    assert ask(files, "/docs/").body == b"c"


def test_there_are_no_listings(public: Path) -> None:
    assert statuses(Files(public), ["/empty/", "/docs/deep/"]) == {"/empty/": 404, "/docs/deep/": 404}
    assert ask(Files(public, index=()), "/").status == 404


@pytest.mark.parametrize("bad", ["index.html", ("a/b",), ("",), ("a\0",)])
def test_an_index_is_a_list_of_names(public: Path, bad: str | tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="expected a list of file names as index"):
        Files(public, index=bad)


# Not found.


def test_the_answer_for_missing_files_can_be_a_response_or_a_resource(public: Path) -> None:
    files = Files(public, not_found=Response.text("gone fishing", 404))
    for target in ("/nope", "/%00", "/empty/", "/f.txt/", "/nope"):
        answer = ask(files, target)
        assert (answer.status, answer.body) == (404, b"gone fishing")
    assert ask(Files(public, not_found=ErrorPage(410)), "/nope").status == 410


def test_the_page_of_the_site_is_shown_otherwise(public: Path) -> None:
    site = Site(Files(public), error_pages={404: Response.text("ours", 404)})
    assert ask(site, "/nope").body == b"ours"


def test_a_file_may_go_while_it_is_served(public: Path) -> None:
    async def drill() -> None:
        files = Files(public)
        site = Site(files)
        assert Answer(await exchange(site, head("/f.txt")), "GET").status == 200
        (public / "f.txt").unlink()
        let_pass(files, BELIEVED_S)
        assert Answer(await exchange(site, head("/f.txt")), "GET").status == 404

    asyncio.run(drill())


def test_a_missing_root_is_reported_at_start(tmp_path: Path) -> None:
    """ST-15"""
    with pytest.raises(ValueError, match=r"^expected a directory to serve, got '.*/nope': No such file"):
        asyncio.run(Site(Files(tmp_path / "nope")).start())
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ValueError, match="got the special file"):
        asyncio.run(Files(tmp_path / "fifo").start())


def test_the_resource_for_missing_files_is_started_and_stopped(public: Path) -> None:
    seen: list[str] = []

    class Page(Resource):
        async def start(self) -> None:
            seen.append("start")

        async def stop(self) -> None:
            seen.append("stop")

    async def drill() -> None:
        for files in (Files(public), Files(public / "f.txt"), Files(public, not_found=Page())):
            await files.start()
            await files.stop()

    asyncio.run(drill())
    assert seen == ["start", "stop"]


def test_a_relative_root_stays_when_the_process_moves(
    public: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = Files("public")
    monkeypatch.chdir("/")
    assert ask(files, "/f.txt").status == 200


def test_the_whole_disk_can_be_the_root(public: Path) -> None:
    for links in LINKS:
        files = Files("/", index=("index.html",), links=links)
        assert ask(files, f"{public.resolve()}/f.txt").body == b"hello\n"
        root = Resource()
        root.mount("all", files)
        assert ask(root, "/all").status == 301


# Open files.


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def lasting_files() -> int:
    """Those that earlier tests have left behind do not count."""
    gc.collect()
    return open_files()


async def settle() -> None:
    """Turns of the loop until nothing but the caller runs."""
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0)


def test_every_file_is_closed(public: Path, big: Path) -> None:
    requests = [
        head(target, method, **fields)
        for target in ("/f.txt", "/big.bin", "/zero.txt", "/docs", "/docs/", "/empty/", "/nope", "/fifo")
        for method in ("GET", "HEAD")
        for fields in ({}, {"If_None_Match": "*"}, {"If_Match": '"x"'})
    ]
    os.mkfifo(public / "fifo")

    async def drill() -> None:
        for files in (Files(public), Files(public, links="refuse")):
            site = Site(files)
            before = lasting_files()
            for raw in requests:
                await exchange(site, raw)
            await settle()
            assert open_files() == before

    asyncio.run(drill())


@pytest.mark.parametrize("moment", ["at once", "while it waits"])
def test_a_client_that_leaves_holds_no_file(public: Path, big: Path, moment: str) -> None:
    async def drill() -> None:
        site = Site(Files(public))
        before = lasting_files()
        for _ in range(100):
            wire = Wire(limit=2 * BLOCK)
            channel = connect(site, wire)
            channel.data_received(head("/big.bin"))
            assert open_files() > before
            if moment == "while it waits":
                await wire.blocked.wait()
                assert len(wire.sent) < 4 * BLOCK
            channel.connection_lost(ConnectionResetError())
            await settle()
            if moment == "while it waits":
                assert open_files() == before
        gc.collect()  # a task that is cancelled before it begins closes nothing: the file does it itself
        assert open_files() == before

    asyncio.run(drill())


def test_a_file_that_grows_is_cut_at_the_announced_length(public: Path, big: Path) -> None:
    content = big.read_bytes()

    async def drill() -> Wire:
        wire = Wire()
        channel = connect(Site(Files(public)), wire)
        channel.data_received(head("/big.bin"))
        with big.open("ab") as file:
            file.write(b"more")
        await wire.closed.wait()
        channel.connection_lost(None)
        return wire

    assert Answer(asyncio.run(drill()), "GET").body == content


def test_a_file_that_shrinks_cuts_the_connection(
    public: Path, big: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """ST-27"""

    async def drill() -> Wire:
        before = lasting_files()
        wire = Wire()
        channel = connect(Site(Files(public)), wire)
        channel.data_received(head("/big.bin"))
        os.truncate(big, BLOCK + 5)
        await wire.closed.wait()
        channel.connection_lost(None)
        assert open_files() == before
        return wire

    wire = asyncio.run(drill())
    with pytest.raises(IncompleteRead):
        Answer(wire, "GET")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert caplog.records[0].exc_info is not None
    assert isinstance(caplog.records[0].exc_info[1], EOFError)


def test_content_can_be_closed_twice_and_closes_once(public: Path) -> None:
    content = FileBody(os.open(public / "f.txt", os.O_RDONLY), 0, 6)
    assert list(content) == [b"hello\n"]
    content.close()
    other = os.open(public / "f.txt", os.O_RDONLY)  # takes the number that has become free
    content.close()
    del content
    os.close(other)


def test_content_that_nobody_sends_is_closed_when_it_is_dropped(public: Path) -> None:
    before = lasting_files()
    content = FileBody(os.open(public / "f.txt", os.O_RDONLY), 0, 6)
    assert open_files() == before + 1
    del content
    assert open_files() == before


@pytest.mark.parametrize("name", ["index.php", "app.RPY"])
def test_a_script_that_nothing_runs_is_no_fallback(tmp_path: Path, name: str) -> None:
    """Its source would be sent."""
    with pytest.raises(ValueError, match="expected a processor to run the fallback"):
        Files(tmp_path, fallback=name)
