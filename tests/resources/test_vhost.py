"""VH-01 to VH-04: which tree answers is decided by the name the client asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from container.message.response import Response
from container.resources.script import ResourceScript
from container.resources.static import Files
from container.resources.vhost import HostDirectory, VirtualHosts
from container.testing import AsyncClient, Client
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import Leaf, request

if TYPE_CHECKING:
    from collections.abc import Callable


def named(text: str) -> Resource:
    return Leaf(lambda request: f"{text} {'/'.join(request.prepath)}|{'/'.join(request.postpath)}")


def asked(client: Client, host: str | None, path: str = "/", version: str = "1.1") -> tuple[int, str]:
    (answer,) = client.send_raw(request(path, version=version, host=host), eof=True).responses
    return answer.status, answer.text


HOSTS = {
    "foo.com": named("foo"),
    "*.foo.com": named("below"),
    "*.deep.foo.com": named("deep"),
    "port.com:8443": named("8443"),
    "port.com": named("any"),
    "[::1]": named("six"),
    "[::1]:8080": named("six-8080"),
    "B\u00fccher.example": named("idna"),
    "web.com:80": named("web"),
}


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("foo.com", "foo"),
        ("FOO.com:81", "foo"),
        ("foo.com.", "foo"),
        ("Foo.Com.:81", "foo"),
        ("www.foo.com", "below"),
        ("a.b.foo.com", "below"),
        ("x.deep.foo.com", "deep"),
        ("deep.foo.com", "below"),
        ("port.com", "any"),
        ("port.com:8443", "8443"),
        ("port.com:8444", "any"),
        ("[::1]:80", "six"),
        ("[0:0:0:0:0:0:0:1]", "six"),
        ("[::1]:8080", "six-8080"),
        ("xn--bcher-kva.example", "idna"),
        ("web.com", "web"),
        ("web.com:80", "web"),
        ("web.com:81", None),
        ("barfoo.com", None),
        ("com", None),
        ("[::2]", None),
        ("fo%6f.com", None),
        ("", None),
    ],
)
def test_a_host_is_found_however_it_is_spelt(host: str, found: str | None) -> None:
    """VH-01: case, port, trailing dot, IPv6, wildcards."""
    with Client(VirtualHosts(HOSTS, default=named("default"))) as client:
        for _ in range(2):  # the second time it is known
            assert asked(client, host, "/a/b") == (200, f"{found or 'default'} |a/b")
    with Client(VirtualHosts(HOSTS)) as client:
        assert asked(client, host)[0] == (200 if found else 421)


def test_without_a_host_there_is_the_default() -> None:
    """VH-01."""
    with Client(VirtualHosts(HOSTS, default=named("default"))) as client:
        assert asked(client, None, version="1.0") == (200, "default |")
    with Client(VirtualHosts(HOSTS)) as client:
        assert asked(client, None, version="1.0")[0] == 421


def test_the_page_of_a_host_that_is_not_here_is_escaped() -> None:
    with Client(VirtualHosts(HOSTS)) as client:
        status, page = asked(client, "a&b")
    assert status == 421
    assert "a&amp;b" in page


def test_https_has_another_port() -> None:
    with Client(VirtualHosts(HOSTS), secure=True) as client:
        assert asked(client, "web.com")[0] == 421


def test_hosts_come_and_go_while_serving() -> None:
    """VH-01."""
    hosts = VirtualHosts(default=named("default"))
    with Client(hosts) as client:
        assert asked(client, "a.example")[1] == "default |"
        hosts.add_host("A.example", named("a"))
        assert asked(client, "a.example")[1] == "a |"
        assert list(hosts.hosts) == ["a.example"]
        hosts.remove_host("a.EXAMPLE.")
        assert asked(client, "a.example")[1] == "default |"
    with pytest.raises(KeyError):
        hosts.remove_host("a.example")


@pytest.mark.parametrize(
    "host", ["", "a b", "*", "a.*", "*.*", "a:x", "a:0", "a:70000", "[::1", "-a", "a..b", "a/b"]
)
def test_what_is_no_host_is_an_error_at_once(host: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        VirtualHosts({host: named("x")})


def test_what_is_no_resource_is_an_error_at_once() -> None:
    with pytest.raises(TypeError, match="expected a Resource"):
        VirtualHosts({"a": "b"})  # type: ignore[dict-item]


def test_names_below_a_host_may_count_as_that_host() -> None:
    """VH-02."""
    for parents, found in ((True, "foo |"), (False, "default |")):
        hosts = VirtualHosts({"foo.com": named("foo")}, default=named("default"), parents=parents)
        with Client(hosts) as client:
            assert asked(client, "a.b.foo.com")[1] == found


def test_a_list_of_hosts_only_when_asked_for() -> None:
    """VH-02."""
    with Client(VirtualHosts(HOSTS, listing=True)) as client:
        status, page = asked(client, "other:81")
        assert status == 200
        assert '<a href="//foo.com:81/">foo.com</a>' in page
        assert '<a href="//port.com:8443/">' in page
        assert "*" not in page
    with Client(VirtualHosts(HOSTS)) as client:
        assert "foo.com" not in asked(client, "other")[1]


def test_the_cache_of_hosts_is_bounded() -> None:
    hosts = VirtualHosts(HOSTS, default=named("default"))
    with Client(hosts) as client:
        found = {asked(client, f"h{number}.example") for number in range(1100)}
    assert found == {(200, "default |")}
    assert len(hosts._known) <= 1024


def test_mounts_go_to_the_default() -> None:
    default = Resource()
    hosts = VirtualHosts({"a.example": named("a")}, default=default)
    hosts.mount("x", named("x"))
    assert "x" in default.children
    assert [path for path, _ in hosts.walk()] == ["/x", "//a.example/"]
    with Client(hosts) as client:
        assert asked(client, "b.example", "/x/y")[1] == "x x|y"
    with pytest.raises(ValueError, match="default"):
        VirtualHosts().mount("x", named("x"))


def test_it_can_be_mounted_anywhere() -> None:
    root = Resource()
    root.mount("m", VirtualHosts({"a.example": named("a")}))
    with Client(root) as client:
        assert asked(client, "a.example", "/m/x")[1] == "a m|x"


def test_each_host_has_files_settings_and_error_pages_of_its_own(tmp_path: Path) -> None:
    """VH-04."""
    for host in "ab":
        (tmp_path / host).mkdir()
        (tmp_path / host / f"{host}.html").write_text(f"index of {host}")
    hosts = VirtualHosts(
        {
            f"{host}.example": Site(
                Files(tmp_path / host, index=[f"{host}.html"]),
                error_pages={404: Response.text(f"nothing in {host}", 404)},
                headers={"X-Host": host},
            )
            for host in "ab"
        }
    )
    with Client(hosts) as client:
        for host in "ab":
            fields = {"Host": f"{host}.example"}
            answer = client.get("/", headers=fields)
            assert (answer.text, answer.headers.get("X-Host")) == (f"index of {host}", host)
            assert client.get("/none", headers=fields).text == f"nothing in {host}"


class Living(Resource):
    is_leaf = True

    def __init__(self, path: str, log: list[str]) -> None:
        self.name = Path(path).name
        self.log = log

    async def start(self) -> None:
        self.log.append(f"start {self.name}")

    async def stop(self) -> None:
        self.log.append(f"stop {self.name}")

    def get(self, request: Any) -> str:
        self.log.append(f"get {self.name}")
        return self.name


def test_hosts_start_and_stop_with_the_tree() -> None:
    log: list[str] = []
    with Client(VirtualHosts({"a.example": Living("a", log)}, default=Living("default", log))):
        pass
    assert sorted(log) == ["start a", "start default", "stop a", "stop default"]


def test_a_directory_of_sites(tmp_path: Path) -> None:
    """VH-03, CF-04: one host for each sub-directory, live."""
    for name in ("a.example", "UPPER.example", ".hidden", "not a host"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(name)
    (tmp_path / "file.example").write_text("no host")
    hosts = HostDirectory(tmp_path, Files, default=named("default"))
    assert sorted(hosts.hosts) == ["a.example", "upper.example"]
    with Client(hosts) as client:
        assert asked(client, "a.example") == (200, "a.example")
        assert asked(client, "upper.example") == (200, "UPPER.example")
        assert asked(client, "file.example")[1] == "default |"
        assert asked(client, "b.example")[1] == "default |"
        (tmp_path / "b.example").mkdir()
        (tmp_path / "b.example" / "index.html").write_text("b")
        assert asked(client, "b.example")[1] == "b"
        (tmp_path / "b.example" / "index.html").unlink()
        (tmp_path / "b.example").rmdir()
        assert asked(client, "b.example")[1] == "default |"


def test_a_directory_may_be_read_once(tmp_path: Path) -> None:
    hosts = HostDirectory(tmp_path, Files, default=named("default"), live=False)
    with Client(hosts) as client:
        (tmp_path / "b.example").mkdir()
        assert asked(client, "b.example")[1] == "default |"


def test_scripts_can_be_hosts(tmp_path: Path) -> None:
    """VH-03."""
    script = "from container import Data\nresource = Data('script', 'text/plain')\n"
    (tmp_path / "a.example.rpy").write_text(script)
    with Client(HostDirectory(tmp_path, Files, makers={".rpy": ResourceScript})) as client:
        assert asked(client, "a.example") == (200, "script")


def test_what_is_made_later_starts_before_its_first_request(tmp_path: Path) -> None:
    """VH-03."""
    log: list[str] = []
    make: Callable[[str], Resource] = lambda path: Living(path, log)  # noqa: E731
    (tmp_path / "a.example").mkdir()
    with Client(HostDirectory(tmp_path, make, default=named("default"))) as client:
        asked(client, "a.example")
        (tmp_path / "b.example").mkdir()
        asked(client, "b.example")
        asked(client, "b.example")
        (tmp_path / "a.example").rmdir()
        asked(client, "b.example")
        assert asked(client, "a.example")[1] == "default |"
        assert log == [
            "start a.example", "get a.example", "start b.example", "get b.example", "get b.example",
            "stop a.example", "get b.example",
        ]  # fmt: skip
    assert log[-1] == "stop b.example"


def test_who_comes_second_waits_until_the_host_has_started(tmp_path: Path) -> None:
    """VH-03."""
    log: list[str] = []
    make: Callable[[str], Resource] = lambda path: Living(path, log)  # noqa: E731

    async def ask() -> None:
        async with AsyncClient(HostDirectory(tmp_path, make)) as client:
            (tmp_path / "b.example").mkdir()
            fields = {"Host": "b.example"}
            await asyncio.gather(client.get("/", headers=fields), client.get("/", headers=fields))

    asyncio.run(ask())
    assert log == ["start b.example", "get b.example", "get b.example", "stop b.example"]


def test_an_entry_that_cannot_be_made_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def make(path: str) -> Resource:
        raise ValueError("no")

    (tmp_path / "a.example").mkdir()
    assert HostDirectory(tmp_path, make).hosts == {}
    assert "no host is made of" in caplog.text


def test_a_directory_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a directory"):
        HostDirectory(tmp_path / "none", Files)
