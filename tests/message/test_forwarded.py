"""PX-09, RQ-16: what proxies say, from right to left, and only as far as they are trusted."""

import pytest

from container.message.connection import Connection
from container.message.forwarded import NOTHING, Told, parse_node, parse_prefix, read
from container.message.networks import Networks

PROXIES = Networks(["10.0.0.0/8", "2001:db8::/32"])


def told(*fields: tuple[str, str], names: frozenset[bytes] | None = None) -> Told:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in fields]
    return read(raw, PROXIES) if names is None else read(raw, PROXIES, names)


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("192.0.2.1", ("192.0.2.1", 0)),
        ("192.0.2.1:4711", ("192.0.2.1", 4711)),
        ("2a00::1", ("2a00::1", 0)),
        ("[2a00::1]:4711", ("2a00::1", 4711)),
        ("::ffff:192.0.2.1", ("192.0.2.1", 0)),
        # What the client has put in front is not looked at.
        ("6.6.6.6, 192.0.2.1", ("192.0.2.1", 0)),
        ("' OR 1=1, 192.0.2.1", ("192.0.2.1", 0)),
        ("6.6.6.6, 192.0.2.1, 10.0.0.2", ("192.0.2.1", 0)),
        ("6.6.6.6, 192.0.2.1, 10.0.0.3, 10.0.0.2", ("192.0.2.1", 0)),
        ("10.0.0.3, 10.0.0.2", ("10.0.0.3", 0)),
        # Where somebody is not known, the one before is as far as anybody can see.
        ("192.0.2.1, unknown, 10.0.0.2", ("10.0.0.2", 0)),
        ("unknown", None),
        ("localhost", None),
        ("fe80::1%eth0", None),
        (", ,", None),
        ("", None),
    ],
)
def test_x_forwarded_for_is_read_from_the_right(value: str, client: tuple[str, int] | None) -> None:
    assert told(("x-forwarded-for", value)).client == client


def test_lines_of_one_name_are_one_list() -> None:
    assert told(("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "10.0.0.2")).client == ("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("chain", "proto", "secure"),
    [
        ("192.0.2.1", "https", True),
        ("192.0.2.1", "HTTPS", True),
        ("192.0.2.1", "wss", True),
        ("192.0.2.1", "http", False),
        # Proxies that add: the client's own is on the left.
        ("192.0.2.1", "https, http", False),
        ("192.0.2.1, 10.0.0.2", "https, http", True),
        ("192.0.2.1, 10.0.0.2", "http, https, http", True),
        # Proxies that replace.
        ("192.0.2.1, 10.0.0.2", "https", True),
        ("", "http, https", True),
    ],
)
def test_the_scheme_is_that_of_the_trusted_proxy_nearest_to_the_client(
    chain: str, proto: str, secure: bool
) -> None:
    assert told(("x-forwarded-for", chain), ("x-forwarded-proto", proto)).secure is secure


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("a.example", None, ("a.example", None)),
        ("a.example:8443", None, ("a.example", 8443)),
        ("a.example:8443", "443", ("a.example", 443)),
        ("[2001:db8::1]:81", None, ("2001:db8::1", 81)),
        (None, "8443", (None, 8443)),
        ("evil.example, a.example", None, ("a.example", None)),
    ],
)
def test_host_and_port(host: str | None, port: str | None, expected: tuple[str | None, int | None]) -> None:
    fields = [("x-forwarded-host", host)] if host else []
    fields += [("x-forwarded-port", port)] if port else []
    found = told(*fields)
    assert (found.host, found.port) == expected


def test_prefixes_of_several_proxies_follow_each_other() -> None:
    assert told(("x-forwarded-prefix", "/a")).prefix == b"/a"
    chain = ("x-forwarded-for", "192.0.2.1, 10.0.0.2")
    assert told(chain, ("x-forwarded-prefix", "/evil, /a, /b/")).prefix == b"/a/b"


@pytest.mark.parametrize("text", ["/", "/a", "/a/b%20c/", "/~x;y=1"])
def test_a_prefix_is_a_path(text: str) -> None:
    assert parse_prefix(text).decode() == text.removesuffix("/")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("proto", "gopher"),
        ("proto", "https;http"),
        ("host", "a b"),
        ("host", "a.example:x"),
        ("host", "a.example:0"),
        ("host", "a.example:70000"),
        ("host", "a.example:"),
        ("host", "user@a.example"),
        ("host", "[::1"),
        ("host", "[fe80::g]"),
        ("host", "-a.example"),
        ("host", "b\u00fccher.example"),
        ("port", "0"),
        ("port", "65536"),
        ("port", "-1"),
        ("port", "\u00b2"),
        ("prefix", "a"),
        ("prefix", "//evil.example"),
        ("prefix", "/a//b"),
        ("prefix", "/a/../b"),
        ("prefix", "/."),
        ("prefix", "/a?b"),
        ("prefix", "/a%2"),
        ("prefix", "https://evil.example/"),
    ],
)
def test_what_would_count_and_is_malformed_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        told((f"x-forwarded-{name}", value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=192.0.2.1", Told(("192.0.2.1", 0))),
        ('For="192.0.2.1:4711";Proto=https;Host=a.example', Told(("192.0.2.1", 4711), True, "a.example")),
        ('for="[2a00::1]:4711";by=10.0.0.1', Told(("2a00::1", 4711))),
        ('for=192.0.2.1;host="a.example:8443"', Told(("192.0.2.1", 0), None, "a.example", 8443)),
        ("for=6.6.6.6;proto=https, for=192.0.2.1;proto=http", Told(("192.0.2.1", 0), False)),
        ("for=192.0.2.1;proto=https, for=10.0.0.2;proto=http", Told(("192.0.2.1", 0), True)),
        ("for=192.0.2.1, for=10.0.0.2;proto=https", Told(("192.0.2.1", 0), True)),
        ('for="_hidden";proto=https', Told(None, True)),
        ("for=unknown", Told()),
        ("for=192.0.2.1, proto=https", Told(None, True)),
        ('for=192.0.2.1;ext="a\\"b;c=d,e"', Told(("192.0.2.1", 0))),
        ("for=192.0.2.1 ; proto=https ,, for=10.0.0.2", Told(("192.0.2.1", 0), True)),
    ],
)
def test_forwarded(value: str, expected: Told) -> None:
    assert told(("forwarded", value)) == expected


@pytest.mark.parametrize(
    "value", ["for", 'for="', 'for=", for=192.0.2.1', "for=a b", "for=a;for=b", "proto=ftp", "host=a b", "=x"]
)
def test_a_malformed_forwarded_field_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"expected|malformed"):
        told(("forwarded", value))


def test_both_kinds_of_fields_are_refused() -> None:
    """A proxy that sets one kind passes on what the client says in the other."""
    both = ("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "192.0.2.1")
    with pytest.raises(ValueError, match="both"):
        told(*both)
    assert told(*both, names=frozenset({b"forwarded"})).client == ("6.6.6.6", 0)


def test_without_any_field_nothing_is_told() -> None:
    assert told(("host", "a")) is NOTHING
    assert told(("x-forwarded-for", "192.0.2.1"), names=frozenset({b"x-forwarded-proto"})) is NOTHING


@pytest.mark.parametrize("text", ["", "[", "[]", "1.2.3", "1.2.3.4.5", "x:1", "_a", "::1:::"])
def test_what_is_no_address(text: str) -> None:
    assert parse_node(text) is None


def test_networks() -> None:
    some = Networks(["10.0.0.0/8", "::1", "192.0.2.7"])
    assert all(each in some for each in ("10.1.2.3", "::1", "192.0.2.7", "::ffff:10.9.9.9"))
    assert not any(each in some for each in ("11.0.0.1", "::2", "192.0.2.8", "x", ""))
    everybody = Networks(["*"])
    assert "6.6.6.6" in everybody
    assert "x" not in everybody


def test_networks_know_unix_sockets() -> None:
    unix, tcp = Connection(path="/run/a.sock"), Connection(("10.0.0.1", 1), ("10.0.0.2", 2))
    nowhere = Connection()
    assert [Networks(["unix"]).include(each) for each in (unix, tcp, nowhere)] == [True, False, False]
    assert [Networks(["10.0.0.1"]).include(each) for each in (unix, tcp, nowhere)] == [False, True, False]
    assert [Networks(["*"]).include(each) for each in (unix, tcp, nowhere)] == [True, True, True]


def test_networks_remember_a_bounded_number_of_addresses() -> None:
    some = Networks(["10.0.0.0/8"])
    found = [f"10.{at >> 8 & 255}.{at & 255}.1" in some for at in range(5000)]
    assert all(found)
    assert len(some._known) <= 4096


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "x", "", "10.0.0.0/33", "localhost"])
def test_what_is_no_network_is_an_error_at_once(entry: str) -> None:
    with pytest.raises(ValueError, match="expected an address or a network"):
        Networks([entry])


def test_a_text_is_no_list_of_networks() -> None:
    with pytest.raises(TypeError, match="expected a list"):
        Networks("10.0.0.0/8")
