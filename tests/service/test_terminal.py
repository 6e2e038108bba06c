"""What SIGHUP means (LC-02): in a process of its own, which has a terminal and loses it."""

from __future__ import annotations

import subprocess
import sys

import pytest

# The leader of a session with a terminal, by a clock of its own.
BEGIN = """
import fcntl, os, pty, signal, termios
from container.service.terminal import TOLD_S, Terminal
os.setsid()
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
now = 0.0
signal.signal(signal.SIGHUP, signal.{handler})
terminal = Terminal(lambda: now)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
"""


def told(*lines: str, handler: str = "SIG_DFL") -> str:
    program = "\n".join([BEGIN.format(handler=handler), *lines, "print(terminal.has_hung_up())"])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("lines", "has_hung_up"),
    [
        (["os.close(master)"], True),
        (["os.close(master)", "terminal.look()", "now += 1"], True),
        ([], False),
        (["terminal.look()", "now += 100"], False),
        # Nobody told it when the terminal went: a job that was disowned. Who does so later means something else.
        (["os.close(master)", "terminal.look()", "now += TOLD_S"], False),
        (["os.close(master)", "terminal.close()"], False),
    ],
)
def test_a_terminal_that_has_just_gone_has_hung_up(lines: list[str], *, has_hung_up: bool) -> None:
    assert told(*lines) == str(has_hung_up)


def test_who_ignored_the_signal_has_none() -> None:
    assert told("os.close(master)", handler="SIG_IGN") == "False"


def test_a_session_without_a_terminal() -> None:
    program = "import os; os.setsid(); from container.service.terminal import Terminal\nprint(Terminal().has_hung_up())"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"False\n"
    )
