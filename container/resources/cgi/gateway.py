"""The gateway: what holds for all scripts that are run through it, and how many of them run at a time.

It owns the starter (`spawner.py`); one run is `call.py`'s, finding scripts `resource.py`'s.
"""

import asyncio
import grp
import os
import pwd
import resource
import shutil
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, TypedDict

from container.message.errors import HTTPError
from container.protocol.answer import KnownHeads
from container.resources.cgi.call import CGICall
from container.resources.cgi.script import Interpreter
from container.resources.cgi.spawner import Spawner, Surroundings

DEFAULT_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
# What Python scripts import again and again: imported once by a warm gateway, as soon as one of them does.
# Nothing with large libraries of its own (hashlib, ssl, sqlite3): each makes every copy dearer.
PRELOAD: Final = (
    "collections", "datetime", "functools", "html", "http.cookies", "io", "itertools", "json", "re", "string",
    "time", "traceback", "urllib.parse",
)  # fmt: skip
_UNPRIVILEGED: Final = "nobody"
_RETRY_AFTER: Final = "1"
# A starter stands still until the new process has had its first turn of a processor: meanwhile the other works.
_STARTERS: Final = 2
_SWEEP_S: Final = 0.25
# How often it is looked at scripts that are not listened to: quick ones have ended by the first time, and their
# answer leaves in one write, with its length. And how long at one that says nothing.
_LOOK_S: Final = 0.004
_PATIENCE_S: Final = 0.1
_RESOURCES: Final = {
    "cpu": resource.RLIMIT_CPU,
    "memory": resource.RLIMIT_AS,
    "files": resource.RLIMIT_NOFILE,
    "file_size": resource.RLIMIT_FSIZE,
    "processes": resource.RLIMIT_NPROC,
}


class GatewayOptions(TypedDict, total=False):
    """The arguments of Gateway, for those who pass them on."""

    interpreters: Mapping[str, str | Sequence[str]] | None
    environment: Mapping[str, str] | None
    authorization: bool
    session: bool
    query_arguments: bool
    timeout: float | None
    deadline: float | None
    processes: int
    queue_limit: int
    head_limit: int
    user: str | None
    group: str | None
    limits: Mapping[str, int] | None
    umask: int | None
    warm: bool | Sequence[str]
    leave_grace: float
    kill_grace: float


class Gateway:
    """Runs scripts: shared by the resources that are given it, or made by one of its own.

    `interpreters`: what runs files by their extension (`{".php": "php-cgi"}`), a program or the first words
    of its command line; files of these need not be executable. `environment`: what scripts find besides the
    meta-variables, for which only a PATH is the default. `authorization`: pass on credentials as
    HTTP_AUTHORIZATION. `session`: tell them the id of the visitor's session, and who it belongs to
    (`session_variables`). `query_arguments`: a query without `=` becomes arguments (never of interpreters).
    `timeout`: seconds without a word, before the head (then 504) or after it, with a client that reads;
    `deadline`: of the whole answer. `processes`: how many run at a time; `queue_limit`: how many requests
    wait for their turn, more are answered 503. `head_limit`: bytes of the head of an answer.
    `user` and `group`: whose rights scripts have, by name; started as root that is `nobody` unless it is said
    otherwise, else the server's own. `limits`: of each process, of `cpu` (seconds), `memory`, `file_size`
    (bytes), `files`, `processes` (of the user). `umask`: the server's, unless given.
    `warm`: scripts in Python are run by a copy of an interpreter that has started already and imported the
    modules named; True: those of `PRELOAD` that any script was seen to use. `leave_grace`: seconds until a
    script whose client has closed its side is told to end, `kill_grace`: until it and its children are killed
    then.
    """

    def __init__(
        self,
        *,
        interpreters: Mapping[str, str | Sequence[str]] | None = None,
        environment: Mapping[str, str] | None = None,
        authorization: bool = False,
        session: bool = False,
        query_arguments: bool = False,
        timeout: float | None = 60.0,
        deadline: float | None = None,
        processes: int = 32,
        queue_limit: int = 1000,
        head_limit: int = 64 * 1024,
        user: str | None = None,
        group: str | None = None,
        limits: Mapping[str, int] | None = None,
        umask: int | None = None,
        warm: bool | Sequence[str] = False,
        leave_grace: float = 1.0,
        kill_grace: float = 0.5,
    ) -> None:
        if processes < 1 or queue_limit < 0:
            raise ValueError(f"expected at least 1 process, got {processes} and a queue of {queue_limit}")
        self.made_with: dict[str, object] = {
            "interpreters": interpreters or {}, "environment": environment or {}, "authorization": authorization,
            "session": session, "query_arguments": query_arguments, "timeout": timeout, "deadline": deadline,
            "processes": processes, "queue_limit": queue_limit, "user": user, "group": group, "warm": warm,
            "head_limit": head_limit, "limits": limits, "umask": umask, "leave_grace": leave_grace,
            "kill_grace": kill_grace,
        }  # fmt: skip
        variables = {"PATH": DEFAULT_PATH, **(environment or {})}
        for name, value in variables.items():
            if not name or "=" in name or "\0" in name + value:
                raise ValueError(f"expected a variable without '=' in its name or NUL, got {name!r}")
        self.base = {name: os.fsencode(value).decode("latin-1") for name, value in variables.items()}
        self._path = variables["PATH"]
        self.interpreters = {
            _extension(extension): self.interpreter(program)
            for extension, program in (interpreters or {}).items()
        }
        self.authorization = authorization
        self.session = session
        self.query_arguments = query_arguments
        self.timeout = timeout
        self.deadline = deadline
        self.head_limit = head_limit
        self.heads = KnownHeads()
        self.leave_grace = leave_grace
        self.is_warm = warm is not False
        identity, self.identity_name = _identity(user, group)
        preload = None if warm is False else () if warm is True else tuple(warm)
        offered = PRELOAD if warm is True else ()
        surroundings = Surroundings(
            identity, kill_grace, _limits(limits or {}), umask, variables, preload, offered
        )
        self._spawners = [Spawner(surroundings) for _ in range(_STARTERS)]
        self._processes = processes
        self._queue_limit = queue_limit
        self._running: set[CGICall] = set()
        self._waiting: deque[CGICall] = deque()
        self._timer: asyncio.TimerHandle | None = None
        # Those that are looked at in the next turn, and later.
        self._next: list[CGICall] = []
        self._later: list[CGICall] = []
        self._looking: asyncio.TimerHandle | None = None
        self._users = 0

    def interpreter(self, program: str | Sequence[str]) -> Interpreter:
        """A program, or the first words of its command line. Raises ValueError when it is not installed."""
        words = [program] if isinstance(program, str) else list(program)
        if not words or not words[0]:
            raise ValueError("expected a program as interpreter, got nothing")
        found = shutil.which(words[0], path=self._path)
        if found is None:
            raise ValueError(f"expected an interpreter that is installed, got {words[0]!r}")
        return Interpreter([os.path.abspath(found), *words[1:]])

    # The life of the process. Several resources may share a gateway.

    def start(self) -> None:
        self._users += 1
        for spawner in self._spawners:
            spawner.start()

    async def stop(self) -> None:
        self._users -= 1
        if self._users > 0:
            return
        while self._waiting:
            self._waiting.popleft().refuse(HTTPError(503))
        for call in [*self._running]:
            call.give_up()
            call.exchange.abort()
        for spawner in self._spawners:
            await spawner.stop()
        for timer in (self._timer, self._looking):
            if timer is not None:
                timer.cancel()
        self._timer = self._looking = None
        self._next, self._later = [], []

    # Calls.

    def next_spawner(self) -> Spawner:
        """They take turns."""
        self._spawners.append(self._spawners.pop(0))
        return self._spawners[-1]

    @property
    def running(self) -> int:
        """How many scripts run."""
        return len(self._running)

    def submit(self, call: CGICall) -> None:
        """Launch `call` now or when others have ended. Raises HTTPError(503) when too many wait."""
        if len(self._running) >= self._processes:
            if len(self._waiting) >= self._queue_limit:
                raise HTTPError(503, headers={"Retry-After": _RETRY_AFTER})
            self._waiting.append(call)
        else:
            self._launch(call)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    def released(self, call: CGICall) -> None:
        """The process of `call` has ended: there is room for another."""
        self._running.discard(call)
        while self._waiting and len(self._running) < self._processes:
            following = self._waiting.popleft()
            if following.exchange.gone:
                continue
            try:
                self._launch(following)
            except Exception as error:  # noqa: BLE001  # there is no caller who could answer for it
                following.refuse(error)

    def withdraw(self, call: CGICall) -> None:
        """The client of `call` has left before it was launched."""
        if not call.began and call in self._waiting:
            self._waiting.remove(call)

    def _launch(self, call: CGICall) -> None:
        self._running.add(call)
        try:
            call.launch()
        except BaseException:
            self._running.discard(call)
            raise
        self.look_later(call)

    def look_later(self, call: CGICall) -> None:
        """Look at what `call` has said at the turn after the next, unless it is over by then."""
        self._later.append(call)
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        unhurried = loop.time() - _PATIENCE_S
        calls, self._next, self._later = self._next, self._later, []
        for call in calls:
            if call.look(patient=call.began > unhurried):
                self._later.append(call)
        self._looking = loop.call_later(_LOOK_S, self._look) if self._next or self._later else None

    def _sweep(self) -> None:
        """Look for those that take too long."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        for call in [*self._waiting]:
            call.watch()
        if self.timeout is not None:
            while self._waiting and self._waiting[0].touched + self.timeout <= now:
                self._waiting.popleft().refuse(HTTPError(503, headers={"Retry-After": _RETRY_AFTER}))
        for call in [*self._running]:
            call.watch()
            call.listen_to_errors()
            if self.deadline is not None and call.began + self.deadline <= now:
                call.expire(f"took longer than {self.deadline:g} s")
            elif (
                self.timeout is not None
                and call.touched + self.timeout <= now
                and not call.is_waiting_for_client
            ):
                call.expire(f"said nothing for {self.timeout:g} s")
        if self._running or self._waiting:
            self._timer = loop.call_later(_SWEEP_S, self._sweep)


def _extension(text: str) -> str:
    if not text.startswith(".") or len(text) < 2 or "/" in text:
        raise ValueError(f'expected an extension such as ".php", got {text!r}')
    return text.lower()


def _limits(limits: Mapping[str, int]) -> dict[int, tuple[int, int]]:
    if limits and not hasattr(resource, "prlimit"):
        raise ValueError("expected no limits of processes: this system cannot set them for others")
    for name, value in limits.items():
        if name not in _RESOURCES or value < 0:
            raise ValueError(f"expected limits of {', '.join(_RESOURCES)}, got {name!r} of {value}")
    return {_RESOURCES[name]: (value, value) for name, value in limits.items()}


def _identity(user: str | None, group: str | None) -> tuple[tuple[int, int, tuple[int, ...]] | None, str]:
    """Numbers of user, group and groups, or None where nothing is to be changed; and a name for messages."""
    if os.geteuid() != 0:
        own = pwd.getpwuid(os.geteuid()).pw_name if _has_name(os.geteuid()) else str(os.geteuid())
        if user not in (None, own) or group is not None:
            raise ValueError(f"expected to run as root to run scripts as {user or own}:{group or ''}")
        return None, own
    name = user or _UNPRIVILEGED
    try:
        entry = pwd.getpwnam(name)
        gid = grp.getgrnam(group).gr_gid if group is not None else entry.pw_gid
    except KeyError as error:
        raise ValueError(f"expected a user and group of this system, got {name}:{group or ''}") from error
    return (entry.pw_uid, gid, (gid,)), name


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
