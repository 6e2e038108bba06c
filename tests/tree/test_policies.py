"""What holds below one place of the tree: fields, size of content, variables, what a proxy has cut off."""

from __future__ import annotations

import gc

import pytest

from container import Files, Response, Site, WSGIResource
from container.testing import Client
from container.tree.policies import AddHeaders, BodyLimit, RootPath, Variables
from container.tree.resource import Resource


class Echo(Resource):
    """Says how much content came."""

    is_leaf = True

    async def post(self, request) -> Response:
        content = await request.read()
        return Response(
            f"{len(content)} {request.script_name} {request.urls.here}", content_type="text/plain"
        )

    def get(self, request) -> Response:
        return Response(f"{request.script_name}|{request.path_info}", content_type="text/plain")


class Broken(Resource):
    def get(self, request) -> Response:
        raise RuntimeError("broken")


def environ_of(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{name}={environ[name]}\n".encode("latin-1") for name in ("A", "B") if name in environ]


def test_headers_are_on_all_answers_below(caplog: pytest.LogCaptureFixture) -> None:
    """RT-18, CL-05: errors, refusals and redirects too, and nowhere else."""
    root = Resource()
    inner = AddHeaders(Echo(), [("X-One", "1"), ("X-Two", "a: b")])
    root.mount("in", inner).mount("broken", Broken())
    inner.mount("more", AddHeaders(Resource(), {"X-One": "1"}))
    with Client(Site(root, headers={"X-One": "1"})) as client:
        answers = {path: client.get(path) for path in ("/in", "/in/broken", "/in/more", "/", "/out")}
        assert [each.status for each in answers.values()] == [200, 500, 405, 404, 404]
        for path, answer in answers.items():
            assert answer.headers.get_all("X-One") == ["1"]
            assert ("X-Two" in answer.headers) is path.startswith("/in")
        assert client.request("DELETE", "/in").headers["X-Two"] == "a: b"
    with pytest.raises(ValueError, match="expected a token as field name"):
        AddHeaders(Echo(), {"a b": "c"})


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("path", "size", "status"),
    [("/", 20, 200), ("/", 21, 413), ("/more", 50, 200), ("/more", 51, 413), ("/less", 5, 200), ("/less", 6, 413),
     ("/less", 0, 200)],
)  # fmt: skip
def test_the_innermost_limit_of_content_counts(path: str, size: int, status: int, chunked: bool) -> None:
    root = BodyLimit(Echo(), 20)
    root.mount("more", BodyLimit(Echo(), 50))
    root.mount("less", BodyLimit(Echo(), 5))
    content = iter([b"x" * size]) if chunked else b"x" * size
    with Client(Site(root)) as client:
        answer = client.post(path, body=content)
        assert answer.status == status
        if status == 200:
            assert answer.text.startswith(f"{size} ")
        assert client.get(path).status == 200


def test_content_that_is_refused_leaves_no_coroutine_behind() -> None:
    """One that nobody awaits is warned of, and warnings are errors here."""

    class Slow(Resource):
        async def child(self, name, request) -> Resource:
            return Echo()

    with Client(Site(BodyLimit(Slow(), 5))) as client:
        assert client.post("/x", body=b"123456").status == 413
        gc.collect()
        assert client.post("/x", body=b"12345").status == 200


def test_a_limit_of_content_is_a_number_of_bytes() -> None:
    with pytest.raises(ValueError, match="expected a limit of at least 0 bytes, got -1"):
        BodyLimit(Echo(), -1)


def test_variables_are_in_the_environ_below() -> None:
    root = Variables(WSGIResource(environ_of, threads=0), {"A": "1", "B": "é"})
    root.mount("in", Variables(WSGIResource(environ_of, threads=0), {"B": "2"}))
    site = Site(Resource())
    site.mount("x", root)
    site.mount("y", WSGIResource(environ_of, threads=0))
    with Client(site) as client:
        for _ in range(2):  # the second time of what is remembered of the head
            assert client.get("/x").text == "A=1\nB=\u00e9\n"
            assert client.get("/x/in").text == "A=1\nB=2\n"
            assert client.get("/y").text == ""
    for name in ("", "A=B"):
        with pytest.raises(ValueError, match="expected a variable without '=' in its name or NUL"):
            Variables(Resource(), {name: "x"})


def test_what_a_proxy_has_cut_off_is_in_paths_and_urls() -> None:
    root = RootPath(Echo(), "/shop/é")
    root.mount("below", Echo())
    with Client(Site(root)) as client:
        assert client.get("/x").text == "/shop/é|/x"
        assert client.get("/below/x").text == "/shop/é/below|/x"
    for path in ("shop", "/shop/", "//shop", ""):
        with pytest.raises(ValueError, match='expected a path such as "/shop"'):
            RootPath(Echo(), path)


def test_wrappers_are_mounted_through(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("a")
    root = AddHeaders(BodyLimit(Variables(Files(tmp_path), {"A": "1"}), 10), {"X": "y"})
    root.mount("echo", Echo())
    with Client(Site(root)) as client:
        assert client.get("/a.txt").text == "a"
        assert client.get("/echo/x").text == "/echo|/x"
        assert client.get("/a.txt").headers["X"] == "y"
