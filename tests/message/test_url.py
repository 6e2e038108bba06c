from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.message.body import EMPTY
from container.message.connection import Connection
from container.message.request import Request
from container.message.response import Response
from container.message.url import URL

TCP = Connection(("10.0.0.9", 50000), ("10.0.0.1", 8080))
TLS = Connection(("10.0.0.9", 50000), ("10.0.0.1", 8443), secure=True)
UNIX = Connection(path="/run/app.sock")


def at(path: str, *, host: str | None = "h", connection: Connection = TCP) -> Request:
    """A request for `path`, in which "|" marks how far the traversal has come; all of it without a mark."""
    here, _, rest = path.partition("|")
    raw_path = (here + rest).encode()
    fields = [] if host is None else [(b"host", host.encode())]
    request = Request("GET", raw_path + b"?q", raw_path, b"q", "1.1", fields, EMPTY)
    request.connection = connection
    request.consumed = len(here.encode())
    return request


@pytest.mark.parametrize(
    ("host", "connection", "origin"),
    [
        # Every scheme with every port: its own is not shown.
        ("h", TCP, "http://h"),
        ("h:80", TCP, "http://h"),
        ("h:443", TCP, "http://h:443"),
        ("h:8080", TCP, "http://h:8080"),
        ("h", TLS, "https://h"),
        ("h:443", TLS, "https://h"),
        ("h:80", TLS, "https://h:80"),
        ("h:8443", TLS, "https://h:8443"),
        # The port the client used, not the one that listens.
        ("mapped.example:9000", TCP, "http://mapped.example:9000"),
        # IPv6 keeps its brackets.
        ("[::1]", TCP, "http://[::1]"),
        ("[::1]:80", TCP, "http://[::1]"),
        ("[::1]:18081", TCP, "http://[::1]:18081"),
        ("[fe80::80]", TCP, "http://[fe80::80]"),
        # Without a Host field the local address must do.
        (None, TCP, "http://10.0.0.1:8080"),
        ("", TLS, "https://10.0.0.1:8443"),
        (None, Connection(None, ("::1", 80)), "http://[::1]"),
        (None, Connection(None, ("::1", 81)), "http://[::1]:81"),
        # A UNIX socket has no address.
        (None, UNIX, "http://localhost"),
        ("h:8080", UNIX, "http://h:8080"),
    ],
)
def test_origin_is_what_the_client_used(host: str | None, connection: Connection, origin: str) -> None:
    request = at("/a/b", host=host, connection=connection)
    assert request.urls.origin == origin
    assert request.urls.here == origin + "/a/b"


def test_origin_follows_what_a_trusted_proxy_says() -> None:
    request = at("/a", host="inner:8080")
    request.set_host("outer", 443, secure=True)
    assert request.urls.here == "https://outer/a"
    request.set_host("2001:db8::1", 8443)
    assert request.urls.here == "https://[2001:db8::1]:8443/a"


@pytest.mark.parametrize(
    ("path", "here", "parent", "child", "sibling"),
    [
        ("/", "/", "/", "/x", "/x"),
        ("/foo", "/foo", "/", "/foo/x", "/x"),
        ("/foo/", "/foo/", "/", "/foo/x", "/foo/x"),
        ("/foo/bar", "/foo/bar", "/", "/foo/bar/x", "/foo/x"),
        ("/foo/bar/", "/foo/bar/", "/foo/", "/foo/bar/x", "/foo/bar/x"),
        ("/foo/bar|/baz/", "/foo/bar", "/", "/foo/bar/x", "/foo/x"),
        ("|/foo", "/", "/", "/x", "/x"),
        ("/foo%2Fbar/caf%C3%A9", "/foo%2Fbar/caf%C3%A9", "/", "/foo%2Fbar/caf%C3%A9/x", "/foo%2Fbar/x"),
        ('/a"b<c>é', "/a%22b%3Cc%3E%C3%A9", "/", "/a%22b%3Cc%3E%C3%A9/x", "/x"),
    ],
)
def test_absolute_urls_from_here(path: str, here: str, parent: str, child: str, sibling: str) -> None:
    urls = at(path).urls
    found = urls.here, urls.parent, urls.child("x"), urls.sibling("x")
    assert found == tuple("http://h" + expected for expected in (here, parent, child, sibling))


@pytest.mark.parametrize(
    ("path", "child", "sibling"),
    [
        ("/foo/bar", "bar/baz", "baz"),
        ("/foo/bar/", "baz", "baz"),
        ("/foo/bar|/1", "baz", "../baz"),
        ("/foo/bar|/1/2/3", "../../baz", "../../../baz"),
        ("/foo/bar|/1/2/", "../../baz", "../../../baz"),
        ("/", "baz", "baz"),
        ("|/", "baz", "../baz"),
        ("/caf%C3%A9", "caf%C3%A9/baz", "baz"),
        # A colon would make a scheme of the first segment.
        ("/javascript:alert(1)", "./javascript:alert(1)/baz", "baz"),
    ],
)
def test_relative_links_from_here(path: str, child: str, sibling: str) -> None:
    urls = at(path).urls
    assert (urls.child_link("baz"), urls.sibling_link("baz")) == (child, sibling)


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("a b", "a%20b"),
        ("a/b", "a%2Fb"),
        ("café", "caf%C3%A9"),
        ("a:b", "a%3Ab"),
        ("?#%", "%3F%23%25"),
        ("\r\n", "%0D%0A"),
    ],
)
def test_names_are_quoted_as_one_segment(name: str, quoted: str) -> None:
    urls = at("/foo|/bar").urls
    assert urls.child(name) == f"http://h/foo/{quoted}"
    assert urls.sibling(name) == f"http://h/{quoted}"
    assert urls.child_link(name) == quoted
    assert urls.sibling_link(name) == f"../{quoted}"


@pytest.mark.parametrize(
    ("path", "child", "sibling"),
    [
        ("/foo/bar", "bar/", "./"),
        ("/foo/bar/", "./", "./"),
        ("/foo/bar|/1", "./", "../"),
        ("/foo/bar|/1/2", "../", "../../"),
    ],
)
def test_the_empty_name_is_the_directory_itself(path: str, child: str, sibling: str) -> None:
    urls = at(path).urls
    assert (urls.child_link(""), urls.sibling_link("")) == (child, sibling)


SEGMENTS = st.text(min_size=1, max_size=5).filter(lambda text: text not in (".", "..") and text.isprintable())
QUOTED = st.text("abc:@!$&'()*+,;=~-_%éß\"<", min_size=1, max_size=5)


@given(st.lists(QUOTED, min_size=1, max_size=4), st.lists(QUOTED, max_size=3), SEGMENTS)
def test_relative_links_lead_where_absolute_ones_do(here: list[str], rest: list[str], name: str) -> None:
    request = at("/" + "/".join(here) + "|" + "".join("/" + segment for segment in rest))
    urls = request.urls
    client = urls.origin + urlsplit(at(request.raw_path.decode()).urls.here).path
    assert urljoin(client, urls.child_link(name)) == urls.child(name)
    assert urljoin(client, urls.sibling_link(name)) == urls.sibling(name)


def test_the_root_is_remembered_where_it_was_passed() -> None:
    request = at("/app/x|/y/z")
    assert request.remembered_root is None
    assert request.urls.root == "http://h/"
    request.remember_root()
    request.consumed = len(request.raw_path)
    assert request.remembered_root == b"/app"
    assert request.urls.root == "http://h/app"


def test_the_root_of_everything_is_a_slash() -> None:
    request = at("/x")
    request.remember_root()
    assert request.urls.root == "http://h/"


# What can be made of a URL: GD-04, RQ-14.

PAGE = "http://h:81/a/b?x=1&y=%C3%A9&x=2#top"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (URL(PAGE).child("c d", "e/f"), "http://h:81/a/b/c%20d/e%2Ff"),
        (URL("http://h/").child("c"), "http://h/c"),
        (URL("http://h/a/").child(""), "http://h/a/"),
        (URL(PAGE).sibling("ü"), "http://h:81/a/%C3%BC"),
        (URL(PAGE).click("../c?d#e"), "http://h:81/c?d#e"),
        (URL(PAGE).click("//other/x"), "http://other/x"),
        (URL(PAGE).click("?q"), "http://h:81/a/b?q"),
        (URL(PAGE).add_arg("x", "a&b=c +"), "http://h:81/a/b?x=1&y=%C3%A9&x=2&x=a%26b%3Dc%20%2B#top"),
        (URL("/a").add_arg("x"), "/a?x="),
        (URL("/a#f").add_arg("x", "1"), "/a?x=1#f"),
        (URL(PAGE).with_arg("x", "3"), "http://h:81/a/b?x=3&y=%C3%A9#top"),
        (URL(PAGE).with_arg("é", "3"), "http://h:81/a/b?x=1&y=%C3%A9&x=2&%C3%A9=3#top"),
        (URL(PAGE).without_arg("x"), "http://h:81/a/b?y=%C3%A9#top"),
        (URL("/a?%78=1&b").without_arg("x"), "/a?b"),
        (URL(PAGE).without_args(), "http://h:81/a/b#top"),
        (URL(PAGE).with_fragment("a b#c"), "http://h:81/a/b?x=1&y=%C3%A9&x=2#a%20b%23c"),
        (URL(PAGE).with_fragment(), "http://h:81/a/b?x=1&y=%C3%A9&x=2"),
        (URL(PAGE).secure(), "https://h/a/b?x=1&y=%C3%A9&x=2#top"),
        (URL("http://[::1]:80/").secure(8443), "https://[::1]:8443/"),
        (URL("http://[::1]").secure(443), "https://[::1]"),
        (URL("https://h?q").secure(), "https://h?q"),
    ],
)
def test_a_url_makes_others_and_stays_as_it_is(made: URL, expected: str) -> None:
    """GD-04: links, arguments, fragment, scheme."""
    assert made == expected
    assert isinstance(made, URL)


def test_only_an_absolute_url_has_a_scheme_to_change() -> None:
    for text in ("/a", "//b", "/x?u=http://h/"):
        with pytest.raises(ValueError, match="absolute"):
            URL(text).secure()


def test_all_that_was_asked_for_can_be_changed_and_redirected_to() -> None:
    """GD-04: from a request, behind a proxy too, to the field of an answer."""
    request = at('/a|/b"')
    request.raw_query = b"x=1&<"
    request.set_host("outer", secure=True)
    assert request.urls.asked == "https://outer/a/b%22?x=1&%3C"
    there = request.urls.asked.without_arg("x").add_arg("lang", "de")
    assert Response.redirect(there).headers["Location"] == "https://outer/a/b%22?%3C&lang=de"
