"""Sessions in Redis or Valkey, for several machines. Needs the extra `container-server[redis]`.

A session is a hash: its times, and its values with "=" before their names. An index, sorted by the time of
expiry, lets sessions be counted and swept; should all sweepers be gone, Redis forgets them by itself. What
must not be torn apart is a script. Keys share the hash tag of their prefix, so a cluster keeps them together.
"""

import asyncio
from typing import Any, Final

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from container.sessions.batch import Batches
from container.sessions.store import Ended, Key, Record, StoreUnavailable

TIMEOUT_S: Final = 2.0
# How much longer Redis keeps what the sweep should have taken away.
_GRACE_S: Final = 300
_SWEEP_MAX: Final = 200
_TIMES: Final = ("created", "modified", "expires")

# KEYS: session, index. ARGV of all that write: digest, prefix of sessions.
_TAKE: Final = """
local function take(digests)
  local found = {}
  for _, digest in ipairs(digests) do
    local key = ARGV[2] .. digest
    local record = redis.call('HGETALL', key)
    redis.call('DEL', key)
    redis.call('ZREM', KEYS[2], digest)
    if #record > 0 then found[#found + 1] = {digest, record} end
  end
  return found
end
"""
# + limit (0: none), expires, seconds to keep, fields and values.
_CREATE: Final = (
    _TAKE
    + """
local limit, ended = tonumber(ARGV[3]), {}
if limit > 0 then
  local surplus = redis.call('ZCARD', KEYS[2]) - limit + 1
  if surplus > 0 then ended = take(redis.call('ZRANGE', KEYS[2], 0, surplus - 1)) end
end
for i = 6, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
return ended
"""
)
# + expires, seconds to keep, how many sets, fields and values of these, fields to remove.
_UPDATE: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'expires', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
local removed = 6 + 2 * tonumber(ARGV[5])
for i = 6, removed - 1, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
for i = removed, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
return 1
"""
# KEYS: old, index, new. ARGV: digest, prefix, new digest.
_MOVE: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('RENAME', KEYS[1], KEYS[3])
redis.call('ZADD', KEYS[2], redis.call('HGET', KEYS[3], 'expires'), ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
"""
_DELETE: Final = _TAKE + "return take({ARGV[1]})"
# + now, the most to take.
_SWEEP: Final = (
    _TAKE + "return take(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[3], 'LIMIT', '0', ARGV[4]))"
)
# KEYS: session. ARGV: field, by.
_INCREMENT: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
if redis.call('HGET', KEYS[1], ARGV[1]) == 'null' then redis.call('HDEL', KEYS[1], ARGV[1]) end
redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2])
return redis.call('HGET', KEYS[1], ARGV[1])
"""
# ARGV: field, expected, value.
_COMPARE_AND_SET: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
if (redis.call('HGET', KEYS[1], ARGV[1]) or 'null') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""


class RedisStore:
    """Keeps sessions in the Redis or Valkey at `url`: `redis://`, `rediss://` (TLS) or `unix://`.

    `timeout`: seconds for a connection, and for a round trip, until it is answered with 503. `prefix` goes before
    all keys. One connection serves a process: what is asked while it is busy goes out together.
    """

    is_local = False
    is_shared = True
    keeps_objects = False

    def __init__(
        self,
        url: str = "redis://127.0.0.1:6379/0",
        *,
        timeout: float = TIMEOUT_S,
        prefix: str = "{container}",
    ) -> None:
        self.url = url
        self.timeout = timeout
        self.prefix = prefix
        self._users = 0
        self._client: Redis | None = None
        self._pool()  # a URL that cannot be understood is a ValueError now
        # For the batch before, and for its own.
        self._batches = Batches(self._perform, 2 * timeout, "Redis")

    def _pool(self) -> ConnectionPool:
        return ConnectionPool.from_url(
            self.url,
            socket_timeout=self.timeout,
            socket_connect_timeout=self.timeout,
            # Nothing is sent twice: an increment whose answer was lost may have been made.
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )

    async def start(self) -> None:
        """A Redis that is not there yet keeps nobody from starting: requests are answered with 503 until it is."""
        self._users += 1
        if self._users == 1:
            self._client = Redis.from_pool(self._pool())

    async def stop(self) -> None:
        self._users -= 1
        if not self._users and self._client is not None:
            await self._batches.stop()
            client, self._client = self._client, None
            await client.aclose()

    async def load(self, key: Key) -> Record | None:
        found = await self._batches.do(["HGETALL", self._name(key)])
        return _record(found) if found else None

    async def create(self, key: Key, record: Record, limit: int | None) -> list[Ended]:
        times = {"created": record.created, "modified": record.modified, "expires": record.expires}
        fields = [*_flat(times), *_flat({f"={name}": text for name, text in record.values.items()})]
        keep = _seconds(record.expires - record.modified)
        return _ended(await self._call(_CREATE, key, limit or 0, repr(record.expires), keep, *fields))

    async def update(
        self, key: Key, sets: dict[str, Any], removed: list[str], modified: float, expires: float
    ) -> bool:
        fields: dict[str, Any] = {f"={name}": text for name, text in sets.items()}
        if sets or removed:
            fields["modified"] = modified
        gone = [f"={name}" for name in removed]
        keep = _seconds(expires - modified)
        return bool(await self._call(_UPDATE, key, repr(expires), keep, len(fields), *_flat(fields), *gone))

    async def move(self, key: Key, new: Key) -> bool:
        keys = [self._name(key), self._index(key.space), self._name(new)]
        return bool(await self._eval(_MOVE, keys, [key.digest, self._name(Key(key.space, "")), new.digest]))

    async def delete(self, key: Key) -> Record | None:
        ended = _ended(await self._call(_DELETE, key))
        return ended[0][1] if ended else None

    async def increment(self, key: Key, name: str, by: int) -> int | None:
        try:
            value = await self._eval(_INCREMENT, [self._name(key)], [f"={name}", by])
        except ResponseError as error:
            raise TypeError(
                f"expected an integer of 64 bits in session[{name!r}] to increment: {error}"
            ) from None
        return None if value is None else int(value)

    async def compare_and_set(self, key: Key, name: str, expected: Any, value: Any) -> bool | None:
        arguments = [f"={name}", "null" if expected is None else expected, value]
        done = await self._eval(_COMPARE_AND_SET, [self._name(key)], arguments)
        return None if done < 0 else bool(done)

    async def sweep(self, space: str, now: float) -> list[Ended]:
        return _ended(await self._call(_SWEEP, Key(space, ""), repr(now), _SWEEP_MAX))

    async def count(self, space: str) -> int:
        return int(await self._batches.do(["ZCARD", self._index(space)]))

    # Inside.

    def _name(self, key: Key) -> str:
        return f"{self.prefix}:session:{key.space}:{key.digest}"

    def _index(self, space: str) -> str:
        return f"{self.prefix}:sessions:{space}"

    async def _call(self, script: str, key: Key, *arguments: str | int) -> Any:
        keys = [self._name(key), self._index(key.space)]
        return await self._eval(script, keys, [key.digest, self._name(Key(key.space, "")), *arguments])

    async def _eval(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        # The whole script each time: a Redis that was restarted knows none by its hash.
        return await self._batches.do(["EVAL", script, len(keys), *keys, *arguments])

    async def _perform(self, commands: list[list[Any]]) -> list[Any]:
        """One round trip."""
        client = self._client
        if client is None:
            raise StoreUnavailable("expected RedisStore to be started before it is used")
        try:
            # The timeouts of the sockets bound each step; this bounds all of them.
            async with asyncio.timeout(self.timeout), client.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                results = await pipeline.execute(raise_on_error=False)
        except TimeoutError:
            raise StoreUnavailable(f"Redis took longer than {self.timeout:g} s") from None
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
        return [_refused(each) if isinstance(each, RedisError) else each for each in results]


def _refused(error: RedisError) -> Exception:
    """What one command has failed for: a value that is no number is the application's affair."""
    text = str(error)
    if isinstance(error, ResponseError) and ("not an integer" in text or "overflow" in text):
        return error
    return StoreUnavailable(text)


def _flat(fields: dict[str, Any]) -> list[str]:
    """Fields and values in turn; `repr` keeps every bit of a number."""
    return [each if isinstance(each, str) else repr(each) for pair in fields.items() for each in pair]


def _seconds(seconds: float) -> int:
    return max(1, int(seconds)) + _GRACE_S


def _record(fields: dict[str, str]) -> Record:
    values = {name[1:]: text for name, text in fields.items() if name.startswith("=")}
    created, modified, expires = (float(fields.get(name, 0)) for name in _TIMES)
    return Record(values, created, modified, expires)


def _ended(found: list[tuple[str, list[str]]]) -> list[Ended]:
    return [(digest, _record(dict(zip(flat[::2], flat[1::2], strict=True)))) for digest, flat in found]
