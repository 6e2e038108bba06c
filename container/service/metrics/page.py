"""Figures as text: the format of Prometheus (version 0.0.4), and OpenMetrics 1.0 for those who ask for it."""

from __future__ import annotations

import platform
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

from container import __version__
from container.message.errors import HTTPError
from container.message.response import Response
from container.service.metrics import figures as of
from container.tree.resource import Resource
from container.tree.wrapper import Wrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from container.message.request import Request
    from container.service.metrics.figures import Figures
    from container.tree.site import Site

_OPEN: Final = "application/openmetrics-text"
_TYPES: Final = {
    True: f"{_OPEN}; version=1.0.0; charset=utf-8",
    False: "text/plain; version=0.0.4; charset=utf-8",
}
# What samples of a type have behind the name of their family.
_ENDINGS: Final = {"counter": "_total", "info": "_info"}


class Metrics(Resource):
    """Tells of all that the server and its further processes answer. To be mounted, behind a guard, or to have an
    address of its own: `application.serve(Metrics(), "127.0.0.1:9090")`. It is answered by the loop.

    Where a tree has one, requests are counted: for about a microsecond each. `figures` and `sample`, which brings
    those of this process up to date, come from the server; other servers have none.
    """

    is_leaf = True
    figures: Figures | None = None
    sample: Callable[[], object] | None = None

    def get(self, request: Request) -> Response:
        if self.figures is None or self.sample is None:
            raise HTTPError(503, "nothing is counted under this server")
        self.sample()
        kinds = (
            each.partition(";")[0].strip().lower()
            for each in (request.headers.get("accept") or "").split(",")
        )
        is_open = _OPEN in kinds
        text = write(families(self.figures), is_open=is_open)
        fields = {"Content-Type": _TYPES[is_open], "Cache-Control": "no-store", "Vary": "Accept"}
        return Response(text, 200, fields)


def is_page(site: Site) -> bool:
    """Does a site do nothing but tell of the others?"""
    return all(isinstance(each, Metrics | Wrapper) for each in site.resources())


class Family(NamedTuple):
    """Samples of one name, each with what is behind the name, and its number."""

    name: str
    type: str
    help: str
    samples: Iterable[tuple[str, float]]


def families(figures: Figures) -> Iterator[Family]:
    """What there is to tell."""
    places = figures.places()
    total = [sum(column) for column in zip(*places, strict=True)]
    living = [(number, words) for number, words in enumerate(places) if words[of.PID]]

    def one(name: str, type: str, help: str, value: float) -> Family:
        return Family(name, type, help, [(_ENDINGS.get(type, ""), value)])

    build = f'_info{{version="{__version__}",python="{platform.python_version()}"}}'
    yield Family("build", "info", "Versions of container and of Python.", [(build, 1)])
    yield one("start_time_seconds", "gauge", "When the service was started, in Unix time.", figures.began)
    yield one("workers", "gauge", "Processes that serve.", len(living))
    yield one(
        "worker_starts", "counter", "Processes that were started to serve, successors too.", total[of.STARTS]
    )
    memory = [(f'{{worker="{number}"}}', words[of.MEMORY]) for number, words in living if words[of.MEMORY]]
    yield Family("worker_memory_bytes", "gauge", "Resident memory of each process.", memory)
    statuses = [
        (f'_total{{status="{digit}xx"}}' if digit else '_total{status="499"}', total[of.STATUSES + digit])
        for digit in range(10)
        if digit < 6 or total[of.STATUSES + digit]
    ]
    help = "Requests by class of status; 499 is a client that left before it was answered."
    yield Family("requests", "counter", help, statuses)
    buckets = list(accumulate(total[of.BUCKETS : of.BUCKETS + len(of.LIMITS) + 1]))
    edges = [*map(repr, of.LIMITS), "+Inf"]
    samples = [(f'_bucket{{le="{edge}"}}', count) for edge, count in zip(edges, buckets, strict=True)]
    help = "From a request's dispatch to the end of its answer; without WebSockets."
    yield Family(
        "request_duration_seconds",
        "histogram",
        help,
        [*samples, ("_count", buckets[-1]), ("_sum", total[of.SECONDS])],
    )
    yield one("response_bytes", "counter", "Content that was sent.", total[of.CONTENT])
    yield one("requests_in_progress", "gauge", "Requests that are being answered.", total[of.IN_PROGRESS])
    yield one("connections", "gauge", "Connections of clients that are open.", total[of.CONNECTIONS])
    yield one("threads", "gauge", "Threads for applications.", total[of.THREADS])
    yield one("threads_busy", "gauge", "Threads that an application has.", total[of.BUSY])
    yield one("requests_waiting", "gauge", "Requests that wait for a thread.", total[of.WAITING])
    yield one(
        "queue_full",
        "counter",
        "Requests for a thread that were refused, too many waiting.",
        total[of.REFUSED],
    )


def write(families: Iterable[Family], *, is_open: bool) -> str:
    """The page. In OpenMetrics the name of a family is without the ending of its samples, and there is an end."""
    lines = []
    for each in families:
        name = f"container_{each.name}"
        ending, type = _ENDINGS.get(each.type, ""), each.type
        said = name if is_open else name + ending
        if type == "info" and not is_open:
            type = "gauge"
        lines += [f"# HELP {said} {each.help}", f"# TYPE {said} {type}"]
        lines += [f"{name}{behind} {_spell(value)}" for behind, value in each.samples]
    return "\n".join([*lines, *(["# EOF"] if is_open else []), ""])


def _spell(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
