"""How what is mounted in the tree gets at the session: WSGI and ASGI applications, scripts, CGI programs."""

import asyncio
from collections.abc import Coroutine, Iterator, MutableMapping
from typing import Any, TypeVar

from container.message.request import Request
from container.message.session import Session, finished

T = TypeVar("T")


def session_scope(request: Request) -> Session | None:
    """What belongs under `scope["session"]` of an ASGI application; None where no sessions are kept.

    Call it at dispatch, before the head of the answer.
    """
    session = request.attached_session
    if session is not None:
        session.open(request.exchange)
    return session


def session_variables(request: Request, user: str = "user") -> dict[str, str]:
    """The session among the variables of a program: CONTAINER_SESSION_ID, and CONTAINER_SESSION_USER with what is
    in `session[user]`, as UTF-8, one character for one octet (see `protocol/cgi.py`). Nothing when there is no
    session yet: programs cannot begin one."""
    session = session_scope(request)
    if session is None or session.is_absent:
        return {}
    name = session.get(user)
    variables = {"CONTAINER_SESSION_ID": session.id}
    if name is not None:
        variables["CONTAINER_SESSION_USER"] = str(name).encode("utf-8", "replace").decode("latin-1")
    return variables


class ThreadSession(MutableMapping[str, Any]):
    """The session of a request for the one thread that answers it: `environ["container.session"]`.

    As `Session` (see there), except that `save`, `increment` and `compare_and_set` are plain functions that block.
    `loop` is where the store lives; None on the loop itself, where a store that waits cannot be asked.
    """

    __slots__ = ("_loop", "_session")

    def __init__(self, session: Session, loop: asyncio.AbstractEventLoop | None) -> None:
        self._session = session
        self._loop = loop

    def __getitem__(self, name: str) -> Any:
        return self._session[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._session[name] = value

    def __delitem__(self, name: str) -> None:
        del self._session[name]

    def __contains__(self, name: object) -> bool:
        return name in self._session

    def __iter__(self) -> Iterator[str]:
        return iter(self._session)

    def __len__(self) -> int:
        return len(self._session)

    @property
    def id(self) -> str:
        return self._session.id

    @property
    def is_new(self) -> bool:
        return self._session.is_new

    def touch(self) -> None:
        self._session.touch()

    def rotate(self) -> None:
        self._session.rotate()

    def expire(self) -> None:
        self._session.expire()

    def save(self) -> None:
        self._wait(self._session.save())

    def increment(self, name: str, by: int = 1) -> int:
        return self._wait(self._session.increment(name, by))

    def compare_and_set(self, name: str, expected: Any, value: Any) -> bool:
        return self._wait(self._session.compare_and_set(name, expected, value))

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._session.is_local:
            return finished(coroutine)
        if self._loop is None:
            coroutine.close()
            raise RuntimeError(
                "expected an application with threads to wait for a session store, got one that runs on the loop"
            )
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def __repr__(self) -> str:
        return repr(self._session)
