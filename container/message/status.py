"""Status codes and their reason phrases (RFC 9110 15); nothing here knows what a status does.

Codes without a registered phrase are sent with the phrase of their class.
"""

from http import HTTPStatus

REASONS: dict[int, str] = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
_CLASSES = {1: "Informational", 2: "Success", 3: "Redirection", 4: "Client Error", 5: "Server Error"}

# A response with one of these never has content (RFC 9110 6.4.1).
BODILESS = frozenset({*range(100, 200), 204, 304})


def reason(status: int) -> str:
    """The phrase for `status`, such as "Not Found"; one for its class when it has none of its own."""
    return REASONS.get(status) or _CLASSES.get(status // 100, "Unknown Status")


def check_status(status: int) -> int:
    """`status`, or ValueError when it is no final status: an int of three digits from 200 to 999."""
    if status.__class__ is int and 200 <= status <= 999:
        return status
    if isinstance(status, int) and not isinstance(status, bool) and 200 <= status <= 999:
        return int(status)
    raise ValueError(f"expected a final status from 200 to 999, got {status!r}")
