"""The server's end of the program that starts scripts (`starter.py`): asks it, and hears what became of them.

Which script runs when is `gateway.py`'s; nothing here knows of requests.
"""

import asyncio
import logging
import marshal
import os
import socket
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from container.resources.cgi import starter
from container.resources.cgi.starter import END, EXITED, FAILED, HEAD, REPORT, START, START_WARM

log = logging.getLogger("container.cgi")

_WARM_FILE: Final = os.path.join(os.path.dirname(starter.__file__), "warm.py")
# As a module, which is compiled already: what the compiler leaves behind would be in every copy.
_START: Final = """
import sys
from importlib.machinery import SourceFileLoader
starter = type(sys)("starter")
SourceFileLoader("starter", sys.argv[1]).exec_module(starter)
starter.main(*sys.argv[2:])
"""
_STOP_TIMEOUT_S: Final = 5.0
# errno of a program that never came to be, because the one that starts them has gone.
LOST: Final = -1


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What holds for all scripts: `identity` is user, group and further groups by number; `limits` are soft and
    hard values by the constants of the `resource` module; `environment` is that of the starter itself, and so
    of what it imports; `preload` modules make it warm, None leaves it cold; those of `offered` are imported as soon
    as a script uses them."""

    identity: tuple[int, int, tuple[int, ...]] | None
    grace_s: float
    limits: Mapping[int, tuple[int, int]]
    umask: int | None
    environment: Mapping[str, str]
    preload: Sequence[str] | None
    offered: Sequence[str]


class Listener(Protocol):
    """Who is told what became of a process."""

    def exited(self, code: int) -> None:
        """It has ended: an exit code, or the negative number of a signal."""

    def failed(self, errno: int) -> None:
        """It could not be started."""


class Spawner:
    """One starter: made by `start`, ended by `stop`, made anew when it has died."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._process: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: dict[int, Listener] = {}
        self._number = 0
        # Packets that the starter has not had room for, with their descriptors.
        self._unsent: deque[tuple[bytes, list[int]]] = deque()

    @property
    def pid(self) -> int | None:
        """The starter's, while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the starter; to be called on the loop that will hear from it."""
        if self._sock is not None:
            return
        around = self._surroundings
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        setting = {
            "identity": around.identity,
            "grace_s": around.grace_s,
            "limits": dict(around.limits),
            "umask": around.umask,
            "warm": _WARM_FILE if around.preload is not None else None,
            "preload": list(around.preload or ()),
            "offered": list(around.offered),
        }
        # Isolated from the server's modules; a warm one finds what the scripts' own interpreter would.
        flags = ["-I", "-S"] if around.preload is None else ["-P"]
        with theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * starter.PACKET_MAX)
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    *flags,
                    "-c",
                    _START,
                    starter.__file__,
                    str(theirs.fileno()),
                    marshal.dumps(setting).hex(),
                ],
                # Functions are looked up once for all copies, not by each at its first call.
                env={"LD_BIND_NOW": "1"} | dict(around.environment),
                # Its streams are those of warm scripts later on, so they shall look alike: no files.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C at a terminal is for the server
            )
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        ours.setblocking(False)
        self._sock = ours
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(ours.fileno(), self._reports)

    async def stop(self) -> None:
        """End all processes and the starter."""
        process, self._process = self._process, None
        self._close()
        if process is not None:
            await asyncio.get_running_loop().run_in_executor(None, _end, process)

    def spawn(
        self,
        listener: Listener,
        count: int,
        texts: bytes,
        fds: Sequence[int],
        *,
        warm: bool = False,
    ) -> int:
        """Start a process and return its number; `listener` hears of its end.

        `texts`: directory, program, `count` arguments, names and values of the environment, separated by NUL.
        `fds`: its standard output and error, before them its input unless that is empty; they are closed.
        Raises ValueError for what is too large.
        """
        self.start()
        self._number = number = (self._number + 1) & 0xFFFFFFFF
        packet = HEAD.pack(START_WARM if warm else START, number, count, len(fds)) + texts
        if len(packet) > starter.PACKET_MAX:
            _close_all(fds)
            raise ValueError(f"expected arguments and environment of at most {starter.PACKET_MAX} bytes")
        self._listeners[number] = listener
        self._send(packet, list(fds))
        return number

    def end(self, number: int) -> None:
        """Tell a process and its group to end; after the grace they are killed."""
        if self._sock is not None:
            self._send(HEAD.pack(END, number, 0, 0), [])

    def _send(self, packet: bytes, fds: list[int]) -> None:
        if self._unsent or not self._sent(packet, fds):
            self._unsent.append((packet, fds))
            if len(self._unsent) == 1 and self._sock is not None and self._loop is not None:
                self._loop.add_writer(self._sock.fileno(), self._send_more)

    def _sent(self, packet: bytes, fds: list[int]) -> bool:
        assert self._sock is not None, "started"
        try:
            if fds:
                rights = struct.pack(f"{len(fds)}i", *fds)
                self._sock.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            else:
                self._sock.send(packet)
        except BlockingIOError:
            return False
        except OSError:  # it has died, which reading will tell
            pass
        _close_all(fds)
        return True

    def _send_more(self) -> None:
        while self._unsent:
            if not self._sent(*self._unsent[0]):
                return
            self._unsent.popleft()
        assert self._loop is not None
        assert self._sock is not None
        self._loop.remove_writer(self._sock.fileno())

    def _reports(self) -> None:
        while self._sock is not None:
            try:
                packet = self._sock.recv(REPORT.size)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._died()
                return
            kind, number, value = REPORT.unpack(packet)
            listener = self._listeners.pop(number, None)
            if listener is None:
                continue
            if kind == EXITED:
                listener.exited(value)
            elif kind == FAILED:
                listener.failed(value)

    def _died(self) -> None:
        """The starter has gone, and what it was the parent of runs on unwatched; the next request starts another."""
        process, self._process = self._process, None
        self._close()
        if process is not None:
            log.error("the process that starts scripts has ended (exit code %s)", process.wait())

    def _close(self) -> None:
        if self._sock is not None and self._loop is not None:
            self._loop.remove_reader(self._sock.fileno())
            self._loop.remove_writer(self._sock.fileno())
            self._sock.close()
            self._sock = None
        while self._unsent:
            _close_all(self._unsent.popleft()[1])
        listeners, self._listeners = self._listeners, {}
        for listener in listeners.values():
            listener.failed(LOST)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Its socket is closed: it ends its scripts and itself."""
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
