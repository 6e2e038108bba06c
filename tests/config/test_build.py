"""What the user gave, and the tree that is built from it; nothing listens here."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import pytest

from container import (
    Application,
    AsIs,
    HandlerResource,
    Redirect,
    Resource,
    ResourceScript,
    Response,
    ReverseProxy,
    ScriptDirectory,
    Site,
    WSGIResource,
)
from container.channel.endpoints import TCPEndpoint, UnixEndpoint
from container.config.build import build
from container.config.importer import ImportProblem
from container.config.kinds import registry as module
from container.config.kinds.kind import Kind
from container.config.kinds.registry import resource_of
from container.config.mounts import parse_mounts
from container.config.problems import ConfigProblem
from container.config.settings import Settings, Source
from container.config.sites import site_of
from container.config.tac import MODULE_NAME
from container.config.welcome import Welcome
from container.message.limits import Limits, Timeouts
from container.resources.responder import FastCGIResource, SCGIResource, UWSGIResource
from container.resources.static import Files
from container.sessions import Sessions
from container.sessions.sqlite import SQLiteStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODULES = {
    "hello.py": """
from container import Application, Resource, Site, WSGIResource
def application(environ, start_response): ...
def create_app(): return application
def three(environ, start_response, more): ...
resource = WSGIResource(application)
site = Site(resource)
shop = Application("shop")
shop.serve(site, 81)
class Page(Resource): ...
from http.server import BaseHTTPRequestHandler
class Old(BaseHTTPRequestHandler): ...
def of_kind(argument, settings): return Page()
""",
    "scripts/x.rpy": "resource = 1",
    "as.asis": "Status: 299\n\n",
    "hello.tac": "from hello import application",
    "two.tac": """
from container import Application
from hello import application as hello, resource
application = Application("two")
application.serve(hello, 81)
application.serve(hello, 82)
application.serve(resource)
""",
    "empty.tac": "from container import Application\napplication = Application('empty')",
    "option.tac": """
from container import Application
from hello import application as hello
application = Application("x")
application.serve(hello, 81, blacklog=5)
""",
}
DEFAULT = TCPEndpoint("127.0.0.1", 8080)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "scripts").mkdir()
    for name, source in MODULES.items():
        (tmp_path / name).write_text(source)
    (tmp_path / "public").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name == MODULE_NAME or str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def only_site(application: Application) -> Site:
    (binding,) = application.bindings
    assert isinstance(binding.site, Site)
    return binding.site


# Roots.


def test_nothing_is_a_page_that_helps() -> None:
    application = build(Source(), Settings())
    assert isinstance(only_site(application).root, Welcome)
    assert application.bindings[0].endpoints == (DEFAULT,)


def test_a_wsgi_application_gets_its_threads() -> None:
    settings = Settings(threads=3, queue_limit=5, request_timeout=7)
    for source in (Source(app="hello"), Source(wsgi="hello.application"), Source(tac="hello.tac")):
        root = only_site(build(source, settings)).root
        assert isinstance(root, WSGIResource)
        assert (root.pool.threads, root.pool.queue_limit, root.deadlines.timeout) == (3, 5, 7)


def test_a_factory() -> None:
    for source in (Source(app="hello:create_app", factory=True), Source(wsgi="hello:create_app()")):
        root = only_site(build(source, Settings())).root
        assert isinstance(root, WSGIResource)
        assert root.app is sys.modules["hello"].application


def test_what_an_app_can_be() -> None:
    assert only_site(build(Source(app="hello:resource"), Settings())).root is sys.modules["hello"].resource
    assert only_site(build(Source(app="hello:site"), Settings())) is sys.modules["hello"].site
    assert build(Source(app="hello:shop"), Settings()) is sys.modules["hello"].shop
    assert isinstance(only_site(build(Source(app="hello:Page()"), Settings())).root, Resource)
    assert isinstance(only_site(build(Source(path="public"), Settings())).root, Files)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Source(wsgi="hello:resource"), "expected a WSGI application, got WSGIResource from"),
        (Source(app="hello:Page"), r"""expected an instance, got class 'Page' .* \(add "\(\)"\?\)"""),
        (Source(app="hello:three"), r"got 'hello:three' with \(environ, start_response, more\)$"),
        (
            Source(mounts=parse_mounts(["/x=hello:shop"])),
            "expected something to mount, got an Application from",
        ),
        (Source(tac="empty.tac"), "expected empty.tac to serve a site or to have a service, got neither"),
        (Source(tac="option.tac"), r"expected only a site and addresses .*, got blacklog in option.tac"),
    ],
)
def test_what_cannot_be_served(source: Source, message: str) -> None:
    with pytest.raises(ImportProblem, match=message):
        build(source, Settings())


# Bindings.


def test_bindings_of_a_tac_share_what_is_the_same() -> None:
    application = build(Source(tac="two.tac"), Settings())
    first, second, third = application.bindings
    assert first.site is second.site
    assert first.site is not third.site
    assert [each.endpoints for each in application.bindings] == [
        (TCPEndpoint(None, 81),), (TCPEndpoint(None, 82),), (DEFAULT,),
    ]  # fmt: skip


def test_given_addresses_replace_those_of_one_site() -> None:
    given = [TCPEndpoint("127.0.0.1", 9), UnixEndpoint("x")]
    (binding,) = build(Source(app="hello:shop"), Settings(), given).bindings
    assert binding.endpoints == tuple(given)
    with pytest.raises(ConfigProblem, match=r"expected one site to serve at .*, got 2 in two.tac"):
        build(Source(tac="two.tac"), Settings(), given)


def test_mounts_need_one_site() -> None:
    with pytest.raises(ConfigProblem, match=r"expected one site to mount at, got 2 in two.tac"):
        build(Source(tac="two.tac", mounts=parse_mounts(["/x=path:public"])), Settings())


# Settings.


def test_settings_of_a_site_that_is_made() -> None:
    def log(exchange: object) -> None: ...

    settings = Settings(
        headers=(("X", "1"),), display_tracebacks=True, access_log=log,
        limits={"body": None, "fields": 7}, timeouts={"keep_alive": 3.0},
    )  # fmt: skip
    site = only_site(build(Source(path="public"), settings))
    assert site.headers.items() == [("X", "1")]
    assert site.display_tracebacks
    assert site.log is log
    assert site.limits == Limits(body=None, fields=7)
    assert site.timeouts == Timeouts(keep_alive=3.0)


def test_settings_that_were_not_given_leave_a_ready_made_site_alone() -> None:
    def own(exchange: object) -> None: ...

    def other(exchange: object) -> None: ...

    site = Site(
        Resource(), headers={"A": "0"}, display_tracebacks=True, access_log=own,
        limits=Limits(body=5), timeouts=Timeouts(keep_alive=4),
    )  # fmt: skip
    assert site_of(site, "x", Settings(access_log=other)) is site
    assert site.log is own
    assert (site.limits, site.timeouts) == (Limits(body=5), Timeouts(keep_alive=4))
    assert site.display_tracebacks
    assert site_of(site, "x", Settings(limits={"fields": 6}, override_log=True)) is site
    assert site.log is None
    assert site.limits == Limits(body=5, fields=6)


def test_headers_of_a_ready_made_site_come_from_a_site_around_it() -> None:
    page = Response(b"sorry", 404)
    site = Site(
        Resource(), headers={"A": "0"}, error_pages={404: page},
        limits=Limits(body=5), timeouts=Timeouts(head=4),
    )  # fmt: skip
    outer = site_of(site, "x", Settings(headers=(("X", "1"),), display_tracebacks=True))
    assert (outer.root, outer.headers.items(), site.headers.items()) == (site, [("X", "1")], [("A", "0")])
    assert (outer.limits, outer.timeouts, outer.error_pages) == (site.limits, site.timeouts, {404: page})
    assert outer.display_tracebacks
    assert site.display_tracebacks
    child = Resource()
    outer.mount("x", child)
    assert site.root.children == {"x": child}


# Mounts.


def test_mounts_nearer_to_the_root_come_first() -> None:
    mounts = parse_mounts(["/a/b/c=x", "/a=y", "/b/c/=z:1=2"])
    assert [(mount.path, mount.spec) for mount in mounts] == [("a", "y"), ("b/c", "z:1=2"), ("a/b/c", "x")]


def test_a_mount_below_a_mount() -> None:
    source = Source(mounts=parse_mounts(["/a/b=path:public", "/a=hello:application", "/c=redirect:/d"]))
    root = only_site(build(source, Settings())).root
    assert isinstance(root.children["a"], WSGIResource)
    assert isinstance(root.children["a"].children["b"], Files)
    assert isinstance(root.children["c"], Redirect)


def test_a_mount_at_the_root_is_the_root() -> None:
    source = Source(mounts=parse_mounts(["/=hello:resource", "/x=path:public"]))
    site = only_site(build(source, Settings()))
    assert site.root is sys.modules["hello"].resource
    assert list(site.root.children) == ["x"]


def test_a_new_kind_is_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    class Text(Resource):
        def __init__(self, text: str) -> None:
            self.text = text

    kind = Kind(name="text", metavar="TEXT", help="", make=lambda argument, settings, keys: Text(argument))
    monkeypatch.setitem(module.KINDS, "text", kind)
    resource = resource_of("text:a:b", Settings())
    assert isinstance(resource, Text)
    assert resource.text == "a:b"


def test_a_plugin_brings_kinds_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """DM-10: a further kind is an entry point, and needs no command of its own."""
    points = [
        EntryPoint("text", "hello:of_kind", module.GROUP),
        EntryPoint("odd", "hello:none", module.GROUP),
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    assert type(resource_of("text:a", Settings())).__name__ == "Page"
    with pytest.raises(ConfigProblem, match='after "text:", got nothing'):
        resource_of("text:", Settings())
    with pytest.raises(
        ConfigProblem, match=f"{list(module.KINDS)[-1]}, text, odd or \"module:name\" to mount, got 'txt:a'"
    ):
        resource_of("txt:a", Settings())
    with pytest.raises(ImportProblem, match="expected the kind 'odd', got none"):
        resource_of("odd:a", Settings())


def test_sessions_are_put_around_the_root(tmp_path: Path) -> None:
    settings = Settings(sessions=f"sqlite:{tmp_path}/s.db")
    site = site_of(Resource(), "x", settings)
    assert isinstance(site.root, Sessions)
    assert isinstance(site.root.store, SQLiteStore)
    with pytest.raises(ConfigProblem, match="expected memory, sqlite:PATH or redis://"):
        site_of(Resource(), "x", Settings(sessions="disk"))


# Scripts and what is older.


def test_scripts_as_root_and_mounted(here: Path) -> None:
    """SC-07, SC-08."""
    (binding,) = build(Source(script="scripts/x.rpy"), Settings()).bindings
    assert isinstance(binding.site, Site)
    assert isinstance(binding.site.root, ResourceScript)
    one = resource_of("script:scripts/x.rpy", Settings(request_timeout=7))
    assert isinstance(one, ResourceScript)
    assert one.scripts.deadlines.timeout == 7
    assert isinstance(resource_of("script:scripts", Settings()), ScriptDirectory)
    assert isinstance(resource_of("asis:as.asis", Settings()), AsIs)
    for kind in ("script", "asis"):
        with pytest.raises(ConfigProblem, match="got 'none'"):
            resource_of(f"{kind}:none", Settings())
    with pytest.raises(ConfigProblem, match="expected one root, got --path and --resource-script"):
        build(Source(path="public", script="scripts/x.rpy"), Settings())


@pytest.mark.parametrize("name", ["hello:Old", "handler:hello:Old", "handler:hello:three"])
def test_handlers_of_http_server_are_hosted(here: Path, name: str) -> None:
    """PY-02: a class for http.server is told by its bases, anything callable by its kind."""
    resource = resource_of(name, Settings(threads=0, request_timeout=7))
    assert isinstance(resource, HandlerResource)
    assert (resource.pool.threads, resource.deadlines.timeout) == (1, 7)


@pytest.mark.parametrize(
    ("spec", "kind", "address"),
    [
        ("fastcgi:unix:/run/php.sock", FastCGIResource, "unix:/run/php.sock"),
        ("fastcgi:127.0.0.1:9000=/srv/index.php", FastCGIResource, "127.0.0.1:9000"),
        ("scgi:127.0.0.1:9000", SCGIResource, "127.0.0.1:9000"),
        ("uwsgi:unix:/run/app.sock", UWSGIResource, "unix:/run/app.sock"),
    ],
)
def test_responders(spec: str, kind: type[Resource], address: str) -> None:
    resource = resource_of(spec, Settings())
    assert isinstance(resource, FastCGIResource | SCGIResource | UWSGIResource)
    assert type(resource) is kind
    assert str(resource.pool.address) == address
    assert resource.base.get("SCRIPT_FILENAME") == ("/srv/index.php" if "=" in spec else None)


def test_a_responder_without_a_place() -> None:
    with pytest.raises(ConfigProblem, match="expected an address"):
        resource_of("fastcgi:9000", Settings())


def test_a_proxy_is_mounted_by_the_urls_of_its_servers() -> None:
    """PX-01: several are separated by commas."""
    proxy = resource_of("proxy:http://127.0.0.1:9000/app,unix:/run/app.sock", Settings())
    assert isinstance(proxy, ReverseProxy)
    assert [str(upstream.address) for upstream in proxy.upstreams] == [
        "http://127.0.0.1:9000",
        "unix:/run/app.sock",
    ]
    with pytest.raises(ConfigProblem, match="did you mean"):
        resource_of("proxy:127.0.0.1:9000", Settings())
