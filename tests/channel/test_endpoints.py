"""Endpoint strings and the sockets they open; real sockets, on port 0 and below tmp_path only."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import stat
from typing import TYPE_CHECKING

import pytest

from container.channel.certificates import TLSSettings
from container.channel.endpoints import (
    Arguments,
    Endpoint,
    EndpointError,
    FDEndpoint,
    ListenError,
    ProxiedEndpoint,
    SystemdEndpoint,
    TCPEndpoint,
    TLSEndpoint,
    UnixEndpoint,
    describe_socket,
    grammar,
    listen_all,
    parse_endpoint,
    register,
    systemd,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SIX = socket.AF_INET6
needs_ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 on this machine")

GOOD = [
    ("8080", TCPEndpoint(None, 8080)),
    ("0", TCPEndpoint(None, 0)),
    ("8080:interface=127.0.0.1", TCPEndpoint("127.0.0.1", 8080)),
    ("tcp:8080", TCPEndpoint(None, 8080)),
    ("tcp:65535", TCPEndpoint(None, 65535)),
    ("tcp:80:interface=127.0.0.1", TCPEndpoint("127.0.0.1", 80)),
    ("tcp:80:127.0.0.1", TCPEndpoint("127.0.0.1", 80)),
    ("tcp:port=80:interface=127.0.0.1", TCPEndpoint("127.0.0.1", 80)),
    ("tcp:interface=127.0.0.1:80", TCPEndpoint("127.0.0.1", 80)),
    ("tcp:80:backlog=50:reuse_port=1", TCPEndpoint(None, 80, 50, True)),
    ("tcp:80:reuse_port=0", TCPEndpoint(None, 80)),
    (r"tcp:80:interface=\:\:1", TCPEndpoint("::1", 80)),
    ("tcp:80:interface=localhost", TCPEndpoint("localhost", 80)),
    ("tcp6:80", TCPEndpoint("::", 80, family=SIX)),
    (r"tcp6:80:interface=\:\:1", TCPEndpoint("::1", 80, family=SIX)),
    ("127.0.0.1:8080", TCPEndpoint("127.0.0.1", 8080)),
    ("0.0.0.0:80:backlog=7", TCPEndpoint("0.0.0.0", 80, 7)),
    ("localhost:8080", TCPEndpoint("localhost", 8080)),
    ("www.example.com:80", TCPEndpoint("www.example.com", 80)),
    ("[::1]:8080", TCPEndpoint("::1", 8080, family=SIX)),
    ("[::]:8080:reuse_port=yes", TCPEndpoint("::", 8080, reuse_port=True, family=SIX)),
    ("unix:/run/app.sock", UnixEndpoint("/run/app.sock")),
    ("unix:app.sock:mode=600", UnixEndpoint("app.sock", 0o600)),
    ("unix:/a:mode=0666:backlog=9", UnixEndpoint("/a", 0o666, 9)),
    ("unix:/a:owner=1:group=2:lockfile=1", UnixEndpoint("/a", owner=1, group=2)),
    ("unix:/a:peers=root,7", UnixEndpoint("/a", peers=frozenset({0, 7}))),
    ("unix:/a:owner=root", UnixEndpoint("/a", owner=0)),
    (r"unix:/a\:b\\c\=d", UnixEndpoint(r"/a:b\c=d")),
    ("fd:3", FDEndpoint(3)),
    ("systemd:0", SystemdEndpoint(0)),
    ("systemd:web", SystemdEndpoint(name="web")),
    ("systemd:index=2:domain=UNIX", SystemdEndpoint(2, domain="UNIX")),
    ("systemd:domain=INET:name=web", SystemdEndpoint(name="web", domain="INET")),
    ("haproxy:tcp:80", ProxiedEndpoint(TCPEndpoint(None, 80))),
    ("haproxy:unix:/a", ProxiedEndpoint(UnixEndpoint("/a"))),
    ("haproxy:127.0.0.1:80", ProxiedEndpoint(TCPEndpoint("127.0.0.1", 80))),
    ("tls:443", TLSEndpoint(TCPEndpoint(None, 443), TLSSettings("server.pem"))),
    ("ssl:443:cert=c:key=k", TLSEndpoint(TCPEndpoint(None, 443), TLSSettings("c", "k"))),
    (
        "ssl:443:privateKey=k:certKey=c:extraCertChain=x:interface=127.0.0.1",
        TLSEndpoint(TCPEndpoint("127.0.0.1", 443), TLSSettings("c", "k", "x")),
    ),
    ("ssl:443:k:c", TLSEndpoint(TCPEndpoint(None, 443), TLSSettings("c", "k"))),
    ("ssl:443:privateKey=both.pem", TLSEndpoint(TCPEndpoint(None, 443), TLSSettings("both.pem", "both.pem"))),
    ("tls:/etc/tls", TLSEndpoint(TCPEndpoint(None, 443), TLSSettings(directory="/etc/tls"))),
    ("tls:/etc/tls:8443", TLSEndpoint(TCPEndpoint(None, 8443), TLSSettings(directory="/etc/tls"))),
    (
        "tls:sites:port=8443:interface=127.0.0.1:backlog=9",
        TLSEndpoint(TCPEndpoint("127.0.0.1", 8443, 9), TLSSettings(directory="sites")),
    ),
    (
        "tls:443:cert=c:ca=a:client=optional:min=1.3:ciphers=ECDHE+AESGCM,CHACHA20",
        TLSEndpoint(
            TCPEndpoint(None, 443),
            TLSSettings(
                "c",
                authorities="a",
                client="optional",
                minimum=ssl.TLSVersion.TLSv1_3,
                ciphers="ECDHE+AESGCM,CHACHA20",
            ),
        ),
    ),
    (
        "tls:443:cert=c:ca=a",
        TLSEndpoint(TCPEndpoint(None, 443), TLSSettings("c", authorities="a", client="required")),
    ),
    ("haproxy:tls:443:cert=c", ProxiedEndpoint(TLSEndpoint(TCPEndpoint(None, 443), TLSSettings("c")))),
]

BAD = [
    ("", """expected "tcp:PORT", got '' (known: fd, haproxy, ssl, systemd, tcp, tcp6, tls, unix)"""),
    ("tpc:80", """expected "tcp:PORT", got 'tpc:80' (did you mean "tcp"?)"""),
    ("TCP:80", """expected "tcp:PORT", got 'TCP:80' (did you mean "tcp"?)"""),
    (
        "bogus",
        """expected "tcp:PORT", got 'bogus' (known: fd, haproxy, ssl, systemd, tcp, tcp6, tls, unix)""",
    ),
    (":80", """expected "tcp:PORT", got ':80' (known: fd, haproxy, ssl, systemd, tcp, tcp6, tls, unix)"""),
    ("::1:80", """expected "tcp:PORT", got '::1:80' (an IPv6 address is written "[::1]:PORT")"""),
    ("/run/x", """expected "tcp:PORT", got '/run/x' (did you mean "unix:/run/x"?)"""),
    ("tcp", """expected "tcp:PORT", got 'tcp'"""),
    ("tcp:", """expected "tcp:PORT", got 'tcp:'"""),
    ("tcp:interface=127.0.0.1", """expected "tcp:PORT", got 'tcp:interface=127.0.0.1'"""),
    ("unix:", """expected "unix:PATH", got 'unix:'"""),
    ("127.0.0.1", """expected "127.0.0.1:PORT", got '127.0.0.1'"""),
    ("localhost:", """expected "localhost:PORT", got 'localhost:'"""),
    ("[::1]", """expected "[::1]:PORT", got '[::1]'"""),
    ("tcp:http", "expected port from 0 to 65535, got 'http' in 'tcp:http'"),
    ("tcp:-1", "expected port from 0 to 65535, got '-1' in 'tcp:-1'"),
    ("65536", "expected port from 0 to 65535, got '65536' in '65536'"),
    ("[::1]:x", "expected port from 0 to 65535, got 'x' in '[::1]:x'"),
    ("tcp:80\n", r"expected port from 0 to 65535, got '80\n' in 'tcp:80\n'"),
    ("tcp:٣", "expected port from 0 to 65535, got '٣' in 'tcp:٣'"),
    (
        "tcp:80:interfce=127.0.0.1",
        "expected one of port, interface, backlog, reuse_port, got 'interfce' in 'tcp:80:interfce=127.0.0.1'"
        ' (did you mean "interface"?)',
    ),
    ("tcp:80:x=1", "expected one of port, interface, backlog, reuse_port, got 'x' in 'tcp:80:x=1'"),
    ("tcp:80:backlog=1:backlog=2", "expected backlog once, got '2' in 'tcp:80:backlog=1:backlog=2'"),
    (
        "127.0.0.1:80:interface=127.0.0.2",
        "expected interface once, got '127.0.0.1' in '127.0.0.1:80:interface=127.0.0.2'",
    ),
    ("tcp:80:backlog=0", "expected backlog from 1 to 65535, got '0' in 'tcp:80:backlog=0'"),
    (
        "tcp:80:reuse_port=2",
        "expected reuse_port=1 or reuse_port=0, got '2' in 'tcp:80:reuse_port=2'",
    ),
    ("tcp:80:garbage", "expected interface to be an IP address, got 'garbage' in 'tcp:80:garbage'"),
    ("tcp:80:", "expected interface to be an IP address, got '' in 'tcp:80:'"),
    ("300.1.1.1:80", "expected interface to be an IP address, got '300.1.1.1' in '300.1.1.1:80'"),
    ("[]:80", "expected interface to be an IPv6 address, got '' in '[]:80'"),
    ("[127.0.0.1]:80", "expected interface to be an IPv6 address, got '127.0.0.1' in '[127.0.0.1]:80'"),
    (
        "tcp6:80:interface=::1",
        r"""expected interface once, got '' in 'tcp6:80:interface=::1' (write ":" inside a value as "\:")""",
    ),
    (
        "tcp:80:127.0.0.1:5:1:more",
        "expected the end after reuse_port, got 'more' in 'tcp:80:127.0.0.1:5:1:more'",
    ),
    ("unix:/a:mode=rw", "expected mode as three octal digits such as 660, got 'rw' in 'unix:/a:mode=rw'"),
    ("unix:/a:mode=888", "expected mode as three octal digits such as 660, got '888' in 'unix:/a:mode=888'"),
    (
        "unix:/a:mode=1777",
        "expected mode as three octal digits such as 660, got '1777' in 'unix:/a:mode=1777'",
    ),
    (
        "unix:/a=b",
        "expected one of path, mode, backlog, owner, group, lockfile, peers, got '/a' in 'unix:/a=b'"
        r' (write "=" inside a path as "\=")',
    ),
    ("unix:/a\0b", r"expected a path without NUL, got '/a\x00b' in 'unix:/a\x00b'"),
    (
        "unix:/a:owner=no such user",
        "expected owner to be a number or a name this system knows, got 'no such user'"
        " in 'unix:/a:owner=no such user'",
    ),
    ("fd:", """expected "fd:DESCRIPTOR", got 'fd:'"""),
    ("fd:x", "expected descriptor from 0 to 1000000, got 'x' in 'fd:x'"),
    ("systemd:", "expected domain, and index or name, once each, got '' in 'systemd:'"),
    (
        "systemd:domain=INET",
        "expected exactly one of index=N and name=X, got 'domain=INET' in 'systemd:domain=INET'",
    ),
    (
        "systemd:index=1:name=x",
        "expected exactly one of index=N and name=X, got 'index=1:name=x' in 'systemd:index=1:name=x'",
    ),
    (
        "systemd:name=x:domain=IPX",
        "expected domain to be one of INET, INET6, UNIX, got 'IPX' in 'systemd:name=x:domain=IPX'",
    ),
    (
        "systemd:indx=1",
        "expected domain, and index or name, once each, got 'indx' in 'systemd:indx=1' (did you mean \"index\"?)",
    ),
    ("haproxy:", """expected "haproxy:ENDPOINT", got 'haproxy:'"""),
    ("haproxy:tpc:80", """expected "tcp:PORT", got 'tpc:80' (did you mean "tcp"?)"""),
    ("haproxy:haproxy:80", "expected one PROXY header a connection, got 'haproxy:haproxy:80'"),
    ("tls:", """expected "tls:PORT" or "tls:DIRECTORY", got 'tls:'"""),
    ("ssl:sites", "expected port from 0 to 65535, got 'sites' in 'ssl:sites'"),
    ("tls:443:client=required", "expected ca=FILE with client, got 'required' in 'tls:443:client=required'"),
    (
        "tls:443:ca=a:client=maybe",
        "expected client=required, client=optional or client=none, got 'maybe' in 'tls:443:ca=a:client=maybe'",
    ),
    ("tls:443:min=1.1", "expected min=1.2 or min=1.3, got '1.1' in 'tls:443:min=1.1'"),
    ("tls:sites:cert=c", "expected a directory of certificates or cert=FILE, got 'c' in 'tls:sites:cert=c'"),
    (
        "tls:443:crt=c",
        "expected one of port, key, cert, chain, ca, client, min, ciphers, dh, interface, backlog, reuse_port, "
        "passfile, got 'crt' in 'tls:443:crt=c' (did you mean \"cert\"?)",
    ),
    ("unix:/a\\", r"expected a character after the last backslash, got '/a\\'"),
]


@pytest.fixture
def opened() -> Iterator[Callable[[Endpoint], list[socket.socket]]]:
    """Listen on an endpoint; whatever was opened is closed at the end."""
    everything: list[socket.socket] = []

    def listen(endpoint: Endpoint) -> list[socket.socket]:
        sockets = endpoint.listen()
        everything.extend(sockets)
        return sockets

    yield listen
    for sock in everything:
        sock.close()


@pytest.mark.parametrize(("text", "endpoint"), GOOD)
def test_a_string_is_read_as_its_endpoint(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_wrong_string_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(EndpointError) as caught:
        parse_endpoint(text)
    assert str(caught.value) == message
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["tcp", "tcp6"])
@pytest.mark.parametrize("port", ["9" * 5000, "1_0", " 80", "+80"])
def test_only_a_plain_number_is_a_port(scheme: str, port: str) -> None:
    with pytest.raises(EndpointError):
        parse_endpoint(f"{scheme}:{port}")


def test_a_registered_scheme_gets_the_fields_and_the_text_behind_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grammar, "_schemes", dict(grammar._schemes))
    seen: list[Arguments] = []

    def parse(arguments: Arguments) -> Endpoint:
        seen.append(arguments)
        return parse_endpoint(arguments.rest)

    register("wrapped", parse)
    assert parse_endpoint(r"wrapped:unix:/a\:b:mode=600") == UnixEndpoint("/a:b", 0o600)
    assert seen[0].fields == ((None, "unix"), (None, "/a:b"), ("mode", "600"))
    with pytest.raises(EndpointError, match=r'did you mean "wrapped"\?'):
        parse_endpoint("wraped:tcp:80")


@pytest.mark.parametrize("name", ["tcp", "localhost", "a.b", "", "80", "UP"])
def test_a_scheme_that_is_taken_or_looks_like_a_host_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="scheme"):
        register(name, lambda arguments: TCPEndpoint(None, 0))


def test_a_tcp_socket_listens_without_blocking_and_is_not_inherited(
    opened: Callable[[Endpoint], list[socket.socket]],
) -> None:
    (sock,) = opened(parse_endpoint("127.0.0.1:0"))
    assert not sock.getblocking()
    assert not sock.get_inheritable()
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    socket.create_connection(sock.getsockname()).close()


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("[::1]", marks=needs_ipv6)])
def test_a_host_and_a_port_are_that_address_alone(
    host: str, opened: Callable[[Endpoint], list[socket.socket]]
) -> None:
    """EP-02: `host:port`, and the port of the system's choice is told."""
    endpoint = parse_endpoint(f"{host}:0")
    (sock,) = opened(endpoint)
    address, port = sock.getsockname()[:2]
    assert address == host.strip("[]")
    socket.create_connection((address, port)).close()
    assert endpoint.describe(sock) == f"http://{host}:{port}/"


@needs_ipv6
def test_a_port_alone_is_every_interface_of_both_protocols(
    opened: Callable[[Endpoint], list[socket.socket]],
) -> None:
    """EP-02"""
    endpoint = parse_endpoint("tcp:0")
    (sock,) = opened(endpoint)
    port = sock.getsockname()[1]
    assert sock.family == SIX
    for host in ("127.0.0.1", "::1"):
        socket.create_connection((host, port)).close()
    assert endpoint.describe(sock) == f"http://localhost:{port}/ (every interface)"


def test_without_ipv6_a_port_alone_is_every_ipv4_interface(
    monkeypatch: pytest.MonkeyPatch, opened: Callable[[Endpoint], list[socket.socket]]
) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    endpoint = parse_endpoint("0")
    (sock,) = opened(endpoint)
    host, port = sock.getsockname()
    assert host == "0.0.0.0"
    assert endpoint.describe(sock) == f"http://127.0.0.1:{port}/ (every IPv4 interface)"


@pytest.mark.parametrize("absent", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_ipv6_that_is_compiled_in_but_switched_off_falls_back(
    absent: int, monkeypatch: pytest.MonkeyPatch, opened: Callable[[Endpoint], list[socket.socket]]
) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: True)
    lack(monkeypatch, "::", error=absent)
    (sock,) = opened(parse_endpoint("tcp:0"))
    assert sock.family == socket.AF_INET


@needs_ipv6
def test_an_ipv6_address_is_printed_in_brackets(
    opened: Callable[[Endpoint], list[socket.socket]],
) -> None:
    endpoint = parse_endpoint("[::1]:0")
    (sock,) = opened(endpoint)
    port = sock.getsockname()[1]
    assert endpoint.describe(sock) == f"http://[::1]:{port}/"
    assert describe_socket(sock, scheme="https") == f"https://[::1]:{port}/"


@needs_ipv6
def test_tcp6_leaves_the_ipv4_port_to_others(opened: Callable[[Endpoint], list[socket.socket]]) -> None:
    endpoint = parse_endpoint("tcp6:0")
    (six,) = opened(endpoint)
    port = six.getsockname()[1]
    assert endpoint.describe(six) == f"http://[::1]:{port}/ (every IPv6 interface)"
    (four,) = opened(parse_endpoint(f"0.0.0.0:{port}"))
    assert four.getsockname()[1] == port


@needs_ipv6
def test_all_addresses_of_a_name_get_one_port_and_an_absent_one_is_left_out(
    monkeypatch: pytest.MonkeyPatch, opened: Callable[[Endpoint], list[socket.socket]]
) -> None:
    resolve(monkeypatch, "::1", "127.0.0.1", "127.0.0.1", "192.0.2.1")
    lack(monkeypatch, "192.0.2.1")
    six, four = opened(parse_endpoint("localhost:0"))
    assert six.getsockname()[0] == "::1"
    assert four.getsockname() == ("127.0.0.1", six.getsockname()[1])


def test_a_name_with_no_address_of_this_machine_cannot_be_listened_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve(monkeypatch, "192.0.2.1", "192.0.2.2")
    lack(monkeypatch, "192.0.2.1", "192.0.2.2")
    with pytest.raises(ListenError) as caught:
        parse_endpoint("localhost:0").listen()
    assert str(caught.value) == "cannot listen on localhost:0: cannot assign requested address"


def test_an_unknown_name_is_a_listen_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ListenError) as caught:
        parse_endpoint("no.example:80").listen()
    assert str(caught.value) == "cannot listen on no.example:80: name or service not known"


@pytest.mark.parametrize("text", ["127.0.0.1:{}", "tcp:{}", "localhost:{}"])
def test_a_busy_port_fails_at_once(text: str, opened: Callable[[Endpoint], list[socket.socket]]) -> None:
    (first,) = opened(parse_endpoint("127.0.0.1:0"))
    port = first.getsockname()[1]
    with pytest.raises(ListenError) as caught:
        opened(parse_endpoint(text.format(port)))
    place = text.format(port).replace("tcp", "*")
    assert str(caught.value) == f"cannot listen on {place}: address already in use"
    assert caught.value.errno == errno.EADDRINUSE


@needs_ipv6
def test_a_busy_second_address_closes_the_first(
    monkeypatch: pytest.MonkeyPatch, opened: Callable[[Endpoint], list[socket.socket]]
) -> None:
    (busy,) = opened(parse_endpoint("127.0.0.1:0"))
    port = busy.getsockname()[1]
    resolve(monkeypatch, "::1", "127.0.0.1")
    with pytest.raises(ListenError, match="address already in use"):
        parse_endpoint(f"localhost:{port}").listen()
    monkeypatch.undo()
    opened(parse_endpoint(f"[::1]:{port}"))


def test_a_shared_port_is_shared_when_both_ask_for_it(
    opened: Callable[[Endpoint], list[socket.socket]],
) -> None:
    """EP-02"""
    (first,) = opened(TCPEndpoint("127.0.0.1", 0, reuse_port=True))
    (second,) = opened(TCPEndpoint("127.0.0.1", first.getsockname()[1], reuse_port=True))
    assert second.getsockname() == first.getsockname()


def test_of_several_endpoints_all_are_opened_or_none(tmp_path: Path) -> None:
    path = tmp_path / "s"
    both = [parse_endpoint("127.0.0.1:0"), UnixEndpoint(str(path))]
    pairs = listen_all(both)
    assert [endpoint for endpoint, _ in pairs] == both
    assert path.exists()
    tcp, unix = (sock for _, sock in pairs)
    both[1].release(unix)
    unix.close()
    port = tcp.getsockname()[1]
    with pytest.raises(ListenError):
        listen_all([UnixEndpoint(str(path)), parse_endpoint(f"127.0.0.1:{port}")])
    assert not path.exists()
    both[0].release(tcp)
    tcp.close()


def test_a_unix_socket_has_a_safe_mode_and_goes_on_release(
    tmp_path: Path, opened: Callable[[Endpoint], list[socket.socket]]
) -> None:
    """EP-03"""
    path = tmp_path / "a:b=c"
    endpoint = parse_endpoint("unix:" + str(path).replace(":", r"\:").replace("=", r"\="))
    (sock,) = opened(endpoint)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert not sock.getblocking()
    assert endpoint.describe(sock) == f"unix:{path}"
    connect(path)
    endpoint.release(sock)
    endpoint.release(sock)
    assert not path.exists()


@pytest.mark.parametrize("mode", [0o600, 0o666, 0o777])
def test_the_mode_is_as_asked_whatever_the_umask(
    mode: int, tmp_path: Path, opened: Callable[[Endpoint], list[socket.socket]]
) -> None:
    """EP-03"""
    before = os.umask(0o027)
    try:
        opened(UnixEndpoint(str(tmp_path / "s"), mode))
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == mode


def test_a_unix_socket_is_its_owners_alone_until_it_has_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Callable[[Endpoint], list[socket.socket]]
) -> None:
    seen: list[int] = []
    real = os.chown

    def chown(path: str, owner: int, group: int) -> None:
        seen.append(stat.S_IMODE(os.stat(path).st_mode))
        real(path, owner, group)

    monkeypatch.setattr(os, "chown", chown)
    path = tmp_path / "s"
    opened(UnixEndpoint(str(path), 0o666, owner=os.getuid(), group=os.getgid()))
    assert seen == [0o600]
    assert path.stat().st_gid == os.getgid()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize(
    ("more", "owner", "group"), [(":owner=54321:group=54322", 54321, 54322), (":group=54322", 0, 54322)]
)
def test_a_unix_socket_is_given_to_whom_it_shall_belong(
    more: str, owner: int, group: int, tmp_path: Path, opened: Callable[[Endpoint], list[socket.socket]]
) -> None:
    """EP-03: with the mode that was asked for."""
    path = tmp_path / "s"
    opened(parse_endpoint(f"unix:{path}:mode=660{more}"))
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (owner, group, 0o660)


def test_a_failure_after_binding_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "chown", refuse)
    path = tmp_path / "s"
    with pytest.raises(ListenError) as caught:
        UnixEndpoint(str(path), group=1).listen()
    assert str(caught.value) == f"cannot listen on unix:{path}: operation not permitted"
    assert not path.exists()


def test_a_stale_socket_file_is_replaced(
    tmp_path: Path, opened: Callable[[Endpoint], list[socket.socket]]
) -> None:
    """EP-03"""
    path = tmp_path / "s"
    (dead,) = UnixEndpoint(str(path)).listen()
    dead.close()
    assert path.exists()
    opened(UnixEndpoint(str(path)))
    connect(path)


@pytest.mark.parametrize("backlog", [1, 100])
def test_a_live_socket_file_is_an_error_and_stays(
    backlog: int, tmp_path: Path, opened: Callable[[Endpoint], list[socket.socket]]
) -> None:
    path = tmp_path / "s"
    opened(UnixEndpoint(str(path), backlog=backlog))
    for _ in range(4):  # with the small backlog full, the server is just busy
        with pytest.raises(ListenError) as caught:
            opened(UnixEndpoint(str(path)))
        assert str(caught.value) == f"cannot listen on unix:{path}: address already in use"
    assert path.exists()


def test_a_socket_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        with pytest.raises(ListenError, match="wrong type"):
            UnixEndpoint(str(path)).listen()
    assert path.exists()


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_is_never_removed(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ListenError) as caught:
        UnixEndpoint(str(path)).listen()
    assert str(caught.value) == f"cannot listen on unix:{path}: a file that is not a socket is in the way"
    assert os.path.lexists(path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing/s", "no such file or directory"), ("x" * 150, "AF_UNIX path too long")],
)
def test_a_path_that_cannot_be_bound_is_one_line(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ListenError) as caught:
        UnixEndpoint(str(tmp_path / name)).listen()
    assert str(caught.value).lower() == f"cannot listen on unix:{tmp_path / name}: {reason}".lower()


def test_release_leaves_the_socket_of_a_successor(
    tmp_path: Path, opened: Callable[[Endpoint], list[socket.socket]]
) -> None:
    path = tmp_path / "s"
    endpoint = UnixEndpoint(str(path))
    (old,) = opened(endpoint)
    path.unlink()
    opened(endpoint)
    endpoint.release(old)
    connect(path)


def test_release_after_somebody_removed_the_file_is_quiet(
    tmp_path: Path, opened: Callable[[Endpoint], list[socket.socket]]
) -> None:
    endpoint = UnixEndpoint(str(tmp_path / "s"))
    (sock,) = opened(endpoint)
    (tmp_path / "s").unlink()
    endpoint.release(sock)


def test_release_finds_a_relative_path_after_the_process_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Callable[[Endpoint], list[socket.socket]]
) -> None:
    monkeypatch.chdir(tmp_path)
    endpoint = UnixEndpoint("s")
    (sock,) = opened(endpoint)
    monkeypatch.chdir("/")
    endpoint.release(sock)
    assert not (tmp_path / "s").exists()


def test_release_of_a_socket_it_did_not_make_touches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(path))
        UnixEndpoint(str(path)).release(other)
    assert path.exists()


def connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(path))


def resolve(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    """Let every name stand for these addresses."""
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *rest: int) -> list[object]:
        return [found for address in hosts for found in real(address, port, *rest)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def lack(monkeypatch: pytest.MonkeyPatch, *hosts: str, error: int = errno.EADDRNOTAVAIL) -> None:
    """Let this machine be without these addresses."""
    real = TCPEndpoint._open

    def refuse(
        self: TCPEndpoint, family: socket.AddressFamily, address: tuple[str | int | bytes, ...]
    ) -> socket.socket:
        if address[0] in hosts:
            raise OSError(error, os.strerror(error))
        return real(self, family, address)

    monkeypatch.setattr(TCPEndpoint, "_open", refuse)


# Plug-ins, and sockets of others.


def test_an_installed_package_may_bring_a_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EP-08: a distribution with an entry point is enough; one that cannot be loaded is one line."""
    monkeypatch.setattr(grammar, "_schemes", dict(grammar._schemes))
    (tmp_path / "dummy_endpoint.py").write_text(
        "from container.channel.endpoints import parse_endpoint\n"
        "def parse(arguments):\n    return parse_endpoint('127.0.0.1:' + arguments.bind('port')['port'])\n"
    )
    metadata = tmp_path / "dummy-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: dummy\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[container.endpoints]\nlocal = dummy_endpoint:parse\nbroken = dummy_endpoint:missing\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert parse_endpoint("local:80") == TCPEndpoint("127.0.0.1", 80)
    assert parse_endpoint("local:81") == TCPEndpoint("127.0.0.1", 81)
    with pytest.raises(
        EndpointError, match="cannot load dummy_endpoint:missing for 'broken:1': AttributeError"
    ):
        parse_endpoint("broken:1")


def test_a_descriptor_that_listens_is_served(opened: Callable[[Endpoint], list[socket.socket]]) -> None:
    """EP-07"""
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        number = os.dup(theirs.fileno())
        endpoint = parse_endpoint(f"fd:{number}")
        (sock,) = opened(endpoint)
        assert sock.fileno() == number
        assert not sock.getblocking()
        assert endpoint.describe(sock) == f"http://127.0.0.1:{theirs.getsockname()[1]}/"


def test_a_descriptor_that_does_not_listen_is_one_line(tmp_path: Path) -> None:
    """EP-07"""
    file = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(ListenError, match=f"expected a socket as descriptor {file}, got something else"):
            parse_endpoint(f"fd:{file}").listen()
    finally:
        os.close(file)
    with pytest.raises(ListenError, match="bad file descriptor"):
        parse_endpoint(f"fd:{file}").listen()
    with socket.socket() as plain:
        with pytest.raises(ListenError, match="expected a socket that listens"):
            parse_endpoint(f"fd:{plain.fileno()}").listen()
        assert plain.fileno() >= 0


def test_a_systemd_socket_that_was_not_passed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """EP-06"""
    monkeypatch.setattr(systemd, "_provided", ())
    with pytest.raises(ListenError, match="no sockets were passed"):
        parse_endpoint("systemd:0").listen()
    systemd.provide(("web", "admin"))
    with pytest.raises(ListenError, match="systemd:index=2: expected an index below 2"):
        parse_endpoint("systemd:2").listen()
    with pytest.raises(ListenError, match="systemd:name=wed: expected one of the names web, admin"):
        parse_endpoint("systemd:wed").listen()
