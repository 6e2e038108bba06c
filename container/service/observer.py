"""What gunicorn's hooks and loggers are told of requests: its own shapes, made of ours.

Only where somebody asked for them: it is not for free. The access log of `container` is `tree/accesslog/`.
"""

from __future__ import annotations

from datetime import timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Any

from container.message.variables import add_fields, native
from container.tree.accesslog import Entry
from container.tree.wrapper import Wrapper

if TYPE_CHECKING:
    from container.message.exchange import Exchange
    from container.message.request import Request
    from container.tree.resource import Resource


class Observer:
    """For a site's `log`: tells gunicorn of every exchange that is over.

    `worker` is a gunicorn worker: its `log` is told of every answer (`logs`), its hook `post_request` too (`after`).
    """

    needs_notes = True

    def __init__(self, worker: Any, *, after: bool, logs: bool) -> None:
        self._worker = worker
        self._after = after
        self._logs = logs

    def __call__(self, exchange: Exchange) -> None:
        """A request that could not be read took no time that anybody knows of."""
        entry = Entry(exchange.request, exchange.status, exchange.bytes_sent, 0.0)
        if exchange.request.notes is not None:
            exchange.request.notes.ended = perf_counter()
        request = ObservedRequest(exchange.request)
        answer = ObservedAnswer(entry)
        environ = environ_of(exchange.request)
        worker = self._worker
        try:
            if self._logs:
                worker.log.access(answer, request, environ, timedelta(seconds=entry.duration_s or 0.0))
            if self._after:
                worker.cfg.post_request(worker, request, environ, answer)
        except Exception:  # hooks and loggers are the operator's code
            worker.log.exception("Exception in post_request hook")


class Announcer(Wrapper):
    """Stands in front of a root and calls the hook `pre_request` of a gunicorn worker, once for each request."""

    def __init__(self, inner: Resource, worker: Any) -> None:
        super().__init__(inner)
        self._worker = worker

    def enter(self, request: Request) -> Resource:
        notes = request.notes
        assert notes is not None, "the site's log asks for them"
        if not notes.is_announced:  # the same one comes again when it was changed
            notes.is_announced = True
            self._worker.cfg.pre_request(self._worker, ObservedRequest(request))
        return self.inner


class ObservedRequest:
    """A request, under the names of gunicorn's."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.method = request.method
        self.uri = request.raw_target.decode("latin-1")
        self.path = request.raw_path.decode("latin-1")
        self.query = request.raw_query.decode("latin-1")
        self.version = (1, 0) if request.http_version == "1.0" else (1, 1)
        self.headers = [
            (name.decode("latin-1").upper(), value.decode("latin-1")) for name, value in request.raw_headers
        ]


class ObservedAnswer:
    """An answer, under the names of gunicorn's. `sent` are bytes of content."""

    def __init__(self, entry: Entry) -> None:
        self.status = str(entry.status)
        self.status_code = entry.status
        self.sent = entry.bytes_sent
        self.headers = entry.answer_fields


def environ_of(request: Request) -> dict[str, Any]:
    """The variables that formats of access logs may name."""
    connection = request.connection
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "RAW_URI": request.raw_target.decode("latin-1"),
        "PATH_INFO": request.raw_path.decode("latin-1"),
        "QUERY_STRING": request.raw_query.decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{request.http_version}",
        "REMOTE_ADDR": connection.client_host or "-",
        "REMOTE_PORT": connection.client_port,
        "wsgi.url_scheme": connection.scheme,
    }
    if request.user is not None:
        environ["REMOTE_USER"] = native(request.user[0])
    add_fields(environ, request.raw_headers)
    return environ
