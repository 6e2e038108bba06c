"""Kinds of mounts: their keys are arguments of constructors, and are told by what was made."""

from __future__ import annotations

import re
from inspect import Parameter, signature
from typing import TYPE_CHECKING

import pytest

from container.config.describe import keys_of
from container.config.kinds.kind import load
from container.config.kinds.registry import KINDS, TWINS, find_kind, resource_of, unique_kinds
from container.config.settings import Settings
from tests.config.said import printed

if TYPE_CHECKING:
    from pathlib import Path

    from container.config.kinds.kind import Kind

# What only Python can give, or what is for tests.
NOT_IN_FILES = {
    "wsgi": {"app", "pool"},
    "asgi": {"app", "websocket"},
    "handler": {"handler", "server", "pool"},
    "files": {"path", "under", "not_found", "forbidden"},
    "proxy": {"upstreams", "via", "timeouts", "health", "client_grace", "clock"},
    "cgi": {"head_limit", "limits", "umask", "leave_grace", "kill_grace"},
    "fastcgi": {"address"},
    "scgi": {"address"},
    "uwsgi": {"address"},
    "redirect": {"url"},
    "script": {"registry"},
    "asis": {"path"},
    "users": {"files", "directory", "hand_over", "socket", "start", "start_timeout", "clock"},
    "vhosts": {"path", "make", "makers", "default", "live", "parents", "listing"},
    "vhostmonster": {"trusted"},
}


@pytest.mark.parametrize("kind", [*unique_kinds()], ids=lambda kind: kind.name)
def test_keys_are_the_arguments_of_the_constructor(kind: Kind) -> None:
    parameters = signature(load(kind.signature or kind.home).__init__).parameters
    arguments = {name for name, each in parameters.items() if each.kind is not Parameter.VAR_KEYWORD} - {
        "self"
    }
    keys = {key.keyword.partition(".")[0] for key in kind.keys} - {*kind.parts, "scripts"}
    assert keys <= arguments | {"scripts"}
    assert arguments - keys == NOT_IN_FILES[kind.name] & arguments
    assert NOT_IN_FILES[kind.name] <= arguments


@pytest.mark.parametrize(
    "spec",
    [
        "wsgi:hello:application", "asgi:hello:asgi", "handler:hello:Old", "files:public", "cgi:cgi-bin",
        "cgi:cgi-bin/hello.cgi", "script:script.rpy", "script:cgi-bin", "asis:answer.asis", "redirect:/x",
        "proxy:http://127.0.0.1:1", "fastcgi:127.0.0.1:1", "scgi:127.0.0.1:1", "uwsgi:127.0.0.1:1", "vhosts:.",
        "vhostmonster:127.0.0.1", "users:public_html",
    ],
)  # fmt: skip
def test_what_was_made_without_keys_tells_of_none(place: Path, spec: str) -> None:
    resource = resource_of(spec, Settings())
    (kind,) = [each for each in (*unique_kinds(), *TWINS) if each.makes(resource)]
    assert kind.name == KINDS[spec.partition(":")[0]].name
    assert keys_of(kind, resource) == {}
    assert kind.subject(resource) in (spec.partition(":")[2], [spec.partition(":")[2]])


def test_subclasses_are_somebodys_own(place: Path) -> None:
    (place / "own.py").write_text(
        "from container import Files, Resource\nclass Mine(Files): ...\nmine = Mine('public')\n"
    )
    (place / "site.tac").write_text(
        "from own import mine, Mine\nfrom container import Resource\napplication = mine\n"
        "mine.mount('x', Mine('other'))\n"
    )
    text = printed("-y", "site.tac")
    assert 'path = "/"\napp = "own:mine"\n' in text
    assert 'path = "/x"\nobject = "<own.Mine object at ' in text


def test_what_no_file_can_make_is_told_of(place: Path) -> None:
    """CF-07: an object as an object, and what is not of the tree in remarks."""
    (place / "site.tac").write_text(
        "from container import *\n"
        "class Own(Resource): ...\n"
        "root = Front(Files('public'))\n"
        "root.mount('own', Own()).mount('below', Files('other'))\n"
        "root.mount('site', Site(Files('public'), error_pages={404: Response('none', 404)}))\n"
        "root.mount('plain', Allow(Resource(), ['::1']))\n"
        "application = Application('x', uid=1000, gid=100)\n"
        "application.serve(Site(root, error_pages={500: Response('sorry', 500)}))\n"
        "application.background(lambda: None, name='job')\n"
    )
    lines = printed("-y", "site.tac").splitlines()
    assert lines[:2] == [
        "# a service that only Python has: <_Background job>", "# error pages that only Python has: 500",
    ]  # fmt: skip
    assert {'user = "1000"', 'group = "100"'} <= {*lines}
    objects = [line for line in lines if line.startswith("object = ")]
    assert [re.sub(r" object at.*|object = .", "", line).rpartition(".")[2] for line in objects] == [
        "Front", "Own", "Resource", "Site",
    ]  # fmt: skip
    assert lines[lines.index('path = "/own/below"') + 1] == 'files = "other"'


def test_aliases_lead_to_the_same_kind() -> None:
    assert find_kind("static") is find_kind("path") is find_kind("files")
    assert find_kind("nothing") is None
