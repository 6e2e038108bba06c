"""RW-01 to RW-03: another path, or another answer, for what was asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from container.message.response import Response
from container.resources.rewrite import Rewriter, RewriteRule, alias, tilde, tilde_to_users
from container.resources.wsgi import WSGIResource
from container.testing import Client
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import Leaf

if TYPE_CHECKING:
    from container.message.request import Request

PAGE = Path(__file__).resolve().parents[2] / "docs" / "rewriting.md"


def show(request: Request) -> str:
    assert request.raw_path.decode() == request.raw_path[: request.consumed].decode() + "".join(
        "/" + each for each in request.raw_path[request.consumed :].decode().split("/")[1:]
    )
    query = f"?{request.query_string}" if request.raw_query else ""
    return request.raw_path.decode() + query


def client_of(*rules: Any, **options: Any) -> Client:
    return Client(Rewriter(Leaf(show), *rules, **options))


def test_rules_run_in_order_and_see_each_other() -> None:
    """RW-01."""
    seen: list[tuple[str, ...]] = []

    def first(request: Request) -> tuple[str, ...] | None:
        seen.append(request.postpath)
        return ("b", *request.postpath[1:]) if request.postpath[0] == "a" else None

    def second(request: Request) -> tuple[str, ...] | None:
        seen.append(request.postpath)
        return ("c", *request.postpath[1:]) if request.postpath[0] == "b" else None

    with client_of(first, second) as client:
        assert client.get("/a/x").text == "/c/x"
        assert seen == [("a", "x"), ("b", "x")]
        assert client.get("/z").text == "/z"


def test_a_rule_that_takes_all_segments_away_leads_to_the_root() -> None:
    """RW-01."""
    with client_of(lambda request: ()) as client:
        assert client.get("/a/b").text == "/"
    root = Resource()
    root.mount("m", Rewriter(Leaf(show), lambda request: ()))
    with Client(root) as client:
        assert client.get("/m/a/b").text == "/m"


def test_rules_see_the_path_below_their_place() -> None:
    """RW-01: also when nothing is left of it."""
    seen: list[tuple[str, ...]] = []
    root = Resource()
    root.mount("m/n", Rewriter(Leaf(show), lambda request: seen.append(request.postpath)))  # type: ignore[func-returns-value]
    with Client(root) as client:
        assert [client.get(path).text for path in ("/m/n", "/m/n/", "/m/n/a")] == ["/m/n", "/m/n/", "/m/n/a"]
    assert seen == [(), ("",), ("a",)]


def test_segments_are_encoded_and_those_that_stay_are_as_they_were_sent() -> None:
    with client_of(lambda request: ("a/b", "c d", "\u00e9?", *request.postpath[1:])) as client:
        assert client.get("/x/%FF/%2f/~").text == "/a%2Fb/c%20d/%C3%A9%3F/%FF/%2f/~"


def test_a_rule_may_answer() -> None:
    with client_of(lambda request: Response.text("mine", 403)) as client:
        assert (client.get("/a").status, client.get("/a").text) == (403, "mine")


def test_text_is_a_path_with_a_query() -> None:
    with client_of(lambda request: "/b%2Fc d?e=f") as client:
        assert client.get("/a?x").text == "/b%2Fc%20d?e=f"
    with client_of(lambda request: "/b") as client:
        assert client.get("/a?x").text == "/b?x"
    with client_of(lambda request: "b") as client:
        assert client.get("/a").status == 500


def test_rules_can_be_repeated_and_loops_are_detected(caplog: pytest.LogCaptureFixture) -> None:
    """RW-01."""
    shorter = RewriteRule("/x(/.*)", "{1}")
    with client_of(shorter) as client:
        assert client.get("/x/x/x/y").text == "/x/x/y"
    with client_of(shorter, repeat=True) as client:
        assert client.get("/x/x/x/y").text == "/y"
    swap = RewriteRule("/a", "/b"), RewriteRule("/b", "/c"), RewriteRule("/c", "/d"), RewriteRule("/d", "/a")
    with client_of(*swap[:2], repeat=True) as client:
        assert client.get("/a").text == "/c"
    with client_of(*reversed(swap), repeat=True) as client:
        assert client.get("/a").status == 500
    assert "again and again" in caplog.text
    with client_of(lambda request: (*request.postpath, "x"), repeat=True) as client:
        assert client.get("/a").status == 500


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/~foo/bar.html", "/users/foo/bar.html"),
        ("/x/~foo", "/x/~foo"),
        ("/~", "/users/"),
        ("/~foo", "/users/foo"),
        ("/%7Efoo/", "/users/foo/"),
        ("/", "/"),
    ],
)
def test_tilde(path: str, seen: str) -> None:
    """RW-02."""
    with client_of(tilde_to_users) as client:
        assert client.get(path).text == seen


def test_tilde_can_lead_elsewhere() -> None:
    with client_of(tilde("/home/of")) as client:
        assert client.get("/~foo/x").text == "/home/of/foo/x"


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/a", "/b/c"),
        ("/a/", "/b/c/"),
        ("/a/x/y", "/b/c/x/y"),
        ("/%61/x%2Fy", "/b/c/x%2Fy"),
        ("/ab", "/ab"),
        ("/x/a", "/x/a"),
    ],
)
def test_alias(path: str, seen: str) -> None:
    """RW-03."""
    with client_of(alias("/a", "/b/c")) as client:
        assert client.get(path).text == seen


def test_an_alias_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected a path"):
        alias("/", "/b")


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/item/7", "/items/7"),
        ("/item/7?a=b", "/items/7?a=b"),
        ("/item/x", "/item/x"),
        ("/x/item/7", "/x/item/7"),
        ("/show/a%2Fb", "/see/a%2Fb"),
        ("/show/a%3Fb%23c%25d", "/see/a%3Fb%23c%25d"),
        ("/show/caf%C3%A9", "/see/caf%C3%A9"),
        ("/q/x", "/find?q=x&more=1"),
    ],
)
def test_regular_expressions(path: str, seen: str) -> None:
    """RW-01: named groups; what was matched cannot become structure."""
    rules = (
        RewriteRule(r"/item/(?P<number>\d+)", "/items/{number}"),
        RewriteRule(r"/show/([^/]+)", "/see/{1}"),
        RewriteRule(r"/q/(\w+)", "/find?q={1}&more=1"),
    )
    with client_of(*rules) as client:
        assert client.get(path).text == seen


@pytest.mark.parametrize(
    ("options", "matching", "other"),
    [
        ({"host": "a.example"}, {"Host": "A.example.:81"}, {"Host": "b.example"}),
        ({"host": ["x", "*.a.example"]}, {"Host": "w.a.example"}, {"Host": "a.example"}),
        ({"headers": {"User-Agent": "Mobile"}}, {"User-Agent": "A Mobile B"}, {"User-Agent": "B"}),
        ({"headers": {"User-Agent": "Mobile"}}, {"User-Agent": "Mobile"}, {}),
        ({"headers": {"X-A": None}}, {}, {"X-A": "1"}),
        ({"when": lambda request: request.cookies.get("a") == "1"}, {"Cookie": "a=1"}, {}),
    ],
)
def test_conditions(options: dict[str, Any], matching: dict[str, str], other: dict[str, str]) -> None:
    """RW-01."""
    with client_of(RewriteRule("/.*", "/yes", **options)) as client:
        assert client.get("/no", headers=matching).text == "/yes"
        assert client.get("/no", headers=other).text == "/no"


def test_conditions_on_method_and_query() -> None:
    with client_of(RewriteRule("/.*", "/yes", method=["POST", "PUT"])) as client:
        assert (client.get("/no").text, client.post("/no").text) == ("/no", "/yes")
    with client_of(RewriteRule("/.*", "/yes?", query=r"(^|&)old=")) as client:
        assert (client.get("/no?bold=1").text, client.get("/no?a&old=1").text) == ("/no?bold=1", "/yes")


@pytest.mark.parametrize(
    ("pattern", "target", "path", "location"),
    [
        ("/old/(.*)", "/new/{1}", "/old/a%20b/c", "/new/a%20b/c"),
        ("/old/(.*)", "/new/{1}", "/old/x?q=1", "/new/x?q=1"),
        ("/old", "/new?a=b", "/old?q=1", "/new?a=b"),
        ("/(.*)", "https://{host}/{1}", "/x", "https://127.0.0.1/x"),
        # What matched may not make another host of a path.
        ("/out/(.*)", "/{1}", "/out//evil.example/x", "/.//evil.example/x"),
        ("/out/(.*)", "/{1}", "/out/%5C%5Cevil.example", "/%5C%5Cevil.example"),
        ("/nl/(.*)", "/{1}", "/nl/a%0D%0AX:%20y", "/a%0D%0AX:%20y"),
    ],
)
def test_redirects(pattern: str, target: str, path: str, location: str) -> None:
    """RW-01."""
    with client_of(RewriteRule(pattern, target, redirect=301)) as client:
        answer = client.get(path)
        assert (answer.status, answer.headers.get("Location")) == (301, location)


def test_a_redirect_stays_below_its_mount_and_does_not_lead_to_itself() -> None:
    """RW-01."""
    root = Resource()
    root.mount("m", Rewriter(Leaf(show), RewriteRule("/a", "/b", redirect=302)))
    root.mount("loop", Rewriter(Leaf(show), RewriteRule("/.*", "/here", redirect=302)))
    with Client(Site(root, trusted_proxies=["127.0.0.1"])) as client:
        assert client.get("/m/a").headers.get("Location") == "/m/b"
        assert client.get("/m/a", headers={"X-Forwarded-Prefix": "/p"}).headers.get("Location") == "/p/m/b"
        assert client.get("/loop/a").headers.get("Location") == "/loop/here"
        assert client.get("/loop/here").status == 500


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("(", "/x"), {}),
        (("/a", "/{name}"), {}),
        (("/a", "/{1}"), {}),
        (("/a", "b"), {}),
        (("/a", "/b"), {"redirect": 200}),
        (("/a", "/b"), {"host": "a b"}),
        (("/a", "/b"), {"headers": {"X": "("}}),
    ],
)
def test_what_cannot_be_a_rule_is_an_error_at_once(
    arguments: tuple[str, str], options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="expected"):
        RewriteRule(*arguments, **options)


def test_rules_are_functions() -> None:
    with pytest.raises(TypeError, match="expected rules"):
        Rewriter(Leaf(show), "/a")  # type: ignore[arg-type]


def test_all_views_of_a_request_agree_after_rewriting() -> None:
    """RW-01: what was sent stays in REQUEST_URI, everything else follows the new path."""
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ)
        start_response("200 OK", [])
        return [b""]

    inner = Resource()
    inner.mount("users/joe", WSGIResource(app, threads=1))
    with Client(Rewriter(inner, tilde_to_users)) as client:
        for _ in range(2):
            client.get("/~joe/a?b=c")
            client.get("/users/joe/a?b=c")
    for environ in seen:
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/users/joe", "/a")
    assert [environ["REQUEST_URI"] for environ in seen] == ["/~joe/a?b=c", "/users/joe/a?b=c"] * 2


def test_the_examples_of_the_documentation_do_what_they_say() -> None:
    examples = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"tree": Leaf(show)}
    roots = []
    for code in examples:
        exec(code, names)
        roots.append(names["root"])
    rules, languages = roots
    with Client(rules) as client:
        for path, seen in {
            "/docs/a?x=1": "/static/documentation/a?x=1", "/docs2": "/docs2", "/~mary/x": "/users/mary/x",
            "/item/42": "/items/42", "/item/4a": "/item/4a",
        }.items():  # fmt: skip
            assert client.get(path).text == seen
        assert client.get("/old/a?b").headers["Location"] == "/new/a?b"
        assert client.get("/x", headers={"Host": "example"}).headers["Location"] == "https://www.example/x"
        assert client.get("/x", headers={"User-Agent": "Mobile Safari"}).text == "/mobile"
    with Client(languages) as client:
        german = {"Accept-Language": "de-AT"}
        assert client.get("/a", headers=german).text == client.get("/de/a", headers=german).text == "/de/a"
        assert client.get("/a", headers={"Accept-Language": "en"}).text == "/a"
