"""Logging in by a form: a page for people, a session that remembers them, and a token against forged requests.

The session is that of a `Sessions` around this resource, with its lifetimes and its cookie. It gets a new id when
somebody logs in; logging out ends it.
"""

import os
from collections.abc import Callable, Mapping
from hmac import compare_digest
from html import escape
from inspect import isawaitable
from secrets import token_urlsafe
from time import monotonic
from typing import Final, NamedTuple
from urllib.parse import quote

from container.message.errors import HTTPError
from container.message.form_limits import FormLimits
from container.message.request import Request
from container.message.response import Response
from container.resources.auth.basic import made
from container.resources.auth.passwords import Passwords, Verify
from container.resources.auth.slowdown import SlowDown
from container.tree.pages import prefers_json
from container.tree.resource import Resource
from container.tree.wrapper import Wrapper

USER: Final = "auth.user"
_TOKEN: Final = "auth.token"
_LIMITS: Final = FormLimits(max_fields=20, max_field_bytes=8192, max_text_bytes=32768, max_files=0)
_NEXT_MAX: Final = 2048


class LoginForm(NamedTuple):
    """What a page has to show: a form that posts `username` and `password`, or, when it `leaves`, nothing but a
    button to log out; either with `token` and `next` as hidden fields. `problem` is a sentence, or nothing."""

    token: str
    next: str
    problem: str
    leaves: bool


LoginPage = Callable[[Request, LoginForm], Response]


class FormLogin(Wrapper):
    """Lets those into `child`, and all below it, who have logged in; the others are sent to a form.

    The form is at `login` below the mount point, `logout` ends the session: each asks by GET and acts by POST. It
    needs `Sessions` around it. `users`, `htpasswd` or `verify`: see Passwords. `anonymous`: all come in, and who
    wants to log in follows a link. `page(request, form)` shows another form. `slow_down`: as in BasicAuth.

    A request without a user is sent to the form with 303 when it only reads and a person seems to ask; any other
    one, such as a POST or a WebSocket, gets 403: what it said cannot be kept until somebody has logged in.
    """

    def __init__(
        self,
        child: Resource,
        *,
        users: Mapping[str, str] | None = None,
        htpasswd: str | os.PathLike[str] | None = None,
        verify: Verify | None = None,
        login: str = "login",
        logout: str = "logout",
        anonymous: bool = False,
        page: LoginPage | None = None,
        slow_down: SlowDown | bool | None = True,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(child)
        for name in (login, logout):
            if not name or "/" in name:
                raise ValueError(f"expected names of one segment for login and logout, got {name!r}")
        self.passwords = Passwords(
            users=users, htpasswd=htpasswd, verify=verify, slow_down=made(slow_down, clock), clock=clock
        )
        self.anonymous = anonymous
        self.page: LoginPage = page or login_page
        self.login = login
        self._pages: dict[bytes, Resource] = {
            b"/" + quote(login).encode(): _Login(self),
            b"/" + quote(logout).encode(): _Logout(self),
        }

    def enter(self, request: Request) -> Resource:
        user = request.session.get(USER)
        if isinstance(user, str):
            request.set_user(user, "Form")
        page = self._pages.get(request.raw_path[request.consumed :])
        if page is not None:
            return page
        return self.inner if self.anonymous or user else _Invitation(self)

    async def start(self) -> None:
        await self.passwords.start()

    async def stop(self) -> None:
        await self.passwords.stop()


def csrf_token(request: Request) -> str:
    """The token of this session, for forms of your own, such as a button to log out; begins a session."""
    session = request.session
    token = session.get(_TOKEN)
    if not isinstance(token, str):
        token = session[_TOKEN] = token_urlsafe(32)
    return token


class _Invitation(Resource):
    """Answers one request, at any path, by sending a person to the form."""

    is_leaf = True

    def __init__(self, guard: FormLogin) -> None:
        self._guard = guard

    def render(self, request: Request) -> Response:
        upgrades = request.raw_header(b"upgrade") is not None
        if request.method not in ("GET", "HEAD") or prefers_json(request) or upgrades:
            raise HTTPError(403, "Please log in first.")
        rest = request.raw_path[request.consumed :]
        wanted = rest + (b"?" + request.raw_query if request.raw_query else b"")
        following = f"?next={quote(wanted, safe='/')}"
        # Relative, so that it is right behind a proxy that has taken a prefix away.
        up = "../" * max(rest.count(b"/") - 1, 0)
        if not rest:  # the mount point without its slash
            last = request.raw_path[request.raw_path.rfind(b"/") + 1 :].decode("latin-1")
            up = f"{quote(last, safe='%')}/"
        target = f"./{up}{quote(self._guard.login)}"
        return _go(target + (following if rest and len(following) <= _NEXT_MAX else ""))


class _Login(Resource):
    """The form, and what it sends."""

    is_leaf = True

    def __init__(self, guard: FormLogin) -> None:
        self._guard = guard

    def get(self, request: Request) -> Response:
        return _show(self._guard, request, request.args.get("next") or "")

    async def post(self, request: Request) -> Response:
        form = await request.form(_LIMITS)
        target = form.get("next") or ""
        if not _has_token(request, form.get("token")):
            return _show(self._guard, request, target, "The form was too old. Please try again.", 403)
        try:
            name = await self._check(request, form.get("username") or "", form.get("password") or "")
        except HTTPError as error:  # too often, or too many at a time
            response = _show(self._guard, request, target, error.detail, error.status)
            for field, value in (error.headers or {}).items():
                response.headers.set(field, value)
            return response
        session = request.session
        session.rotate()
        session[_TOKEN] = token_urlsafe(32)
        session[USER] = name
        request.set_user(name, "Form")
        return _go(_below(target))

    async def _check(self, request: Request, user: str, password: str) -> str:
        found = self._guard.passwords.check(request, user, password)
        name = await found if isawaitable(found) else found
        if name is None:
            raise HTTPError(403, "Name or password is wrong.")
        return name


class _Logout(Resource):
    is_leaf = True

    def __init__(self, guard: FormLogin) -> None:
        self._guard = guard

    def get(self, request: Request) -> Response:
        if request.user is None:
            return _go(_below(""))
        return _show(self._guard, request, "", leaves=True)

    async def post(self, request: Request) -> Response:
        form = await request.form(_LIMITS)
        if not _has_token(request, form.get("token")):
            return _show(
                self._guard, request, "", "The form was too old. Please try again.", 403, leaves=True
            )
        request.session.expire()
        return _go(_below(""))


def _show(
    guard: FormLogin,
    request: Request,
    target: str,
    problem: str = "",
    status: int = 200,
    *,
    leaves: bool = False,
) -> Response:
    response = guard.page(request, LoginForm(csrf_token(request), target, problem, leaves)).copy()
    response.status = status
    response.headers.set("Cache-Control", "no-store")
    return response


def _go(target: str) -> Response:
    response = Response.redirect(target, 303)
    response.headers.set("Cache-Control", "no-store")
    return response


def _has_token(request: Request, sent: str | None) -> bool:
    token = request.session.get(_TOKEN)
    return isinstance(token, str) and compare_digest(token.encode(), (sent or "").encode("utf-8", "replace"))


def _below(wanted: str) -> str:
    """Where to go from one of the two pages: a path below the mount point, whoever named it. Being relative it leads
    to no other host, and is right behind a proxy that has taken a prefix away."""
    return f".{wanted}" if wanted.startswith("/") and len(wanted) <= _NEXT_MAX else "./"


_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 12vh auto; max-width: 20rem; padding: 0 1rem; }}
input, button {{ box-sizing: border-box; display: block; font: inherit; }}
input, button {{ margin: .25rem 0 1rem; padding: .4rem; width: 100%; }}
</style>
<h1>{title}</h1>
{problem}<form method="post">
<input type="hidden" name="token" value="{token}">
<input type="hidden" name="next" value="{next}">
{fields}<button>{title}</button>
</form>
</html>
"""
_FIELDS: Final = """<label>Name <input name="username" autocomplete="username" required autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
"""


def login_page(request: Request, form: LoginForm) -> Response:
    """The page without one of your own."""
    text = _PAGE.format(
        title="Log out" if form.leaves else "Log in",
        problem=f'<p role="alert">{escape(form.problem)}</p>\n' if form.problem else "",
        token=escape(form.token),
        next=escape(form.next),
        fields="" if form.leaves else _FIELDS,
    )
    headers = {
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'",
        "Referrer-Policy": "same-origin",
    }
    return Response.html(text, headers=headers)
