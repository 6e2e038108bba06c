"""Clients that keep their connections and never stop asking, as the pools of real clients do.

A connection that was announced to close is opened anew; anything else that goes wrong is a failure: nothing is
tried twice.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 30.0


class Pool:
    """`clients` threads with a connection each, while the block runs. `answers` counts bodies.

    `pause_s` is what each waits between its requests; every other client waits ten times as long, so that some
    connections are idle whenever a worker goes. `struck` are the last answers on connections that failed; "" where
    there was none.
    """

    def __init__(self, port: int, *, path: str = "/", clients: int = 6, pause_s: float = 0.002) -> None:
        self.failures: list[str] = []
        self.struck: list[str] = []
        self.answers: Counter[str] = Counter()
        self._port = port
        self._path = path
        self._over = threading.Event()
        self._grown = threading.Condition()
        self._threads = [
            threading.Thread(target=self._ask, args=(pause_s * (10 if number % 2 else 1),), daemon=True)
            for number in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def wait_until(self, met: Callable[[Counter[str]], bool], what: str) -> None:
        """Until the answers so far are as they shall be."""
        with self._grown:
            came = self._grown.wait_for(lambda: met(self.answers), PATIENCE_S)
        assert came, f"expected {what}, got {dict(self.answers)} and {self.failures}"

    def wait_for_more(self, count: int) -> None:
        goal = self.answers.total() + count
        self.wait_until(lambda answers: answers.total() >= goal, f"{count} more answers")

    def forget(self) -> None:
        with self._grown:
            self.answers.clear()

    def _ask(self, pause_s: float) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        last = ""
        while not self._over.wait(pause_s):
            if connection.sock is None:
                last = ""
            try:
                connection.request("GET", self._path)
                response = connection.getresponse()
                body = response.read().decode()
                answer = body if response.status == 200 else f"{response.status}"
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                with self._grown:
                    self.failures.append(f"{time.monotonic():.3f} {error!r}")
                    self.struck.append(last)
                continue
            last = answer
            with self._grown:
                if response.status == 200:
                    self.answers[answer] += 1
                else:
                    self.failures.append(answer)
                self._grown.notify_all()
        connection.close()
