"""`unix:PATH`: a socket file, its mode and owner, and what became of an earlier one."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from dataclasses import dataclass

from container.channel.endpoints.base import DEFAULT_BACKLOG, ListenError, describe_socket
from container.channel.endpoints.grammar import NUMBER, Arguments, parse_backlog, register

DEFAULT_UNIX_MODE = 0o660  # a front proxy shares the group; nobody else on the machine gets in
_MODE = re.compile(r"(?:0o?)?[0-7]{3}")


class _PathSocket(socket.socket):
    """A UNIX socket that knows which file it made: absolute path, device, inode."""

    made: tuple[str, int, int] | None = None


@dataclass(frozen=True, slots=True)
class UnixEndpoint:
    """A UNIX socket file.

    It is made for its owner alone and opened up to `mode` last, so it is never wider than asked. A socket
    file that nobody accepts on is replaced; a live one, or any other kind of file, is an error and stays.
    `peers`: numbers of the users who may connect, whatever the mode; None: all whom it lets.
    """

    path: str
    mode: int = DEFAULT_UNIX_MODE
    backlog: int = DEFAULT_BACKLOG
    owner: int = -1  # as in os.chown: leave it
    group: int = -1
    peers: frozenset[int] | None = None

    def listen(self) -> list[socket.socket]:
        try:
            self._remove_stale()
            return [self._open()]
        except ListenError:
            raise
        except OSError as error:
            raise ListenError.of(f"unix:{self.path}", error) from error

    def describe(self, sock: socket.socket) -> str:
        return describe_socket(sock)

    def release(self, sock: socket.socket) -> None:
        """Unlink the path, unless a successor has replaced the file that `listen` made.

        While the socket is open the system cannot give its inode number to a successor's file.
        """
        if isinstance(sock, _PathSocket) and sock.made is not None:
            _unlink_same(*sock.made)
            sock.made = None

    def _remove_stale(self) -> None:
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return
        address = f"unix:{self.path}"
        if not stat.S_ISSOCK(found.st_mode):
            raise ListenError(address, "a file that is not a socket is in the way", errno.EEXIST)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            answer = probe.connect_ex(self.path)
        if answer == errno.ECONNREFUSED:
            _unlink_same(self.path, found.st_dev, found.st_ino)
        elif answer in (0, errno.EAGAIN, errno.EINPROGRESS):
            raise ListenError(address, "address already in use", errno.EADDRINUSE)
        elif answer != errno.ENOENT:
            raise ListenError.of(address, OSError(answer, os.strerror(answer)))

    def _open(self) -> socket.socket:
        sock = _PathSocket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            mask = os.umask(0o177)
            try:
                sock.bind(self.path)
            finally:
                os.umask(mask)
            made = os.lstat(self.path)
            sock.made = (os.path.abspath(self.path), made.st_dev, made.st_ino)
            sock.listen(self.backlog)  # at once: until then another server takes the file for a stale one
            os.chown(self.path, self.owner, self.group)
            os.chmod(self.path, self.mode)
        except BaseException:
            self.release(sock)
            sock.close()
            raise
        return sock


def adopt_socket(file: int) -> socket.socket:
    """A listening socket that was handed down under this file number, now ours to give back."""
    sock = socket.socket(fileno=file)
    sock.set_inheritable(False)
    sock.setblocking(False)
    name = sock.getsockname()
    if sock.family != getattr(socket, "AF_UNIX", None) or not isinstance(name, str) or not name:
        return sock
    ours = _PathSocket(fileno=sock.detach())
    ours.setblocking(False)
    try:
        made = os.lstat(name)
    except FileNotFoundError:
        return ours
    ours.made = (os.path.abspath(name), made.st_dev, made.st_ino)
    return ours


def _parse_unix(arguments: Arguments) -> UnixEndpoint:
    bound = arguments.bind("path", "mode", "backlog", "owner", "group", "lockfile", "peers")
    # strports asks a lock file whether the socket is stale, we ask the socket: the key changes nothing.
    arguments.switch("lockfile", bound.get("lockfile", "1"))
    if "\0" in bound["path"]:
        raise arguments.error("a path without NUL", bound["path"])
    mode = bound.get("mode")
    if mode is not None and not _MODE.fullmatch(mode):
        raise arguments.error("mode as three octal digits such as 660", mode)
    return UnixEndpoint(
        bound["path"],
        DEFAULT_UNIX_MODE if mode is None else int(mode, 8),
        parse_backlog(arguments, bound),
        _account(arguments, "owner", bound.get("owner")),
        _account(arguments, "group", bound.get("group")),
        frozenset(_account(arguments, "owner", each) for each in bound["peers"].split(","))
        if "peers" in bound
        else None,
    )


def _account(arguments: Arguments, kind: str, name: str | None) -> int:
    """The number of a user ("owner") or group, which may be given as a number; -1 for none given."""
    if name is None:
        return -1
    if NUMBER.fullmatch(name):
        return int(name)
    import grp  # late: neither exists off POSIX, where there is no unix: either
    import pwd

    try:
        return pwd.getpwnam(name).pw_uid if kind == "owner" else grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        raise arguments.error(f"{kind} to be a number or a name this system knows", name) from None


def _unlink_same(path: str, device: int, inode: int) -> None:
    """Unlink `path` unless it has become another file. Between look and unlink a moment remains."""
    try:
        found = os.lstat(path)
        if (found.st_dev, found.st_ino) == (device, inode):
            os.unlink(path)
    except FileNotFoundError:
        pass


register("unix", _parse_unix)
