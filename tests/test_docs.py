"""What the documentation shows is there: links, names, and commands that the command understands."""

from __future__ import annotations

import ast
import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from container.cli.options import read_line
from container.config.file import read_file
from container.config.layers import from_texts
from container.config.options import OPTIONS
from container.config.options.old import REPLACED

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "apps" / "README.md"]
PAGES = [*GUIDES, ROOT / "benchmarks" / "README.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
# Options of others, each named where it is theirs.
FOREIGN = {
    "--build", "--build-arg", "--init", "--stdlib", "--proxy-headers", "--no-control-socket", "--worker-tmp-dir",
    "--peers-venv",
}  # fmt: skip


def blocks(page: Path, *languages: str) -> Iterator[str]:
    yield from (code for language, code in BLOCK.findall(page.read_text()) if language in languages)


def commands(page: Path) -> Iterator[list[str]]:
    for code in blocks(page, "", "sh", "console"):
        for line in code.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words[:1] == ["container"]:
                yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    assert [each for each in targets if "://" not in each and not (page.parent / each).exists()] == []


def test_the_readme_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"(docs/{page.name})" not in readme] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_in_python_name_what_is_there(page: Path) -> None:
    for code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "container":
                module = import_module(node.module or "")
                assert [
                    each.name for each in node.names if each.name != "*" and not hasattr(module, each.name)
                ] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_understood(page: Path) -> None:
    for arguments in commands(page):
        from_texts(read_line(arguments)[1])


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_that_are_named_exist(page: Path) -> None:
    known = {"--help", "--version", "--method", "--request-header"} | FOREIGN | {*REPLACED}
    for option in OPTIONS.values():
        known |= {*option.spellings, option.negative or ""}
    named = {
        word
        for code in re.findall(r"`[^`\n]+`", page.read_text())
        for word in re.findall(r"(?<![\w-])--[a-z][a-z_-]*[a-z]", code)
    }
    assert named - known == set()


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_are_understood(page: Path, tmp_path: Path) -> None:
    for code in blocks(page, "toml"):
        if "[project" in code and "[tool.container" not in code:
            continue
        name = "pyproject.toml" if "[tool.container" in code else "container.toml"
        (tmp_path / name).write_text(code)
        read_file(str(tmp_path / name))
