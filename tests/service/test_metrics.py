"""Figures and the page that tells them: read by the parsers of Prometheus, of servers on this very loop."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as open_parser

from container import BasicAuth, LogTo, Metrics, Resource, Response, Site
from container.message.errors import ClientDisconnected
from container.resources.wsgi import WSGIResource
from container.service.metrics import Figures, shared_words
from container.service.metrics import figures as of
from container.service.metrics.page import families, write
from container.service.server import Server, as_endpoints, serving
from container.testing import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from container.message.exchange import Exchange
    from container.message.request import Request

OPEN = "application/openmetrics-text"
# What Prometheus 3 asks for.
PROMETHEUS = (
    f"{OPEN};version=1.0.0;escaping=allow-utf-8;q=0.6,{OPEN};version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


class Hello(Resource):
    is_leaf = True

    def get(self, request: Request) -> Response:
        return Response("hello", int(request.args.get("status") or 200))


def samples(text: str) -> dict[str, float]:
    """By name and labels, of a page in the format of Prometheus."""
    return {
        each.name + "".join(f" {value}" for value in each.labels.values()): each.value
        for family in parser.text_string_to_metric_families(text)
        for each in family.samples
    }


async def ask(port: int, head: str) -> str:
    """All that comes back until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()


async def get(port: int, target: str, *fields: str) -> str:
    more = "".join(f"{each}\r\n" for each in fields)
    return await ask(port, f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{more}\r\n")


async def page_of(server: Server) -> dict[str, float]:
    """What is told at the last address."""
    answer = await get(server._ports[-1], "/metrics")
    return samples(answer.partition("\r\n\r\n")[2])


@asynccontextmanager
async def apart(root: Resource) -> AsyncIterator[Server]:
    """A server of `root`, and of its metrics at an address of their own."""
    here = as_endpoints(["127.0.0.1:0"])
    server = Server([(Site(root), here), (Site(Metrics()), here)])
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


# The page.


def filled() -> Figures:
    figures = Figures.alone()
    for word in range(1, len(figures.own)):
        figures.own[word] = word
    figures.own[of.SECONDS] = 0.25
    figures.own[of.PID] = os.getpid()
    return figures


def test_both_formats_say_the_same_to_the_parsers_of_prometheus() -> None:
    figures = filled()
    plain = list(parser.text_string_to_metric_families(write(families(figures), is_open=False)))
    told = list(open_parser.text_string_to_metric_families(write(families(figures), is_open=True)))
    assert [each.samples for each in plain] == [each.samples for each in told]
    assert [each.documentation for each in plain] == [each.documentation for each in told]
    types = {each.name: each.type for each in told}
    assert types["container_requests"] == "counter"
    assert types["container_request_duration_seconds"] == "histogram"
    assert types["container_build"] == "info"
    assert types["container_connections"] == "gauge"


def test_buckets_are_cumulative_and_the_last_one_is_the_count() -> None:
    figures = Figures.alone()
    figures.own[of.BUCKETS] = 2
    figures.own[of.BUCKETS + 3] = 5
    figures.own[of.BUCKETS + len(of.LIMITS)] = 1
    told = samples(write(families(figures), is_open=False))
    name = "container_request_duration_seconds"
    edges = (" 0.001", " 0.01", " 0.025", " 10.0", " +Inf")
    assert [told[f"{name}_bucket{edge}"] for edge in edges] == [2, 2, 7, 7, 8]
    assert told[f"{name}_count"] == 8


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4"),
        (OPEN, f"{OPEN}; version=1.0.0"),
        (PROMETHEUS, f"{OPEN}; version=1.0.0"),
    ],
)
def test_the_form_is_the_one_that_is_asked_for(accept: str, expected: str) -> None:
    async def drive() -> None:
        async with serving(Metrics(), "127.0.0.1:0") as server:
            answer = await get(server.port, "/", f"Accept: {accept}")
        head, _, text = answer.partition("\r\n\r\n")
        assert f"Content-Type: {expected}; charset=utf-8\r\n" in head
        assert text.endswith("\n# EOF\n") == (OPEN in accept)

    asyncio.run(drive())


# Who has a place.


def test_who_comes_after_goes_on_counting_and_gauges_go_with_their_process() -> None:
    words = shared_words(3)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        for place, pid in enumerate((os.getpid(), other.pid)):
            figures = Figures(words, place)
            figures.begin()
            figures.own[of.PID] = pid
            figures.own[of.CONNECTIONS] = 3
            figures.own[of.STATUSES + 2] = 10
        told = samples(write(families(figures), is_open=False))
        assert (told["container_workers"], told["container_connections"]) == (2, 6)
        other.kill()
    told = samples(write(families(figures), is_open=False))
    assert (told["container_workers"], told["container_connections"]) == (1, 3)
    assert told["container_requests_total 2xx"] == 20
    Figures(words, 1).begin()
    Figures(words, 1).own[of.STATUSES + 2] += 1
    told = samples(write(families(figures), is_open=False))
    assert told["container_requests_total 2xx"] == 21
    assert told["container_worker_starts_total"] == 3


# What is counted.


def test_every_request_counts_by_its_status_refused_ones_too() -> None:
    async def drive() -> None:
        async with apart(Hello()) as server:
            for status in (200, 200, 304, 404, 503, 799):
                await get(server.port, f"/?status={status}")
            await ask(server.port, "GET / HTTP/1.1\r\n\r\n")
            told = await page_of(server)
            counts = {name.split()[1]: count for name, count in told.items() if "requests_total" in name}
            assert counts == {"499": 0, "1xx": 0, "2xx": 2, "3xx": 1, "4xx": 2, "5xx": 1, "7xx": 1}
            # Nobody knows how long the one took that could not be read.
            assert told["container_request_duration_seconds_count"] == 6
            assert told["container_response_bytes_total"] > 20

    asyncio.run(drive())


def test_a_client_that_leaves_counts_and_what_is_in_flight_shows() -> None:
    async def drive() -> None:
        left = asyncio.Event()

        class Waits(Resource):
            is_leaf = True

            async def get(self, request: Request) -> Response:
                request.exchange.on_close(lambda error: left.set())
                reached.set()
                await left.wait()
                raise ClientDisconnected("the client has left")

        reached = asyncio.Event()
        async with apart(Waits()) as server:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            await reached.wait()
            told = await page_of(server)
            assert (told["container_requests_in_progress"], told["container_connections"]) == (1, 1)
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
            writer.transport.abort()
            await left.wait()
            told = await page_of(server)
            assert (told["container_requests_in_progress"], told["container_connections"]) == (0, 0)
            assert told["container_requests_total 499"] == 1

    asyncio.run(drive())


def test_what_became_another_protocol_took_no_time() -> None:
    figures = Figures.alone()
    counted = of.Counted(None, words := [*figures.own])

    class Switched:
        status, bytes_sent = 101, 7

        class request:  # noqa: N801
            began = 0.0

    counted(Switched())  # type: ignore[arg-type]  # all it is asked for
    assert words[of.STATUSES + 1] == 1
    assert words[of.CONTENT] == 7
    assert not any(words[of.BUCKETS :])


def test_threads_and_their_queue_show() -> None:
    import threading

    async def drive() -> None:
        free, reached = threading.Event(), threading.Event()

        def app(environ: Any, start_response: Any) -> list[bytes]:
            reached.set()
            free.wait()
            start_response("200 OK", [])
            return [b""]

        async with apart(WSGIResource(app, threads=1, queue_limit=1)) as server:
            first = asyncio.create_task(get(server.port, "/"))
            await asyncio.to_thread(reached.wait)
            second = asyncio.create_task(get(server.port, "/"))
            while (told := await page_of(server))["container_requests_waiting"] < 1:
                pass
            assert (told["container_threads"], told["container_threads_busy"]) == (1, 1)
            assert "503" in await get(server.port, "/")
            assert (await page_of(server))["container_queue_full_total"] == 1
            free.set()
            await asyncio.gather(first, second)
            told = await page_of(server)
            assert (told["container_queue_full_total"], told["container_requests_waiting"]) == (1, 0)

    asyncio.run(drive())


# Who is told of it, and who is not.


def test_without_metrics_in_a_tree_nothing_is_counted() -> None:
    async def drive() -> None:
        site = Site(Hello())
        async with serving(site, "127.0.0.1:0"):
            assert site.log is None
            assert not site.takes_notes

    asyncio.run(drive())


def test_a_log_is_told_as_before_and_the_site_is_left_as_it_was() -> None:
    seen: list[int] = []

    def log(exchange: Exchange) -> None:
        seen.append(exchange.status)

    async def drive() -> None:
        root = Resource()
        root.mount("metrics", Metrics())
        root.mount("quiet", LogTo(Hello(), None))
        root.mount("hello", Hello())
        site = Site(root, access_log=log)
        for _ in range(2):
            async with serving(site, "127.0.0.1:0") as server:
                await get(server.port, "/hello")
                await get(server.port, "/quiet")
                text = (await get(server.port, "/metrics")).partition("\r\n\r\n")[2]
                assert samples(text)["container_requests_total 2xx"] == 2
            assert not isinstance(site.log, of.Counted)
            assert not site.takes_notes
        assert seen == [200, 200] * 2

    asyncio.run(drive())


def test_scrapes_of_an_address_of_their_own_are_no_requests() -> None:
    async def drive() -> None:
        async with apart(Hello()) as server:
            told = [await page_of(server) for _ in range(3)][-1]
            assert told["container_requests_total 2xx"] == 0
            assert (told["container_connections"], told["container_requests_in_progress"]) == (0, 0)

    asyncio.run(drive())


def test_it_may_be_behind_a_guard() -> None:
    root = Resource()
    root.mount("metrics", BasicAuth(Metrics(), users={"prometheus": "secret"}))

    async def drive() -> None:
        async with serving(root, "127.0.0.1:0") as server:
            assert "401" in await get(server.port, "/metrics")
            answer = await get(server.port, "/metrics", "Authorization: Basic cHJvbWV0aGV1czpzZWNyZXQ=")
            assert samples(answer.partition("\r\n\r\n")[2])["container_requests_total 4xx"] == 1

    asyncio.run(drive())


def test_where_nobody_counts_it_says_so() -> None:
    with Client(Metrics()) as client:
        answer = client.get("/")
        assert answer.status == 503
        assert "nothing is counted" in answer.text
