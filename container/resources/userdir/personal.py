"""The servers that users run for themselves: where they listen, whether it is really theirs, starting them.

A user's server listens on a UNIX socket in the home directory (`container --personal`). Before anything is handed
over, the system is asked who listens there (SO_PEERCRED): nobody can put a socket in the place of another's.
"""

import asyncio
import logging
import os
import socket
import stat
import struct
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from threading import Thread
from time import monotonic
from typing import Final

from container.message.errors import HTTPError
from container.message.request import Request
from container.resources.userdir.accounts import Account
from container.tree.resource import Answer, Resource

log = logging.getLogger("container.userdir")

SOCKET_NAME: Final = ".container-web-service"
_CREDENTIALS: Final = struct.Struct("3i")
_LOOK_S: Final = 1.0
_POLL_S: Final = 0.05
_REST_S: Final = 5.0

# Starts the server of a user and comes back when that is under way.
Starter = Callable[[Account], Awaitable[object]]


def listener_of(path: str) -> int | None:
    """The uid of who listens at a UNIX socket; None when nobody does. Raises PermissionError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:  # its queue is full: it is alive
            raise HTTPError(503, "The server of this user is busy.", headers={"Retry-After": "1"}) from None
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return None
        raw = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        uid: int = _CREDENTIALS.unpack(raw)[1]
        return uid


def command(arguments: Sequence[str]) -> Starter:
    """Starts `arguments`, in which `{user}` and `{home}` are replaced, as a process that lives on by itself, such as
    `["runuser", "-u", "{user}", "--", "container", "--personal", "--path", "{home}/public_html"]`."""
    if isinstance(arguments, str) or not arguments:
        raise ValueError(f"expected a list of arguments, got {arguments!r}")

    async def start(account: Account) -> None:
        words = [each.replace("{user}", account.name).replace("{home}", account.home) for each in arguments]
        process = await asyncio.to_thread(_begin, words)
        # It outlives this server; as long as that runs, somebody takes note of its end.
        Thread(target=process.wait, name=f"server of {account.name}", daemon=True).start()

    return start


def _begin(words: Sequence[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True, cwd="/")


class PersonalServer(Resource):
    """Stands for the server of one user: sees to it that it is there, then passes on to `proxy`."""

    is_leaf = True

    def __init__(
        self,
        account: Account,
        path: str,
        proxy: Resource,
        starter: Starter | None,
        *,
        start_timeout: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.account = account
        self.path = path
        self.proxy = proxy
        self._starter = starter
        self._start_timeout = start_timeout
        self._clock = clock
        self._well_until = 0.0
        self._rests_until = 0.0
        self._starting: asyncio.Future[None] | None = None

    def render(self, request: Request) -> "Answer | Awaitable[Answer]":
        now = self._clock()
        if now < self._well_until:
            return self.proxy.render(request)
        if self._is_there():
            self._well_until = now + _LOOK_S
            return self.proxy.render(request)
        if self._starter is None:
            raise HTTPError(503, "The server of this user does not run.")
        if now < self._rests_until:
            raise HTTPError(
                503, "The server of this user does not start.", headers={"Retry-After": str(int(_REST_S))}
            )
        return self._start_first(request)

    def _is_there(self) -> bool:
        """Raises HTTPError(502) when somebody else listens."""
        try:
            found = os.lstat(self.path)
            uid = listener_of(self.path) if stat.S_ISSOCK(found.st_mode) else None
        except FileNotFoundError:
            return False
        except OSError as error:
            log.error("the socket of %s cannot be used: %s", self.account.name, error)
            raise HTTPError(502, "The server of this user cannot be reached.") from error
        if uid is not None and uid != self.account.uid:
            log.error("%s is not served by %s but by uid %d", self.path, self.account.name, uid)
            raise HTTPError(502, "The server of this user cannot be reached.")
        return uid is not None

    async def _start_first(self, request: Request) -> Answer:
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start())
            self._starting.add_done_callback(self._started)
        await asyncio.shield(self._starting)
        answer = self.proxy.render(request)
        return await answer if isawaitable(answer) else answer

    def _started(self, future: "asyncio.Future[None]") -> None:
        self._starting = None
        if future.cancelled() or future.exception() is not None:
            self._rests_until = self._clock() + _REST_S

    async def _start(self) -> None:
        assert self._starter is not None
        try:
            await self._starter(self.account)
        except Exception as error:  # the operator's code, or a command there is not
            log.exception("the server of %s could not be started", self.account.name)
            raise HTTPError(503, "The server of this user does not start.") from error
        try:
            async with asyncio.timeout(self._start_timeout):
                while not self._is_there():
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            log.error("the server of %s did not listen in %g s", self.account.name, self._start_timeout)
            raise HTTPError(503, "The server of this user does not start.") from error

    async def stop(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
        await self.proxy.stop()
