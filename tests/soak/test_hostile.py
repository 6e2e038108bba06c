"""Clients that want to take all there is: heads and contents a byte a second, more connections than files."""

from __future__ import annotations

import selectors
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from tests.soak.conftest import Server

    Start = Callable[..., Server]
    Eventually = Callable[..., bool]

pytestmark = pytest.mark.soak

# The defaults of Timeouts.head and Timeouts.body; the server looks at its deadlines once a second.
DEADLINE_S = 30.0
LOOKS_EVERY_S = 1.0
# How long the attack goes on unless all have been cut before.
ATTACK_S = 40.0


class Attacker:
    """A connection that keeps sending a byte now and then, and what it was told before it was cut."""

    def __init__(self, sock: socket.socket, *, dribbles: bool) -> None:
        self.sock = sock
        self.dribbles = dribbles
        self.began = time.monotonic()
        self.answered_after = 0.0
        self.heard = b""

    def nag(self) -> None:
        try:
            self.sock.send(b"x")
        except OSError:  # cut: what was said before is still there to be read
            pass

    def listen(self) -> bool:
        """Take what has come; is it the end?"""
        if not self.heard:
            self.answered_after = time.monotonic() - self.began
        try:
            data = self.sock.recv(4096)
        except ConnectionResetError:
            return True
        self.heard += data
        return not data


def attack(server: Server, openings: list[tuple[bytes, bool]]) -> list[Attacker]:
    """Open a connection with each of `openings`, send a byte a second on those that shall, until all are cut.

    Meanwhile everybody else is served.
    """
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        attackers = []
        for opening, dribbles in openings:
            sock = stack.enter_context(server.connect())
            sock.sendall(opening)
            sock.setblocking(False)
            attackers.append(Attacker(sock, dribbles=dribbles))
            selector.register(sock, selectors.EVENT_READ, attackers[-1])
        until = time.monotonic() + ATTACK_S
        while selector.get_map() and time.monotonic() < until:
            second = time.monotonic() + 1
            assert server.get() == b"ok"
            assert server.get("/wait/10") == b"waited"
            for key in list(selector.get_map().values()):
                if key.data.dribbles and not key.data.heard:
                    key.data.nag()
            while selector.get_map() and (left := second - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    if key.data.listen():
                        selector.unregister(key.fileobj)
        assert not selector.get_map(), f"{len(selector.get_map())} were not cut off"
        return attackers


def check(attackers: list[Attacker]) -> None:
    assert {attacker.heard.split(b"\r\n")[0] for attacker in attackers} == {b"HTTP/1.1 408 Request Timeout"}
    soonest = min(attacker.answered_after for attacker in attackers)
    assert soonest > DEADLINE_S - 2 * LOOKS_EVERY_S


def test_two_hundred_slow_heads_are_cut_off_and_delay_nobody(start: Start, eventually: Eventually) -> None:
    server = start("--threads", 2)
    assert server.get() == b"ok"
    files_before = server.open_files()
    opening = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
    check(attack(server, [(opening, True)] * 200))
    assert eventually(lambda: server.open_files() <= files_before)


def test_two_hundred_slow_contents_are_cut_off_and_hold_no_thread(
    start: Start, eventually: Eventually
) -> None:
    """Half of them send a byte a second, half nothing more; both announced and chunked."""
    server = start("--threads", 2)
    assert server.get() == b"ok"
    files_before = server.open_files()
    announced = server.head("/digest", method="POST", fields="Content-Length: 1000000\r\n") + b"x" * 100
    chunked = server.head("/digest", method="POST", fields="Transfer-Encoding: chunked\r\n") + b"f4240\r\nx"
    openings = [(announced, True), (announced, False), (chunked, True), (chunked, False)] * 50
    check(attack(server, openings))
    assert eventually(lambda: server.open_files() <= files_before)
    assert list(server.spool.iterdir()) == []


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_more_connections_than_files_are_survived_without_spinning(
    start: Start, eventually: Eventually, loop: str
) -> None:
    server = start("--loop", loop, open_files=256)
    assert server.get() == b"ok"
    files_before = server.open_files()
    with ExitStack() as held:
        for _ in range(400):
            held.enter_context(server.connect())
        assert eventually(lambda: server.open_files() >= 250)
        began, cpu_before, said_before = time.monotonic(), server.cpu_s(), len(server.log)
        time.sleep(5)  # what is measured is a stretch of time
        share = (server.cpu_s() - cpu_before) / (time.monotonic() - began)
        assert share < 0.5
        assert len(server.log) - said_before < 100, "the log is flooded"
    assert eventually(server.is_answering)
    assert eventually(lambda: server.open_files() <= files_before)
    assert server.get("/digest").startswith(b"0 ")
