"""Where values come from, and which of two counts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from container.config.options import OPTIONS
from container.config.problems import ConfigProblem
from container.config.values import Choice
from tests.config.said import assembled, gathered, printed

if TYPE_CHECKING:
    from pathlib import Path

    from container.config.options import Option

# A value for every option that has one: as text, and as a file has it where that differs.
VALUES: dict[str, tuple[str, object]] = {
    "factory": ("yes", True),
    "listen": ("127.0.0.1:1", ["127.0.0.1:1"]),
    "fd": ("3", 3),
    "https": ("443", 443),
    "port": ("1", 1),
    "backlog": ("5", 5),
    "ssl_min_version": ("1.3", "1.3"),
    "threads": ("3", 3),
    "queue_limit": ("3", 3),
    "request_timeout": ("5m", "300s"),
    "env": ("A=b", {"A": "b"}),
    "ws_max_size": ("1K", 1024),
    "ws_max_queue": ("3", 3),
    "ws_ping_interval": ("off", "0"),
    "ws_ping_timeout": ("3", 3.0),
    "limit_request_line": ("4K", 4096),
    "limit_request_fields": ("10", 10),
    "limit_request_field_size": ("4K", "4K"),
    "limit_request_body": ("off", "off"),
    "limit_concurrency": ("3", 3),
    "keep_alive": ("500ms", 0.5),
    "forwarded_allow_ips": ("10.0.0.1,::1", ["10.0.0.1", "::1"]),
    "proxy_allow_from": ("10.0.0.1,::1", ["10.0.0.1", "::1"]),
    "healthz": ("/up", "/up"),
    "readyz": ("/up", "/up"),
    "metrics": ("[::1]:9091", "[::1]:9091"),
    "headers": ("X: y", {"X": "y"}),
    "compress": ("gzip", ["gzip"]),
    "access_log_format": ("json", "json"),
    "umask": ("027", "027"),
    "graceful_timeout": ("3", 3),
    "drain_delay": ("3", 3),
    "workers": ("3", 3),
    "max_requests": ("3", 3),
    "max_requests_jitter": ("3", 3),
    "max_worker_lifetime": ("1h", 3600),
    "max_worker_rss": ("1G", "1024M"),
    "timeout": ("3", 3),
    "reload_delay": ("3", 3),
    "cgi_timeout": ("3", 3),
    "cgi_processes": ("3", 3),
    "cgi_interpreter": (".sh=sh", {".sh": "sh"}),
    "cgi_env": ("A=b", {"A": "b"}),
    "processor": (".x=a:b", {".x": "a:b"}),
    "mount": ("/x=files:public", ...),
    "vhost": ("a.example=files:public", ...),
    "mount_option": ("/x:listing=yes", ...),
    "static": ("/x=public", ...),
    "static_path_mount": ("public", ...),
    "static_path_route": ("/x", ...),
    "static_path_expires": ("0", ...),
}
# What some of them do not go without.
BESIDES = {
    "mount_option": ["--mount=/x=files:public"],
    "static_path_route": ["--static-path-mount=public"],
    "static_path_expires": ["--static-path-mount=public"],
    "static_path_dir_to_file": ["--static-path-mount=public"],
}


def value_of(option: Option) -> tuple[str, object]:
    if option.is_switch:
        text = "no" if option.default else "yes"
        return text, text == "yes"
    if isinstance(option.type, Choice):
        return option.type.names[-1], option.type.names[-1]
    return VALUES.get(option.field, ("some", ["some"] if option.many else "some"))


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key!r} = {each!r}" for key, each in value.items()) + " }"
    return str(value).lower() if isinstance(value, bool) else repr(value)


@pytest.mark.parametrize("field", [name for name, option in OPTIONS.items() if not option.only_here])
def test_every_option_in_every_spelling(place: Path, monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    """CL-10: the command line, the environment and a file mean the same by each of them."""
    option = OPTIONS[field]
    text, value = value_of(option)
    others = BESIDES.get(field, [])
    spellings = option.spellings
    if option.is_switch:
        typed = [[each] if text == "yes" else [str(option.negative)] for each in spellings]
    else:
        typed = [[each, text] for each in spellings]
    found = [gathered(*others, *each).configuration for each in typed]
    assert field in found[0].given
    assert len({repr(each.given) for each in found}) == 1  # encoders are equal to themselves only
    expected = repr(found[0].given[field])
    monkeypatch.setenv(option.variable, text)
    assert repr(gathered(*others).configuration.given[field]) == expected
    monkeypatch.delenv(option.variable)
    if option.table:
        return
    (place / "site.toml").write_text(f"{option.name} = {toml(value)}\n")
    said = gathered("-c", "site.toml").configuration
    assert {*said.given} == {"config", field}
    assert repr(said.given[field]) == expected
    assert said.names[field] == f"site.toml:1: {option.name}"


def test_the_nearer_counts(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line before the environment, that before a file, all before defaults."""
    (place / "container.toml").write_text("threads = 2\nqueue-limit = 2\nkeep-alive = 2\n")
    monkeypatch.setenv("CONTAINER_THREADS", "3")
    monkeypatch.setenv("CONTAINER_QUEUE_LIMIT", "3")
    monkeypatch.setenv("CONTAINER_LIFESPAN", "")
    found = gathered("--threads=4")
    values = found.configuration.values
    assert (values["threads"], values["queue_limit"], values["keep_alive"]) == (4, 3, 2.0)
    assert (values["lifespan"], values["workers"]) == ("auto", 1)
    names = found.configuration.names
    assert (names["threads"], names["queue_limit"]) == ("--threads", "CONTAINER_QUEUE_LIMIT")
    assert found.file == "container.toml"


def test_arguments_in_a_variable_count_after_those_that_are_typed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CL-10: and before other variables, and files; each list is of one of them."""
    (place / "site.toml").write_text("threads = 2\nkeep-alive = 2\nqueue-limit = 2\nbacklog = 2\n")
    (place / "a.env").write_text("COLOUR=blue\n")
    monkeypatch.setenv("CONTAINER_QUEUE_LIMIT", "3")
    monkeypatch.setenv("CONTAINER_KEEP_ALIVE", "3")
    monkeypatch.setenv(
        "CONTAINER_CMD_ARGS",
        "-c site.toml --env-file=a.env --threads 4 --keep-alive=4 -b 81 --header 'X-Two: a b' --mount=/x=files:other "
        "--mount=/y=files:other hello:application",
    )
    found = gathered("--threads=5", "--bind=82", "--mount=/x=files:public")
    values = found.configuration.values
    assert [values[name] for name in ("threads", "keep_alive", "queue_limit", "backlog")] == [5, 4.0, 3, 2]
    assert (values["app"], values["headers"], found.file) == (
        "hello:application",
        (("X-Two", "a b"),),
        "site.toml",
    )
    assert [each.port for each in values["listen"]] == [82]
    assert [each.spec for each in found.mounts] == ["files:public", "files:other"]
    assert os.environ["COLOUR"] == "blue"
    assert found.remarks == ()


def test_arguments_in_a_variable_may_name_the_root(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "container.toml").write_text("threads = 2")
    monkeypatch.setenv("CONTAINER_CMD_ARGS", "--path public")
    found = gathered()
    assert (found.file, found.configuration.values["path"]) == (None, "public")


@pytest.mark.parametrize(
    ("variables", "field", "value"),
    [
        ({"WEB_CONCURRENCY": "3"}, "workers", 3),
        ({"WEB_CONCURRENCY": "3", "CONTAINER_WORKERS": "2"}, "workers", 2),
        ({"FORWARDED_ALLOW_IPS": "*"}, "forwarded_allow_ips", ("*",)),
        ({"CONTAINER_HEADER": "X: a b\nY: c"}, "headers", (("X", "a b"), ("Y", "c"))),
        ({"CONTAINER_MOUNT": "/a=files:public\n/b c=files:other"}, "mount",
         ("/a=files:public", "/b c=files:other")),
    ],
)  # fmt: skip
def test_variables_of_the_environment(
    place: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], field: str, value: object
) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    assert gathered().configuration.values[field] == value


@pytest.mark.parametrize(
    ("file", "variables", "arguments", "addresses"),
    [
        ("", {}, [], ["127.0.0.1:8080"]),
        ("", {"PORT": "5000"}, [], ["tcp:5000"]),
        ("", {"PORT": "5000"}, ["--host=127.0.0.1"], ["127.0.0.1:5000"]),
        ("", {"PORT": "5000"}, ["--listen=tcp:1"], ["tcp:1"]),
        ("", {"PORT": "5000", "CONTAINER_PORT": "5001"}, [], ["127.0.0.1:5001"]),
        ("listen = 'tcp:1'", {"PORT": "5000"}, [], ["tcp:5000"]),
        ("listen = 'tcp:1'", {}, ["--port=2"], ["127.0.0.1:2"]),
        ("host = '0.0.0.0'", {}, ["--port=2"], ["0.0.0.0:2"]),
        ("port = 1", {"CONTAINER_LISTEN": "tcp:2 tcp:3"}, [], ["tcp:2", "tcp:3"]),
        ("port = 1\nlisten = 'tcp:2'", {}, [], ["tcp:2", "127.0.0.1:1"]),
        ("backlog = 7", {"CONTAINER_UDS": "x.sock"}, [], ["unix:x.sock:backlog=7"]),
        ("proxy-protocol = true", {}, ["--fd=3"], ["haproxy:fd:3"]),
        ("ssl-certfile = 'c.pem'", {}, ["--port=2"], ["tls:2:cert=c.pem:interface=127.0.0.1"]),
        ("https = 443", {}, [], ["tls:443:cert=server.pem"]),
    ],
)
def test_addresses_of_a_nearer_layer_replace_those_of_a_further_one(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    variables: dict[str, str],
    arguments: list[str],
    addresses: list[str],
) -> None:
    """CL-02, EP-02, EP-03, CF-03"""
    from container.config.addresses import spell_endpoint

    (place / "container.toml").write_text(file)
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    _, application = assembled(*arguments)
    (binding,) = application.bindings
    assert [*map(spell_endpoint, binding.endpoints)] == addresses


def test_a_file_of_variables(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ["KEPT"] = "here"
    (place / ".env").write_text(
        "# of the site\nexport CONTAINER_THREADS=5\nKEPT=there\nTEXT='a # b'\nEMPTY=\n\nLAST=1"
    )
    (place / "more.env").write_text("LAST=2\nMORE=1\n")
    found = gathered("--env-file=.env", "--env-file", "more.env", "-e", "MORE=3", "--env=LONG=a=b")
    assert found.configuration.values["threads"] == 5
    names = ("KEPT", "TEXT", "EMPTY", "LAST", "MORE", "LONG")
    assert [os.environ[name] for name in names] == ["here", "a # b", "", "1", "3", "a=b"]


def test_files_are_found_where_no_root_is_named(place: Path) -> None:
    (place / "pyproject.toml").write_text("[tool.container]\nthreads = 2\n[tool.other]\nx = 1\n")
    assert gathered().file == "pyproject.toml"
    assert gathered("--port=1").configuration.values["threads"] == 2
    (place / "container.toml").write_text("threads = 3\n")
    assert gathered().configuration.values["threads"] == 3
    for named in (["hello"], ["--path=public"], ["--mount=/x=files:public"], ["-y", "x.tac"]):
        assert gathered(*named).file is None
    assert gathered("hello", "-c", "container.toml").configuration.values["threads"] == 3


def test_mounts_of_layers_are_put_together(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "site.toml").write_text(
        "[[mount]]\npath = '/a'\nfiles = 'public'\n[[mount]]\npath = '/b'\nfiles = 'public'\nlisting = true\n"
    )
    monkeypatch.setenv("CONTAINER_MOUNT", "/b=files:other\n/c=files:other")
    found = gathered("-c", "site.toml", "--mount=/c=redirect:/", "--mount-option=/b:listing=yes")
    assert {str(mount.place): mount.spec for mount in found.mounts} == {
        "/a": "files:public", "/b": "files:other", "/c": "redirect:/",
    }  # fmt: skip
    (own,) = [mount for mount in found.mounts if mount.path == "b"]
    assert [*own.keys] == ["listing"]


def test_a_slip_in_the_environment_is_remarked(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINER_THREDS", "5")
    monkeypatch.setenv("CONTAINER_SOMETHING_ELSE", "5")
    assert gathered().remarks == (
        'no option has the variable CONTAINER_THREDS (did you mean "CONTAINER_THREADS"?)',
    )


SITES = """
threads = 3

[headers]
X-All = "1"

[[site]]
listen = "tcp:81"
path = "public"

[[site]]
listen = ["tcp:82", "unix:two.sock"]
threads = 5
keep-alive = 5
headers = { X-Two = "2" }

[[site.mount]]
path = "/"
wsgi = "hello:application"

[[site.mount]]
path = "/files"
files = "other"
listing = true
"""


def test_several_sites_in_one_file(place: Path) -> None:
    """CF-03, CF-04: each with addresses of its own; what stands at the top holds for those that do not say."""
    (place / "container.toml").write_text(SITES)
    (place / "site.tac").write_text(
        "from container import *\nimport hello\n"
        "application = Application('two')\n"
        "application.serve(Site(Files('public', listing=True), headers={'X-All': '1'}), 'tcp:81')\n"
        "root = WSGIResource(hello.application, threads=5)\n"
        "root.mount('files', Files('other', listing=True))\n"
        "two = Site(root, headers={'X-Two': '2'}, timeouts=Timeouts(keep_alive=5))\n"
        "application.serve(two, 'tcp:82', 'unix:two.sock')\n"
    )
    text = printed()
    assert text == printed("-y", "site.tac")
    assert text.count("[[site]]") == 2
    (place / "container.toml").write_text(text)
    assert printed() == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[[site]]\nworkers = 2\n",
         'container.toml:2: expected an option of sites, got "workers": it is of the process, and stands at the top'),
        ("[[site]]\npath = 'public'\n[[site]]\nlistne = 1\n",
         'container.toml:4: expected a known option, got "listne" (did you mean "listen"?)'),
        ("[[site]]\n[[site]]\n[[site.mount]]\npath = '/'\nfiles = 'public'\n"
         "[[site.mount]]\npath = '/x'\nfiles = 'a'\nx = 1\n",
         "container.toml:9: expected a key of files, got site[2].mount[2].x"),
        ("site = 1\n", "container.toml:1: expected tables [[site]] for site, got 1"),
    ],
)  # fmt: skip
def test_a_mistake_in_one_of_several_sites(place: Path, text: str, line: str) -> None:
    (place / "container.toml").write_text(text)
    with pytest.raises(ConfigProblem) as caught:
        assembled()
    assert str(caught.value) == line
