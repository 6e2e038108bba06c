"""What `--user-dirs` and `--personal` stand for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from container.channel.endpoints import UnixEndpoint
from container.config.problems import ConfigProblem

if TYPE_CHECKING:
    from container.config.settings import Settings
    from container.resources.userdir import Account
    from container.tree.resource import Resource


def user_directories(directory: str, settings: Settings, **options: Any) -> Resource:
    """The files of users, `directory` in their home directories, and the servers they run for themselves."""
    from container.resources.static import Files
    from container.resources.userdir import UserDirectory

    try:
        return UserDirectory(
            lambda path: Files(path, index=settings.index),
            directory=directory,
            hand_over=_server_of,
            **options,
        )
    except ValueError as error:
        raise ConfigProblem(str(error)) from error


def _server_of(account: Account, path: str) -> Resource:
    from container.resources.proxy import ReverseProxy

    return ReverseProxy(f"unix:{path}", host="preserve")


def personal_endpoint() -> UnixEndpoint:
    """Where the central server looks for the server of the user who runs this one, open to both of them only."""
    import pwd

    from container.resources.userdir import SOCKET_NAME

    uid = os.getuid()
    try:
        home = pwd.getpwuid(uid).pw_dir
    except KeyError:
        raise ConfigProblem(f"expected a user of this machine for --personal, got uid {uid}") from None
    return UnixEndpoint(os.path.join(home, SOCKET_NAME), 0o600, peers=frozenset({0, uid}))
