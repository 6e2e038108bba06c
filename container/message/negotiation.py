"""What the client would rather have: proactive negotiation (RFC 9110 12)."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from container.message.fields import list_tokens

_WEIGHT: Final = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
# Old names of codings (RFC 9110 8.4.1).
_ALIASES: Final = {b"x-gzip": b"gzip", b"x-compress": b"compress"}


def preferred_type(accept: str, offers: Sequence[str]) -> str | None:
    """The best of the media types on offer by an Accept field; the first of equals, None if none will do."""
    from werkzeug.datastructures import MIMEAccept
    from werkzeug.http import parse_accept_header

    best: str | None = parse_accept_header(accept, MIMEAccept).best_match(offers)
    return best


def preferred_coding(values: Iterable[bytes], offers: Sequence[str]) -> str | None:
    """The best of the codings on offer by the lines of Accept-Encoding, the first of equals.

    "identity" when the client would rather have the content as it is, wants nothing in particular, or takes
    none of the offers; None when it does not take that either (RFC 9110 12.5.3). Members that are malformed
    count for nothing.
    """
    weights = _weights(values)
    others = weights.get(b"*")
    best, most = "identity", 0.0
    for offer in offers:
        weight = weights.get(offer.encode("ascii"), others)
        if weight is not None and weight > most:
            best, most = offer, weight
    # Nobody need ask for content as it is; only one who does so prefers it.
    identity = weights.get(b"identity")
    if best != "identity":
        return best if identity is None or identity <= most else "identity"
    return None if (others if identity is None else identity) == 0 else "identity"


def _weights(values: Iterable[bytes]) -> dict[bytes, float]:
    weights: dict[bytes, float] = {}
    for member in list_tokens(values):
        name, *parameters = [part.strip(b" \t") for part in member.split(b";")]
        weight = b"1"
        for parameter in parameters:
            key, _, value = parameter.partition(b"=")
            if key == b"q":
                weight = value
        if name and _WEIGHT.fullmatch(weight):
            weights.setdefault(_ALIASES.get(name, name), float(weight))
    return weights
