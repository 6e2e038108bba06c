"""What the files of `deploy/` tell the command, read by the command's own parser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from dockerfile_parse import DockerfileParser

from container.cli.options import read_line
from container.config.layers import from_texts, merge

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def instructions(path: Path) -> list[tuple[str, str]]:
    """Those of a Dockerfile, without its comments."""
    parsed = DockerfileParser(str(path)).structure
    return [(each["instruction"], each["value"]) for each in parsed if each["instruction"] != "COMMENT"]


def instruction(path: Path, name: str) -> str:
    (value,) = [value for each, value in instructions(path) if each == name]
    return value


def entry_point() -> list[str]:
    words: list[str] = json.loads(instruction(ROOT / "Dockerfile", "ENTRYPOINT"))
    return words


def options_of(arguments: list[str]) -> dict[str, Any]:
    """The values they stand for; fails on what the command would refuse."""
    _, texts, _ = read_line(arguments)
    return dict(merge([from_texts(texts)]).values)


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))


def manifest(kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in manifests() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = manifest("Deployment", name)["spec"]["template"]["spec"]
    return spec


def compose() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return services


def seconds(text: str) -> float:
    assert text.endswith("s")
    return float(text[:-1])
