"""Places of the users of this machine: `/~mary/` and `/mary/` are files, `/mary.container/` is her own server."""

import os
import string
from collections.abc import Callable, Collection, Sequence
from html import escape
from time import monotonic
from typing import Final
from urllib.parse import quote

from container.message.errors import HTTPError
from container.message.request import Request
from container.message.response import Response
from container.resources.userdir.accounts import Account, Accounts
from container.resources.userdir.personal import SOCKET_NAME, PersonalServer, Starter, command
from container.tree.resource import Resource

SUFFIX: Final = ".container"
_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Users</title>
<h1>Users</h1>
<ul>
{items}
</ul>
</html>
"""

# Makes the resource for a directory; that for the server at a UNIX socket.
MakeFiles = Callable[[str], Resource]
HandOver = Callable[[Account, str], Resource]


class UserDirectory(Resource):
    """The files of users, and what their own servers answer.

    `files(path)`: serves a user's directory; `directory`: which one that is, below the home directory or, when it
    begins with a slash, a template such as `/srv/users/{user}`. `hand_over(account, socket)`: what passes requests
    on to the server at a user's UNIX socket, such as
    `lambda account, path: ReverseProxy(f"unix:{path}", host="preserve")`; without it there is no `/user.container/`.
    `socket`: where that is, spelt as `directory` is. `start`: a command to start it when it does not run, see
    `personal.command`, or an async function that gets the account; `start_timeout`: seconds it may take.

    Users are those of this machine with a uid from `min_uid` on, among `allow` if that is given, none of `deny`;
    all others are 404. `listing`: show a list of all who have something; without it nobody learns who there is.
    """

    def __init__(
        self,
        files: MakeFiles,
        *,
        directory: str = "public_html",
        min_uid: int = 1000,
        allow: Collection[str] | None = None,
        deny: Collection[str] = (),
        listing: bool = False,
        hand_over: HandOver | None = None,
        socket: str = SOCKET_NAME,
        start: Sequence[str] | Starter | None = None,
        start_timeout: float = 10.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        for template in (directory, socket):
            _check_template(template)
        if start is not None and hand_over is None:
            raise ValueError("expected hand_over besides start: nothing would be handed to what is started")
        self.made_with: dict[str, object] = {
            "min_uid": min_uid, "allow": allow, "deny": tuple(deny), "listing": listing, "files": files,
            "socket": socket, "start": start, "start_timeout": start_timeout, "clock": clock,
        }  # fmt: skip
        self.directory = directory
        self._files = files
        self._socket = socket
        self._listing = listing
        self._hand_over = hand_over
        self._starter = start if start is None or callable(start) else command(start)
        self._start_timeout = start_timeout
        self._accounts = Accounts(min_uid, allow, deny, clock)
        self._clock = clock
        # None is given up for another: it may have programs running, and whoever asks in turn would make ever more.
        self._places: dict[tuple[Account, bool], Resource] = {}

    # The tree.

    def child(self, name: str, request: Request) -> Resource | None:
        if not name:
            return self._index() if request.consumed >= len(request.raw_path) else None
        is_server = name.endswith(SUFFIX)
        account = self._accounts.find(name.removesuffix(SUFFIX) if is_server else name.removeprefix("~"))
        if account is None:
            return None
        place = self._place(account, is_server=is_server)
        if place is not None and request.consumed >= len(request.raw_path):
            return _Slash()
        return place

    def get(self, request: Request) -> Response:
        raise HTTPError(404)

    def _index(self) -> Resource | None:
        return _Listing(self) if self._listing else None

    def _place(self, account: Account, *, is_server: bool) -> Resource | None:
        key = account, is_server
        place = self._places.get(key)
        if place is not None:
            return place if is_server or os.path.isdir(self.directory_of(account)) else None
        place = self._make_server(account) if is_server else self._make_files(account)
        if place is not None:
            self._places[key] = place
        return place

    def _make_files(self, account: Account) -> Resource | None:
        path = self.directory_of(account)
        return self._files(path) if os.path.isdir(path) else None

    def _make_server(self, account: Account) -> Resource | None:
        path = self.socket_of(account)
        if self._hand_over is None or (self._starter is None and not os.path.lexists(path)):
            return None
        proxy = self._hand_over(account, path)
        return PersonalServer(
            account, path, proxy, self._starter, start_timeout=self._start_timeout, clock=self._clock
        )

    # Where things are.

    def directory_of(self, account: Account) -> str:
        return _place_of(self.directory, account)

    def socket_of(self, account: Account) -> str:
        return _place_of(self._socket, account)

    def entries(self) -> list[tuple[Account, str, str]]:
        """What there is: account, kind and link."""
        found = []
        for account in self._accounts.all():
            if os.path.isdir(self.directory_of(account)):
                found.append((account, "file", f"{account.name}/"))
            if self._hand_over is not None and os.path.lexists(self.socket_of(account)):
                found.append((account, "container", f"{account.name}{SUFFIX}/"))
        return found

    async def stop(self) -> None:
        places, self._places = self._places, {}
        for place in places.values():
            await place.stop()


class _Listing(Resource):
    """A list of who is there. Looking for all of them takes time: in a thread."""

    def __init__(self, directory: UserDirectory) -> None:
        self.directory = directory

    async def get(self, request: Request) -> Response:
        from asyncio import to_thread

        entries = await to_thread(self.directory.entries)
        items = "\n".join(
            f'<li><a href="./{quote(link)}">{escape(account.real_name)} ({kind})</a></li>'
            for account, kind, link in entries
        )
        return Response.html(_PAGE.format(items=items))


class _Slash(Resource):
    """From `/mary` to `/mary/`, so that relative links are right."""

    def render(self, request: Request) -> Response:
        from container.tree.site import slash_redirect

        return slash_redirect(request)


def _place_of(template: str, account: Account) -> str:
    path = template.replace("{user}", account.name).replace("{home}", account.home)
    return os.path.join(account.home, path)


def _check_template(template: str) -> None:
    fields = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    if not template or "\0" in template or fields - {"user", "home"}:
        raise ValueError(f"expected a path, perhaps with {{user}} or {{home}} in it, got {template!r}")
    if template.startswith("/") and not fields:
        raise ValueError(
            f"expected {{user}} or {{home}} in a path that begins with a slash, got {template!r}"
        )
    if ".." in template.split("/"):
        raise ValueError(f"expected a path without .., got {template!r}")
