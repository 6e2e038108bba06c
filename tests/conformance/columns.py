"""The columns of the matrix: every kind of thing that can be mounted, each answering to the same names.

| name     | what it answers                                                                        |
|----------|----------------------------------------------------------------------------------------|
| `page`   | TEXT, worth compressing                                                                |
| `file`   | FILE by what the kind has of its own for files                                         |
| `sent`   | names FILE by X-Sendfile in place of its own content                                   |
| `visit`  | counts in the session and tells the number; programs tell id and user of the session   |
| `own`    | a 404 with content of its own                                                          |
| `fail`   | goes wrong before anything was said                                                    |
| `stream` | TEXT, again and again; the marks of `told` say when the client was found to have left   |

A new kind is one function and one entry in COLUMNS.
"""

from __future__ import annotations

import http.server
import os
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from container.message.response import Response
from container.resources.asgi import ASGIResource
from container.resources.asis import AsIs
from container.resources.cgi import CGIDirectory
from container.resources.data import Data
from container.resources.handler import HandlerResource
from container.resources.proxy import ReverseProxy
from container.resources.responder import FastCGIResource, SCGIResource, UWSGIResource
from container.resources.script import Registry, ScriptDirectory, Scripts
from container.resources.static import Files
from container.resources.wsgi import WSGIResource
from container.tree.resource import Resource
from container.tree.site import Site
from tests.conformance.conftest import running
from tests.leaf import Leaf
from tests.responders import peer, program, read_scgi, read_uwsgi, responder
from tests.scripts import warm_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from container.message.exchange import Exchange
    from container.message.request import Request
    from tests.conformance import leaves
    from tests.responders import Asked, AskedPlainly
    from tests.scripts import ScriptDirectory as Directory

TEXT: Final = b"A line that comes again and again.\n" * 100
FILE: Final = b"0123456789" * 200
OWN: Final = b"Not here, says the application itself.\n"
# What makes short content worth compressing.
PADDING: Final = " " * 600
# More than the windows of a client that does not read.
MANY: Final = 2000


@dataclass
class Stage:
    """What a column works with: `scripts` for programs, `files` for whatever lies on the disk, `open` for what runs
    until the end; `told` is the test's."""

    scripts: Directory
    files: Path
    open: ExitStack
    told: leaves.Stage

    @property
    def file(self) -> Path:
        return self.files / "file"

    @property
    def stream(self) -> Path:
        return self.files / "stream"

    def prepare(self) -> None:
        """Write the files that all kinds share."""
        self.files.mkdir(exist_ok=True)
        for name, content in {"page": TEXT, "file": FILE, "stream": TEXT * MANY}.items():
            (self.files / name).write_bytes(content)
            os.utime(self.files / name, (1_000_000_000, 1_000_000_000))

    def endless(self) -> Iterator[bytes]:
        """TEXT, until whoever asks for it stops."""
        marks = self.told.take()
        try:
            while True:
                yield TEXT
        finally:
            marks.leave()


def native(stage: Stage) -> Resource:
    leaf = Leaf(lambda request: answer(stage, request))
    root = Resource()
    root.mount("file", Data(FILE, "text/plain"))
    for name in ("page", "sent", "visit", "own", "fail", "stream"):
        root.mount(name, leaf)
    return root


def answer(stage: Stage, request: Request) -> Response:
    """What a resource of our own says, the scripts' too."""
    name = request.path.rpartition("/")[2]
    if name == "visit":
        session = request.session
        session["n"] = session.get("n", 0) + 1
        session["user"] = "eva"
        return Response.text(f"{session['n']} {session.id}{PADDING}")
    if name == "sent":
        return Response(b"", headers={"X-Sendfile": str(stage.file)}, content_type="text/plain")
    if name == "own":
        return Response(OWN, 404, content_type="text/plain")
    if name == "stream":
        return Response(_pieces(stage), content_type="text/plain")
    if name == "fail":
        raise RuntimeError("as the test wants it")
    return Response(TEXT, content_type="text/plain")


async def _pieces(stage: Stage) -> AsyncIterator[bytes]:
    for piece in stage.endless():
        yield piece


def proxy(stage: Stage, *, unix: bool = False) -> Resource:
    """The same behind a server of its own, with a loop and a thread of its own."""
    root = native(stage)
    root.mount("fail", Leaf(_hang_up))
    place = f"unix:{stage.files}/socket-{os.getpid()}" if unix else "127.0.0.1:0"
    ports = stage.open.enter_context(running("asyncio", {"": Site(root)}, place))
    return ReverseProxy(place if unix else f"http://127.0.0.1:{ports['']}")


def _hang_up(request: Request) -> Exchange:
    request.exchange.abort()
    return request.exchange


def static(stage: Stage) -> Resource:
    return Files(stage.files, types={"": "text/plain"}, default_type="text/plain")


def wsgi(stage: Stage, threads: int = 2) -> Resource:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        name = environ["PATH_INFO"].removeprefix("/")
        fields = [("Content-Type", "text/plain")]
        content = TEXT
        if name == "fail":
            raise RuntimeError("as the test wants it")
        if name == "visit":
            session = environ["container.session"]
            session["n"] = session.get("n", 0) + 1
            session["user"] = "eva"
            content = f"{session['n']} {session.id}{PADDING}".encode()
        elif name == "sent":
            fields.append(("X-Sendfile", str(stage.file)))
        elif name == "own":
            start_response("404 Not Found", fields)
            return [OWN]
        elif name == "file":
            start_response("200 OK", [*fields, ("ETag", '"own"')])
            return environ["wsgi.file_wrapper"](stage.file.open("rb"))
        start_response("200 OK", fields)
        return stage.endless() if name == "stream" else [content]

    return WSGIResource(application, threads=threads)


def asgi(stage: Stage) -> Resource:
    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        name = scope["path"].rpartition("/")[2]
        fields = [(b"content-type", b"text/plain")]
        content = TEXT
        if name == "fail":
            raise RuntimeError("as the test wants it")
        if name == "visit":
            session = scope["session"]
            session["n"] = session.get("n", 0) + 1
            session["user"] = "eva"
            content = f"{session['n']} {session.id}{PADDING}".encode()
        elif name == "sent":
            fields.append((b"x-sendfile", os.fsencode(stage.file)))
        elif name == "own":
            content = OWN
        await send(
            {"type": "http.response.start", "status": 404 if name == "own" else 200, "headers": fields}
        )
        if name == "file":
            await send({"type": "http.response.pathsend", "path": str(stage.file)})
        elif name == "stream":
            for piece in stage.endless():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        else:
            await send({"type": "http.response.body", "body": content})

    return ASGIResource(application, lifespan="off")


_PROGRAMS: Final = {
    "page": 'print("Content-Type: text/plain\\n"); print("A line that comes again and again.\\n" * 100, end="")',
    "sent": 'print("Content-Type: text/plain\\nX-Sendfile: {file}\\n")',
    "visit": 'print("Content-Type: text/plain\\n")\n'
    'print(os.environ.get("CONTAINER_SESSION_ID"), os.environ.get("CONTAINER_SESSION_USER"), " " * 600)',
    "own": 'print("Status: 404\\nContent-Type: text/plain\\n"); print("{own}")',
    "fail": 'print("no answer", file=sys.stderr)',
    "stream": 'print("Content-Type: text/plain\\n")\nwhile True: print(os.getpid(), flush=True)',
}


def cgi(stage: Stage, **options: Any) -> Resource:
    for name, text in _PROGRAMS.items():
        text = text.replace("{file}", str(stage.file)).replace("{own}", OWN.decode().strip())
        stage.scripts.python(name, f"import os, sys\n{text}\n")
    return CGIDirectory(stage.scripts.path, session=True, **options)


_SCRIPT: Final = """
from tests.conformance.columns import Stage, answer
from tests.leaf import Leaf

stage = registry[Stage]
resource = Leaf(lambda request: answer(stage, request))
"""
_BROKEN: Final = 'raise RuntimeError("as the test wants it")\n'


def responding(stage: Stage) -> Callable[[Asked | AskedPlainly], None]:
    """What a program that is asked over a socket answers."""

    def respond(asked: Asked | AskedPlainly) -> None:
        variables = asked.variables
        name = variables["PATH_INFO"].removeprefix("/")
        head = {"own": b"Status: 404\n", "sent": b"X-Sendfile: " + os.fsencode(stage.file) + b"\n"}.get(
            name, b""
        )
        if name != "fail":
            asked.say(head + b"Content-Type: text/plain\n\n")
        if name == "visit":
            told = [variables.get(f"CONTAINER_SESSION_{each}", "None") for each in ("ID", "USER")]
            asked.say(" ".join([*told, PADDING]).encode())
        elif name == "stream":
            with closing(stage.endless()) as pieces:
                for piece in pieces:
                    asked.say(piece)
        elif name != "fail":
            asked.say(OWN if name == "own" else TEXT)
        asked.end()

    return respond


def fastcgi(stage: Stage) -> Resource:
    return FastCGIResource(stage.open.enter_context(peer(responder(responding(stage)))), session=True)


def scgi(stage: Stage) -> Resource:
    return SCGIResource(stage.open.enter_context(peer(program(responding(stage), read_scgi))), session=True)


def uwsgi(stage: Stage) -> Resource:
    return UWSGIResource(stage.open.enter_context(peer(program(responding(stage), read_uwsgi))), session=True)


def script(stage: Stage) -> Resource:
    """Python scripts in the tree, `.rpy` files in other words."""
    for name in ("page", "sent", "visit", "own", "fail", "stream"):
        (stage.files / name).write_text(_BROKEN if name == "fail" else _SCRIPT)
    registry = Registry()
    registry[Stage] = stage
    return ScriptDirectory(stage.files, scripts=Scripts(registry))


def handler(stage: Stage) -> Resource:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/")
            if name == "fail":
                raise RuntimeError("as the test wants it")
            content = OWN if name == "own" else TEXT
            self.send_response(404 if name == "own" else 200)
            self.send_header("Content-Type", "text/plain")
            if name == "sent":
                self.send_header("X-Sendfile", str(stage.file))
            self.end_headers()
            if name != "stream":
                self.wfile.write(content)
                return
            try:
                for piece in stage.endless():
                    self.wfile.write(piece)
            except BrokenPipeError:
                stage.told.take().leave()
                raise

        def log_message(self, format: str, *arguments: Any) -> None:
            """The access log is the server's."""

    return HandlerResource(Handler, threads=2)


def as_is(stage: Stage) -> Resource:
    """Files that hold whole answers."""
    heads = {
        "page": b"",
        "own": b"Status: 404 Not Found\n",
        "sent": b"X-Sendfile: " + os.fsencode(stage.file) + b"\n",
        "stream": b"",
    }
    contents = {"own": OWN, "stream": TEXT * MANY}
    root = Resource()
    for name, head in heads.items():
        path = stage.files / f"{name}.asis"
        path.write_bytes(head + b"Content-Type: text/plain\n\n" + contents.get(name, TEXT))
        root.mount(name, AsIs(path))
    (stage.files / "fail.asis").write_bytes(b"no head at all")
    root.mount("fail", AsIs(stage.files / "fail.asis"))
    return root


COLUMNS: Final[dict[str, Callable[[Stage], Resource]]] = {
    "native": native,
    "static": static,
    "proxy": proxy,
    "proxy-unix": lambda stage: proxy(stage, unix=True),
    "wsgi": wsgi,
    "wsgi-inline": lambda stage: wsgi(stage, threads=0),
    "asgi": asgi,
    "cgi": cgi,
    "cgi-warm": lambda stage: cgi(stage, warm=True, **warm_options()),
    "fastcgi": fastcgi,
    "scgi": scgi,
    "uwsgi": uwsgi,
    "script": script,
    "handler": handler,
    "as-is": as_is,
}
# Those that find the session among their variables, and cannot change it.
PROGRAMS: Final = ("cgi", "cgi-warm", "fastcgi", "scgi", "uwsgi")
# Those of which each request has a process.
PROCESSES: Final = ("cgi", "cgi-warm")
# What it is when one of them goes wrong before it has answered; 500 where nothing is said.
FAILURES: Final = {"static": 404, "fastcgi": 502, "scgi": 502, "uwsgi": 502, "proxy": 502, "proxy-unix": 502}
# Those whose answer is a file: that they have let go of it is all that can be seen of them.
ON_DISK: Final = {"static": "stream", "as-is": "stream.asis"}


def holds(pid: int, path: Path) -> bool:
    """Has this process the file open?"""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/{pid}/fd/{fd}") == str(path):
                return True
    return False
