"""What Files does beside sending a file: codings, indexes, overlays, listings, processors, caching."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING, Any

import pytest

from container.message.response import Response
from container.resources.static import Files
from container.resources.static.cache import BELIEVED_S, SMALL
from container.resources.static.codings import accepted_codings
from container.resources.static.names import safe_path
from container.testing import Client
from container.tree.pages import ErrorPage
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import Leaf

if TYPE_CHECKING:
    from pathlib import Path

PAST = 1_000_000_000


@pytest.fixture
def public(tmp_path: Path) -> Path:
    root = tmp_path / "public"
    (root / "sub" / "deep").mkdir(parents=True)
    for name in ("index.html", "about.html", "style.css", "sub/page.html", "sub/deep/x.txt"):
        (root / name).write_text(name)
        os.utime(root / name, (PAST, PAST))
    return root


def let_pass(files: Files, seconds: float = BELIEVED_S) -> None:
    clock = files._clock
    files._clock = lambda: clock() + seconds


# Types (ST-03) and codings (ST-04).


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.TXT", "text/plain; charset=utf-8"),
        ("a.html", "text/html; charset=utf-8"),
        ("a.svg", "image/svg+xml"),
        ("a.unknown", "application/octet-stream"),
        ("noext", "application/octet-stream"),
        ("a.tar.gz", "application/gzip"),
        ("a.css.gz", "application/gzip"),
    ],
)
def test_types_are_told_by_the_extension_and_unknown_ones_not_guessed(
    public: Path, name: str, expected: str
) -> None:
    """ST-03, ST-04: archives and stored codings that are asked for by name are files like any other."""
    (public / name).write_text("x")
    with Client(Files(public)) as client:
        answer = client.get(f"/{name}", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Type"] == expected
    assert "Content-Encoding" not in answer.headers
    unknown = expected == "application/octet-stream"
    assert answer.headers.get("X-Content-Type-Options") == ("nosniff" if unknown else None)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("gzip, br, zstd", "br"),
        ("gzip, zstd", "zstd"),
        ("gzip", "gzip"),
        ("br;q=0.5, gzip", "gzip"),
        ("br;q=0, *", "zstd"),
        ("deflate", None),
        ("", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("size", [100, SMALL + 1])
def test_the_best_stored_coding_is_sent(
    public: Path, size: int, accept: str | None, expected: str | None
) -> None:
    """ST-04"""
    contents = {None: b"p" * size, "gzip": b"g" * size, "br": b"b" * size, "zstd": b"z" * size}
    for coding, extension in ((None, ""), ("gzip", ".gz"), ("br", ".br"), ("zstd", ".zst")):
        (public / f"app.js{extension}").write_bytes(contents[coding])
    with Client(Files(public)) as client:
        answer = client.get("/app.js", headers={} if accept is None else {"Accept-Encoding": accept})
        assert answer.body == contents[expected]
        assert answer.headers.get("Content-Encoding") == expected
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert answer.headers["Vary"] == "Accept-Encoding"
        plain = client.get("/app.js")
        assert (plain.headers["ETag"] == answer.headers["ETag"]) == (expected is None)


def test_a_stale_or_unwanted_coding_is_not_used(public: Path) -> None:
    """ST-04"""
    (public / "style.css.gz").write_bytes(gzip.compress(b"old"))
    os.utime(public / "style.css.gz", (PAST - 10, PAST - 10))
    with Client(Files(public)) as client:
        answer = client.get("/style.css", headers={"Accept-Encoding": "gzip"})
        assert answer.text == "style.css"
        assert "Vary" not in answer.headers
    os.utime(public / "style.css.gz", (PAST, PAST))
    with Client(Files(public, precompressed=False)) as client:
        assert client.get("/style.css", headers={"Accept-Encoding": "gzip"}).text == "style.css"


def test_codings_are_parsed_once_a_value_and_nonsense_is_none() -> None:
    for value, expected in [
        (b"gzip", ("gzip",)),
        (b"gzip;q=2", ()),
        (b"gzip;x=1", ()),
        (b"gzip;q=", ()),
        (b"identity;q=0.9, gzip;q=0.1", ()),
        (b"*;q=0.1", ("br", "zstd", "gzip")),
        (b",,;q=1", ()),
    ]:
        assert accepted_codings([(b"accept-encoding", value)]) == expected
    assert accepted_codings([(b"accept-encoding", b"gzip"), (b"accept-encoding", b"br")]) == ("br", "gzip")


# Indexes (ST-13), extensions left out (ST-20), overlays, single files (ST-25).


def test_indexes_are_tried_in_order_in_every_directory(public: Path) -> None:
    """ST-13"""
    (public / "sub" / "home.htm").write_text("home")
    with Client(Files(public, index=("home.htm", "index.html"))) as client:
        assert client.get("/").text == "index.html"
        answer = client.get("/sub/", headers={"Range": "bytes=1-2"})
        assert (answer.status, answer.text) == (206, "om")
        assert client.head("/sub/").headers["Content-Length"] == "4"


def test_extensions_may_be_left_out_in_order(public: Path) -> None:
    """ST-20: the exact name wins, then the extensions as given; `*` is the alphabetical order."""
    for name in ("foo.bar", "foo.quux", "both", "both.html", "sub/foo.bar"):
        (public / name).write_text(name)
    with Client(Files(public, ignore_ext=(".quux", "bar", ".html"))) as client:
        assert client.get("/foo").text == "foo.quux"
        assert client.get("/foo.bar").text == "foo.bar"
        assert client.get("/both").text == "both"
        assert client.get("/about").headers["Content-Type"].startswith("text/html")
        assert client.get("/sub/foo").text == "sub/foo.bar"
        assert client.get("/nope").status == 404
    with Client(Files(public, ignore_ext=("*",))) as client:
        assert client.get("/foo").text == "foo.bar"
    with Client(Files(public)) as client:
        assert client.get("/about").status == 404


def test_what_is_not_in_the_first_directory_is_looked_for_in_the_next(public: Path, tmp_path: Path) -> None:
    under = tmp_path / "under"
    (under / "sub").mkdir(parents=True)
    (under / "style.css").write_text("hidden")
    (under / "only.txt").write_text("only")
    (under / "sub" / "index.html").write_text("index of under")
    with Client(Files(public, under)) as client:
        assert client.get("/style.css").text == "style.css"
        assert client.get("/only.txt").text == "only"
        assert client.get("/sub/").text == "index of under"
        assert client.get("/sub/page.html").text == "sub/page.html"
        assert client.get("/sub").status == 301


def test_a_single_file_may_be_the_root_of_a_site(public: Path) -> None:
    """ST-25"""
    with Client(Files(public / "about.html")) as client:
        assert client.get("/").text == "about.html"
        assert client.get("/about.html").status == 404
        assert client.get("/x/").status == 404
    root = Resource()
    root.mount("onefile", Files(public / "about.html"))
    with Client(root) as client:
        assert [client.get(f"/onefile{rest}").status for rest in ("", "/", "/x")] == [200, 404, 404]


def test_directories_redirect_keeping_the_query(public: Path) -> None:
    """ST-12"""
    with Client(Files(public)) as client:
        assert client.get("/sub?x=1&y=2").headers["Location"] == "./sub/?x=1&y=2"
        assert client.head("/sub").status == 301
        assert client.post("/sub").status == 405
        assert client.get("//evil.com/sub").status == 404
        assert client.get("/sub%2f").status == 404


# Mounting in front of files (ST-26), pages of a subtree (ST-15, ST-16, ST-21).


def test_resources_may_be_mounted_in_front_of_files_at_any_depth(public: Path) -> None:
    """ST-26"""
    files = Files(public)
    files.mount("style.css", ErrorPage(418))
    files.mount("sub/deep/new", Leaf(lambda request: Response.text(request.script_name)))
    files.mount("made/up", ErrorPage(418))
    root = Resource()
    root.mount("a", files)
    with Client(root) as client:
        assert client.get("/a/style.css").status == 418
        assert client.get("/a/sub/deep/new").text == "/a/sub/deep/new"
        assert client.get("/a/sub/page.html").text == "sub/page.html"
        assert client.get("/a/sub/deep/x.txt").text == "sub/deep/x.txt"
        assert client.get("/a/sub").status == 301
        assert client.get("/a/made/up").status == 418
        assert client.get("/a/made/down").status == 404
    with pytest.raises(TypeError, match="expected a Resource to mount"):
        files.mount("x", "y")  # type: ignore[arg-type]  # the mistake that is checked


def test_settings_hold_for_the_whole_subtree(public: Path) -> None:
    """ST-15, ST-21: three levels down."""
    (public / "sub" / "deep" / "index.rst").write_text("index")
    files = Files(
        public, index=("index.rst",), types={"txt": "text/x-own"}, not_found=Response.text("gone", 404),
        cache_control="no-cache",
    )  # fmt: skip
    with Client(files) as client:
        assert client.get("/sub/deep/").text == "index"
        answer = client.get("/sub/deep/x.txt")
        assert answer.headers["Content-Type"] == "text/x-own; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-cache"
        for target in ("/sub/deep/nope", "/sub/deep/x.txt/", "/sub/deep/x.txt/y"):
            assert client.get(target).text == "gone"


def test_a_page_of_ones_own_for_what_is_forbidden(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ST-16, ST-21"""
    real = os.open

    def refuse(path: Any, flags: int, *args: Any, **more: Any) -> int:
        if b"x.txt" in os.fsencode(path):
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *args, **more)

    monkeypatch.setattr(os, "open", refuse)
    with Client(Files(public, forbidden=Response.text("keep out", 403))) as client:
        answer = client.get("/sub/deep/x.txt")
        assert (answer.status, answer.text) == (403, "keep out")
    with Client(Files(public)) as client:
        assert client.head("/sub/deep/x.txt").status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_405(public: Path, method: str) -> None:
    """ST-24"""
    with Client(Files(public)) as client:
        answer = client.request(method, "/style.css")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


# Caching fields, single-page applications.


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/index.html", "no-cache"),
        ("/", "no-cache"),
        ("/sub/page.html", "no-cache"),
        ("/app.3f9a1c20.js", "public, max-age=31536000, immutable"),
        ("/app-B7d1Zz91.css", "public, max-age=31536000, immutable"),
        ("/style.css", "max-age=60"),
        ("/some-document.txt", None),
        ("/sub/deep/x.txt", "max-age=1"),
    ],
)
def test_how_long_files_may_be_kept_goes_by_their_name(
    public: Path, target: str, expected: str | None
) -> None:
    for name in ("app.3f9a1c20.js", "app-B7d1Zz91.css", "some-document.txt"):
        (public / name).write_text("x")
    rules = {"*.html": "no-cache", "*.css": "max-age=60", "sub/deep/*": "max-age=1"}
    with Client(Files(public, cache_control=rules, immutable=True)) as client:
        assert client.get(target).headers.get("Cache-Control") == expected


def test_a_single_page_application_answers_for_its_routes(public: Path) -> None:
    with Client(Files(public, fallback="index.html")) as client:
        assert client.get("/users/7").text == "index.html"
        assert client.get("/users/7", headers={"If-None-Match": "*"}).status == 304
        assert client.get("/missing.js").status == 404
        assert client.get("/style.css").text == "style.css"
        (public / "users").write_text("a file after all")
        assert client.get("/users").text == "a file after all"
    with Client(Files(public, fallback="nope.html")) as client:
        assert client.get("/users/7").status == 404


# Listings (ST-14).


@pytest.fixture
def listed(public: Path) -> Path:
    folder = public / "list"
    (folder / "a dir").mkdir(parents=True)
    for name, size in (
        ("<b>&.txt", 0),
        ("übel 1.txt", 123),
        ("k.bin", 4567),
        ("m.bin", 8_900_000),
        (".dot", 1),
    ):
        with (folder / name).open("wb") as file:
            file.truncate(size)
    (folder / "javascript:alert(1)").write_text("")
    (folder / "broken").symlink_to("nowhere")
    os.mkfifo(folder / "fifo")
    (folder / os.fsdecode(b"\xff.txt")).write_text("")
    return public


def test_a_listing_is_escaped_sorted_and_shows_what_would_be_served(listed: Path) -> None:
    """ST-14"""
    with Client(Files(listed, listing=True)) as client:
        answer = client.get("/list/")
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        text = answer.text
        assert "&lt;b&gt;&amp;.txt" in text
        assert "<b>" not in text
        assert 'href="./%C3%BCbel%201.txt"' in text
        assert 'href="./javascript:alert(1)"' in text
        assert 'href="../"' in text
        for hidden in (".dot", "broken", "fifo", "\ufffd"):
            assert hidden not in text
        order = [
            text.index(name) for name in ("a dir/", "&lt;b&gt;", "javascript:", "k.bin", "m.bin", "übel 1")
        ]
        assert order == sorted(order)
        for size in ("0 B", "123 B", "4.6 KB", "8.9 MB"):
            assert f">{size}<" in text
        assert client.head("/list/").headers["Content-Length"] == str(len(answer.body))
        assert client.get("/list/", headers={"If-None-Match": answer.headers["ETag"]}).status == 304
        assert client.get("/").text == "index.html"
        assert client.get("/list").status == 301


def test_a_listing_as_json_and_in_another_order(listed: Path) -> None:
    """ST-14"""
    with Client(Files(listed, listing=True)) as client:
        answer = client.get("/list/?sort=size&order=desc", headers={"Accept": "application/json"})
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Vary"] == "Accept"
        rows: Any = answer.json()
        assert [row["name"] for row in rows][:3] == ["a dir", "m.bin", "k.bin"]
        assert rows[1]["size"] == 8_900_000
        assert rows[1]["media_type"] == "application/octet-stream"
        assert "size" not in rows[0]
        for query in ("?sort=modified", "?sort=name&order=desc", "?sort=nonsense"):
            assert client.get(f"/list/{query}").status == 200


def test_listings_are_off_unless_asked_for(listed: Path) -> None:
    """ST-14"""
    with Client(Files(listed)) as client:
        assert client.get("/list/").status == 404


# Processors (ST-19, ST-22).


def test_processors_answer_for_files_and_what_is_behind_them(public: Path) -> None:
    """ST-19: by extension in any case, for each request, in subdirectories and as an index, by any method."""
    for name in ("run.cgi", "sub/run.CGI", "sub/index.cgi"):
        (public / name).write_text("source")
    (public / "dir.cgi").mkdir()
    (public / "dir.cgi" / "f.txt").write_text("plain")
    made: list[str] = []

    class Script(Resource):
        is_leaf = True

        def __init__(self, path: str, files: Files) -> None:
            made.append(path)
            files.registry.setdefault("count", []).append(path)  # type: ignore[attr-defined]  # a list

        def render(self, request: Any) -> Response:
            return Response.text(f"{request.method} {request.script_name} {request.path_info}")

    files = Files(public, index=("index.html", "index.cgi"), processors={"cgi": Script}, ignore_ext=("cgi",))
    root = Resource()
    root.mount("w", files)
    with Client(root) as client:
        assert client.get("/w/run.cgi").text == "GET /w/run.cgi "
        assert client.post("/w/run.cgi/extra//x%2Fy").text == "POST /w/run.cgi /extra//x/y"
        assert client.get("/w/sub/run.CGI").text == "GET /w/sub/run.CGI "
        assert client.get("/w/sub/").text == "GET /w/sub/ "
        assert client.put("/w/run/z").text == "PUT /w/run /z"
        assert client.get("/w/dir.cgi/f.txt").text == "plain"
        assert client.get("/w/style.css").text == "style.css"
        assert client.post("/w/style.css").status == 405
        assert client.get("/w/../run.cgi").status == 404
    assert made[0] == str(public / "run.cgi")
    assert len(made) == 5
    assert files.registry == {"count": made}  # ST-22


@pytest.mark.parametrize("segment", ["/a", "/%61", "/a.php"])
@pytest.mark.parametrize("ignored", [[], ["*"]])
def test_a_path_of_many_segments_is_looked_at_once(
    public: Path, segment: str, ignored: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ST-19: what is before each of its slashes would be looked for in a time that grows with its square."""
    looked_at: list[int] = []

    def counted(rest: bytes, *, dotfiles: bool) -> bytes | None:
        looked_at.append(len(rest))
        return safe_path(rest, dotfiles=dotfiles)

    monkeypatch.setattr("container.resources.static.processed.safe_path", counted)
    files = Files(public, processors={".php": lambda path, files: ErrorPage(418)}, ignore_ext=ignored)
    with Client(files) as client:
        assert client.get(segment * 600).status == 404
    assert sum(looked_at) < 3 * 600 * len(segment)


def test_a_front_controller_answers_for_whatever_is_no_file(public: Path) -> None:
    """ST-19: `try file, else index.php`. The script has its own name, and the target to go by."""
    (public / "index.php").write_text("source")
    (public / "list").mkdir()

    class Script(Resource):
        is_leaf = True

        def __init__(self, path: str, files: Files) -> None:
            self.path = path

        def render(self, request: Any) -> Response:
            told = [request.script_name, request.path_info, request.raw_target.decode()]
            return Response.text(" ".join([request.method, *told]))

    def files(**options: Any) -> Resource:
        root = Resource()
        options = {
            "index": ["index.html"],
            "processors": {".php": Script},
            "fallback": "index.php",
            **options,
        }
        root.mount("w", Files(public, **options))
        return root

    with Client(files()) as client:
        for target in (
            "/w/2026/hello-world", "/w/feed.xml?a=1", "/w/none.php", "/w/list/", "/w/a/../b", "/w/a%2Fb", "/w/.env",
            "/w/style.css/more", "/w/%00", "/w/" + "x" * 300,
        ):  # fmt: skip
            assert client.get(target).text == f"GET /w/index.php  {target}"
        assert client.post("/w/comment").text == "POST /w/index.php  /w/comment"
        assert client.request("DELETE", "/w/x").text == "DELETE /w/index.php  /w/x"
        assert client.get("/w/index.php/a?b").text == "GET /w/index.php /a /w/index.php/a?b"
        assert client.get("/w/style.css").text == "style.css"
        assert client.post("/w/style.css").status == 405
        assert client.get("/w/").text == "index.html"
        assert client.get("/w/list").status == 301
        (public / "index.php").unlink()
        assert client.get("/w/2026/hello-world").status == 404
    (public / "index.php").mkdir()
    (public / "a front.php").write_text("source")
    with Client(files(listing=True, fallback="a front.php")) as client:
        assert client.get("/w/x").text == "GET /w/a front.php  /w/x"
        assert "<html" in client.get("/w/list/").text
    with Client(files()) as client:
        assert client.get("/w/x").status == 404
    (public / "front.php").write_text("source")
    with Client(Files(public, processors={".php": Script}, fallback="front.php", index=["none"])) as client:
        assert client.get("/").text == "GET /front.php  /"
        assert client.get("/x/y").text == "GET /front.php  /x/y"


def test_a_processor_may_lead_further(public: Path) -> None:
    """ST-19: the processed file need not be a leaf; what ST-20 and ST-23 want of scripts is theirs."""
    (public / "app.rpy").write_text("source")

    def make(path: str, files: Files) -> Resource:
        tree = Resource()
        tree.mount("below", ErrorPage(418))
        return Site(tree)

    with Client(Files(public, processors={".rpy": make})) as client:
        assert client.get("/app.rpy/below").status == 418
        assert client.get("/app.rpy/nope").status == 404


# What is kept in memory.


def test_an_answer_is_believed_for_a_second_and_compared_then(public: Path) -> None:
    files = Files(public)
    with Client(files) as client:
        assert client.get("/style.css").text == "style.css"
        (public / "style.css").write_text("changed!!")
        os.utime(public / "style.css", (PAST, PAST))  # same size, same time of change: another inode time
        assert client.get("/style.css").text == "style.css"
        let_pass(files)
        assert client.get("/style.css").text == "changed!!"
        (public / "style.css").unlink()
        let_pass(files)
        assert client.get("/style.css").status == 404
        assert len(files._cache) == 0


def test_a_file_of_this_moment_is_read_again_although_it_looks_the_same(public: Path) -> None:
    """The clock of a file system is coarse: two versions of one tick look alike."""
    files = Files(public)
    (public / "now.txt").write_text("one")
    with Client(files) as client:
        client.get("/now.txt")
        key = (b"/now.txt", ())
        first = files._cache.get(key)
        let_pass(files)
        client.get("/now.txt")
        assert files._cache.get(key) is not first
        client.get("/style.css")
        settled = files._cache.get((b"/style.css", ()))
        let_pass(files)
        client.get("/style.css")
        assert settled is not None
        assert settled.settled == (files._cache.get((b"/style.css", ())) is settled)


def test_what_is_kept_is_bounded(public: Path) -> None:
    for number in range(40):
        (public / f"{number}.bin").write_bytes(b"x" * 100_000)
    files = Files(public, cache_bytes=1_000_000)
    with Client(files) as client:
        for number in range(40):
            assert len(client.get(f"/{number}.bin").body) == 100_000
        assert files._cache.used <= 1_000_000
        assert len(files._cache) == 9
    unkept = Files(public, cache_bytes=0)
    with Client(unkept) as client:
        assert client.get("/1.bin").status == 200
        assert client.get("/style.css", headers={"If-None-Match": "*"}).status == 304
        assert len(unkept._cache) == 0


def test_the_same_head_gets_the_same_frozen_answer(public: Path) -> None:
    files = Files(public)
    site = Site(files)
    seen: list[object] = []
    real = files.render
    files.render = lambda request: seen.append(real(request)) or seen[-1]  # type: ignore[assignment,method-assign,return-value,func-returns-value]
    with Client(site) as client:
        for _ in range(4):
            assert client.get("/style.css").text == "style.css"
        etag = client.get("/style.css").headers["ETag"]
        for _ in range(4):
            assert client.get("/style.css", headers={"If-None-Match": etag}).status == 304
    assert len(set(map(id, seen))) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"links": "sometimes"},
        {"ignore_ext": "html"},
        {"ignore_ext": ("a/b",)},
        {"cache_control": {"*": "a\nb"}},
        {"default_type": "text"},
    ],
)
def test_options_that_cannot_be_are_refused_at_once(public: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Files(public, **options)


# Links (ST-18).


def test_links_may_be_confined_to_the_root(public: Path, tmp_path: Path) -> None:
    """ST-18"""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "public2").mkdir()
    (tmp_path / "public2" / "near.txt").write_text("a sibling that begins alike")
    (public / "in").symlink_to("style.css")
    (public / "out").symlink_to(tmp_path / "secret.txt")
    (public / "near").symlink_to(tmp_path / "public2")
    (public / "loop").symlink_to("loop")
    with Client(Files(public, links="inside")) as client:
        assert client.get("/in").text == "style.css"
        for target in ("/out", "/near/", "/near/near.txt", "/loop", "/near"):
            assert client.get(target).status == 404
    with Client(Files(public)) as client:
        assert client.get("/out").text == "secret"
        assert client.get("/loop").status == 404
