"""Datagrams to a socket of this machine or another one, sent by a thread: whoever logs never waits.

What syslog and the journal have in common. A receiver that is slow is waited for, one that is away is looked for again;
when too much waits, the newest is dropped.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
from contextlib import suppress
from typing import Final, TypeAlias

log = logging.getLogger("container.server")

# A path, or a host and a port.
Target: TypeAlias = "str | tuple[str, int]"

WAITING_MAX: Final = 10_000
_SEND_S: Final = 5.0
_FLUSH_S: Final = 1.0


class Datagrams:
    """Sends datagrams to `target`, in order. OSError when there is nobody at a path now."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._socket = self._connect()
        self._owner = 0
        self._waiting: queue.SimpleQueue[bytes | threading.Event] = queue.SimpleQueue()

    def put(self, data: bytes) -> None:
        """Send it soon."""
        if self._owner != os.getpid():  # of a process that has been forked, the thread is left behind
            self._begin()
        if self._waiting.qsize() < WAITING_MAX:
            self._waiting.put(data)

    def flush(self) -> None:
        """Wait until what was put before has left, but not for long."""
        if self._owner == os.getpid():
            done = threading.Event()
            self._waiting.put(done)
            done.wait(_FLUSH_S)

    def _begin(self) -> None:
        self._owner = os.getpid()
        self._waiting = queue.SimpleQueue()
        threading.Thread(target=self._send_all, args=(self._waiting,), name="datagrams", daemon=True).start()

    def _send_all(self, waiting: queue.SimpleQueue[bytes | threading.Event]) -> None:
        while True:
            data = waiting.get()
            if isinstance(data, threading.Event):
                data.set()
            else:
                self._send(data)

    def _send(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError:  # the receiver was started anew, perhaps
            with suppress(OSError):
                fresh = self._connect()
                self._socket, old = fresh, self._socket
                old.close()
                fresh.send(data)

    def _connect(self) -> socket.socket:
        if isinstance(self._target, str):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                sock.connect(self._target)
            except OSError:
                sock.close()
                raise
        else:
            family, kind, protocol, _, address = socket.getaddrinfo(*self._target, type=socket.SOCK_DGRAM)[0]
            sock = socket.socket(family, kind, protocol)
            sock.connect(address)
        sock.settimeout(_SEND_S)
        return sock


class DatagramHandler(logging.Handler):
    """Sends records. Subclasses say what a record looks like."""

    def __init__(self, datagrams: Datagrams) -> None:
        super().__init__()
        self._datagrams = datagrams

    def pieces(self, record: logging.LogRecord) -> list[bytes]:
        """The datagrams of a record."""
        raise NotImplementedError

    def emit(self, record: logging.LogRecord) -> None:
        try:
            for data in self.pieces(record):
                self._datagrams.put(data)
        except Exception:  # noqa: BLE001  # arguments of a record may be of any make
            self.handleError(record)

    def flush(self) -> None:
        self._datagrams.flush()
