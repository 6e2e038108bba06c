"""Endpoint strings, and the listening sockets behind them.

Here: the grammar of strports (`tcp:8080:interface=127.0.0.1`, `unix:/run/app.sock:mode=660`), the short
spellings (`8080`, `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`), and how a listening socket is opened,
named and given back. Not here: accepting connections, TLS, what is spoken, sockets inherited from a parent.
A further scheme lives in a file of its own and calls `register`.

The grammar: ":" separates fields, a field is VALUE or KEY=VALUE, a backslash takes the next character as it
is. Fields without a key take the keys in order: `tcp:80:127.0.0.1` is `tcp:port=80:interface=127.0.0.1`.
"""

from __future__ import annotations

import difflib
import errno
import ipaddress
import os
import re
import socket
import stat
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DEFAULT_BACKLOG = 2048
DEFAULT_UNIX_MODE = 0o660  # a front proxy shares the group; nobody else on the machine gets in

# Scheme names hold no dot and none is "localhost": a host before a port never hides a misspelt scheme.
_SCHEME = re.compile(r"(?!localhost$)[a-z][a-z0-9+-]*")
_NAMED_HOST = re.compile(r"localhost|(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z][A-Za-z0-9-]{0,62}")
_SHORT_HOST = re.compile(
    rf"(?:\[(?P<six>[^\]]*)\]|(?P<host>[0-9]+\.[0-9.]+|{_NAMED_HOST.pattern}))(?P<rest>:.*)?"
)
_SHORT_PORT = re.compile(r"[0-9]+(?::.*)?")
_NUMBER = re.compile(r"[0-9]{1,10}")
_MODE = re.compile(r"(?:0o?)?[0-7]{3}")
_SWITCH = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}

# The machine lacks the address or the whole protocol: /etc/hosts often names a ::1 that does not exist.
_ABSENT = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

_Address: TypeAlias = tuple[str | int | bytes, ...]


class EndpointError(ValueError):
    """An endpoint string that cannot be understood. The message is one line, for whoever wrote the string."""


class ListenError(OSError):
    """A socket that cannot be opened. The message is one line and names the address."""

    def __init__(self, address: str, reason: str, number: int | None = None) -> None:
        super().__init__(f"cannot listen on {address}: {reason}")
        self.errno = number

    @classmethod
    def of(cls, address: str, error: OSError) -> ListenError:
        reason = error.strerror or str(error)
        return cls(address, reason[:1].lower() + reason[1:], error.errno)


class Endpoint(Protocol):
    """A place to listen on; the value an endpoint string stands for."""

    def listen(self) -> list[socket.socket]:
        """Open, bind and listen: non-blocking sockets, or ListenError and nothing left open."""

    def describe(self, sock: socket.socket) -> str:
        """The URL to print for one of the sockets `listen` gave, with its real port."""

    def release(self, sock: socket.socket) -> None:
        """On a clean stop, before `sock` is closed: remove what `listen` left in the file system.

        In a forking server only the parent calls it.
        """


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a scheme's parser is given: the whole text, the rest after the scheme, and the rest in fields."""

    text: str
    scheme: str
    rest: str
    fields: tuple[tuple[str | None, str], ...]

    def bind(self, *names: str) -> dict[str, str]:
        """Name every field, `names` being all known keys in order, of which the first is required."""
        bound: dict[str, str] = {}
        unnamed = iter(names)
        for key, value in self.fields:
            if key is None:
                name = next(unnamed, None)
                if name is None:
                    raise self.error(f"the end after {names[-1]}", value, self.hint())
            elif key in names:
                name = key
            else:
                raise self.error(f"one of {', '.join(names)}", key, _nearest(key, names) or self.hint())
            if name in bound:
                raise self.error(f"{name} once", value, self.hint())
            bound[name] = value
        if not bound.get(names[0]):
            raise EndpointError(
                f'expected "{self.scheme}:{names[0].upper()}", got {self.text!r}{self.hint()}'
            )
        return bound

    def number(self, name: str, value: str, lowest: int, highest: int) -> int:
        if _NUMBER.fullmatch(value) and lowest <= int(value) <= highest:
            return int(value)
        raise self.error(f"{name} from {lowest} to {highest}", value)

    def switch(self, name: str, value: str) -> bool:
        if value in _SWITCH:
            return _SWITCH[value]
        raise self.error(f"{name}=1 or {name}=0", value)

    def error(self, expected: str, got: str, hint: str = "") -> EndpointError:
        return EndpointError(f"expected {expected}, got {got!r} in {self.text!r}{hint}")

    def hint(self) -> str:
        """The two mistakes the grammar invites: an IPv6 address as it is, a path with "=" in it."""
        if "::" in self.text:
            return r' (write ":" inside a value as "\:")'
        return r' (write "=" inside a path as "\=")' if "/" in self.text and "=" in self.text else ""


Parser: TypeAlias = "Callable[[Arguments], Endpoint]"
_schemes: dict[str, Parser] = {}


def register(name: str, parser: Parser) -> None:
    """Make `name:…` an endpoint string that `parser` reads."""
    if not _SCHEME.fullmatch(name):
        raise ValueError(f"expected a scheme of lower-case letters, digits, + and -, got {name!r}")
    if name in _schemes:
        raise ValueError(f"the endpoint scheme {name!r} is registered already")
    _schemes[name] = parser


def parse_endpoint(text: str) -> Endpoint:
    """The endpoint `text` stands for; EndpointError when it stands for none."""
    scheme, _, rest = text.partition(":")
    parser = _schemes.get(scheme)
    if parser is not None:
        return parser(Arguments(text, scheme, rest, _fields(rest) if ":" in text else ()))
    if _SHORT_PORT.fullmatch(text):
        return _parse_tcp(Arguments(text, "tcp", text, _fields(text)))
    short = _SHORT_HOST.fullmatch(text)
    if short is None:
        raise EndpointError(f'expected "tcp:PORT", got {text!r}{_scheme_hint(text, scheme)}')
    host = short["host"] or short["six"]
    rest = (short["rest"] or "")[1:]
    if not rest:
        raise EndpointError(f'expected "{text.rstrip(":")}:PORT", got {text!r}')
    fields = (*_fields(rest), ("interface", host))
    return _parse_tcp(Arguments(text, "tcp", rest, fields), None if short["host"] else 6)


def listen_all(endpoints: Iterable[Endpoint]) -> list[tuple[Endpoint, socket.socket]]:
    """Listen on every endpoint, or on none: the first that fails closes those already open."""
    with ExitStack() as undo:
        opened: list[tuple[Endpoint, socket.socket]] = []
        for endpoint in endpoints:
            for sock in endpoint.listen():
                undo.callback(sock.close)
                undo.callback(endpoint.release, sock)
                opened.append((endpoint, sock))
        undo.pop_all()
        return opened


def describe_socket(sock: socket.socket, *, scheme: str = "http") -> str:
    """The URL under which a listening socket is reached, asked from the socket itself."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port = name[:2]
    if host == "::" and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        return f"{scheme}://localhost:{port}/ (every interface)"
    if host == "::":
        return f"{scheme}://[::1]:{port}/ (every IPv6 interface)"
    if host == "0.0.0.0":
        return f"{scheme}://127.0.0.1:{port}/ (every IPv4 interface)"
    return f"{scheme}://{_place(host, port)}/"


@dataclass(frozen=True, slots=True)
class TCPEndpoint:
    """A TCP port on one address, on all addresses of a name, or, with no host, on every interface.

    Every interface is one IPv6 socket that speaks IPv4 as well; its IPv4 clients have addresses such as
    ::ffff:192.0.2.1. Where that cannot be had it is 0.0.0.0. With a host, IPv6 sockets speak IPv6 only, so
    `tcp6:80` can stand beside `0.0.0.0:80`. Port 0 lets the system choose, once for all addresses of a name.
    """

    host: str | None
    port: int
    backlog: int = DEFAULT_BACKLOG
    reuse_port: bool = False
    family: socket.AddressFamily = socket.AF_UNSPEC

    def listen(self) -> list[socket.socket]:
        with ExitStack() as undo:
            opened: list[socket.socket] = []
            absent = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
            port = self.port
            for family, address in self._addresses():
                try:
                    sock = self._open(family, (address[0], port, *address[2:]))
                except OSError as error:
                    if error.errno not in _ABSENT:
                        raise ListenError.of(_place(self.host, port), error) from error
                    absent = error
                    continue
                undo.callback(sock.close)
                opened.append(sock)
                port = sock.getsockname()[1]
                if self.host is None:
                    break
            if not opened:
                raise ListenError.of(_place(self.host, port), absent) from absent
            undo.pop_all()
            return opened

    def describe(self, sock: socket.socket) -> str:
        return describe_socket(sock)

    def release(self, sock: socket.socket) -> None:
        """A TCP socket leaves nothing behind."""

    def _addresses(self) -> list[tuple[socket.AddressFamily, _Address]]:
        if self.host is None:
            four: tuple[socket.AddressFamily, _Address] = (socket.AF_INET, ("0.0.0.0", 0))
            return [(socket.AF_INET6, ("::", 0, 0, 0)), four] if socket.has_dualstack_ipv6() else [four]
        try:
            found = socket.getaddrinfo(
                self.host, self.port, self.family, socket.SOCK_STREAM, 0, socket.AI_PASSIVE
            )
        except OSError as error:
            raise ListenError.of(_place(self.host, self.port), error) from error
        # /etc/hosts may hold the same address twice.
        return list(dict.fromkeys((family, address) for family, _, _, _, address in found))

    def _open(self, family: socket.AddressFamily, address: _Address) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if os.name == "posix":  # elsewhere it lets a second server steal the port
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, self.host is not None)
            sock.bind(address)
            # Of two sockets bound with SO_REUSEADDR the second may learn only here that the port is taken.
            sock.listen(self.backlog)
        except BaseException:
            sock.close()
            raise
        return sock


class _PathSocket(socket.socket):
    """A UNIX socket that knows which file it made: absolute path, device, inode."""

    made: tuple[str, int, int] | None = None


@dataclass(frozen=True, slots=True)
class UnixEndpoint:
    """A UNIX socket file.

    It is made for its owner alone and opened up to `mode` last, so it is never wider than asked. A socket
    file that nobody accepts on is replaced; a live one, or any other kind of file, is an error and stays.
    """

    path: str
    mode: int = DEFAULT_UNIX_MODE
    backlog: int = DEFAULT_BACKLOG
    owner: int = -1  # as in os.chown: leave it
    group: int = -1

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


def _fields(text: str) -> tuple[tuple[str | None, str], ...]:
    """Split at ":" and each field at its first "=": key, or None, and value."""
    fields: list[tuple[str | None, str]] = []
    key: str | None = None
    value = ""
    characters = iter(text)
    for character in characters:
        if character == "\\":
            escaped = next(characters, None)
            if escaped is None:
                raise EndpointError(f"expected a character after the last backslash, got {text!r}")
            value += escaped
        elif character == ":":
            fields.append((key, value))
            key, value = None, ""
        elif character == "=" and key is None:
            key, value = value, ""
        else:
            value += character
    return (*fields, (key, value))


def _parse_tcp(arguments: Arguments, version: int | None = None) -> TCPEndpoint:
    bound = arguments.bind("port", "interface", "backlog", "reuse_port")
    host = "::" if version == 6 else None
    if "interface" in bound:
        host = _interface(arguments, bound["interface"], version)
    return TCPEndpoint(
        host,
        arguments.number("port", bound["port"], 0, 65535),
        _backlog(arguments, bound),
        arguments.switch("reuse_port", bound.get("reuse_port", "0")),
        socket.AF_INET6 if version == 6 else socket.AF_UNSPEC,
    )


def _parse_unix(arguments: Arguments) -> UnixEndpoint:
    bound = arguments.bind("path", "mode", "backlog", "owner", "group", "lockfile")
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
        _backlog(arguments, bound),
        _account(arguments, "owner", bound.get("owner")),
        _account(arguments, "group", bound.get("group")),
    )


def _backlog(arguments: Arguments, bound: dict[str, str]) -> int:
    text = bound.get("backlog")
    return DEFAULT_BACKLOG if text is None else arguments.number("backlog", text, 1, 65535)


def _interface(arguments: Arguments, host: str, version: int | None) -> str:
    """An IP address, "localhost" or a dotted name; a bare word is more often a slip than a host."""
    try:
        right = version in (None, ipaddress.ip_address(host).version)
    except ValueError:
        right = _NAMED_HOST.fullmatch(host) is not None
    if not right:
        kind = "IPv6 address" if version == 6 else "IP address"
        raise arguments.error(f"interface to be an {kind}", host, arguments.hint())
    return host


def _account(arguments: Arguments, kind: str, name: str | None) -> int:
    """The number of a user ("owner") or group, which may be given as a number; -1 for none given."""
    if name is None:
        return -1
    if _NUMBER.fullmatch(name):
        return int(name)
    import grp  # late: neither exists off POSIX, where there is no unix: either
    import pwd

    try:
        return pwd.getpwnam(name).pw_uid if kind == "owner" else grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        raise arguments.error(f"{kind} to be a number or a name this system knows", name) from None


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name.lower(), known, 1)
    return f' (did you mean "{close[0]}"?)' if close else ""


def _scheme_hint(text: str, scheme: str) -> str:
    if text.startswith(("/", "./")):
        return f' (did you mean "unix:{text}"?)'
    if "::" in text:
        return ' (an IPv6 address is written "[::1]:PORT")'
    return _nearest(scheme, _schemes) or f" (known: {', '.join(_schemes)})"


def _place(host: str | None, port: int) -> str:
    if host is None:
        return f"*:{port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _unlink_same(path: str, device: int, inode: int) -> None:
    """Unlink `path` unless it has become another file. Between look and unlink a moment remains."""
    try:
        found = os.lstat(path)
        if (found.st_dev, found.st_ino) == (device, inode):
            os.unlink(path)
    except FileNotFoundError:
        pass


register("tcp", _parse_tcp)
register("tcp6", partial(_parse_tcp, version=6))
register("unix", _parse_unix)
