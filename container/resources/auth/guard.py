"""Who may come in by the Authorization field (RFC 9110 11), whatever the scheme: challenge, check, pass on.

The schemes are in files of their own. What becomes of a user who came in, trees and permissions, is `avatars.py`'s.
"""

from collections.abc import Awaitable, Sequence
from inspect import isawaitable
from typing import NamedTuple, Protocol

from container.message.authorization import split_credentials
from container.message.request import Request
from container.message.response import Response
from container.tree.resource import Resource
from container.tree.site import Site
from container.tree.wrapper import Wrapper


class Refusal(NamedTuple):
    """Why credentials were not accepted, for the challenges of their scheme: parameter and value."""

    remarks: tuple[tuple[str, str], ...] = ()


REFUSED = Refusal()
Verdict = str | Refusal


class Scheme(Protocol):
    """One way to say who one is."""

    name: str
    """As AUTH_TYPE shows it: "Basic"."""

    def challenges(self, request: Request, refusal: Refusal) -> Sequence[str]:
        """Values of WWW-Authenticate, the preferred first."""

    def check(self, request: Request, credentials: str) -> Verdict | Awaitable[Verdict]:
        """The user's name, or why not. May raise HTTPError."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Guard(Wrapper):
    """Lets those into `child` whom one of `schemes` knows; all others get 401 and a challenge of each scheme.

    Below it `request.user` is name and scheme. `anonymous`: who brings no credentials comes in too, without
    being a user; who brings wrong ones does not.
    """

    def __init__(self, child: Resource, schemes: Sequence[Scheme], *, anonymous: bool = False) -> None:
        super().__init__(child)
        self.schemes = {scheme.name.lower(): scheme for scheme in schemes}
        if not schemes or len(self.schemes) != len(schemes):
            raise ValueError(f"expected schemes, each once, got {[scheme.name for scheme in schemes]}")
        self.anonymous = anonymous

    def enter(self, request: Request) -> Resource | Awaitable[Resource]:
        fields = [value for name, value in request.raw_headers if name == b"authorization"]
        if not fields and self.anonymous:
            return self.inner
        if len(fields) != 1:
            return self._refuse(request)
        name, credentials = split_credentials(fields[0].decode("latin-1"))
        scheme = self.schemes.get(name)
        if scheme is None:
            return self._refuse(request)
        verdict = scheme.check(request, credentials)
        if isawaitable(verdict):
            return self._wait(request, scheme, verdict)
        return self._judge(request, scheme, verdict)

    async def _wait(self, request: Request, scheme: Scheme, verdict: Awaitable[Verdict]) -> Resource:
        return self._judge(request, scheme, await verdict)

    def _judge(self, request: Request, scheme: Scheme, verdict: Verdict) -> Resource:
        if isinstance(verdict, Refusal):
            return self._refuse(request, scheme, verdict)
        request.set_user(verdict, scheme.name)
        return self.inner

    def _refuse(
        self, request: Request, refused: Scheme | None = None, refusal: Refusal = REFUSED
    ) -> Resource:
        challenges: list[str] = []
        for scheme in self.schemes.values():
            challenges += scheme.challenges(request, refusal if scheme is refused else REFUSED)
        return _Challenge(challenges)

    async def start(self) -> None:
        for scheme in self.schemes.values():
            await scheme.start()

    async def stop(self) -> None:
        for scheme in self.schemes.values():
            await scheme.stop()


class _Challenge(Resource):
    """Answers one request, at any path and by any method, with 401."""

    is_leaf = True

    def __init__(self, challenges: Sequence[str]) -> None:
        self._challenges = challenges

    def render(self, request: Request) -> Response:
        site = request.site
        assert isinstance(site, Site), "whoever dispatches says which site it is"
        response = site.error_response(request, 401).copy()
        for challenge in self._challenges:
            response.headers.add("WWW-Authenticate", challenge)
        return response
