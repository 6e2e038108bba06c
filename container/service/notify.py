"""What the process tells others of itself: systemd how it fares (sd_notify(3)), and its watchdog that the loop
still turns; lists of processes its name.

Without NOTIFY_SOCKET all of it does nothing. The socket is connected at once, before rights and root directory
are given up.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

log = logging.getLogger("container.server")


class Notifier:
    """What this process tells its supervisor. No method raises: whoever serves does not stop for that."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._socket = _connect(environ.get("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog(environ) if self._socket is not None else None
        self._timer: asyncio.TimerHandle | None = None

    def ready(self, status: str) -> None:
        """It answers requests, for the first time or again after `reloading`."""
        self._send(f"READY=1\nSTATUS={status}\nMAINPID={os.getpid()}")

    def reloading(self) -> None:
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def start_watchdog(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell from `loop` that it lives, twice as often as is asked for."""
        if self.watchdog_s is not None:
            self._feed(loop, self.watchdog_s / 2)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def feed(self) -> None:
        """Tell the watchdog, if there is one, that the process lives: for whoever has no loop."""
        if self.watchdog_s is not None:
            self._send("WATCHDOG=1")

    def _feed(self, loop: asyncio.AbstractEventLoop, every_s: float) -> None:
        self._send("WATCHDOG=1")
        self._timer = loop.call_later(every_s, self._feed, loop, every_s)

    def _send(self, text: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.send(text.encode("utf-8"))
        except OSError as error:
            log.warning("systemd was not told %s: %s", text.partition("\n")[0], error.strerror)


def set_title(title: str) -> None:
    """Name the process in lists of processes, where setproctitle is installed."""
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle(title)


def _connect(address: str) -> socket.socket | None:
    """A socket to NOTIFY_SOCKET: a path, or a name in the abstract namespace after "@"."""
    if not address:
        return None
    if address[0] not in "/@":
        log.warning("expected a path or @name as NOTIFY_SOCKET, got %r", address)
        return None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.connect("\0" + address[1:] if address[0] == "@" else address)
    except (OSError, ValueError) as error:
        log.warning("systemd cannot be told anything at %s: %s", address, error)
        sock.close()
        return None
    return sock


def _watchdog(environ: Mapping[str, str]) -> float | None:
    """After how many seconds of silence the process is taken for dead, if it is watched."""
    text, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not (text.isascii() and text.isdigit()) or (pid and pid != str(os.getpid())):
        return None
    return int(text) / 1_000_000 or None
