"""Serving on a running loop, asyncio's and uvloop; a few connections over loopback, no process of its own."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import os
import signal
import socket
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, cast

import pytest
import uvloop

from container import AccessLog, Resource, Response, Site
from container.channel import room
from container.channel.balance import Balance, shared_figures
from container.channel.endpoints import ListenError, TCPEndpoint, parse_endpoint
from container.channel.group import ChannelGroup
from container.channel.h1 import H1Channel
from container.channel.listener import ArrivalListener
from container.service import loop as process
from container.service import server as server_module
from container.service.application import Application, Service
from container.service.logs import revive_loggers
from container.service.pools import pools_of
from container.service.server import Server, as_endpoints, as_site, serve, serving
from container.service.signals import STOP_SIGNALS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from pathlib import Path

    Run = Callable[[Coroutine[object, object, None]], None]
    Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

LOCAL = "127.0.0.1:0"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
PATIENCE_S = 10.0


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on one of the loops, and not for ever."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else None

    def run(coroutine: Coroutine[object, object, None]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(PATIENCE_S):
                await coroutine

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(bounded())

    return run


class Hello(Resource):
    """Answers at once, or when `gate` opens; writes down when it starts and stops."""

    is_leaf = True

    def __init__(
        self, notes: list[str] | None = None, name: str = "", gate: asyncio.Event | None = None
    ) -> None:
        self.notes = notes if notes is not None else []
        self.name = name
        self.gate = gate
        self.asked = asyncio.Event()
        self.failing = False

    async def start(self) -> None:
        if self.failing:
            raise RuntimeError("broken")
        self.notes.append(f"start {self.name}")

    async def stop(self) -> None:
        self.notes.append(f"stop {self.name}")

    async def get(self, request: object) -> Response:
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        return Response.text("hello")


async def ask(port: int, request: bytes = GET) -> bytes:
    """Everything the server sends until it closes; the request asks it to."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    answer = await reader.read()
    writer.close()
    return answer


def refused(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


async def accepts_no_more(server: Server) -> None:
    while any(listener.is_serving() for listener in server._listeners):
        await asyncio.sleep(0)


# Embedding.


def test_serving_knows_its_port_and_answers(run: Run) -> None:
    async def main() -> None:
        before = [signal.getsignal(number) for number in STOP_SIGNALS]
        async with serving(Hello(), LOCAL) as server:
            assert server.urls == (f"http://127.0.0.1:{server.port}/",) == server.addresses
            assert (await ask(server.port)).endswith(b"hello")
            assert [signal.getsignal(number) for number in STOP_SIGNALS] == before
        assert refused(server.port)

    run(main())


def test_a_client_that_asks_and_hangs_up_is_no_error(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """As those do that only look whether a port answers: its reset comes between the answer and our end."""
    asked = 0

    class Count(Hello):
        async def get(self, request: object) -> Response:
            nonlocal asked
            asked += 1
            return Response.text("hello")

    async def main() -> None:
        async with serving(Count(), LOCAL) as server:
            for number in range(1, 6):
                with socket.create_connection(("127.0.0.1", server.port)) as client:
                    client.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                while asked < number or server.connections:
                    await asyncio.sleep(0)

    run(main())
    assert caplog.text == ""


def test_every_interface_is_explained_to_people_only(run: Run) -> None:
    async def main() -> None:
        async with serving(Hello(), "tcp:0") as server:
            assert server.addresses[0].startswith(server.urls[0] + " (every ")
            assert server.urls[0].endswith(f":{server.port}/")

    run(main())


def test_serve_ends_gracefully_when_cancelled(run: Run) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        hello = Hello(gate=gate)
        ready: asyncio.Future[Server] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(serve(hello, LOCAL, ready=ready.set_result))
        server = await ready
        answer = asyncio.create_task(ask(server.port))
        await hello.asked.wait()
        task.cancel()
        await accepts_no_more(server)
        assert not task.done()
        gate.set()
        assert (await answer).endswith(b"hello")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert hello.notes == ["start ", "stop "]

    run(main())


def test_a_second_cancellation_cuts_short(run: Run) -> None:
    async def main() -> None:
        hello = Hello(gate=asyncio.Event())
        ready: asyncio.Future[Server] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(serve(hello, LOCAL, ready=ready.set_result))
        server = await ready
        answer = asyncio.create_task(ask(server.port))
        await hello.asked.wait()
        task.cancel()
        await accepts_no_more(server)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await answer == b""
        assert hello.notes == ["start ", "stop "]

    run(main())


def test_an_error_of_the_program_stops_the_server(run: Run) -> None:
    async def main() -> None:
        hello = Hello()
        with pytest.raises(ZeroDivisionError):
            async with serving(hello, LOCAL):
                raise ZeroDivisionError
        assert hello.notes == ["start ", "stop "]

    run(main())


def test_what_can_be_served_and_where() -> None:
    site = Site(Hello())
    assert as_site(site) is site
    assert as_site(site.root).root is site.root
    with pytest.raises(TypeError, match="expected a Site or a Resource to serve, got 'text'"):
        as_site("text")
    assert as_endpoints([]) == (TCPEndpoint("127.0.0.1", 8080),)
    assert as_endpoints([80, "127.0.0.1:81", TCPEndpoint(None, 82)]) == (
        TCPEndpoint(None, 80), TCPEndpoint("127.0.0.1", 81), TCPEndpoint(None, 82),
    )  # fmt: skip


# Several sites, several addresses.


def test_a_site_bound_twice_is_started_once(run: Run) -> None:
    async def main() -> None:
        hello = Hello()
        site = Site(hello)
        server = Server([(site, as_endpoints([LOCAL])), (site, as_endpoints([LOCAL, LOCAL]))])
        await server.start()
        assert len(set(server.urls)) == 3
        for url in server.urls:
            assert (await ask(int(url.rpartition(":")[2].rstrip("/")))).endswith(b"hello")
        await server.stop()
        assert hello.notes == ["start ", "stop "]

    run(main())


def test_an_address_that_is_taken_leaves_nothing_open(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            hello = Hello()
            path = tmp_path / "s"
            server = Server(
                [
                    (Site(hello), as_endpoints([f"unix:{path}"])),
                    (Site(hello), as_endpoints([f"127.0.0.1:{taken.getsockname()[1]}"])),
                ]
            )
            with pytest.raises(ListenError, match="address already in use"):
                await server.start()
            assert not path.exists()
            assert hello.notes == []
            await server.stop()

    run(main())


def test_a_site_that_does_not_start_undoes_the_others(run: Run) -> None:
    async def main() -> None:
        notes: list[str] = []
        first, second, third = (Hello(notes, name) for name in ("1", "2", "3"))
        third.failing = True
        server = Server([(Site(each), as_endpoints([LOCAL])) for each in (first, second, third)])
        with pytest.raises(RuntimeError, match="broken"):
            await server.start()
        assert notes == ["start 1", "start 2", "stop 2", "stop 1"]
        assert refused(server.port)
        await server.stop()

    run(main())


def test_a_unix_socket_is_served_and_removed(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "s"
        async with serving(Hello(), f"unix:{path}") as server:
            assert server.urls == (f"unix:{path}",)
            with pytest.raises(RuntimeError, match="expected a server that listens on TCP"):
                assert server.port
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(GET)
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
            writer.close()
        assert not path.exists()

    run(main())


def test_the_server_field_can_be_left_out(run: Run) -> None:
    async def main() -> None:
        server = Server([(Site(Hello()), as_endpoints([LOCAL]))], server_name="")
        await server.start()
        assert b"Server:" not in await ask(server.port)
        await server.stop()

    run(main())


def test_a_few_connections_are_accepted_at_a_time(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        asked: list[object] = []

        class Spy:
            async def create_server(self, *arguments: object, **options: object) -> asyncio.Server:
                asked.append(options["backlog"])
                return await loop.create_server(*arguments, **options)  # type: ignore[call-overload]

        endpoint = parse_endpoint("tcp:0:interface=127.0.0.1:backlog=77")
        (sock,) = endpoint.listen()
        accept = server_module._accept
        group = ChannelGroup(Site(Hello()), loop)
        listener = await accept(cast("asyncio.AbstractEventLoop", Spy()), group, endpoint, sock)
        listener.close()
        sock.close()
        assert asked == [server_module.ACCEPT_BURST]

    run(main())


def test_connections_beyond_the_most_wait_for_room(run: Run) -> None:
    """GW-01: worker_connections. Who waits is answered as soon as somebody leaves, or when all ends."""

    async def main() -> None:
        gate = asyncio.Event()
        hello = Hello(gate=gate)
        server = Server([(Site(hello), as_endpoints([LOCAL]))], connections_max=2)
        await server.start()
        first, second, third, fourth = [
            await asyncio.open_connection("127.0.0.1", server.port) for _ in range(4)
        ]
        for _, writer in (first, second, third, fourth):
            writer.write(GET)
        gate.set()
        for reader, _ in (first, second):
            assert b" 200 " in await reader.readline()
        assert server.connections == 2
        second[1].close()
        assert b" 200 " in await third[0].readline()
        assert server.connections == 2
        stopping = asyncio.create_task(server.stop())
        assert b" 200 " in await fourth[0].readline()
        for _, writer in (first, third, fourth):
            writer.close()
        await stopping

    run(main())


def test_processes_share_the_connections_of_a_socket(run: Run) -> None:
    """GW-01: none takes all that wait, however early it is awake; and none waits for ever for one that is blocked."""

    async def main() -> None:
        endpoints = as_endpoints([LOCAL])
        (sock,) = endpoints[0].listen()
        port = sock.getsockname()[1]
        figures = shared_figures()
        servers = [
            Server([(Site(Hello()), endpoints)], balance=Balance(figures, place)) for place in range(3)
        ]
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
        for server in servers[:2]:
            server.adopt([(0, 0, sock)])
            await server.start()
        Balance(figures, 2).tell(0)  # it says that it is there, and accepts nothing
        for reader, writer in clients:
            writer.write(GET)
            assert b" 200 " in await reader.readline()
        counts = sorted(server.connections for server in servers)
        assert counts[0] == 0
        assert sum(counts) == 40
        assert counts[1] >= 10
        for _, writer in clients:
            writer.close()
        for server in servers[:2]:
            await server.stop()
        sock.close()

    run(main())


@asynccontextmanager
async def beside_another(number: int) -> AsyncIterator[tuple[Server, list[Streams]]]:
    """A server for which so many clients wait, beside a process that says that it is there and accepts nothing."""
    endpoints = as_endpoints([LOCAL])
    (sock,) = endpoints[0].listen()
    figures = shared_figures()
    Balance(figures, 1).tell(0)
    server = Server([(Site(Hello()), endpoints)], balance=Balance(figures, 0))
    clients = [await asyncio.open_connection("127.0.0.1", sock.getsockname()[1]) for _ in range(number)]
    server.adopt([(0, 0, sock)])
    await server.start()
    yield server, clients
    for _, writer in clients:
        writer.close()
    await server.stop()
    sock.close()


def test_who_lets_others_go_first_is_not_woken_by_its_own_connections(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GW-01: that one of them has begun is no reason to take the next before the time of the others is over."""
    monkeypatch.setattr(room, "PATIENCE_S", PATIENCE_S)

    async def main() -> None:
        async with beside_another(9) as (server, clients):
            for reader, writer in clients[:2]:  # so many make it be ahead
                writer.write(GET)
                assert b" 200 " in await reader.readline()
            for _ in range(20):
                await asyncio.sleep(0)
            assert 2 <= server.connections < 9

    run(main())


def test_who_lets_others_go_first_goes_on_when_it_has_no_more_than_they(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GW-01: that nobody took the next one is seen as soon as its own are answered, not when time is over."""
    monkeypatch.setattr(room, "PATIENCE_S", PATIENCE_S)

    async def main() -> None:
        async with beside_another(9) as (_, clients):
            for reader, writer in clients:
                writer.write(GET)
                assert b" 200 " in await reader.readline()
                writer.close()

    run(main())


def test_a_connection_whose_client_sends_no_more_does_not_count_among_processes(run: Run) -> None:
    """GW-01: clients that come when others have just gone are shared evenly, though those are still being answered."""

    async def main() -> None:
        figures = shared_figures()
        gate = asyncio.Event()
        hello = Hello(gate=gate)
        server = Server([(Site(hello), as_endpoints([LOCAL]))], balance=Balance(figures, 0))
        await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        await hello.asked.wait()
        async with asyncio.timeout(PATIENCE_S):
            while figures[0] & 0xFFFF != 1:  # an arrival and a channel for a moment
                await asyncio.sleep(0)
            writer.write_eof()
            while figures[0] & 0xFFFF:
                await asyncio.sleep(0)
        assert server.connections == 1
        gate.set()
        assert b" 200 " in await reader.readline()
        await reader.read()
        writer.close()
        await server.stop()

    run(main())


def test_a_process_says_from_its_start_on_that_it_is_there(run: Run) -> None:
    """GW-01: one that is busy leaves connections to one that has just started."""

    async def main() -> None:
        figures = shared_figures()
        server = Server([(Site(Hello()), as_endpoints([LOCAL]))], balance=Balance(figures, 1))
        await server.start()
        assert Balance(figures, 0).is_ahead(2)
        await server.stop()

    run(main())


def test_a_client_that_left_before_its_channel_was_made_takes_no_room() -> None:
    """The loop of asyncio sets an option of the socket, which fails then on some systems."""

    async def main() -> None:
        group = ChannelGroup(Site(Hello()), asyncio.get_running_loop(), room=room.Room(1))
        sock = socket.create_server(("127.0.0.1", 0))
        listener = ArrivalListener(group, sock, partial(H1Channel, group), policy=None, certificates=None)
        left = socket.socket()
        left.close()
        assert group.room is not None
        task = listener._begin(left)
        assert not group.room.has_place()
        await task
        assert group.room.has_place()
        listener.close()

    asyncio.run(main())


# The end.


def test_stop_finishes_what_is_in_flight_and_tells_the_client(run: Run) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        hello = Hello(gate=gate)
        server = Server([(Site(hello), as_endpoints([LOCAL]))])
        await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        await hello.asked.wait()
        stops = [asyncio.create_task(server.stop()) for _ in range(2)]
        await accepts_no_more(server)
        gate.set()
        answer = await reader.read()
        assert b"\r\nConnection: close\r\n" in answer
        assert answer.endswith(b"hello")
        writer.close()
        await asyncio.gather(*stops)
        await server.stop()
        assert hello.notes == ["start ", "stop "]
        assert server.connections == 0

    run(main())


def test_the_deadline_cuts_what_does_not_end(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        hello = Hello(gate=asyncio.Event())
        server = Server([(Site(hello), as_endpoints([LOCAL]))])
        await server.start()
        answer = asyncio.create_task(ask(server.port))
        await hello.asked.wait()
        await server.stop(0.01)
        assert await answer == b""
        assert hello.notes == ["start ", "stop "]

    with caplog.at_level(logging.INFO):
        run(main())
    assert "stopping: 1 connection open" in caplog.text
    assert "requests not answered within 0.01 s were cut off" in caplog.text


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_what_the_kernel_has_accepted_is_answered(run: Run, tmp_path: Path, kind: str) -> None:
    """The clients connect and ask while the loop is busy: the server learns of them only after `stop`."""

    async def main() -> None:
        address = LOCAL if kind == "tcp" else f"unix:{tmp_path}/s"
        server = Server([(Site(Hello()), as_endpoints([address]))])
        await server.start()
        clients = []
        for _ in range(40):
            client = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
            client.settimeout(PATIENCE_S)
            client.connect(("127.0.0.1", server.port) if kind == "tcp" else f"{tmp_path}/s")
            client.sendall(GET)
            clients.append(client)
        stop = asyncio.create_task(server.stop())
        for client in clients:
            client.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=client)
            assert b"200 OK" in await reader.read()
            writer.close()
        await stop

    run(main())


def test_a_port_where_clients_never_cease_to_come_is_closed_too(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        server = Server([(Site(Hello()), as_endpoints([LOCAL]))])
        await server.start()
        stop = asyncio.create_task(server.stop())
        while not refused(server.port):
            await asyncio.sleep(0)
        await stop
        assert server.connections == 0

    monkeypatch.setattr(server_module, "ACCEPT_MAX_S", 0.05)
    run(main())
    gc.collect()  # a connection that was lost on its way warns when it is collected


def test_a_site_that_does_not_stop_is_given_up(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Hangs(Resource):
        async def stop(self) -> None:
            await asyncio.Event().wait()

    async def main() -> None:
        async with serving(Hangs(), LOCAL):
            pass

    monkeypatch.setattr(server_module, "SITE_STOP_S", 0.01)
    run(main())
    assert "did not stop within 0.01 s" in caplog.text


def test_a_socket_file_that_cannot_be_removed_is_a_warning(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serving(Hello(), f"unix:{tmp_path}/s"):
            monkeypatch.setattr(os, "unlink", _denied)

    run(main())
    monkeypatch.undo()
    assert f"unix:{tmp_path}/s was left behind" in caplog.text


def _denied(path: object) -> None:
    raise PermissionError(13, "Permission denied")


# The access log.


@pytest.mark.parametrize("interval", [0.001, 1e6])
def test_the_access_log_is_flushed_on_time_and_at_the_end(
    run: Run, monkeypatch: pytest.MonkeyPatch, interval: float
) -> None:
    async def main() -> None:
        stream = io.StringIO()
        async with serving(Site(Hello(), access_log=AccessLog(stream)), LOCAL) as server:
            await ask(server.port)
            while interval < 1 and not stream.getvalue():
                await asyncio.sleep(0)
            assert bool(stream.getvalue()) is (interval < 1)
        assert '"GET / HTTP/1.1" 200' in stream.getvalue()

    monkeypatch.setattr(server_module, "LOG_FLUSH_S", interval)
    run(main())


# The process.


def test_loops_by_name() -> None:
    assert process.choose_loop("auto") == process.choose_loop("uvloop") == ("uvloop", uvloop.new_event_loop)
    assert process.choose_loop("asyncio") == ("asyncio", None)
    with pytest.raises(process.LoopProblem, match=r"expected one of auto, .* as loop, got 'trio'"):
        process.choose_loop("trio")


def test_without_uvloop_auto_is_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "uvloop", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert process.choose_loop("auto") == ("asyncio", None)
    with pytest.raises(process.LoopProblem, match="expected uvloop to be installed"):
        process.choose_loop("uvloop")


def test_threads_are_counted_once_a_pool_in_inner_sites_too() -> None:
    from container.resources.wsgi import ThreadPool, WSGIResource

    def app(environ: object, start_response: object) -> list[bytes]:
        return []

    pool = ThreadPool(3)
    root = WSGIResource(app, pool=pool)
    root.mount("same", WSGIResource(app, pool=pool))
    root.mount("inline", WSGIResource(app, threads=0))
    root.mount("inner", Site(WSGIResource(app, threads=2)))
    assert sorted(each.threads for each in pools_of([Site(root)])) == [2, 3]
    assert pools_of([Site(Hello())]) == []


@pytest.fixture
def calm() -> Iterator[None]:
    """What `run` changes in the process is put back."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    gc.unfreeze()
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.usefixtures("calm")
def test_run_takes_an_application_through_its_life(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    notes: list[str] = []

    class Noted(Service):
        def privileged_start(self) -> None:
            notes.append("privileged")

        async def start(self) -> None:
            notes.append("start")

        async def stop(self) -> None:
            notes.append("stop")

    application = Application("x")
    application.serve(Hello(notes, "resource"), LOCAL)
    application.add_service(Noted())
    freeze = process.freeze_memory

    def freeze_and_ask_for_the_end() -> None:
        freeze()
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(process, "freeze_memory", freeze_and_ask_for_the_end)
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    assert process.run(application, loop="asyncio") == 0
    assert notes == ["privileged", "start", "start resource", "stop resource", "stop"]
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard
    assert gc.get_freeze_count() > 0
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("container 0.")
    assert ", asyncio) - Ctrl-C stops\n" in err


@pytest.mark.usefixtures("calm")
def test_run_takes_bare_bindings_and_reports_a_taken_port(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        application = Application("x")
        application.serve(Hello(), f"127.0.0.1:{taken.getsockname()[1]}")
        assert process.run(application.bindings) == 1
    assert capfd.readouterr().err.startswith("container: cannot listen on 127.0.0.1:")


# Logging.


def test_loggers_switched_off_by_others_come_back() -> None:
    ours, theirs = logging.getLogger("container.site"), logging.getLogger("containers")
    theirs.disabled = ours.disabled = True
    revive_loggers()
    assert not ours.disabled
    assert theirs.disabled
    theirs.disabled = False


def test_what_is_written_leaves_at_once(run: Run) -> None:
    """Nagle's algorithm would hold back the end of a streamed answer until the client acknowledges its beginning."""

    async def main() -> None:
        async with serving(Site(Hello()), LOCAL) as server:
            for listener in server._listeners:
                for sock in listener.sockets:
                    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    run(main())
