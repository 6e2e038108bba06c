"""Sessions around a part of the tree: lifetimes, ends, and when the store is asked. Cookies are `cookie.py`'s.

A store that never waits is asked when the session is first used; any other one at dispatch, when the request
brings a cookie, and again before the head of the answer leaves, when there is something to save.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from time import time
from typing import Any, Final, TypeVar

from container.message.cookies import SameSite
from container.message.errors import StartProblem
from container.message.headers import Headers
from container.message.request import Request
from container.message.session import (
    ID_LENGTH,
    ExpiryObserver,
    Session,
    SessionGone,
    Times,
    finished,
)
from container.message.session_values import encode_value
from container.sessions.cookie import SessionCookie, SessionCookies
from container.sessions.memory import MemoryStore
from container.sessions.store import Ended, Key, Record, SessionStore, StoreUnavailable
from container.tree.resource import Resource
from container.tree.wrapper import Wrapper

log = logging.getLogger("container.sessions")

T = TypeVar("T")

IDLE_S: Final = 30 * 60.0
MAX_SESSIONS: Final = 100_000
MAX_SIZE: Final = 1 << 20
SWEEP_S: Final = 60.0
# An access moves the end of a session when it moves it by this share of the idle time, so that reading does not
# write every time.
_SLIDE_SHARE: Final = 1 / 60
_ID: Final = re.compile(rf"[A-Za-z0-9_-]{{{ID_LENGTH}}}")


class Sessions(Wrapper):
    """Gives the requests of `child`, and of all below it, a session.

    `store`: where they are kept, in memory without one. `idle_timeout`: seconds without access after which a
    session ends; `lifetime`: seconds after which it ends anyway, None for no limit. `max_sessions`: above this
    number those that would end first have to give way; `max_size`: characters a session may have in a
    store of text, ValueError above.

    The cookie: `name`; `path`, the mount point of this resource without one; `domain`; `max_age` in seconds,
    None for a cookie that ends with the browser; `samesite`. Over https it has a name of its own, with the
    prefix `__Host-` (or `__Secure-` when there is a path or a domain), so one browser may have two sessions;
    `secure=False` gives both schemes the same one, `secure=True` is for a TLS proxy that does not tell of itself.

    `on_expire(values)` is called for every session that has ended. `namespace` parts the sessions of several
    sites in one store; the name of the cookie without one.
    """

    def __init__(
        self,
        child: Resource | None = None,
        *,
        store: SessionStore | None = None,
        idle_timeout: float = IDLE_S,
        lifetime: float | None = None,
        max_sessions: int | None = MAX_SESSIONS,
        max_size: int = MAX_SIZE,
        name: str = "session",
        path: str | None = None,
        domain: str | None = None,
        max_age: int | None = None,
        samesite: SameSite = "lax",
        secure: bool | None = None,
        namespace: str | None = None,
        on_expire: ExpiryObserver | None = None,
        clock: Callable[[], float] = time,
    ) -> None:
        super().__init__(Resource() if child is None else child)
        if idle_timeout <= 0 or (lifetime is not None and lifetime <= 0):
            raise ValueError(f"expected times above 0 seconds, got {idle_timeout} and {lifetime}")
        if max_sessions is not None and max_sessions < 1:
            raise ValueError(f"expected at least one session as limit, got {max_sessions}")
        self.made_with: dict[str, object] = {
            "idle_timeout": idle_timeout, "lifetime": lifetime, "max_sessions": max_sessions, "max_size": max_size,
            "name": name, "path": path, "domain": domain, "max_age": max_age, "samesite": samesite, "secure": secure,
            "namespace": namespace, "on_expire": on_expire, "clock": clock,
        }  # fmt: skip
        self._is_around = child is not None
        self.store: SessionStore = MemoryStore() if store is None else store
        self.keeps_objects = self.store.keeps_objects
        self.is_local = self.store.is_local
        self.idle_timeout = idle_timeout
        self.lifetime = lifetime
        self.max_sessions = max_sessions
        self.max_size = max_size
        self.namespace = namespace or name
        self._cookies = SessionCookies(name, path, domain, max_age, samesite, secure=secure)
        self._on_expire = on_expire
        self._clock = clock
        self._slide = idle_timeout * _SLIDE_SHARE
        self._observers: dict[str, list[ExpiryObserver]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._users = 0
        self._saving: set[asyncio.Task[None]] = set()
        self._is_down = False

    # In the tree.

    def around(self, child: Resource) -> "Sessions":
        """Put these sessions around `child`, see `Site(sessions=)`."""
        if self._is_around:
            raise ValueError("expected sessions that are around nothing yet")
        self.inner = child
        self._is_around = True
        return self

    def enter(self, request: Request) -> Resource | Awaitable[Resource]:
        """Attach a session; look for it now if the store may have to be waited for."""
        cookie = self._cookies.of(request)
        sent_id = ""
        if any(name == b"cookie" for name, _ in request.raw_headers):
            sent_id = request.cookies.get(cookie.name, "")
            if _ID.fullmatch(sent_id) is None:
                sent_id = ""
        session = request.attached_session = Session(self, cookie, sent_id)
        return self._entered(session) if sent_id and not self.store.is_local else self.inner

    async def _entered(self, session: Session) -> Resource:
        await self._load(session)
        return self.inner

    # In the store.

    def _key(self, session: Session, id: str) -> Key:
        """Bound to the cookie: an id is worth nothing at another mount point or over another scheme."""
        return Key(self.namespace, _cookie_of(session).digest(id))

    # Before the request, and before and after its head.

    def load_now(self, session: Session) -> None:
        finished(self._load(session))

    async def _load(self, session: Session) -> None:
        session.is_loaded = True
        record = await self._ask(self.store.load(self._key(session, session.sent_id)))
        if record is None or record.expires <= self._clock():
            return
        session.begin(record.values, record.created, record.modified, record.expires)

    def head(self, session: Session, headers: Headers) -> Awaitable[None] | None:
        headers.vary("Cookie")
        if session.needs_saving or (session.stored_id and self._slides(session)):
            saving = self._save_and_tell(session, headers)
            if not self.store.is_local:
                return saving
            finished(saving)
        else:
            self._tell_client(session, headers)
        return None

    async def _save_and_tell(self, session: Session, headers: Headers) -> None:
        await self.save(session)
        self._tell_client(session, headers)

    def _tell_client(self, session: Session, headers: Headers) -> None:
        """Again for every head there is: that of an error page may take the place of another."""
        if session.sets_cookie:
            headers.add("Set-Cookie", _cookie_of(session).set(session.stored_id))
        elif session.clears_cookie:
            headers.add("Set-Cookie", _cookie_of(session).delete())

    def _slides(self, session: Session) -> bool:
        return self._end(session.times.created) - session.times.expires >= self._slide

    def _end(self, created: float) -> float:
        """When a session that is used now ends."""
        end = self._clock() + self.idle_timeout
        return end if self.lifetime is None else min(end, created + self.lifetime)

    def save_later(self, session: Session) -> None:
        if self.store.is_local:
            finished(self.save(session))
        elif self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._begin_saving, session)

    def _begin_saving(self, session: Session) -> None:
        assert self._loop is not None
        task = self._loop.create_task(self._save_late(session))
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)

    async def _save_late(self, session: Session) -> None:
        try:
            if session.needs_saving:
                await self.save(session)
        except StoreUnavailable:
            log.error("changes of a session were lost: the store did not answer after the head had left")

    async def save(self, session: Session) -> None:
        """Write what was changed: the end first, then the id, then the values."""
        if session.doomed_id:
            doomed, session.doomed_id = self._key(session, session.doomed_id), ""
            record = await self._ask(self.store.delete(doomed))
            if record is not None:
                self._tell([(doomed.digest, record)])
        sets, removed = session.take_changes()
        if session.stored_size > self.max_size:
            raise ValueError(f"expected at most {self.max_size} characters in a session")
        if session.stored_id and session.id != session.stored_id:
            await self._rotate(session)
        if session.stored_id:
            await self._update(session, sets, removed)
        elif sets or session.is_touched:
            await self._create(session, sets)
        session.is_touched = False

    async def _rotate(self, session: Session) -> None:
        old, new = self._key(session, session.stored_id), self._key(session, session.id)
        if await self._ask(self.store.move(old, new)):
            session.stored_id = session.id
            session.sets_cookie = True
            if old.digest in self._observers:
                self._observers[new.digest] = self._observers.pop(old.digest)
        else:
            session.stored_id = ""  # it has ended meanwhile: what this request says begins another one

    async def _update(self, session: Session, sets: dict[str, Any], removed: list[str]) -> None:
        now, end = self._clock(), self._end(session.times.created)
        key = self._key(session, session.stored_id)
        if await self._ask(self.store.update(key, sets, removed, now, end)):
            modified = now if sets or removed else session.times.modified
            session.times = Times(session.times.created, modified, end)
            if self._cookies.max_age is not None:
                session.sets_cookie = True
        elif sets or removed:
            log.info("changes of a session came after its end and were dropped")

    async def _create(self, session: Session, sets: dict[str, Any]) -> None:
        now = self._clock()
        session.times = Times(now, now, self._end(now))
        record = Record(sets, *session.times)
        self._tell(
            await self._ask(self.store.create(self._key(session, session.id), record, self.max_sessions))
        )
        session.stored_id = session.id
        session.sets_cookie = True

    async def increment(self, session: Session, name: str, by: int) -> int:
        value = await self._ask(self.store.increment(self._key(session, session.stored_id), name, by))
        if value is None:
            raise SessionGone
        return value

    async def compare_and_set(self, session: Session, name: str, expected: object, value: object) -> bool:
        if not self.keeps_objects:
            expected = None if expected is None else encode_value(name, expected)
            value = encode_value(name, value)
        key = self._key(session, session.stored_id)
        was_set = await self._ask(self.store.compare_and_set(key, name, expected, value))
        if was_set is None:
            raise SessionGone
        return was_set

    async def _ask(self, answer: Awaitable[T]) -> T:
        """What the store answers; its silence is logged once."""
        try:
            value = await answer
        except StoreUnavailable as error:
            if not self._is_down:
                self._is_down = True
                log.error("the session store does not answer: %s", error.cause)
            raise
        if self._is_down:
            self._is_down = False
            log.warning("the session store answers again")
        return value

    # Ends.

    def on_expire(self, session: Session, observer: ExpiryObserver) -> None:
        if not self.keeps_objects:
            raise TypeError(
                "expected a memory store for on_expire() of one session: "
                "others may see it end in another process; use Sessions(on_expire=)"
            )
        session.touch()
        finished(self.save(session))
        digest = self._key(session, session.stored_id).digest
        self._observers.setdefault(digest, []).append(observer)

    async def sweep(self) -> int:
        """Forget the sessions that are past their time, telling their observers; how many those were."""
        ended = await self._ask(self.store.sweep(self.namespace, self._clock()))
        self._tell(ended)
        return len(ended)

    async def count(self) -> int:
        """How many sessions there are, with those past their time that were not swept yet."""
        return await self._ask(self.store.count(self.namespace))

    def _tell(self, ended: list[Ended]) -> None:
        for digest, record in ended:
            observers = self._observers.pop(digest, []) if self._observers else []
            if self._on_expire is not None:
                observers = [*observers, self._on_expire]
            if observers:
                values = self._decoded(record.values)
                for observer in observers:
                    try:
                        observer(values)
                    except Exception:  # the observer is the application's code
                        log.exception("an observer of expiring sessions failed")

    def _decoded(self, values: dict[str, Any]) -> Mapping[str, Any]:
        session = Session(self, None)
        session.fill(values)
        return dict(session)

    # The life of the process: of as many sites as share these sessions.

    async def start(self) -> None:
        """StartProblem when the store cannot be used."""
        if not self._is_around:
            raise RuntimeError("expected Sessions(child) or Site(root, sessions=Sessions()), got no child")
        self._loop = asyncio.get_running_loop()
        try:
            await self.store.start()
        except StoreUnavailable as error:
            raise StartProblem(f"cannot keep sessions: {error.cause}") from error
        self._users += 1
        if self._users == 1:
            self._sweeping = self._loop.create_task(self._sweep_for_ever())

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                while await self.sweep() and not self.store.is_local:
                    pass
            except StoreUnavailable:
                pass  # _ask has logged it

    async def stop(self) -> None:
        self._users -= 1
        if not self._users and self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait({self._sweeping})
            self._sweeping = None
        while self._saving:
            await asyncio.wait(set(self._saving))
        await self.store.stop()

    def worker_warning(self, workers: int) -> str | None:
        """What to tell whoever starts so many processes with one tree; None when nothing is wrong."""
        if workers > 1 and not self.store.is_shared:
            return (
                f"sessions {self._cookies.name!r} are kept in the memory of each of {workers} workers: "
                "users will lose them from request to request; use SQLiteStore or RedisStore"
            )
        return None


def _cookie_of(session: Session) -> SessionCookie:
    cookie = session.cookie
    assert isinstance(cookie, SessionCookie), "it was put there by enter()"
    return cookie
