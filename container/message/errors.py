"""The errors of HTTP: what a peer did wrong, what a resource declines, what became of the client.

Anything else that is raised is a bug, ours or the application's, and is answered 500 by the Site.
"""

from typing import Self


class ProtocolError(Exception):
    """The peer broke the standard. Carries the status to answer with; the connection closes after it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class HTTPError(Exception):
    """A resource declines: `raise HTTPError(404)`. The Site answers with the error page of that status.

    `headers` are added to the answer (`Allow` of a 405, `Retry-After` of a 503).
    """

    def __init__(self, status: int, detail: str = "", *, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} {detail}" if detail else str(status))
        self.status = status
        self.detail = detail
        self.headers = headers


class StartProblem(ValueError):
    """A resource cannot start, and nobody's code is to blame: a directory is missing. The message is one line."""


class ClientDisconnected(ConnectionError):
    """The client left before its request was complete, or while it was being answered; or it has been given another
    answer, a file that was named in place of this one, and nobody waits for more."""

    @classmethod
    def told(cls, *, has_left: bool) -> Self:
        """What an application hears that goes on with its answer."""
        return cls("the client has left" if has_left else "nobody waits for more of this answer")


class ExchangeStateError(RuntimeError):
    """The verbs of an exchange were used out of order, such as a write after its end."""
