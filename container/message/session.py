"""The session of a request: its values, its id, and how long it lives.

Nothing here reads or writes a store or a cookie: a `SessionScope` does, which lives in `sessions/`.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

from container.message.errors import ExchangeStateError, HTTPError
from container.message.session_values import SessionValues, check_name, encode_value

if TYPE_CHECKING:
    from container.message.exchange import Exchange
    from container.message.headers import Headers

T = TypeVar("T")

# Bytes of randomness in an id: 256 bits, 43 characters.
_ID_BYTES: Final = 32
ID_LENGTH: Final = 43

# Told of a session that has ended, with what was in it.
ExpiryObserver = Callable[[Mapping[str, Any]], None]


class SessionGone(HTTPError):
    """The session ended during the request, by a log-out or a change of its id in another one."""

    def __init__(self) -> None:
        super().__init__(409, "The session has ended meanwhile.")


class Times(NamedTuple):
    """Of a session, in seconds since the epoch."""

    created: float
    modified: float
    expires: float


NEVER: Final = Times(0.0, 0.0, 0.0)


class SessionScope(Protocol):
    """What a session needs from those who keep it."""

    keeps_objects: bool
    is_local: bool  # its coroutines wait for nothing

    def load_now(self, session: "Session") -> None:
        """Look for what `session.sent_id` names, in a store that never waits."""

    def head(self, session: "Session", headers: "Headers") -> Awaitable[None] | None:
        """The head of the answer is about to leave: save, and set or clear the cookie."""

    async def save(self, session: "Session") -> None:
        """Write what was changed."""

    def save_later(self, session: "Session") -> None:
        """Write what was changed, now or soon. From any thread."""

    async def increment(self, session: "Session", name: str, by: int) -> int:
        """Add in the store."""

    async def compare_and_set(self, session: "Session", name: str, expected: object, value: object) -> bool:
        """Replace in the store."""

    def on_expire(self, session: "Session", observer: ExpiryObserver) -> None:
        """Tell `observer` of the end of this one session."""


class Session(SessionValues):
    """What a site remembers of one browser: values by name. The session of one request, seen from it.

    Changes are written before the head of the answer leaves, name by name: what other requests have changed
    meanwhile stays. A new session comes to exist, with its cookie, when something is written into it, or by
    `touch()`. `created`, `modified` and `expires` are seconds since the epoch, 0.0 as long as there is none.

    Not for several threads at a time.
    """

    __slots__ = (
        "_id", "_late", "_opened", "_over", "_scope", "clears_cookie", "cookie", "doomed_id",
        "is_loaded", "is_touched", "is_used", "sent_id", "sets_cookie", "stored_id", "times", "was_known",
    )  # fmt: skip

    def __init__(self, scope: SessionScope, cookie: object, sent_id: str = "") -> None:
        super().__init__(keeps_objects=scope.keeps_objects)
        self._scope = scope
        self._id = ""
        self._opened = self._late = self._over = False
        # For the scope. `sent_id`: what the client claims; `stored_id`: under which the store has the session
        # now; `doomed_id`: of a session that is to be deleted; `cookie`: the scope's own.
        self.cookie = cookie
        self.sent_id = sent_id
        self.stored_id = self.doomed_id = ""
        self.is_loaded = not sent_id
        self.is_used = self.is_touched = False
        self.sets_cookie = self.clears_cookie = False
        self.was_known = False
        self.times = NEVER

    def begin(self, stored: Mapping[str, Any], created: float, modified: float, expires: float) -> None:
        """The store knows `sent_id`: this is its session."""
        self.fill(stored)
        self.stored_id = self._id = self.sent_id
        self.times = Times(created, modified, expires)
        self.was_known = True

    # Identity and life.

    @property
    def id(self) -> str:
        """The id, secret as a password: 256 random bits. That of a new session is not kept by asking for it."""
        self._look()
        if not self._id:
            self._id = token_urlsafe(_ID_BYTES)
        return self._id

    @property
    def is_new(self) -> bool:
        """Was there no session when the request came?"""
        self._look()
        return not self.was_known

    @property
    def is_absent(self) -> bool:
        """Is there no session now?"""
        self._look()
        return not self.stored_id

    @property
    def created(self) -> float:
        self._look()
        return self.times.created

    @property
    def modified(self) -> float:
        """When a value was last set or removed, increments apart."""
        self._look()
        return self.times.modified

    @property
    def expires(self) -> float:
        """When it ends unless it is used again."""
        self._look()
        return self.times.expires

    def touch(self) -> None:
        """Let the session live on from now; makes a new one exist though nothing was written into it."""
        self._change()
        self.is_touched = True
        self._changed()

    def rotate(self) -> None:
        """Change the id and keep the values: call it when a user logs in, against session fixation.

        The old id is dead as soon as the answer leaves. Raises ExchangeStateError after its head.
        """
        self._look()
        if self._late:
            raise ExchangeStateError("expected rotate() before the head of the answer has left")
        self._id = ""
        self.is_touched = self.is_touched or bool(self.stored_id)

    def expire(self) -> None:
        """End the session: it is deleted, its cookie cleared, its observers told. Once more changes nothing.

        What is written after it goes into a new session.
        """
        self._look()
        if self.stored_id:
            self.doomed_id, self.stored_id = self.stored_id, ""
            self.clears_cookie = True
        self._id = ""
        self.was_known = self.is_touched = self.sets_cookie = False
        self.times = NEVER
        self.forget()
        if self.doomed_id and (self._over or self.is_local):
            self._scope.save_later(self)

    def on_expire(self, observer: ExpiryObserver) -> None:
        """Tell `observer` once when this session has ended, however. Only with a store that keeps objects:
        TypeError otherwise, see `Sessions(on_expire=)`."""
        self._scope.on_expire(self, observer)

    def component(self, kind: type[T], factory: Callable[[], T] | None = None) -> T:
        """The one object of type `kind` in this session, made by `factory()`, or `kind()`, the first time.

        Only with a store that keeps objects: TypeError otherwise.
        """
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name not in self:
            self[name] = (factory or kind)()
        found = self[name]
        assert isinstance(found, kind)
        return found

    # In the store.

    @property
    def is_local(self) -> bool:
        """Do the coroutines of this session wait for nothing?"""
        return self._scope.is_local

    async def save(self) -> None:
        """Write what was changed so far, before the end of a long answer. Raises HTTPError(503)."""
        self._look()
        await self._scope.save(self)

    async def increment(self, name: str, by: int = 1) -> int:
        """Add `by` to the integer under `name`, 0 when there is none, in the store itself, and return the sum.

        No increment is lost, whoever else increments. Raises TypeError when there is something else,
        SessionGone, HTTPError(503).
        """
        if not isinstance(by, int):
            raise TypeError(f"expected an integer to add to session[{name!r}], got {by!r}")
        await self._settled(name)
        value = await self._scope.increment(self, name, by)
        self.learn(name, value)
        return value

    async def compare_and_set(self, name: str, expected: Any, value: Any) -> bool:
        """Set `name` in the store if it has the value `expected` there; None is also a value that is missing.

        False when it has another one, which `session[name]` does not know. Raises SessionGone, HTTPError(503).
        """
        if not self.keeps_objects:
            encode_value(name, expected)
            encode_value(name, value)
        await self._settled(name)
        if not await self._scope.compare_and_set(self, name, expected, value):
            return False
        self.learn(name, value)
        return True

    async def _settled(self, name: str) -> None:
        """Before an operation of the store: what this request has changed comes first."""
        check_name(name)
        self._look()
        if not self.stored_id:
            self.touch()
        if not self.stored_id or name in self._dirty or name in self._removed:
            await self._scope.save(self)

    @property
    def needs_saving(self) -> bool:
        """Is there something that the store does not know yet?"""
        return bool(self.doomed_id or self.is_touched) or self.has_changes

    # The request's.

    def open(self, exchange: "Exchange") -> None:
        """Follow the answer of `exchange`. On the loop."""
        if self._opened:
            return
        self._opened = True
        if exchange.started or exchange.ended:
            self._late = exchange.started and (exchange.ended or not exchange.disconnected)
        else:
            exchange.before_head(self._before_head)
        if exchange.ended:
            self._over = True
        else:
            exchange.on_close(self._closed)

    def _before_head(self, status: int, headers: "Headers") -> Awaitable[None] | None:
        self._late = True
        return self._scope.head(self, headers) if self.is_used else None

    def _closed(self, error: Exception | None) -> None:
        self._over = True
        if self.doomed_id or (self.stored_id and self.needs_saving):
            self._scope.save_later(self)

    def _look(self) -> None:
        self.is_used = True
        if not self.is_loaded:
            self._scope.load_now(self)

    def _change(self) -> None:
        self._look()
        if self._late and not self.stored_id:
            raise ExchangeStateError(
                "expected a new session to be written before the head of the answer has left: "
                "its cookie cannot be sent any more"
            )

    def _changed(self) -> None:
        if self._over and self.stored_id:
            self._scope.save_later(self)

    def __repr__(self) -> str:
        return f"<Session {'known' if self.was_known else 'new'}, {len(self._values) or len(self._stored)} values>"


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing, such as those of a session that `is_local`."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    coroutine.close()
    raise RuntimeError("expected a store that never waits, got one that does")
