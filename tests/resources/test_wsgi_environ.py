"""What an application is told: the environ of PEP 3333, and the streams in it."""

from __future__ import annotations

import os
from typing import Any

import pytest

from container.message import variables as module
from container.message.limits import Limits
from container.resources.wsgi import ThreadPool, WSGIResource
from container.testing import Client
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import request

Environ = dict[str, Any]


class Spy:
    """An application that keeps what it was told, and the content it read."""

    def __init__(self) -> None:
        self.environs: list[Environ] = []
        self.contents: list[bytes] = []

    def __call__(self, environ: Environ, start_response: Any) -> list[bytes]:
        self.environs.append(environ)
        self.contents.append(environ["wsgi.input"].read())
        start_response("200 OK", [])
        return [b"x"]


def told(data: bytes, *mounts: str, limits: Limits | None = None, **ends: Any) -> Environ:
    """The environ of an application mounted at `mounts`, the last for a request with `data`."""
    spy = Spy()
    root: Resource = WSGIResource(spy, threads=1)
    if mounts:
        app, root = root, Resource()
        root.mount("/".join(mounts), app)
    with Client(Site(root, limits=limits), **ends) as client:
        answers = client.send_raw(data).responses
    assert [answer.status for answer in answers] == [200]
    return spy.environs[0]


# Keys.


def test_everything_pep_3333_asks_for_is_there() -> None:
    environ = told(request("/a%20b?c=%20d", "User-Agent: x", host="shop.example:8080"))
    assert type(environ) is dict
    text = {key: value for key, value in environ.items() if "." not in key}
    assert text == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b",
        "QUERY_STRING": "c=%20d",
        "REQUEST_URI": "/a%20b?c=%20d",
        "RAW_URI": "/a%20b?c=%20d",
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "container",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "50000",
        "HTTP_HOST": "shop.example:8080",
        "HTTP_USER_AGENT": "x",
    }
    assert all(type(value) is str for value in text.values())
    assert environ["wsgi.version"] == (1, 0)
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["wsgi.input_terminated"] is True
    assert environ["wsgi.run_once"] is False
    assert environ["wsgi.multiprocess"] is False


def test_nothing_of_the_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SECRET", "s3cret")
    environ = told(request())
    assert not set(environ) & (set(os.environ) - {"SERVER_SOFTWARE"})
    assert "s3cret" not in map(str, environ.values())


@pytest.mark.parametrize(
    ("mounts", "target", "script_name", "path_info"),
    [
        ([], "/", "", "/"),
        ([], "//", "", "//"),
        ([], "/a/b?c", "", "/a/b"),
        ([], "/a%2Fb//c/", "", "/a/b//c/"),
        ([], "/../x/./y", "", "/../x/./y"),
        (["m"], "/m", "/m", ""),
        (["m"], "/m/", "/m", "/"),
        (["m"], "/m//", "/m", "//"),
        (["m"], "/m/a%2Fb//c/", "/m", "/a/b//c/"),
        (["m"], "/m/%E2%82%AC", "/m", "/â\x82¬"),
        (["a b"], "/a%20b/x", "/a b", "/x"),
        (["m", "n"], "/m/n", "/m/n", ""),
        (["m", "n"], "/m/n/x//", "/m/n", "/x//"),
        (["m", "n", "o"], "/m/n/o/p/q", "/m/n/o", "/p/q"),
        (["é"], "/%C3%A9/%C3%A9", "/Ã©", "/Ã©"),
    ],
)
def test_the_path_is_split_at_the_mount_point(
    mounts: list[str], target: str, script_name: str, path_info: str
) -> None:
    environ = told(request(target), *mounts)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script_name, path_info)
    assert environ["REQUEST_URI"] == target


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["X-Foo: 1", "X-Foo: 2"], {"HTTP_X_FOO": "1,2"}),
        (["Cookie: a=1", "Cookie: b=2"], {"HTTP_COOKIE": "a=1; b=2"}),
        (["X_Under: spoof", "X-Under: real"], {"HTTP_X_UNDER": "real"}),
        (["X_Under: spoof"], {}),
        (["Content_Length: 5", "Content_Type: a/b"], {}),
        (["Proxy: http://evil/"], {}),
        (["Content-Type: a/b"], {"CONTENT_TYPE": "a/b"}),
        (["X-Empty:"], {"HTTP_X_EMPTY": ""}),
        (["X-High: \xe9"], {"HTTP_X_HIGH": "é"}),
    ],
)
def test_fields_become_variables_unless_they_could_pass_for_others(
    fields: list[str], expected: dict[str, str]
) -> None:
    environ = told(request("/", *fields))
    added = {
        key: environ[key] for key in environ if key.startswith(("HTTP_", "CONTENT_")) and key != "HTTP_HOST"
    }
    assert added == expected


def test_names_nobody_sends_again_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEYS_MAX", len(module._keys) + 1)
    environ = told(request("/", "X-Once: 1", "X-Twice: 2"))
    assert (environ["HTTP_X_ONCE"], environ["HTTP_X_TWICE"]) == ("1", "2")
    assert len(module._keys) <= module._KEYS_MAX
    assert told(request(host="a.example"))["SERVER_NAME"] == "a.example"
    monkeypatch.setattr(module, "_KEYS_MAX", 1)
    assert told(request(host="b.example"))["SERVER_NAME"] == "b.example"
    assert told(request(host="c.example"))["SERVER_NAME"] == "c.example"


@pytest.mark.parametrize(
    ("host", "ends", "name", "port", "scheme"),
    [
        ("a.example", {}, "a.example", "80", "http"),
        ("a.example:81", {}, "a.example", "81", "http"),
        ("[2001:db8::1]:81", {}, "2001:db8::1", "81", "http"),
        ("a.example", {"secure": True}, "a.example", "443", "https"),
        ("a.example:81", {"secure": True}, "a.example", "81", "https"),
        (None, {"server": ("192.0.2.1", 8000)}, "192.0.2.1", "8000", "http"),
        (None, {"server": "/run/web.sock"}, "localhost", "80", "http"),
        ("a.example", {"server": "/run/web.sock"}, "a.example", "80", "http"),
    ],
)
def test_the_server_is_called_what_the_client_calls_it(
    host: str | None, ends: dict[str, Any], name: str, port: str, scheme: str
) -> None:
    environ = told(request(host=host, version="1.1" if host else "1.0"), **ends)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"], environ["wsgi.url_scheme"]) == (
        name,
        port,
        scheme,
    )
    assert ("HTTPS" in environ) == (scheme == "https")
    assert environ["REMOTE_ADDR"] == ("" if ends.get("server") == "/run/web.sock" else "127.0.0.1")


def test_a_name_given_on_the_way_down_counts() -> None:
    spy = Spy()
    app = WSGIResource(spy, threads=1)

    class Front(Resource):
        is_transparent = True

        def enter(self, each: Any) -> Resource:
            each.set_host("shop.example", 443, secure=True)
            return app

    root = Resource()
    root.mount("a", Front())
    with Client(Site(root)):
        pass  # starts and stops without the application in the tree
    root.mount("app", app)
    with Client(Site(root)) as client:
        client.get("/a/x")
        client.get("/app/x")
    first, second = spy.environs
    assert (first["SERVER_NAME"], first["SERVER_PORT"], first["HTTPS"]) == ("shop.example", "443", "on")
    assert (second["SERVER_NAME"], "HTTPS" in second) == ("127.0.0.1", False)


def test_one_head_is_not_mistaken_for_another() -> None:
    spy = Spy()
    root, app = Resource(), WSGIResource(spy, threads=1)
    root.mount("a", app)
    data = request("/a/b/c")
    with Client(root) as client:
        client.send_raw(data + data)
        root.unmount("a")
        root.mount("a/b", app)
        client.send_raw(data)
    with Client(root, client=("192.0.2.9", 9)) as client:
        client.send_raw(data)
    assert [environ["SCRIPT_NAME"] for environ in spy.environs] == ["/a", "/a", "/a/b", "/a/b"]
    assert [environ["REMOTE_ADDR"] for environ in spy.environs] == ["127.0.0.1"] * 3 + ["192.0.2.9"]
    spy.environs[0]["PATH_INFO"] = "changed"
    assert spy.environs[1]["PATH_INFO"] == "/b/c"


@pytest.mark.parametrize(
    ("options", "is_multithreaded"),
    [
        ({"threads": 0}, False),
        ({"threads": 1}, False),
        ({"threads": 2}, True),
        ({"pool": ThreadPool(1)}, False),
        ({"pool": ThreadPool(3), "threads": 0}, True),
    ],
)
def test_the_application_learns_whether_it_runs_in_several_threads(
    options: dict[str, Any], is_multithreaded: bool
) -> None:
    spy = Spy()
    with Client(WSGIResource(spy, **options)) as client:
        client.get("/")
    assert spy.environs[0]["wsgi.multithread"] is is_multithreaded


@pytest.mark.parametrize("wrong", [{"threads": -1}, {"app": None}, {"app": "module:app"}])
def test_what_cannot_work_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match="expected"):
        WSGIResource(wrong.pop("app", Spy()), **wrong)


# Content.


@pytest.mark.parametrize(
    ("fields", "data", "length", "content"),
    [
        ([], b"", None, b""),
        (["Content-Length: 0"], b"", "0", b""),
        (["Content-Length: 5"], b"hello", "5", b"hello"),
        (["Transfer-Encoding: chunked"], b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: x\r\n\r\n", "5", b"hello"),
        (["Transfer-Encoding: chunked"], b"0\r\n\r\n", "0", b""),
    ],
)
def test_content_comes_decoded_with_its_length(
    fields: list[str], data: bytes, length: str | None, content: bytes
) -> None:
    spy = Spy()
    with Client(WSGIResource(spy, threads=1)) as client:
        client.send_raw(request("/", *fields, method="POST") + data)
    assert spy.contents == [content]
    assert spy.environs[0].get("CONTENT_LENGTH") == length
    assert "HTTP_TRANSFER_ENCODING" not in spy.environs[0]
