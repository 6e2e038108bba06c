"""ASGI applications start and stop: one lifespan each, in mount order. AS-04."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from container.resources.asgi import ASGIResource
from container.resources.asgi.lifespan import LifespanError
from container.testing import Client
from container.tree.resource import Resource
from container.tree.site import Site

LOG: list[str] = []


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    LOG.clear()


class App:
    """Knows the lifespan protocol; says its name, and what its state holds."""

    def __init__(self, name: str, *, fail: str = "", message: str = "planned") -> None:
        self.name = name
        self.fail = fail
        self.message = message

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.live(scope, receive, send)
            return
        state = scope["state"]
        state["seen"] = state.get("seen", 0) + 1
        state["shared"].append(1)
        await send({"type": "http.response.start", "status": 200})
        text = f"{state['name']} {state['seen']} {len(state['shared'])}"
        await send({"type": "http.response.body", "body": text.encode()})

    async def live(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
        LOG.append(f"start {self.name}")
        if self.fail == "startup":
            await send({"type": "lifespan.startup.failed", "message": self.message})
            return
        scope["state"].update(name=self.name, shared=[])
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        LOG.append(f"stop {self.name}")
        if self.fail == "shutdown":
            await send({"type": "lifespan.shutdown.failed", "message": self.message})
        elif self.fail == "raise":
            raise RuntimeError("planned")
        else:
            await send({"type": "lifespan.shutdown.complete"})


def tree(*apps: App, **options: Any) -> Site:
    root = Resource()
    for app in apps:
        root.mount(app.name, ASGIResource(app, **options))
    return Site(root)


def test_applications_start_in_mount_order_and_stop_in_reverse() -> None:
    with Client(tree(App("one"), App("two"), App("three"))):
        assert LOG == ["start one", "start two", "start three"]
    assert LOG[3:] == ["stop three", "stop two", "stop one"]


def test_the_state_of_each_application_is_its_own_and_a_copy_for_each_request() -> None:
    with Client(tree(App("one"), App("two"))) as client:
        assert [client.get(f"/{name}").text for name in ("one", "one", "two")] == [
            "one 1 1", "one 1 2", "two 1 1",
        ]  # fmt: skip


async def http_only(scope: dict[str, Any], receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    assert "state" not in scope
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"ok"})


async def returns_at_once(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "lifespan":
        await http_only(scope, receive, send)


async def waits_then_raises(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
    await http_only(scope, receive, send)


@pytest.mark.parametrize("app", [http_only, returns_at_once, waits_then_raises])
def test_an_application_without_lifespan_is_served_without(
    app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with Client(ASGIResource(app)) as client:
        assert client.get("/").body == b"ok"
    assert "is served without lifespan" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("app", [http_only, returns_at_once])
def test_with_on_that_is_an_error(app: Any) -> None:
    with pytest.raises(LifespanError, match="to complete its startup, it ended first"):
        Client(ASGIResource(app, lifespan="on")).__enter__()


def test_with_off_nothing_is_asked() -> None:
    with Client(ASGIResource(http_only, lifespan="off")) as client:
        assert client.get("/").body == b"ok"
    app = App("x")
    with Client(ASGIResource(app, lifespan="off")):
        pass
    assert LOG == []


def test_a_required_application_that_fails_stops_the_start_and_what_has_started() -> None:
    with pytest.raises(LifespanError, match=r"test_asgi_lifespan.App did not start: planned"):
        Client(tree(App("one"), App("two", fail="startup"), App("three"))).__enter__()
    assert LOG == ["start one", "start two", "stop one"]


def test_an_optional_one_is_answered_for_with_503(caplog: pytest.LogCaptureFixture) -> None:
    root = Resource()
    root.mount("broken", ASGIResource(App("broken", fail="startup"), required=False))
    root.mount("works", ASGIResource(App("works")))
    with Client(root) as client:
        assert [client.get(path).status for path in ("/broken", "/broken/x", "/works")] == [503, 503, 200]
    assert "did not start: planned; it is answered for with 503" in caplog.text
    assert LOG == ["start broken", "start works", "stop works"]


async def exits(scope: dict[str, Any], receive: Any, send: Any) -> None:
    raise SystemExit(1)


@pytest.mark.parametrize("mode", ["on", "auto"])
def test_an_application_that_exits_does_not_end_the_loop(mode: Any) -> None:
    with pytest.raises(LifespanError):
        Client(ASGIResource(exits, lifespan=mode)).__enter__()


@pytest.mark.parametrize(
    ("fail", "message"), [("shutdown", "did not stop cleanly: planned"), ("raise", "failed while it stopped")]
)
def test_an_application_that_fails_to_stop_is_logged_and_others_stop(
    fail: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Client(tree(App("one"), App("two", fail=fail))):
        pass
    assert LOG == ["start one", "start two", "stop two", "stop one"]
    assert message in caplog.text


def test_an_application_that_dies_between_is_served_on(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            raise RuntimeError("planned")
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"ok"})

    with Client(ASGIResource(app)) as client:
        client.settle()
        assert client.get("/").body == b"ok"
    assert "failed while it stopped" in caplog.text


def test_messages_out_of_order_raise() -> None:
    problems: list[str] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            return
        await receive()
        for kind in ("lifespan.shutdown.complete", "http.response.start"):
            with pytest.raises(RuntimeError) as caught:
                await send({"type": kind})
            problems.append(str(caught.value))
        await send({"type": "lifespan.startup.complete"})
        with pytest.raises(RuntimeError) as caught:
            await send({"type": "lifespan.startup.complete"})
        problems.append(str(caught.value))
        await receive()

    with Client(ASGIResource(app)):
        pass
    assert [problem.partition(", got ")[2] for problem in problems] == [
        "'lifespan.shutdown.complete'", "'http.response.start'", "'lifespan.startup.complete'",
    ]  # fmt: skip


def test_contextvars_and_tasks_of_a_lifespan_live_on() -> None:
    ticks: list[int] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            return
        await receive()

        async def tick() -> None:
            while True:
                ticks.append(1)
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            task = group.create_task(tick())
            await send({"type": "lifespan.startup.complete"})
            await receive()
            task.cancel()
        await send({"type": "lifespan.shutdown.complete"})

    with Client(ASGIResource(app)) as client:
        client.wait_until(lambda: len(ticks) > 3)


def test_it_may_start_again() -> None:
    site = tree(App("one"))
    for _ in range(2):
        with Client(site) as client:
            assert client.get("/one").text == "one 1 1"
    assert LOG == ["start one", "stop one"] * 2


def test_an_application_that_asks_again_after_its_shutdown_keeps_nobody_from_ending() -> None:
    asked: list[str] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        while True:  # as if it were told of more lives than one
            asked.append((await receive())["type"])
            assert len(asked) < 100, "it keeps the loop"
            await send({"type": f"{asked[-1]}.complete"})

    with Client(Site(ASGIResource(app, lifespan="on"))):
        pass
    assert asked == ["lifespan.startup", "lifespan.shutdown"]


def test_an_application_that_does_not_stop_does_not_keep_others_from_stopping(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """AS-04: it neither says that it has stopped nor ends when it is cancelled."""
    monkeypatch.setattr("container.resources.asgi.lifespan.SHUTDOWN_S", 0.01)
    monkeypatch.setattr("container.resources.asgi.lifespan.CANCEL_S", 0.01)
    cancelled: list[str] = []

    async def stays(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("once")
            await asyncio.Event().wait()

    site = tree(App("one"))
    site.root.mount("two", ASGIResource(stays))
    with Client(site):
        pass
    assert cancelled == ["once"]
    assert LOG == ["start one", "stop one"]
    assert [record.getMessage().partition(" did not ")[2] for record in caplog.records] == [
        "stop within 0.01 s",
        "end, left behind",
    ]
