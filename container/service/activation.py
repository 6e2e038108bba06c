"""What systemd, or whoever speaks as it does, passes to the process it starts (sd_listen_fds(3)).

Here: LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES. The endpoints that use the sockets are `systemd:…`; telling
systemd how the process fares is notify.py's.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from container.channel.endpoints.systemd import provide

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNNAMED: Final = "unknown"  # what systemd itself says
_MOST: Final = 1000


def provide_passed_sockets(environ: Mapping[str, str] | None = None) -> None:
    """Let the `systemd:` endpoints know which sockets were passed to this very process."""
    provide(passed_names(os.environ if environ is None else environ, os.getpid()))


def passed_names(environ: Mapping[str, str], pid: int) -> tuple[str, ...]:
    """The name of each socket passed to process `pid`; none when they were meant for another one."""
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(pid) or not (count.isascii() and count.isdigit()):
        return ()
    number = min(int(count), _MOST) if len(count) < 6 else _MOST
    names = environ.get("LISTEN_FDNAMES", "").split(":") if environ.get("LISTEN_FDNAMES") else []
    names = names[:number] + [_UNNAMED] * (number - len(names))
    return tuple(names)
