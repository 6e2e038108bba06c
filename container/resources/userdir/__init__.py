"""What the users of this machine put on the web: files of their own, and servers of their own (docs/users.md)."""

from container.resources.userdir.accounts import Account
from container.resources.userdir.personal import SOCKET_NAME
from container.resources.userdir.resource import UserDirectory

__all__ = ["SOCKET_NAME", "Account", "UserDirectory"]
