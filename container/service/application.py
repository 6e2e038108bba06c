"""An application: what is served where, and the services that live beside it.

Here: the phases of a service (privileged start, start, stop), collections that keep their order, and the
record of which site listens on which endpoint. Not here: sockets, signals, dropping privileges and the event
loop (server.py).

The phases: `privileged_start` of all, in order, before the process gives up its rights; `start` of all, in
order; `stop` of those that started, in reverse. Where the application does not come to serve, `withdraw` of all, in
reverse, is the last.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from container.channel.endpoints import Endpoint, parse_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

logger = logging.getLogger(__name__)


class Service:
    """Something that runs as long as the application does. Override the phases you need.

    The collection that holds a service calls its phases and keeps `parent` and `running`.
    """

    name: str | None = None
    parent: ServiceCollection | None = None
    running: bool = False

    def __init__(self, name: str | None = None) -> None:
        if name is not None:
            self.name = name

    def privileged_start(self) -> None:
        """Do what needs the rights the process was started with; the event loop may not run yet."""

    def withdraw(self) -> None:
        """Take `privileged_start` back: the application has not started. Comes after `stop` where this had started, and
        also where `privileged_start` was not called or has raised."""

    async def start(self) -> None:
        """Begin. If this raises, the application does not start, and `stop` is not called."""

    async def stop(self) -> None:
        """End; called once after each `start` that returned."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name or 'without a name'}>"


class ServiceCollection(Service):
    """Services that start in order and stop in reverse; itself a service, so collections nest.

    Names are unique in a collection. All methods belong to the thread of the event loop.
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        self._services: list[Service] = []
        self._arriving: dict[asyncio.Task[None], Service] = {}
        self._privileged_start_is_over = False

    @property
    def services(self) -> tuple[Service, ...]:
        return tuple(self._services)

    def service(self, name: str) -> Service:
        """The service of that name; KeyError if there is none."""
        for service in self._services:
            if service.name == name:
                return service
        raise KeyError(name)

    def add_service(self, service: Service) -> None:
        """Append a service. If the collection runs, the service starts at once, beside whoever called.

        A `start` that then raises is logged and leaves the service in the collection, not running.
        """
        if service.parent is not None:
            raise ValueError(f"expected a service without a parent, got {service!r} of {service.parent!r}")
        if service.name is not None and any(each.name == service.name for each in self._services):
            raise ValueError(f"expected a name no other service of {self!r} has, got {service.name!r}")
        loop = asyncio.get_running_loop() if self.running else None
        if self._privileged_start_is_over:
            service.privileged_start()
        service.parent = self
        self._services.append(service)
        if loop is not None:
            task = loop.create_task(self._arrive(service))
            self._arriving[task] = service
            task.add_done_callback(self._arriving.pop)

    async def remove_service(self, service: Service) -> None:
        """Take a service out and, if it runs, stop it."""
        if service.parent is not self:
            raise ValueError(f"expected a service of {self!r}, got {service!r}")
        service.parent = None
        self._services.remove(service)
        await self._arrived(service)
        await _stop(service)

    def privileged_start(self) -> None:
        self._privileged_start_is_over = True  # whoever is added from now on must not miss it
        for service in self.services:
            service.privileged_start()

    def withdraw(self) -> None:
        """Of every service, last first. What one raises is logged and does not keep the others."""
        self._privileged_start_is_over = False
        for service in reversed(self.services):
            try:
                service.withdraw()
            except Exception:  # the service's own code
                logger.exception("%r did not withdraw", service)

    async def start(self) -> None:
        """Start every service; if one fails, stop those that started and raise what it raised."""
        if self.running:
            return
        self._privileged_start_is_over = True
        try:
            # Not a loop over the list: a service may add and remove others while it starts.
            while (service := next((each for each in self._services if not each.running), None)) is not None:
                await self._begin(service)
        except BaseException:
            await self.stop()
            raise
        self.running = True

    async def stop(self) -> None:
        """Stop every running service, last first. What one raises is logged and does not keep the others."""
        self.running = self._privileged_start_is_over = False
        await self._arrived(*self._services)
        for service in reversed(self.services):
            await _stop(service)

    async def _begin(self, service: Service) -> None:
        await service.start()
        service.running = True
        if service.parent is not self:  # removed meanwhile
            await _stop(service)

    async def _arrive(self, service: Service) -> None:
        try:
            await self._begin(service)
            if not self.running:  # the service stopped the collection while it started
                await _stop(service)
        except Exception:  # the service's own code
            logger.exception("%r did not start", service)

    async def _arrived(self, *services: Service) -> None:
        """Wait until those of the services that are starting have; not for the one whose start is asking."""
        tasks = {task for task, service in self._arriving.items() if service in services}
        tasks.discard(asyncio.current_task())
        if tasks:
            await asyncio.wait(tasks)


@dataclass(frozen=True, slots=True)
class Binding:
    """A site and where it is served. No endpoints: wherever the command line says, or the default address.

    The site and the options are the server's to understand; here they are only kept.
    """

    site: object
    endpoints: tuple[Endpoint, ...]
    options: Mapping[str, object]


class Application(ServiceCollection):
    """What a `.tac` file binds: sites with their addresses, and services. It opens no socket itself.

    `uid` and `gid` are whom the process becomes after the privileged start.
    """

    def __init__(self, name: str, *, uid: int | None = None, gid: int | None = None) -> None:
        super().__init__(name)
        self.uid = uid
        self.gid = gid
        self.bindings: list[Binding] = []

    def serve(self, site: object, *addresses: str | int | Endpoint, **options: object) -> None:
        """Serve `site` on every address; one that cannot be understood is an EndpointError now."""
        endpoints = tuple(
            parse_endpoint(str(address)) if isinstance(address, str | int) else address
            for address in addresses
        )
        self.bindings.append(Binding(site, endpoints, options))

    def background(
        self, function: Callable[[], Coroutine[object, object, object]], *, name: str | None = None
    ) -> Service:
        """Run a coroutine function while the application runs; its task is cancelled at stop.

        The service is named after the function. Usable as a decorator of a function nobody else calls.
        """
        service = _Background(function, name or getattr(function, "__name__", None))
        self.add_service(service)
        return service


class _Background(Service):
    """A service that is one task. A task that ends early, well or badly, does not end the application."""

    def __init__(self, function: Callable[[], Coroutine[object, object, object]], name: str | None) -> None:
        super().__init__(name)
        self._function = function
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def _run(self) -> None:
        try:
            await self._function()
        except Exception:  # the application's own code
            logger.exception("%r ended with an error", self)


async def _stop(service: Service) -> None:
    """Stop a service if it runs; log what it raises, and raise only a cancellation meant for the caller."""
    if not service.running:
        return
    service.running = False
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        await service.stop()
    except asyncio.CancelledError:
        # A service that cancels its own task and awaits it often lets the CancelledError out: no reason to
        # leave the others running.
        if task is not None and task.cancelling() > before:
            raise
        logger.exception("%r let its own cancellation out while stopping", service)
    except Exception:  # the service's own code
        logger.exception("%r did not stop", service)
