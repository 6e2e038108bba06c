"""Process 1 of a container, for a server that is a single process: it passes signals on, and reaps what other
processes leave behind, which nobody else can. The server runs below it. An arbiter of workers does both by itself.
"""

from __future__ import annotations

import os
import signal
from typing import Final

# Those that say something of the process itself.
_NOT_OURS: Final = {
    signal.SIGKILL,
    signal.SIGSTOP,
    signal.SIGSEGV,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGBUS,
}
_JOB_CONTROL: Final = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCONT}


def serve_below_init() -> None:
    """As process 1, go on in a child; this process ends when the child does, with its exit code. Before any thread
    is started; elsewhere it does nothing."""
    if os.getpid() != 1:
        return
    watched = signal.valid_signals() - _NOT_OURS - _JOB_CONTROL
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    child = os.fork()
    if child:
        os._exit(_watch_over(child, watched))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch_over(child: int, watched: set[signal.Signals]) -> int:
    while True:
        came = signal.sigwaitinfo(watched)
        if came.si_signo == signal.SIGCHLD:
            code = _reap(child)
            if code is not None:
                return code
        elif came.si_code <= 0:  # a process has sent it; what a terminal sends, the child has got as well
            os.kill(child, came.si_signo)


def _reap(child: int) -> int | None:
    """Take note of all that have ended; the exit code of `child` when it is one of them."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return None
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
