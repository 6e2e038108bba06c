"""Services and their phases, and what an application records; nothing here listens or sleeps."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

import pytest

from container.channel.endpoints import EndpointError, TCPEndpoint, UnixEndpoint
from container.service.application import Application, Binding, Service, ServiceCollection

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Traced(Service):
    """Writes each phase down, and raises in the phase that its name's end asks for."""

    def __init__(
        self, name: str, log: list[str], *, failing: str = "", error: BaseException | None = None
    ) -> None:
        super().__init__(name)
        self.log = log
        self.failing = failing
        self.error = error or RuntimeError("broken")

    def _note(self, phase: str) -> None:
        self.log.append(f"{phase} {self.name}")
        if self.failing == phase:
            raise self.error

    def privileged_start(self) -> None:
        self._note("privileged")

    def withdraw(self) -> None:
        self._note("withdraw")

    async def start(self) -> None:
        await asyncio.sleep(0)
        self._note("start")

    async def stop(self) -> None:
        await asyncio.sleep(0)
        self._note("stop")


def run(coroutine: Coroutine[object, object, None]) -> None:
    asyncio.run(coroutine)


def test_phases_run_in_order_and_the_last_in_reverse() -> None:
    log: list[str] = []

    async def live() -> None:
        application = Application("shop")
        inner = ServiceCollection("inner")
        application.add_service(Traced("a", log))
        application.add_service(inner)
        inner.add_service(Traced("b", log))
        inner.add_service(Traced("c", log))
        application.add_service(Traced("d", log))
        application.privileged_start()
        await application.start()
        assert application.running
        assert inner.running
        assert all(service.running for service in (*application.services, *inner.services))
        await application.stop()
        assert not any(service.running for service in (application, *application.services, *inner.services))

    run(live())
    assert log == [
        *("privileged a", "privileged b", "privileged c", "privileged d"),
        *("start a", "start b", "start c", "start d"),
        *("stop d", "stop c", "stop b", "stop a"),
    ]


def test_an_application_can_start_again_and_stops_once() -> None:
    log: list[str] = []

    async def live() -> None:
        application = Application("shop")
        application.add_service(Traced("a", log))
        for _ in range(2):
            await application.start()
            await application.start()
            await application.stop()
            await application.stop()

    run(live())
    assert log == ["start a", "stop a"] * 2


def test_a_failed_start_stops_the_started_in_reverse_and_raises() -> None:
    log: list[str] = []

    async def live() -> None:
        application = Application("shop")
        for name in "ab":
            application.add_service(Traced(name, log))
        application.add_service(Traced("c", log, failing="start"))
        application.add_service(Traced("d", log))
        with pytest.raises(RuntimeError, match="broken"):
            await application.start()
        assert not application.running

    run(live())
    assert log == ["start a", "start b", "start c", "stop b", "stop a"]


def test_a_cancelled_start_stops_the_started() -> None:
    log: list[str] = []

    class Forever(Service):
        async def start(self) -> None:
            log.append("waiting")
            await asyncio.Event().wait()

    async def live() -> None:
        application = Application("shop")
        application.add_service(Traced("a", log))
        application.add_service(Forever())
        starting = asyncio.create_task(application.start())
        while "waiting" not in log:
            await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    run(live())
    assert log == ["start a", "waiting", "stop a"]


def test_all_services_withdraw_in_reverse_though_one_fails_to(caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    application = Application("shop")
    inner = ServiceCollection("inner")
    application.add_service(Traced("a", log))
    application.add_service(inner)
    inner.add_service(Traced("b", log, failing="withdraw"))
    application.add_service(Traced("c", log))
    application.withdraw()
    assert log == ["withdraw c", "withdraw b", "withdraw a"]
    assert "did not withdraw" in caplog.text


def test_an_error_in_a_privileged_start_is_raised_at_once() -> None:
    log: list[str] = []
    application = Application("shop")
    application.add_service(Traced("a", log, failing="privileged"))
    application.add_service(Traced("b", log))
    with pytest.raises(RuntimeError):
        application.privileged_start()
    assert log == ["privileged a"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("broken"), "<Traced b> did not stop"),
        (asyncio.CancelledError(), "<Traced b> let its own cancellation out while stopping"),
    ],
)
def test_an_error_in_one_stop_is_logged_and_the_others_stop(
    error: BaseException, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []

    async def live() -> None:
        application = Application("shop")
        application.add_service(Traced("a", log))
        application.add_service(Traced("b", log, failing="stop", error=error))
        application.add_service(Traced("c", log))
        await application.start()
        log.clear()
        await application.stop()

    run(live())
    assert log == ["stop c", "stop b", "stop a"]
    assert [record.getMessage() for record in caplog.records] == [words]
    assert caplog.records[0].exc_info is not None


def test_a_stop_that_is_cancelled_gives_up_and_a_second_one_does_the_rest() -> None:
    log: list[str] = []

    class Slow(Service):
        async def stop(self) -> None:
            log.append("waiting")
            await asyncio.Event().wait()

    async def live() -> None:
        application = Application("shop")
        application.add_service(Traced("a", log))
        application.add_service(Slow())
        await application.start()
        stopping = asyncio.create_task(application.stop())
        while "waiting" not in log:
            await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        await application.stop()

    run(live())
    assert log == ["start a", "waiting", "stop a"]


def test_a_name_is_given_once_and_a_service_has_one_parent() -> None:
    application = Application("shop")
    first = Service("mail")
    application.add_service(first)
    application.add_service(Service())
    application.add_service(Service())
    with pytest.raises(ValueError, match="a name no other service of <Application shop> has, got 'mail'"):
        application.add_service(Service("mail"))
    with pytest.raises(ValueError, match="expected a service without a parent"):
        Application("other").add_service(first)
    assert first.parent is application
    assert application.service("mail") is first
    assert len(application.services) == 3
    with pytest.raises(KeyError):
        application.service("male")


def test_a_subclass_may_leave_out_the_constructor_and_name_itself() -> None:
    class Clock(Service):
        name = "clock"

        def __init__(self) -> None:
            pass

    application = Application("shop")
    application.add_service(Clock())
    assert repr(application.service("clock")) == "<Clock clock>"
    assert repr(Service()) == "<Service without a name>"


def test_a_service_added_while_running_starts_at_once_and_stop_waits_for_it() -> None:
    log: list[str] = []

    async def live() -> None:
        application = Application("shop")
        application.add_service(Traced("a", log))
        await application.start()
        application.add_service(Traced("late", log))
        await application.stop()

    run(live())
    assert log == ["start a", "privileged late", "start late", "stop late", "stop a"]


def test_a_service_added_by_a_starting_one_has_every_phase() -> None:
    log: list[str] = []

    class Opener(Service):
        async def start(self) -> None:
            assert self.parent is not None
            self.parent.add_service(Traced("added", log))

    async def live() -> None:
        application = Application("shop")
        application.add_service(Opener())
        application.privileged_start()
        await application.start()
        await application.stop()

    run(live())
    assert log == ["privileged added", "start added", "stop added"]


def test_a_late_service_that_fails_is_logged_and_does_not_run(caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []

    async def live() -> None:
        application = Application("shop")
        await application.start()
        late = Traced("late", log, failing="start")
        application.add_service(late)
        await application.stop()
        assert late.parent is application
        with pytest.raises(RuntimeError):
            await application.start()

    run(live())
    assert log == ["privileged late", "start late", "start late"]
    assert [record.getMessage() for record in caplog.records] == ["<Traced late> did not start"]


def test_a_late_service_that_fails_its_privileged_start_is_not_added() -> None:
    async def live() -> None:
        application = Application("shop")
        await application.start()
        with pytest.raises(RuntimeError):
            application.add_service(Traced("late", [], failing="privileged"))
        assert application.services == ()
        await application.stop()

    run(live())


def test_removal_stops_a_running_service() -> None:
    log: list[str] = []

    async def live() -> None:
        application = Application("shop")
        first, second = Traced("a", log), Traced("b", log)
        application.add_service(first)
        await application.start()
        application.add_service(second)
        await application.remove_service(second)
        await application.remove_service(first)
        assert application.services == ()
        assert first.parent is None
        with pytest.raises(ValueError, match="expected a service of <Application shop>"):
            await application.remove_service(first)
        application.add_service(first)
        await application.stop()

    run(live())
    assert log == [
        *("start a", "privileged b", "start b", "stop b", "stop a"),
        *("privileged a", "start a", "stop a"),
    ]


def test_removal_of_a_service_that_does_not_run_is_quiet() -> None:
    log: list[str] = []

    async def live() -> None:
        application = Application("shop")
        service = Traced("a", log)
        application.add_service(service)
        await application.remove_service(service)

    run(live())
    assert log == []


@pytest.mark.parametrize("late", [False, True])
def test_a_service_may_remove_itself_while_it_starts(late: bool) -> None:
    log: list[str] = []

    class Fleeting(Traced):
        async def start(self) -> None:
            await super().start()
            assert self.parent is not None
            await self.parent.remove_service(self)

    async def live() -> None:
        application = Application("shop")
        if late:
            await application.start()
        application.add_service(Fleeting("f", log))
        await application.start()
        while "stop f" not in log:
            await asyncio.sleep(0)
        await application.stop()
        assert application.services == ()

    run(live())
    assert log[-2:] == ["start f", "stop f"]


def test_a_late_service_may_stop_the_application_while_it_starts() -> None:
    log: list[str] = []

    class Fuse(Traced):
        async def start(self) -> None:
            await super().start()
            assert self.parent is not None
            await self.parent.stop()

    async def live() -> None:
        application = Application("shop")
        application.add_service(Traced("a", log))
        await application.start()
        application.add_service(Fuse("f", log))
        while "stop f" not in log:
            await asyncio.sleep(0)

    run(live())
    assert log == ["start a", "privileged f", "start f", "stop a", "stop f"]


def test_a_background_task_runs_until_the_stop() -> None:
    log: list[str] = []

    async def live() -> None:
        application = Application("shop")

        @application.background
        async def ticker() -> None:
            log.append("begin")
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                log.append("end")

        await application.start()
        assert application.service("ticker") is ticker
        while not log:
            await asyncio.sleep(0)
        await application.stop()
        assert log == ["begin", "end"]
        await application.start()
        await application.stop()  # before the task had its first turn

    run(live())
    assert log == ["begin", "end"]


def test_a_background_task_that_fails_is_logged_and_the_rest_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(words: str) -> None:
        raise RuntimeError(words)

    async def live() -> None:
        application = Application("shop")
        service = application.background(functools.partial(broken, "no luck"))
        assert service.name is None
        application.background(functools.partial(broken, "no luck"), name="other")
        await application.start()
        while len(caplog.records) < 2:
            await asyncio.sleep(0)
        assert application.running
        await application.stop()
        await service.stop()

    run(live())
    assert {record.getMessage() for record in caplog.records} == {
        "<_Background without a name> ended with an error",
        "<_Background other> ended with an error",
    }


def test_an_application_records_what_is_served_where() -> None:
    application = Application("shop", uid=33, gid=34)
    site, other = object(), object()
    ready = UnixEndpoint("/run/shop.sock")
    application.serve(site, "tcp:8080", 8081, ready, backlog=5)
    application.serve(other)
    assert (application.name, application.uid, application.gid) == ("shop", 33, 34)
    assert application.bindings == [
        Binding(site, (TCPEndpoint(None, 8080), TCPEndpoint(None, 8081), ready), {"backlog": 5}),
        Binding(other, (), {}),
    ]


def test_an_address_that_cannot_be_read_is_refused_at_once() -> None:
    application = Application("shop")
    with pytest.raises(EndpointError, match=r'did you mean "tcp"\?'):
        application.serve(object(), "tcp:80", "tpc:80")
    assert application.bindings == []
