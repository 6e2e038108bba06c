"""Nothing can be written to, the user is nobody the system knows, and there is no home: the way of a hardened
container (DM-01, DM-04). The command runs in a mount namespace of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest

from tests.system.conftest import COMMAND, PATIENCE_S, Running, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UID = 12345
APP = """\
import os
def application(environ, start_response):
    try:
        open("written", "w")
        writes = True
    except OSError:
        writes = False
    facts = [os.getuid(), os.environ.get("HOME"), writes, len(environ["wsgi.input"].read())]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(facts).encode()]
"""
LOGGING = """\
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys =
[handler_console]
class = StreamHandler
[logger_root]
handlers = console
"""
# Every file system of the namespace becomes read-only but what the kernel itself shows, and shared memory if told to.
# The capability lets the user read Python and the application, wherever they are; it does not let him write.
PRISON = f"""\
set -e
while read -r _ point kind _; do
    case $kind in proc|sysfs|devpts|mqueue|cgroup*|devtmpfs) continue ;; esac
    [ "$point" = /dev/shm ] && [ "$SHARED" = yes ] && continue
    mount -o remount,bind,ro "$point"
done < /proc/self/mounts
unset HOME SHARED
exec setpriv --reuid {UID} --regid {UID} --clear-groups --inh-caps +dac_read_search --ambient-caps +dac_read_search "$@"
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file system read-only")


@pytest.fixture
def imprison(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    (tmp_path / "app.py").write_text(APP)
    begun: list[Running] = []

    def begin(command: list[str], *, shared: bool = True) -> Running:
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", PRISON, "sh", *command],
            cwd=tmp_path, env=environment(SHARED="yes" if shared else "no"), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        running = Running(process, tmp_path / "output")
        begun.append(running)
        return running

    yield begin
    for running in begun:
        running.end()


def facts_of(url: str, content: bytes) -> list[object]:
    with urlopen(Request(url, data=content), timeout=PATIENCE_S) as response:
        facts: list[object] = eval(response.read())
        return facts


@pytest.mark.parametrize("workers", [1, 2])
def test_the_command_needs_nothing_that_can_be_written(
    imprison: Callable[..., Running], tmp_path: Path, workers: int
) -> None:
    """Long content goes to shared memory. Logging is configured by a file."""
    (tmp_path / "log.ini").write_text(LOGGING)
    before = set(tmp_path.iterdir())
    command = [*COMMAND, "app:application", "--bind", "127.0.0.1:0", "--workers", str(workers)]
    running = imprison([*command, "--log-config", "log.ini"])
    running.wait_for(" serving on ")
    assert facts_of(running.url, b"") == [UID, None, False, 0]
    assert facts_of(running.url, bytes(3_000_000)) == [UID, None, False, 3_000_000]
    assert running.stop() == 0
    assert not any("Traceback" in line for line in running.lines)
    assert set(tmp_path.iterdir()) <= before | {tmp_path / "output"}


@pytest.mark.parametrize("workers", [1, 2])
def test_without_any_place_long_content_is_refused(imprison: Callable[..., Running], workers: int) -> None:
    """503, told of at the start; everything else is answered as ever."""
    running = imprison(
        [*COMMAND, "app:application", "--bind", "127.0.0.1:0", "--workers", str(workers)], shared=False
    )
    running.wait_for("long content is refused with 503 until TMPDIR names one")
    running.wait_for(" serving on ")
    assert facts_of(running.url, bytes(100_000)) == [UID, None, False, 100_000]
    with pytest.raises(OSError, match="503"):
        facts_of(running.url, bytes(3_000_000))
    assert facts_of(running.url, b"") == [UID, None, False, 0]
    assert running.stop() == 0


def test_gunicorn_with_our_worker_needs_nothing_either(imprison: Callable[..., Running]) -> None:
    """GW-01: the heartbeat is a file in memory."""
    running = imprison(
        [sys.executable, "-m", "gunicorn", "-k", "container.gunicorn.Worker", "-w", "2", "-b", "127.0.0.1:0",
         "--no-control-socket", "app:application"],
        shared=False,
    )  # fmt: skip
    address = running.wait_for("Listening at").partition("http://")[2].partition(" ")[0]
    assert facts_of(f"http://{address}/", bytes(100_000)) == [UID, None, False, 100_000]
    assert running.stop() == 0
