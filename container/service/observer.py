"""What gunicorn's hooks and loggers are told of requests: its own shapes, made of ours.

Only where somebody asked for them: it is not for free. The access log of `container` is `tree/accesslog/`.
"""

from __future__ import annotations

from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any

from container.message.variables import add_fields
from container.tree.wrapper import Wrapper

if TYPE_CHECKING:
    from container.message.exchange import Exchange
    from container.message.headers import Headers
    from container.message.request import Request
    from container.tree.resource import Resource


class Observer(Wrapper):
    """Stands in front of a root; `done` is for the site's `log`.

    `worker` is a gunicorn worker: its `cfg` has the hooks, `pre_request` (`before`) and `post_request`
    (`after`); its `log` is told of every answer (`logs`).
    """

    def __init__(self, inner: Resource, worker: Any, *, before: bool, after: bool, logs: bool) -> None:
        super().__init__(inner)
        self._worker = worker
        self._before = before
        self._after = after
        self._logs = logs
        # What is being answered.
        self._open: dict[Exchange, _Seen] = {}

    def enter(self, request: Request) -> Resource:
        exchange = request.exchange
        if exchange not in self._open:  # the same one comes again when its request was changed
            seen = self._open[exchange] = _Seen()
            exchange.before_head(seen.head)
            if self._before:
                self._worker.cfg.pre_request(self._worker, ObservedRequest(request))
        return self.inner

    def done(self, exchange: Exchange) -> None:
        """The exchange is over; a request that could not be read never came to the tree."""
        seen = self._open.pop(exchange, None) or _Seen()
        request = ObservedRequest(exchange.request)
        answer = ObservedAnswer(exchange, seen.headers)
        environ = environ_of(exchange.request)
        worker = self._worker
        try:
            if self._logs:
                worker.log.access(answer, request, environ, timedelta(seconds=monotonic() - seen.began))
            if self._after:
                worker.cfg.post_request(worker, request, environ, answer)
        except Exception:  # hooks and loggers are the operator's code
            worker.log.exception("Exception in post_request hook")


class _Seen:
    """What is known of an exchange that runs."""

    __slots__ = ("began", "headers")

    def __init__(self) -> None:
        self.began = monotonic()
        self.headers: list[tuple[str, str]] = []

    def head(self, status: int, headers: Headers) -> None:
        self.headers = list(headers.items())


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

    def __init__(self, exchange: Exchange, headers: list[tuple[str, str]]) -> None:
        self.status = str(exchange.status)
        self.status_code = exchange.status
        self.sent = exchange.bytes_sent
        self.headers = headers


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
    add_fields(environ, request.raw_headers)
    return environ
