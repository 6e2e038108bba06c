"""Where leaves in other processes report to the test, and the test tells them to go on.

The marks of a test stay in its own process, behind a `Board`; leaves reach them through a `RemoteStage`. So it does
not matter which worker of a server a request came to.
"""

from __future__ import annotations

import threading
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.conformance.client import PATIENCE_S
from tests.conformance.leaves import PIECE, Marks, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY: Final = b"the tests of this machine"


class Lines(list[str]):
    """A log that another thread writes."""

    def __init__(self) -> None:
        super().__init__()
        self._grown = threading.Condition()

    def append(self, line: str) -> None:
        with self._grown:
            super().append(line)
            self._grown.notify_all()

    def holds(self, text: str) -> bool:
        """Does a line with `text` come?"""
        with self._grown:
            return self._grown.wait_for(lambda: any(text in line for line in self), PATIENCE_S)

    def refusals(self) -> list[str]:
        """The lines of requests whose start could not be read: no others, as a worker may still be telling of an
        earlier test."""
        return [line for line in self if line.split('"')[1] == "-"]


class Board:
    """Serves the stages by name to whoever connects to `port`; what the servers log comes to `log`, and what they
    warn of to `warnings`."""

    def __init__(self, stages: Mapping[str, Stage], warnings: Lines | None = None) -> None:
        self.stages = stages
        self.log = Lines()
        self._warnings = Lines() if warnings is None else warnings
        self._taken: list[Marks] = []
        self._lock = threading.Lock()
        self._workers = threading.Semaphore(0)
        self._listener = Listener(("127.0.0.1", 0), backlog=100, authkey=_KEY)
        self.port: int = self._listener.address[1]
        threading.Thread(target=self._accept, name="board", daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def await_workers(self, number: int, timeout_s: float) -> bool:
        """Wait until so many have loaded what they serve; their sockets take connections long before."""
        return all(self._workers.acquire(timeout=timeout_s) for _ in range(number))

    def _accept(self) -> None:
        while True:
            try:
                connection: Connection[Any, Any] = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(connection,), name="board", daemon=True).start()

    def _serve(self, connection: Connection[Any, Any]) -> None:
        with connection:
            while True:
                try:
                    verb, *arguments = connection.recv()
                except (EOFError, OSError):
                    return
                connection.send(getattr(self, f"do_{verb}")(*arguments))

    def do_ready(self) -> None:
        self._workers.release()

    def do_take(self, stage: str) -> int:
        with self._lock:
            self._taken.append(self.stages[stage].take())
            return len(self._taken) - 1

    def do_mark(self, number: int, name: str, *arguments: object) -> None:
        getattr(self._taken[number], name)(*arguments)

    def do_log(self, line: str) -> None:
        self.log.append(line)

    def do_warn(self, line: str) -> None:
        self._warnings.append(line)


class Remote:
    """A board, from another process; each thread has a connection of its own."""

    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)
        self._local = threading.local()

    def ask(self, *words: object) -> Any:
        connection: Connection[Any, Any] | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = Client(self._address, authkey=_KEY)
        connection.send(words)
        return connection.recv()


class RemoteStage(Stage):
    """A stage whose marks lie on a board under `name`."""

    def __init__(self, remote: Remote, name: str, folder: Path = Path()) -> None:
        super().__init__(folder)
        self._remote = remote
        self._name = name

    def take(self) -> Marks:
        number: int = self._remote.ask("take", self._name)
        return _RemoteMarks(self._remote, number)


class _RemoteMarks(Marks):
    def __init__(self, remote: Remote, number: int) -> None:
        super().__init__()
        self._remote = remote
        self._number = number

    def _tell(self, name: str, *arguments: object) -> None:
        self._remote.ask("mark", self._number, name, *arguments)

    def call(self, text: str) -> None:
        self._tell("call", text)

    def note(self, text: str) -> None:
        self._tell("note", text)

    def upload(self, content: bytes) -> None:
        self._tell("upload", content)

    def await_go(self, timeout_s: float = PATIENCE_S) -> None:
        self._tell("await_go", timeout_s)

    def leave(self) -> None:
        self._tell("leave")

    def end(self) -> None:
        self._tell("end")

    def make(self) -> bytes:
        self._tell("grow")
        return PIECE
