"""The life of an ASGI application: its start-up, its shutdown and the state in between (ASGI lifespan 2.0)."""

import asyncio
import logging
from typing import Any, Final, Literal

from container.resources.asgi.scope import ASGIApplication, Message, Scope

log = logging.getLogger("container.asgi")

LifespanMode = Literal["auto", "on", "off"]
MODES: Final = ("auto", "on", "off")
_VERSIONS: Final = {"version": "3.0", "spec_version": "2.0"}
# What an application gets to stop, and to end once it is cancelled: less than the tree it is in, whose others want to
# stop, too.
SHUTDOWN_S: Final = 7.0
CANCEL_S: Final = 1.0


class LifespanError(Exception):
    """The application said that it cannot start, or failed to say that it has."""


class Lifespan:
    """Runs one application's lifespan, in a task of its own from `startup` to `shutdown`.

    `mode`: with "auto" an application that does not know the protocol is served without it; with "on" that
    is an error; with "off" it is not asked. `state` is what the application has put there, None when it was
    not asked or knows nothing of it.
    """

    def __init__(self, app: ASGIApplication, name: str, mode: LifespanMode = "auto") -> None:
        self.state: dict[str, Any] | None = None
        self._app = app
        self._name = name
        self._mode = mode
        self._task: asyncio.Task[None] | None = None
        self._asked = self._told = False
        self._failure: str | None = None

    async def startup(self) -> None:
        """Have the application start. Raises LifespanError when it cannot."""
        if self._mode == "off":
            return
        loop = asyncio.get_running_loop()
        self._asked = self._told = False
        self._failure = None
        self._started: asyncio.Future[None] = loop.create_future()
        self._ending: asyncio.Future[None] = loop.create_future()
        self._stopped: asyncio.Future[None] = loop.create_future()
        state: dict[str, Any] = {}
        scope: Scope = {"type": "lifespan", "asgi": dict(_VERSIONS), "state": state}
        self._task = loop.create_task(self._run(scope), name=f"lifespan of {self._name}")
        try:
            await asyncio.wait({self._task, self._started}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._cancel()
            raise
        if self._failure is not None:
            await self._cancel()
            raise LifespanError(f"{self._name} did not start: {self._failure}")
        if self._started.done():
            self.state = state
            return
        error = self._error()
        self._task = None
        if self._mode == "on":
            raise LifespanError(f"expected {self._name} to complete its startup, it ended first") from error
        if isinstance(error, LifespanError):
            raise error
        log.info("%s is served without lifespan: %s", self._name, _reason(error))

    async def shutdown(self) -> None:
        """Have the application stop, and wait for it as long as it may take. What it raises is logged."""
        if self._task is None:
            return
        try:
            if not self._ending.done():
                self._ending.set_result(None)
            done, _ = await asyncio.wait(
                {self._task, self._stopped}, timeout=SHUTDOWN_S, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                log.error("%s did not stop within %g s", self._name, SHUTDOWN_S)
            elif self._failure is not None:
                log.error("%s did not stop cleanly: %s", self._name, self._failure)
            elif not self._stopped.done() and (error := self._error()) is not None:
                log.error("%s failed while it stopped", self._name, exc_info=error)
        finally:
            await self._cancel()

    # What the application calls.

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        # A waiter that is cancelled must not cancel what others wait for.
        await asyncio.shield(self._ending)
        if self._told:
            # It asks on and on: there is no more to tell, and others must run until it is cancelled.
            await asyncio.get_running_loop().create_future()
        self._told = True
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete" and not self._started.done():
            self._started.set_result(None)
        elif kind == "lifespan.startup.failed" and not self._started.done():
            self._failure = message.get("message") or "it gave no reason"
            self._started.set_result(None)
        elif kind in ("lifespan.shutdown.complete", "lifespan.shutdown.failed") and self._ending.done():
            if kind.endswith("failed"):
                self._failure = message.get("message") or "it gave no reason"
            if not self._stopped.done():
                self._stopped.set_result(None)
        else:
            raise RuntimeError(f"expected a lifespan message in its order, got {kind!r}")

    # Inside.

    async def _run(self, scope: Scope) -> None:
        try:
            await self._app(scope, self._receive, self._send)
        except (KeyboardInterrupt, SystemExit) as error:
            # A task that raises one of these would end the loop.
            raise LifespanError(f"{self._name} raised {type(error).__name__}") from error

    def _error(self) -> BaseException | None:
        """What the task ended with."""
        assert self._task is not None, "asked after the start"
        if not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()

    async def _cancel(self) -> None:
        task, self._task = self._task, None
        self.state = None
        if task is not None:
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_S)
            if not task.done():
                log.warning("the lifespan of %s did not end, left behind", self._name)
            elif not task.cancelled():
                task.exception()  # it has been told already


def _reason(error: BaseException | None) -> str:
    if error is None:
        return "it ended before its startup was complete"
    return f"{type(error).__name__}: {error}"
