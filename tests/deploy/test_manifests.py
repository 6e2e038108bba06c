"""The files of `deploy/` and the Dockerfile: right by the rules of those they are written for, and with options that
exist and times that fit together."""

from __future__ import annotations

import configparser
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest

from container.tree.health import DEFAULT_HEALTH_PATH, DEFAULT_READY_PATH
from tests.deploy.options import (
    DEPLOY,
    ROOT,
    compose,
    entry_point,
    instruction,
    instructions,
    manifest,
    manifests,
    options_of,
    pod,
    seconds,
)

if TYPE_CHECKING:
    from tests.redis_server import RedisServer

PROGRAMS = Path(sys.executable).parent
# What a process needs to end beyond the times it is given.
MARGIN_S = 10


def units() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as it is written
    parser.read([DEPLOY / "systemd" / "container.service", DEPLOY / "systemd" / "container.socket"])
    return parser


def service_command() -> list[str]:
    return shlex.split(units()["Service"]["ExecStart"])


def end_of(options: dict[str, Any]) -> float:
    return float(options["drain_delay"] + options["graceful_timeout"])


@pytest.mark.parametrize("name", ["Dockerfile", "deploy/app/Dockerfile"])
def test_dockerfiles_pass_the_linter(name: str) -> None:
    done = subprocess.run(
        [PROGRAMS / "hadolint", "--no-color", ROOT / name], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("each", manifests(), ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_kubernetes_knows_every_field(each: dict[str, Any]) -> None:
    kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)


def test_compose_knows_every_field() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, DEPLOY / "compose.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_systemd_knows_every_setting(tmp_path: Path) -> None:
    for name in ("container.socket", "container.service"):
        text = (DEPLOY / "systemd" / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/container/bin/container", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "container.socket", tmp_path / "container.service"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert [line for line in done.stderr.splitlines() if str(tmp_path) in line or "container." in line] == []
    assert done.returncode == 0, done.stderr


def test_the_image_is_not_run_by_root() -> None:
    last = [value for name, value in instructions(ROOT / "Dockerfile") if name == "USER"][-1]
    uid, _, gid = last.partition(":")
    assert int(uid) >= 10_000
    assert int(gid) >= 10_000
    assert instruction(ROOT / "Dockerfile", "STOPSIGNAL") == "SIGTERM"


def test_the_image_takes_only_what_it_needs() -> None:
    """And all of that comes past .dockerignore."""
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert allowed[0] == "*"
    sources = [
        value for name, value in instructions(ROOT / "Dockerfile") if name == "COPY" and "--from" not in value
    ]
    names = {word for value in sources for word in value.split()[:-1]}
    assert {f"!{name}" for name in names} == {line for line in allowed if line.startswith("!")}
    assert all((ROOT / name).exists() for name in names)


def test_compose_stops_when_all_has_been_said() -> None:
    web = compose()["web"]
    options = options_of([*entry_point()[1:], *web["command"]])
    assert options["health"]
    assert options["drain_delay"] > 0
    assert seconds(web["stop_grace_period"]) >= end_of(options) + MARGIN_S
    assert web["read_only"]
    assert "/tmp" in web["tmpfs"][0]


def test_kubernetes_asks_and_stops_as_it_should() -> None:
    (web,) = pod("web")["containers"]
    options = options_of([*entry_point()[1:], *web["args"]])
    assert pod("web")["terminationGracePeriodSeconds"] >= end_of(options) + MARGIN_S
    ready = web["readinessProbe"]
    # Nobody sends more before the service has stopped to be one.
    assert options["drain_delay"] > ready["periodSeconds"] * ready["failureThreshold"]
    assert ready["httpGet"]["path"] == web["startupProbe"]["httpGet"]["path"] == DEFAULT_READY_PATH
    assert web["livenessProbe"]["httpGet"]["path"] == DEFAULT_HEALTH_PATH
    (port,) = web["ports"]
    assert f"PORT={port['containerPort']}" in instruction(ROOT / "Dockerfile", "ENV")
    assert str(port["containerPort"]) == instruction(ROOT / "Dockerfile", "EXPOSE")
    assert manifest("Service", "web")["spec"]["ports"][0]["targetPort"] == port["name"]


@pytest.mark.parametrize("name", ["web", "redis"])
def test_pods_may_do_nothing_they_need_not(name: str) -> None:
    (each,) = pod(name)["containers"]
    assert pod(name)["securityContext"]["runAsNonRoot"]
    assert pod(name)["automountServiceAccountToken"] is False
    assert each["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert each["resources"]["limits"]["memory"]


def test_systemd_waits_long_enough() -> None:
    options = options_of(service_command()[1:])
    assert float(units()["Service"]["TimeoutStopSec"]) >= end_of(options) + MARGIN_S
    assert f"systemd:{units()['Socket']['FileDescriptorName']}" in service_command()


def test_the_application_of_the_example_keeps_its_sessions_in_redis(
    start: Any, redis_server: RedisServer
) -> None:
    """The command of the compose file, but for the address of Redis: two processes, one visitor."""
    command = [each.replace("redis://redis:6379/0", redis_server.url) for each in compose()["web"]["command"]]
    where = ("--host", "127.0.0.1", "--port", 0, "--health", "--drain-delay", 0)
    first, second = (start(*command, *where, cwd=DEPLOY / "app") for _ in range(2))
    answer = first.fetch()
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    assert b"1 times" in answer.body
    assert b"2 times" in second.fetch(headers={"Cookie": cookie}).body
    assert first.fetch(DEFAULT_READY_PATH).status == 200
    assert first.stop() == second.stop() == 0
