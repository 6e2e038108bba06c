"""Which stored coding of a file a client would rather have (RFC 9110 12.5.3)."""

from collections.abc import Sequence
from typing import Final

# In the order we prefer them, with the extension of the file that lies beside the plain one.
CODINGS: Final = {"br": b".br", "zstd": b".zst", "gzip": b".gz"}
_ALIASES: Final = {b"x-gzip": "gzip"}
_KNOWN_MAX: Final = 256
_known: dict[bytes, tuple[str, ...]] = {}


def accepted_codings(
    raw_headers: Sequence[tuple[bytes, bytes]],
) -> tuple[str, ...]:
    """The codings of CODINGS that the client prefers to a plain file, best first."""
    value = b""
    for name, field in raw_headers:
        if name == b"accept-encoding":
            value = value + b"," + field if value else field
    if not value:
        return ()
    found = _known.get(value)
    if found is None:
        found = _parse(value)
        if len(_known) >= _KNOWN_MAX:
            _known.clear()
        _known[value] = found
    return found


def _parse(value: bytes) -> tuple[str, ...]:
    weights: dict[str, float] = {}
    for member in value.split(b","):
        name, _, parameter = member.partition(b";")
        name = name.strip(b" \t").lower()
        weights[_ALIASES.get(name) or name.decode("latin-1")] = _weight(parameter)
    others = weights.get("*", 0.0)
    # Plain content is always acceptable, but nothing says that it is wanted as much (RFC 9110 12.5.3).
    plain = weights.get("identity", 0.0)
    wanted = [(coding, weights.get(coding, others)) for coding in CODINGS]
    wanted = [pair for pair in wanted if pair[1] > 0 and pair[1] >= plain]
    return tuple(coding for coding, _ in sorted(wanted, key=lambda pair: -pair[1]))


def _weight(parameter: bytes) -> float:
    """The qvalue of a member; 1 without one, 0 for one that cannot be understood."""
    key, _, text = parameter.partition(b"=")
    if not key.strip():
        return 1.0
    try:
        weight = float(text) if key.strip().lower() == b"q" else -1.0
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
