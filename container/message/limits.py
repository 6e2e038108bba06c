"""How much and how long: the bounds every connection lives within. All are on by default.

Sizes are bytes, times are seconds; `None` switches a bound off where the type allows it.
"""

from dataclasses import dataclass, field, fields

MIB = 1 << 20


def _check(bounds: "Limits | Timeouts", expected: str, may_be_none: tuple[str, ...] = ()) -> None:
    """ValueError for a bound that would be none."""
    for name in (each.name for each in fields(bounds) if each.init):
        value = getattr(bounds, name)
        if value is None and name in may_be_none:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise ValueError(f"expected {expected} as {name}, got {value!r}")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may weigh.

    `request_line`: start-line without CRLF, else 414. `fields`: number of field lines, `field_size`: one
    field line, `field_section`: all of them, else 431. `body`: content after decoding chunked, else 413.
    `trailers`: one trailer section. `chunk_line`: one chunk-size line with its extensions.
    `spool_memory`: content kept in memory before it goes to a temporary file. `spool_quota`: what all
    requests of one process may keep at one time, memory and disk together, else 503.
    """

    request_line: int = 8190
    fields: int = 500
    field_size: int = 16 * 1024
    field_section: int = 16 * 1024
    body: int | None = 2048 * MIB
    trailers: int = 16 * 1024
    chunk_line: int = 1024
    spool_memory: int = MIB // 4
    spool_quota: int = 8192 * MIB
    # A head up to this size exceeds none of the three: nothing to measure.
    head_always_fits: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self, "a number of at least 0", may_be_none=("body",))
        fits = min(self.request_line, self.field_size, self.field_section)
        object.__setattr__(self, "head_always_fits", fits)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a connection may wait for its peer. Only `hooks` bounds the application.

    `head`: from the first byte of a head to its last, else 408. `body`: between two reads of content, else
    408; `body_rate`: bytes a second that the content as a whole must keep up once `body` has passed.
    `keep_alive`: idle between requests, closed without a word. `write`: no progress towards a client that
    does not read, aborted. `linger`: reading on after the last answer so that a client still sending
    receives it instead of a reset. `hooks`: until all that is to be done before the head of an answer, such as
    saving a session, is done, else an error page. `handshake`: a PROXY header, then a TLS handshake.
    """

    head: float = 30.0
    body: float = 30.0
    body_rate: float = 256.0
    keep_alive: float = 75.0
    write: float = 60.0
    linger: float = 5.0
    hooks: float = 30.0
    handshake: float = 15.0

    def __post_init__(self) -> None:
        _check(self, "seconds of at least 0")
