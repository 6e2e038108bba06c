"""How one arbiter hands over to the next version of itself (USR2): what goes through the environment and the
pidfile. gunicorn does the exec, and sets GUNICORN_PID."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from gunicorn.pidfile import Pidfile

from container.service.pidfile import PidfileProblem

if TYPE_CHECKING:
    from container.service.workers.sockets import SharedSockets

# The sockets, each as BINDING:ENDPOINT:FILE.
_INHERITED: Final = "CONTAINER_SOCKETS"
_PREDECESSOR: Final = "GUNICORN_PID"
# Of what was said to this process, the next arbiter is told nothing: whom systemd watches, its sockets.
_OURS_ALONE: Final = ("GUNICORN_FD", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def is_successor() -> bool:
    """Was this process started by another arbiter, in the background already?"""
    return _PREDECESSOR in os.environ


def predecessor() -> int:
    """The arbiter that started this one; 0 for none."""
    return int(os.environ.get(_PREDECESSOR, "0"))


def bequeath(sockets: SharedSockets, environ: dict[str, str]) -> None:
    """Let `sockets` survive an exec, and tell of them in the environment of what is executed."""
    environ[_INHERITED] = sockets.bequeath()
    for name in _OURS_ALONE:
        environ.pop(name, None)


def take_over(sockets: SharedSockets) -> bool:
    """Take the sockets of the predecessor; False when none were handed down."""
    text = os.environ.pop(_INHERITED, None)
    os.environ.pop("GUNICORN_FD", None)
    if text:
        sockets.inherit(text)
    return bool(text)


def create_pidfile(path: str, pid: int) -> Pidfile:
    """gunicorn's, which can be renamed when another arbiter takes over; PidfileProblem."""
    file = Pidfile(path)
    try:
        file.create(pid)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PidfileProblem(f"cannot write the pidfile {path!r}: {reason}") from error
    except RuntimeError as error:  # it names a process that runs, or its directory is missing
        raise PidfileProblem(str(error)) from error
    return file
