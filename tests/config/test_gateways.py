"""Virtual hosts and trusted proxies as settings: VH-03, CF-04, PX-09, CL-10."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from container.channel.endpoints import parse_endpoint
from container.config.build import build
from container.config.gateways import parse_proxies
from container.config.importer import ImportProblem
from container.config.kinds.registry import resource_of
from container.config.mounts import parse_mounts
from container.config.problems import ConfigProblem
from container.config.settings import Settings, Source
from container.resources.vhost import HostDirectory, VirtualHosts
from container.service.application import Application
from container.testing import Client
from container.tree.forwarded import Forwarded
from container.tree.site import Site


def site_of(application: Application) -> Site:
    (binding,) = application.bindings
    assert isinstance(binding.site, Site)
    return binding.site


def pages(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).mkdir()
        (folder / name / "index.html").write_text(name)


def test_hosts_from_the_command_line(tmp_path: Path) -> None:
    pages(tmp_path, "a", "b", "rest", "static")
    source = Source(
        path=str(tmp_path / "rest"),
        mounts=parse_mounts(
            [f"/static=path:{tmp_path}/static"],
            [f"a.example=path:{tmp_path}/a", f"*.b.example:8443=path:{tmp_path}/b"],
        ),
    )
    with Client(site_of(build(source, Settings()))) as client:
        for host, text in (("a.example", "a"), ("x.b.example:8443", "b"), ("x.b.example", "rest")):
            assert client.get("/", headers={"Host": host}).text == text
        assert client.get("/static/", headers={"Host": "other"}).text == "static"
        assert client.get("/static/", headers={"Host": "a.example"}).status == 404


def test_nothing_but_hosts(tmp_path: Path) -> None:
    pages(tmp_path, "a")
    with Client(
        site_of(build(Source(mounts=parse_mounts([], [f"a.example=path:{tmp_path}/a"])), Settings()))
    ) as client:
        assert client.get("/", headers={"Host": "a.example"}).text == "a"
        assert client.get("/", headers={"Host": "b.example"}).status == 421


@pytest.mark.parametrize(
    "hosts", [["a"], ["=path:x"], ["a="], ["a b=path:x"], ["a=path:x", "A.=path:x"], ["a:x=path:x"]]
)
def test_what_is_no_virtual_host(hosts: list[str]) -> None:
    with pytest.raises(ConfigProblem, match="expected"):
        parse_mounts([], hosts)


def test_hosts_are_not_put_around_a_tac(tmp_path: Path) -> None:
    tac = tmp_path / "a.tac"
    tac.write_text("from container import *\napplication = Application('a')\napplication.serve(Resource())\n")
    with pytest.raises(ConfigProblem, match="inside"):
        build(Source(tac=str(tac), mounts=parse_mounts([], ["a=redirect:/"])), Settings())


def test_a_directory_of_hosts(tmp_path: Path) -> None:
    """VH-03, CF-04: sub-directories, resource scripts and .tac files."""
    pages(tmp_path, "a.example")
    (tmp_path / "b.example.rpy").write_text(
        "from container import Data\nresource = Data('b', 'text/plain')\n"
    )
    (tmp_path / "c.example.tac").write_text(
        "from container import Application, Data, Site\napplication = Application('c')\n"
        "application.serve(Site(Data('c', 'text/plain')), 'tcp:0')\n"
    )
    hosts = resource_of(f"vhosts:{tmp_path}", Settings())
    assert isinstance(hosts, HostDirectory)
    with Client(hosts) as client:
        for host, text in (("a.example", "a.example"), ("b.example", "b"), ("c.example", "c")):
            assert client.get("/", headers={"Host": host}).text == text
    with pytest.raises(ConfigProblem, match="none is there"):
        resource_of(f"vhosts:{tmp_path}/none", Settings())


def test_a_monster_can_be_mounted(tmp_path: Path) -> None:
    pages(tmp_path, "a")
    source = Source(path=str(tmp_path / "a"), mounts=parse_mounts(["/vhost=vhostmonster:192.0.2.0/24,unix"]))
    with Client(site_of(build(source, Settings())), client=("192.0.2.1", 1)) as client:
        assert client.get("/vhost/https/a.example/").text == "a"
    with pytest.raises(ConfigProblem, match="expected an address"):
        resource_of("vhostmonster:x", Settings())


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("127.0.0.1", ("127.0.0.1",)),
        ("10.0.0.0/8, ::1", ("10.0.0.0/8", "::1")),
        ("*", ("*",)),
        ("none", ("none",)),
        ("", ()),
    ],
)
def test_proxies(text: str, entries: tuple[str, ...]) -> None:
    """CL-10."""
    assert parse_proxies(text) == entries


@pytest.mark.parametrize("text", ["x", "none,127.0.0.1", "127.0.0.1/8"])
def test_what_is_no_proxy(text: str) -> None:
    with pytest.raises(ValueError, match="expected an address"):
        parse_proxies(text)


@pytest.mark.parametrize(
    ("proxies", "endpoint", "ends", "client"),
    [
        (("127.0.0.1",), "tcp:0", {}, "192.0.2.1"),
        (None, "tcp:0", {}, "127.0.0.1"),
        (("10.0.0.0/8",), "tcp:0", {}, "127.0.0.1"),
        (None, "unix:/tmp/a.sock", {"server": "/tmp/a.sock"}, "192.0.2.1"),
        (("10.0.0.0/8",), "unix:/tmp/a.sock", {"server": "/tmp/a.sock"}, "192.0.2.1"),
        (("none",), "unix:/tmp/a.sock", {"server": "/tmp/a.sock"}, "None"),
    ],
)
def test_whose_word_counts(
    proxies: tuple[str, ...] | None, endpoint: str, ends: dict[str, Any], client: str, tmp_path: Path
) -> None:
    """PX-09, VM-06: UNIX sockets are trusted unless nobody is."""
    script = tmp_path / "show.rpy"
    script.write_text(
        "from container import Resource\n"
        "class Show(Resource):\n"
        "    def get(self, request):\n"
        "        return str(request.client and request.client[0])\n"
        "resource = Show()\n"
    )
    settings = Settings(trusted_proxies=proxies)
    site = site_of(build(Source(script=str(script)), settings, [parse_endpoint(endpoint)]))
    with Client(site, **ends) as browser:
        assert browser.get("/", headers={"X-Forwarded-For": "192.0.2.1"}).text == client


def test_without_proxies_nothing_is_spent() -> None:
    site = site_of(build(Source(mounts=parse_mounts([], ["a=redirect:/"])), Settings()))
    assert isinstance(site.root, VirtualHosts)
    behind = site_of(
        build(Source(mounts=parse_mounts([], ["a=redirect:/"])), Settings(trusted_proxies=("*",)))
    )
    assert isinstance(behind.root, Forwarded)


def test_a_host_that_cannot_be_imported() -> None:
    with pytest.raises((ImportProblem, ConfigProblem)):
        build(Source(mounts=parse_mounts([], ["a=nowhere.to:be_found"])), Settings())


TECHNIQUES = {
    "ports": """
from container import Application, Files, Site
application = Application("ports")
for port, directory in ((0, "one"), (0, "two")):
    application.serve(Site(Files(directory)), f"tcp:{port}:interface=127.0.0.1")
""",
    "hosts": """
from container import Application, Files, HostDirectory, Site
application = Application("hosts")
application.serve(Site(HostDirectory("vhosts", Files)), "tcp:0:interface=127.0.0.1")
""",
}


@pytest.mark.parametrize("name", TECHNIQUES)
def test_advanced_techniques_take_a_few_lines(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CF-04: files at several ports; a directory of virtual hosts."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vhosts").mkdir()
    pages(tmp_path, "one", "two", "vhosts/a.example", "vhosts/b.example")
    (tmp_path / "site.tac").write_text(TECHNIQUES[name])
    assert len(TECHNIQUES[name].splitlines()) <= 10
    application = build(Source(tac="site.tac"), Settings())
    sites = [binding.site for binding in application.bindings]
    if name == "ports":
        for site, text in zip(sites, ("one", "two"), strict=True):
            with Client(site) as client:  # type: ignore[arg-type]
                assert client.get("/").text == text
        return
    with Client(sites[0]) as client:  # type: ignore[arg-type]
        for host in ("a.example", "b.example"):
            assert client.get("/", headers={"Host": host}).text == f"vhosts/{host}"
