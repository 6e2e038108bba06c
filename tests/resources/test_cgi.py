"""CGI scripts in the tree: real ones, over the real channel; those in Python cold and warm alike."""

from __future__ import annotations

import json
import logging
import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from container.message.response import Response
from container.resources.cgi import CGIDirectory, CGIProcessor, CGIScript, Gateway
from container.resources.static import Files
from container.testing import Client
from container.tree.resource import Resource
from tests.leaf import Leaf
from tests.scripts import warm_options

if TYPE_CHECKING:
    from container.testing import ClientResponse
    from tests.scripts import ScriptDirectory

ENVIRONMENT = """
    import json, os, sys
    print("Content-Type: application/json\\n")
    print(json.dumps({"env": dict(os.environ), "argv": sys.argv, "cwd": os.getcwd(), "uid": os.getuid(),
                      "name": __name__, "file": __file__, "stdin": sys.stdin.read(),
                      "umask": os.umask(0), "fds": sorted(map(int, os.listdir("/proc/self/fd")))}))
"""


@pytest.fixture(params=["cold", "warm"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def serving(scripts: ScriptDirectory, kind: str = "cold", **options: Any) -> Client:
    """A client of a site with the directory at /cgi-bin and something else beside it."""
    if kind == "warm":
        options = {"warm": True, **warm_options(), **options}
    root = Resource()
    root.mount("cgi-bin", CGIDirectory(scripts.path, **options))
    root.mount("else", Leaf(lambda request: Response.text(f"{request.method} {request.query_string}")))
    return Client(root)


class Said:
    """What the log of scripts has got so far."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def __str__(self) -> str:
        return "\n".join(self._caplog.messages)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Said:
    caplog.set_level(logging.INFO, "container.cgi")
    return Said(caplog)


# What a script is told.


def test_a_script_is_told_everything_about_its_request(scripts: ScriptDirectory, kind: str) -> None:
    """CG-02, CG-03, CG-13, CG-15: no variable of the server, its own directory, three descriptors."""
    path = scripts.python("sub/env.py", ENVIRONMENT)
    with serving(scripts, kind, environment={"MINE": "1"}) as client:
        seen = client.get(
            "/cgi-bin/sub/env.py/a%2Fb?x=1", headers={"X-A": "1", "Authorization": "Basic x"}
        ).json()
    env: dict[str, str] = seen["env"]
    assert seen["argv"] == [str(path)]
    assert seen["cwd"] == str(path.parent)
    assert (seen["name"], seen["file"]) == ("__main__", str(path))
    # 3 is the directory that is being listed
    assert seen["fds"] == [0, 1, 2, 3]
    assert env["SCRIPT_NAME"] == "/cgi-bin/sub/env.py"
    assert (env["PATH_INFO"], env["PATH_TRANSLATED"]) == ("/a/b", f"{scripts.path}/a/b")
    assert (env["SCRIPT_FILENAME"], env["DOCUMENT_ROOT"]) == (str(path), str(scripts.path))
    assert (env["MINE"], env["HTTP_X_A"], env["QUERY_STRING"]) == ("1", "1", "x=1")
    assert "HTTP_AUTHORIZATION" not in env
    # LC_CTYPE is what Python itself sets in a locale that it does not trust.
    assert not {"HOME", "PYTHONPATH", "USER", "VIRTUAL_ENV", "PWD"} & env.keys()


def test_a_script_has_no_rights_of_root(scripts: ScriptDirectory, kind: str) -> None:
    """CG-13, PY-04: nobody's when the server was started as root, else the server's own."""
    scripts.python("env.py", ENVIRONMENT)
    nobody = {"user": "nobody"} if os.geteuid() == 0 else {}
    with serving(scripts, kind, **nobody) as client:
        seen = client.get("/cgi-bin/env.py").json()
    expected = 65534 if os.geteuid() == 0 else os.geteuid()
    assert seen["uid"] == expected


def test_a_umask_can_be_set(scripts: ScriptDirectory, kind: str) -> None:
    """CG-13"""
    scripts.python("env.py", ENVIRONMENT)
    with serving(scripts, kind, umask=0o27) as client:
        assert client.get("/cgi-bin/env.py").json()["umask"] == 0o27


def test_arguments_only_when_asked_for(scripts: ScriptDirectory) -> None:
    """CG-04"""
    scripts.sh("args.sh", 'printf "\\n"; for each; do printf "[%s]" "$each"; done')
    with serving(scripts) as client:
        assert client.get("/cgi-bin/args.sh?a+b%20c").body == b""
    with serving(scripts, query_arguments=True) as client:
        assert client.get("/cgi-bin/args.sh?a+b%20c").body == b"[a][b c]"
        assert client.get("/cgi-bin/args.sh?-s").body == b""
        assert client.get("/cgi-bin/args.sh?a=b").body == b""
    with serving(scripts, query_arguments=True, interpreters={".sh": "sh"}) as client:
        assert client.get("/cgi-bin/args.sh?a").body == b""


# Where scripts are.


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/cgi-bin/hello.sh", 200), ("/cgi-bin/hello.sh/", 200), ("/cgi-bin/sub/hello.sh/x", 200),
        ("/cgi-bin/", 404), ("/cgi-bin", 404), ("/cgi-bin/none", 404), ("/cgi-bin/sub", 404), ("/cgi-bin/sub/", 404),
        ("/cgi-bin/../x", 404), ("/cgi-bin/%2e%2e/x", 404), ("/cgi-bin/sub/..%2fhello.sh", 404),
        ("/cgi-bin//hello.sh", 404), ("/cgi-bin/.hidden.sh", 404), ("/cgi-bin/a%00b", 404), ("/cgi-bin/fifo", 404),
        ("/cgi-bin/plain.txt", 403), ("/cgi-bin/indexed", 301), ("/cgi-bin/indexed/", 200),
    ],
)  # fmt: skip
def test_where_scripts_are(scripts: ScriptDirectory, path: str, status: int) -> None:
    """CG-01, CG-10: nothing is listed, nothing outside is reached, what is not executable is forbidden."""
    for name in ("hello.sh", "sub/hello.sh", ".hidden.sh", "indexed/index.cgi"):
        scripts.sh(name, "echo; echo hello")
    scripts.write("plain.txt", "text", mode=0o644)
    os.mkfifo(scripts.path / "fifo")
    with serving(scripts) as client:
        assert client.get(path).status == status


def test_one_script_answers_for_everything_below_it(scripts: ScriptDirectory) -> None:
    """CG-01, CG-03"""
    path = scripts.sh("one", 'printf "\\n$SCRIPT_NAME|$PATH_INFO"')
    root = Resource()
    root.mount("a/b", CGIScript(path))
    with Client(root) as client:
        assert client.get("/a/b/c/d").body == b"/a/b|/c/d"
        assert client.get("/a/b").body == b"/a/b|"
    with Client(CGIScript(path)) as client:
        assert client.get("/c").body == b"|/c"


def test_a_processor_makes_the_resource_of_a_file(scripts: ScriptDirectory) -> None:
    """CG-01"""
    path = scripts.sh("x.cgi", "echo; echo made")
    with Client(CGIProcessor()(str(path))) as client:
        assert client.get("/").body == b"made\n"
    root = scripts.path / "www"
    scripts.sh("www/sub/index.cgi", 'echo; echo "$SCRIPT_NAME|$PATH_INFO|$PATH_TRANSLATED|$DOCUMENT_ROOT"')
    with Client(Files(root, index=["index.cgi"], processors={".cgi": CGIProcessor()})) as client:
        assert client.get("/sub/index.cgi/info?q").text == f"/sub/index.cgi|/info|{root}/info|{root}\n"
        assert client.get("/sub/").text == f"/sub/index.cgi|||{root}\n"


def test_the_index_of_a_directory_has_its_own_name(scripts: ScriptDirectory) -> None:
    """CG-01, CG-02"""
    scripts.sh("sub/index.cgi", 'echo; echo "$SCRIPT_NAME|$PATH_INFO"')
    with serving(scripts) as client:
        assert client.get("/cgi-bin/sub/").text == "/cgi-bin/sub/index.cgi|\n"


def test_nothing_to_run_is_told_at_the_start(scripts: ScriptDirectory) -> None:
    with pytest.raises(ValueError, match="nothing is there"), Client(CGIDirectory(scripts.path / "none")):
        pass


# What a script is sent.


ECHO = """
    import os, sys
    data = sys.stdin.buffer.read() if "eof" in os.environ["QUERY_STRING"] else sys.stdin.buffer.read(
        int(os.environ.get("CONTENT_LENGTH") or 0))
    sys.stdout.write("Content-Type: text/plain\\n\\n")
    sys.stdout.write(f"{os.environ.get('CONTENT_LENGTH')} {len(data)} {data[:3]!r} {data[-3:]!r}")
"""


@pytest.mark.parametrize("query", ["", "?eof"])
@pytest.mark.parametrize("size", [0, 5, 70_000, 3_000_000])
def test_content_comes_by_standard_input(scripts: ScriptDirectory, kind: str, size: int, query: str) -> None:
    """CG-05: for those that read to the end as for those that count; its length is true even when chunked."""
    scripts.python("echo.py", ECHO)
    content = (b"abc" + b"." * size + b"xyz")[:size] if size < 6 else b"abc" + b"." * (size - 6) + b"xyz"
    with serving(scripts, kind) as client:
        sized = client.post(f"/cgi-bin/echo.py{query}", body=content)
        chunked = client.post(f"/cgi-bin/echo.py{query}", body=iter([content[:3], content[3:]]))
    expected = f"{size} {size} {content[:3]!r} {content[-3:]!r}"
    assert sized.text == chunked.text == expected


def test_content_that_is_not_read_hurts_nobody(scripts: ScriptDirectory) -> None:
    """CG-05"""
    scripts.sh("deaf.sh", "echo; echo done")
    with serving(scripts) as client:
        for _ in range(3):
            assert client.post("/cgi-bin/deaf.sh", body=b"x" * 1_000_000).text == "done\n"


def test_content_streams_while_it_comes(scripts: ScriptDirectory) -> None:
    """CG-05, CG-18: the script has read the beginning, and its answer has come, before the client sends the rest."""
    scripts.python(
        "turns.py",
        """
        import sys
        sys.stdout.write("Content-Type: text/plain\\n\\n"); sys.stdout.flush()
        for line in iter(sys.stdin.readline, ""):
            sys.stdout.write(line.upper()); sys.stdout.flush()
        """,
    )
    with serving(scripts) as client:
        connection = client.connect()
        connection.send(b"POST /cgi-bin/turns.py HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\none\n")
        client.wait_until(lambda: b"ONE\n" in connection.data, "the answer to the first line")
        connection.send(b"two\n")
        client.wait_until(lambda: connection.data.endswith(b"0\r\n\r\n"), "the end")
        assert b"TWO\n" in connection.data


# What a script answers.


def answer(scripts: ScriptDirectory, text: str, method: str = "GET", **options: Any) -> ClientResponse:
    """What comes of a script that prints `text` (a printf format)."""
    scripts.sh("x.sh", f"printf '{text}'")
    with serving(scripts, **options) as client:
        return client.request(method, "/cgi-bin/x.sh")


def test_an_answer_keeps_its_fields_and_status(scripts: ScriptDirectory) -> None:
    """CG-06, CG-07, CG-09"""
    response = answer(
        scripts,
        "Status: 404 Nope\\r\\nContent-Type:text/x\\r\\nServer: me\\r\\nSet-Cookie: a=1\\r\\nSet-Cookie: b=2\\r\\n"
        "Connection: close\\r\\nContent-Length: 4\\r\\n\\r\\nbody and more",
    )
    assert (response.status, response.reason, response.body) == (404, "Nope", b"body")
    assert response.headers.get_all("Content-Type") == ["text/x"]
    assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert response.headers.get_all("Server") == ["container"]
    assert response.headers.get("Connection") is None


def test_the_reason_of_a_status_goes_without_saying(scripts: ScriptDirectory) -> None:
    """CG-07"""
    response = answer(scripts, "Status: 418\\n\\n")
    assert (response.status, response.reason) == (418, "I'm a Teapot")


@pytest.mark.parametrize("status", [204, 205, 304])
def test_an_answer_without_content_has_none(
    scripts: ScriptDirectory, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """CG-07: and is complete, whatever the script has said (RFC 9110 15.3.6)."""
    assert answer(scripts, f"Status: {status}\\n\\nbody").body == b""
    assert answer(scripts, f"Status: {status}\\nContent-Length: 4\\n\\nbody").body == b""
    assert not caplog.records


def test_head_runs_the_script_and_drops_its_content(scripts: ScriptDirectory) -> None:
    """CG-14: with the length it has announced, or none."""
    response = answer(scripts, "X-Method: '$REQUEST_METHOD'\\n\\nbody", "HEAD")
    assert (response.headers["X-Method"], response.body) == ("HEAD", b"")
    assert "Content-Length" not in response.headers
    response = answer(scripts, "Content-Length: 4\\n\\nbody", "HEAD")
    assert (response.headers["Content-Length"], response.body) == ("4", b"")


def test_a_bare_path_is_answered_by_this_server(scripts: ScriptDirectory) -> None:
    """CG-08: by another resource, without the content of the first request."""
    scripts.sh("x.sh", 'printf "Location: /else?a=1\\n\\n"')
    with serving(scripts) as client:
        response = client.post("/cgi-bin/x.sh", body=b"content")
    assert (response.status, response.body) == (200, b"GET a=1")


def test_scripts_that_redirect_in_circles_are_stopped(scripts: ScriptDirectory, said: Said) -> None:
    """CG-08"""
    scripts.sh("x.sh", 'printf "Location: /cgi-bin/x.sh\\n\\n"')
    with serving(scripts) as client:
        assert client.get("/cgi-bin/x.sh").status == 500
    assert "redirected in circles" in str(said)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("Location: http://b.example/\\n\\n", 302),
        ("Location: http://b.example/\\nStatus: 303 Look\\n\\n", 303),
        ("Location: //b.example/\\n\\n", 302),
    ],
)
def test_other_locations_are_for_the_client(scripts: ScriptDirectory, text: str, status: int) -> None:
    """CG-08"""
    response = answer(scripts, text)
    assert response.status == status
    assert "b.example" in response.headers["Location"]


def test_a_script_that_speaks_http(scripts: ScriptDirectory, said: Said) -> None:
    """CG-20: its framing is undone, its interim answers are passed on; without a status line it is none."""
    scripts.sh("nph-x", 'printf "HTTP/1.0 202 Later\\r\\nX-A: 1\\r\\n\\r\\nbody"')
    scripts.sh(
        "nph-chunks",
        'printf "HTTP/1.1 103 Early Hints\\r\\nLink: </a>\\r\\n\\r\\n"\n'
        'printf "HTTP/1.1 200 OK\\nTransfer-Encoding: chunked\\n\\n3\\r\\nhel\\r\\n2\\r\\nlo\\r\\n0\\r\\n\\r\\n"',
    )
    scripts.sh("nph-none", 'printf "X-A: 1\\n\\nbody"')
    with serving(scripts) as client:
        response = client.get("/cgi-bin/nph-x")
        assert (response.status, response.reason, response.body) == (202, "Later", b"body")
        response = client.get("/cgi-bin/nph-chunks")
        assert (response.status, response.text) == (200, "hello")
        assert [(each.status, each.headers["Link"]) for each in response.interim] == [(103, "</a>")]
        assert client.get("/cgi-bin/nph-none").status == 502
    assert "expected a status line" in str(said)


def test_an_answer_that_falls_short_of_its_length_is_never_complete(
    scripts: ScriptDirectory, said: Said
) -> None:
    """CG-09"""
    scripts.sh("quick.sh", 'printf "Content-Length: 9\\n\\nbody"')
    scripts.python(
        "slow.py", 'import time\nprint("Content-Length: 9\\n\\nbody", flush=True)\ntime.sleep(0.1)'
    )
    with serving(scripts) as client:
        assert client.get("/cgi-bin/quick.sh").status == 502
        with client.stream("GET", "/cgi-bin/slow.py") as stream:
            assert b"".join(stream) == b"body\n"
        assert not stream.complete
    assert "expected 5 more bytes of content, got the end" in str(said)
    assert "expected 4 more bytes of content, got the end" in str(said)


@pytest.mark.parametrize(
    ("text", "status", "log"),
    [
        ("<html>hello</html>\\n\\n", 502, "expected a field"),
        ("Status: abc\\n\\n", 502, "expected a status"),
        ("X: a\\001b\\n\\n", 502, "control characters"),
        ("X: a\\rSet-Cookie: b\\n\\n", 502, "control characters"),
        ("X: 1\\n", 500, "exited with exit code 0 before the end of its head, after b'X: 1"),
        ("", 500, "exited with exit code 0"),
    ],
)
def test_what_is_no_answer(scripts: ScriptDirectory, said: Said, text: str, status: int, log: str) -> None:
    """CG-06, CG-07, CG-10: the client gets a page, the log says what was wrong with which script."""
    response = answer(scripts, text)
    assert response.status == status
    assert log in str(said)
    assert str(scripts.path / "x.sh") in str(said)
    assert str(scripts.path) not in response.text


def test_a_head_is_limited(scripts: ScriptDirectory, said: Said) -> None:
    """CG-06: a script that never ends its head is ended."""
    scripts.sh("x.sh", "while :; do echo A: 1; done")
    with serving(scripts, head_limit=10_000) as client:
        assert client.get("/cgi-bin/x.sh").status == 502
    assert "expected a head of at most 10000 bytes" in str(said)


@pytest.mark.parametrize(
    ("lines", "status", "log"),
    [
        ("exit 3", 500, "exited with exit code 3"),
        ("kill -SEGV $$", 500, "was killed by SIGSEGV"),
        ("printf '\\n'; echo body; exit 3", 200, "exited with exit code 3"),
    ],
)
def test_how_a_script_ended_is_told(
    scripts: ScriptDirectory, said: Said, lines: str, status: int, log: str
) -> None:
    """CG-10: an exit code does not change an answer that has begun."""
    scripts.sh("x.sh", lines)
    with serving(scripts) as client:
        assert client.get("/cgi-bin/x.sh").status == status
        client.wait_until(lambda: log in str(said), f"{log!r} in the log")


@pytest.mark.parametrize(
    ("text", "mode", "status", "log"),
    [
        ("#!/no/such/interpreter\n", 0o755, 500, "interpreter its first line names, does not exist"),
        ("echo no first line\n", 0o755, 500, 'does not begin with a line such as "#!/bin/sh"'),
    ],
)
def test_what_cannot_be_run(
    scripts: ScriptDirectory, said: Said, text: str, mode: int, status: int, log: str
) -> None:
    """CG-10"""
    scripts.write("x", text, mode)
    with serving(scripts) as client:
        assert client.get("/cgi-bin/x").status == status
    assert log in str(said)


def test_what_its_user_may_not_run(scripts: ScriptDirectory, said: Said) -> None:
    """CG-10, CG-13: executable for somebody else alone."""
    scripts.write("x", "#!/bin/sh\necho\n", 0o700 if os.geteuid() == 0 else 0o001)
    with serving(scripts) as client:
        assert client.get("/cgi-bin/x").status == 403
    assert "cannot be run by" in str(said)


def test_standard_error_goes_to_the_log(scripts: ScriptDirectory, said: Said) -> None:
    """CG-11: line by line with the script's name, never to the client, and nobody forges a line."""
    path = scripts.sh(
        "x.sh", "echo first >&2; printf 'sec\\033[1mond\\n' >&2; echo; echo body; printf rest >&2"
    )
    with serving(scripts) as client:
        assert client.get("/cgi-bin/x.sh").text == "body\n"
        client.wait_until(lambda: "rest" in str(said), "the end of standard error")
    assert str(said).splitlines() == [f"{path}: first", f"{path}: sec\\x1b[1mond", f"{path}: rest"]


def test_standard_error_is_bounded(scripts: ScriptDirectory, said: Said) -> None:
    """CG-11"""
    scripts.sh("x.sh", "head -c 3000000 /dev/zero | tr '\\0' 'e' | fold -w 100 >&2; echo; echo body")
    with serving(scripts) as client:
        assert client.get("/cgi-bin/x.sh").text == "body\n"
        client.wait_until(lambda: "more bytes on standard error" in str(said), "the end of standard error")
    assert len(str(said)) < 200_000


# Interpreters.


@pytest.mark.parametrize("extension", ["pl", "PL"])
def test_an_extension_has_an_interpreter(scripts: ScriptDirectory, extension: str) -> None:
    """CG-17: files of it need not be executable."""
    text = 'print "Content-Type: text/plain\\n\\n$ENV{PATH_INFO} ", scalar(<STDIN>);'
    scripts.write(f"x.{extension}", text, 0o644)
    with serving(scripts, interpreters={".pl": ["perl", "-w"]}) as client:
        assert client.post(f"/cgi-bin/x.{extension}/info", body=b"content").text == "/info content"


def test_one_script_has_an_interpreter(scripts: ScriptDirectory) -> None:
    """CG-17"""
    path = scripts.write("x.txt", "echo; echo $0 $1", 0o644)
    with Client(CGIScript(path, "sh")) as client:
        assert client.get("/").text == f"{path}\n"


@pytest.mark.parametrize(
    "options",
    [
        {"interpreters": {".x": "no-such-program"}}, {"interpreters": {"php": "sh"}}, {"interpreters": {".x": []}},
        {"environment": {"A=B": "1"}}, {"processes": 0}, {"limits": {"none": 1}}, {"user": "no-such-user"},
    ],
)  # fmt: skip
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Gateway(**options)


def test_a_gateway_or_its_options(scripts: ScriptDirectory) -> None:
    with pytest.raises(TypeError, match="got both: timeout"):
        CGIDirectory(scripts.path, gateway=Gateway(), timeout=1)
    with pytest.raises(ValueError, match="index"):
        CGIDirectory(scripts.path, index="index.cgi")


# Python scripts, cold and warm.


@pytest.mark.parametrize(
    ("lines", "status", "body", "log"),
    [
        ('print("A: 1\\n"); import sys; sys.exit(0)', 200, "", None),
        ('print("A: 1\\n"); raise SystemExit("bad")', 200, "", "x.py: bad"),
        ('print("A: 1\\n"); raise SystemExit(3)', 200, "", "exited with exit code 3"),
        ("1 / 0", 500, None, "ZeroDivisionError"),
        ("def", 500, None, "SyntaxError"),
        ('import atexit; atexit.register(print, "last"); print("A: 1\\n")', 200, "last\n", None),
        (
            'import threading, time; print("A: 1\\n")\n'
            "def late():\n    time.sleep(0.05); print('late')\nthreading.Thread(target=late).start()",
            200, "late\n", None,
        ),
        ('import os; os.write(1, b"\\n"); os.system("echo from a child")', 200, "from a child\n", None),
        ('import sys; print("A: 1\\n"); print(sys.modules["__main__"].__dict__ is globals())', 200, "True\n", None),
        ('import beside; print("A: 1\\n"); print(beside.value)', 200, "5\n", None),
        ('print("A: 1\\n"); print(__doc__, __spec__, __name__, __builtins__.__name__)', 200,
         "None None __main__ builtins\n", None),
    ],
)  # fmt: skip
def test_python_scripts_behave_alike(
    scripts: ScriptDirectory,
    said: Said,
    kind: str,
    lines: str,
    status: int,
    body: str | None,
    log: str | None,
) -> None:
    """CG-10, CG-13"""
    scripts.write("beside.py", "value = 5", 0o644)
    scripts.python("x.py", lines)
    with serving(scripts, kind) as client:
        response = client.get("/cgi-bin/x.py")
        assert response.status == status
        if body is not None:
            assert response.text == body
        if log is not None:
            client.wait_until(lambda: log in str(said), f"{log!r} in the log")


def test_python_scripts_share_nothing(scripts: ScriptDirectory, kind: str) -> None:
    """CG-13: each run is a process of its own; an edited script is run as it is now."""
    text = """
        import json, os, random
        json.seen = getattr(json, "seen", 0) + 1
        os.environ["SEEN"] = str(int(os.environ.get("SEEN", 0)) + 1)
        print("Content-Type: text/plain\\n")
        print(json.seen, os.environ["SEEN"], os.getpid(), random.random(), end="")
    """
    scripts.python("x.py", text)
    with serving(scripts, kind) as client:
        runs = [client.get("/cgi-bin/x.py").text.split() for _ in range(3)]
        scripts.python("x.py", 'print("A: 1\\n\\nedited")')
        assert client.get("/cgi-bin/x.py").text == "edited\n"
    assert [run[:2] for run in runs] == [["1", "1"]] * 3
    assert len({run[2] for run in runs}) == len({run[3] for run in runs}) == 3


def test_an_environment_is_that_of_its_own_request(scripts: ScriptDirectory, kind: str) -> None:
    """CG-01: for the script and for what it starts, however often the same came before."""
    scripts.python(
        "x.py",
        """
        import os, sys
        print("A: 1\\n")
        print(os.environ.get("HTTP_X_A"), os.environb.get(b"HTTP_X_A"), flush=True)
        os.environ["CHANGED"] = "yes"
        os.system("echo ${HTTP_X_A-none} ${CHANGED-no} ${QUERY_STRING}")
        """,
    )
    with serving(scripts, kind) as client:
        for value in ("a", "a", "a", "a", "a", "b", None, "a"):
            headers = {"X-A": value} if value else {}
            raw = value.encode() if value else None
            text = client.get(f"/cgi-bin/x.py?{value}", headers=headers).text
            assert text == f"{value} {raw!r}\n{value or 'none'} yes {value}\n"


def test_only_python_is_run_warm(scripts: ScriptDirectory) -> None:
    scripts.sh("x.sh", "echo; echo $0")
    with serving(scripts, "warm") as client:
        assert client.get("/cgi-bin/x.sh").text == f"{scripts.path}/x.sh\n"


def test_a_traceback_shows_only_the_script(scripts: ScriptDirectory, said: Said, kind: str) -> None:
    scripts.python("x.py", "def inner():\n    1 / 0\ninner()")
    with serving(scripts, kind) as client:
        client.get("/cgi-bin/x.py")
        client.wait_until(lambda: "ZeroDivisionError" in str(said), "the traceback")
    files = set(re.findall(r'File "([^"]*)"', str(said)))
    assert files == {str(scripts.path / "x.py")}
    assert json.dumps(str(said)).count("line 3, in inner") == 1
