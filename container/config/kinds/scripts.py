"""Scripts: CGI, Python, files that are sent as they are, and the places of users."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from container.config.compound import Several, Table
from container.config.kinds.kind import Key, Kind, construct
from container.config.problems import ConfigProblem
from container.config.scripts import PASSED, scripts_at
from container.config.users import user_directories
from container.config.values import Duration, Number, Switch, Text

if TYPE_CHECKING:
    from container.config.settings import Settings
    from container.tree.resource import Resource

_GATEWAY: Final = (
    Key("interpreters", Table(".EXT=PROGRAM"), "What runs scripts of an extension."),
    Key("environment", Table("NAME=VALUE"), "Variables for the scripts."),
    Key("authorization", Switch(), "Pass on credentials as HTTP_AUTHORIZATION."),
    Key("session", Switch(), "Tell the id and user of the visitor's session."),
    Key("query-arguments", Switch(), "A query without = becomes arguments."),
    Key("timeout", Duration(off=True), "How long a script may be silent, else 504."),
    Key("deadline", Duration(off=True), "How long the whole answer may take."),
    Key("processes", Number(1, 10_000), "Scripts that run at a time; further requests wait."),
    Key("queue-limit", Number(0, 10_000_000), "Requests that may wait; more are answered 503."),
    Key("user", Text("USER"), "Whose rights scripts have; nobody's when started as root."),
    Key("group", Text("GROUP"), "The group they have."),
    Key("warm", Switch(), "Run scripts in Python in copies of an interpreter that has started already."),
)


def _cgi(path: str, settings: Settings, arguments: dict[str, Any]) -> Resource:
    if not arguments:
        return scripts_at(path, settings.scripts)
    # A gateway of its own, with what holds for all where nothing else is said.
    return scripts_at(path, replace(settings.scripts, more=arguments))


def script(path: str, settings: Settings, arguments: dict[str, Any] | None = None) -> Resource:
    """The scripts of a directory, or one."""
    from container.resources.script import ResourceScript, ScriptDirectory, Scripts

    if not os.path.exists(path):
        raise ConfigProblem(f"expected a script, got {path!r}: nothing is there")
    kind = ScriptDirectory if os.path.isdir(path) else ResourceScript
    return kind(path, Scripts(**(SCRIPT.arguments({}, settings) if arguments is None else arguments)))


def _as_is(path: str, settings: Settings, arguments: dict[str, Any]) -> Resource:
    from container.resources.asis import AsIs

    if not os.path.isfile(path):
        raise ConfigProblem(f"expected a file to send as it is, got {path!r}: no file is there")
    return construct(AsIs, path)


def _users(directory: str, settings: Settings, arguments: dict[str, Any]) -> Resource:
    return user_directories(directory, settings, **arguments)


def _is_ours(make: Any) -> bool:
    """Is what makes resources of the homes of users that of the option?"""
    return getattr(make, "__module__", "") == user_directories.__module__


def _path(resource: Any) -> str:
    path: str = resource.path
    return os.path.relpath(path)


def _told(name: str, resource: Any) -> Any:
    value = resource.gateway.made_with[name]
    if not isinstance(value, dict):
        return value
    # What is passed on from the environment is not said.
    passed = {key: os.environ.get(key) for key in PASSED} if name == "environment" else {}
    return {
        key: value[key] for key in sorted(value, key=str) if key not in passed or passed[key] != value[key]
    }


CGI: Final = Kind(
    name="cgi", metavar="PATH", help="A CGI script, or those of a directory.", make=_cgi, subject=_path,
    home="container.resources.cgi:CGIDirectory", signature="container.resources.cgi:Gateway",
    keys=tuple(
        replace(key, attribute=partial(_told, key.keyword))
        for key in _GATEWAY
    ),
)  # fmt: skip
CGI_SCRIPT: Final = replace(CGI, home="container.resources.cgi:CGIScript")
SCRIPT: Final = Kind(
    name="script", metavar="PATH", help="A Python script that binds `resource`; of a directory, each file.",
    make=script, subject=_path, home="container.resources.script:ResourceScript",
    signature="container.resources.script:Scripts",
    keys=(
        Key("threads", Number(1, 10_000), "Scripts that run at a time.", attribute="scripts.pool.threads"),
        Key("request-timeout", Duration(off=True), "How long a run may take, else 504.",
            attribute="scripts.deadlines.timeout", inherits="request_timeout"),
    ),
)  # fmt: skip
SCRIPT_DIRECTORY: Final = replace(SCRIPT, home="container.resources.script:ScriptDirectory")
ASIS: Final = Kind(
    name="asis", metavar="FILE", help="A file with the head of its answer, sent as it is.",
    make=_as_is, subject=_path, home="container.resources.asis:AsIs",
)  # fmt: skip
USERS: Final = Kind(
    name="users", metavar="DIR", help="Files and servers of the users of this machine, DIR in their homes.",
    make=_users, home="container.resources.userdir:UserDirectory",
    subject=lambda resource: resource.directory if _is_ours(resource.made_with["files"]) else None,
    keys=(
        Key("min-uid", Number(0, 1 << 31), "Users with a uid from here on."),
        Key("allow-users", Several(Text("USER")), "These users only.", argument="allow"),
        Key("deny-users", Several(Text("USER")), "None of these users.", argument="deny"),
        Key("listing", Switch(), "Show a list of all who have something."),
    ),
)  # fmt: skip
