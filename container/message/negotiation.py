"""What the client would rather have: proactive negotiation (RFC 9110 12)."""

from collections.abc import Sequence


def preferred_type(accept: str, offers: Sequence[str]) -> str | None:
    """The best of the media types on offer by an Accept field; the first of equals, None if none will do."""
    from werkzeug.datastructures import MIMEAccept
    from werkzeug.http import parse_accept_header

    best: str | None = parse_accept_header(accept, MIMEAccept).best_match(offers)
    return best
