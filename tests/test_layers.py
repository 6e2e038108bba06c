"""The import table: which layer may know of which, and where third-party libraries may be named.

Imports under `if TYPE_CHECKING` count too, except for those that only make a Protocol speak of values of its
own layer. Deferred imports inside functions count like all others.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import container

PACKAGE = Path(container.__file__).parent

# folder (or module at the top): what it may import from container.
LAYERS = {
    "message": {"message"},
    "protocol": {"message", "protocol"},
    "tree": {"message", "tree"},
    "client": {"message", "protocol", "client"},
    "encoders": {"message", "encoders"},
    "sessions": {"message", "tree", "sessions"},
    "resources": {"message", "protocol", "tree", "client", "sessions", "resources"},
    "channel": {"message", "protocol", "channel"},
    "service": {"message", "protocol", "tree", "channel", "service", ""},
    "config": {"message", "tree", "channel", "encoders", "sessions", "resources", "service", "config", ""},
    "cli": {"message", "tree", "channel", "resources", "service", "config", "cli", ""},
    "testing": {"message", "protocol", "tree", "channel", "resources", "service", "testing", ""},
    "gunicorn": {"message", "tree", "channel", "service", "config", ""},
    "__main__": {"cli"},
    "__init__": {"message", "tree", "client", "encoders", "sessions", "resources", "service"},
}
# What the lower layers must not do: no I/O, no clock, no threads.
FORBIDDEN = {
    "message": {"asyncio", "socket", "threading", "logging"},
    "protocol": {"asyncio", "socket", "threading", "logging", "time"},
}
# Third-party libraries, each with the folders that may name it.
LIBRARIES = {
    "httptools": {"protocol"},
    "h2": {"protocol"},
    "websockets": {"protocol", "testing"},
    "uvloop": {"service"},
    "gunicorn": {"service", "gunicorn"},
    "werkzeug": {"message", "testing", "config"},
    "click": {"cli"},
    "dotenv": {"config"},
    "redis": {"sessions"},
    "zlib_ng": {"encoders"},
    "brotli": {"encoders"},
    "backports": {"encoders"},
    "a2wsgi": {"service"},
    "passlib": {"resources"},
    "yaml": {"service"},
}
# Imports by a name in a string, which the table above does not see, each with its reason.
LATE = {
    # The lazy public face.
    ("__init__.py", "container."),
    # Users ask a Site for its adapter; what lies below the service never calls these two methods.
    ("tree/site.py", "container.service.hosted"),
}
# Nobody else reads the environment of the process or its arguments.
ENVIRONMENT = {"cli", "config", "service", "gunicorn", "__main__"}
# Files that run as processes of their own, with arguments and an environment of their own.
PROGRAMS = {"resources/cgi/starter.py", "resources/cgi/warm.py"}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        yield (parts[0] if len(parts) > 1 else parts[0].removesuffix(".py")), path


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: expected absolute imports only"
            yield node.module or ""


def late_imports(path: Path) -> Iterator[str]:
    """Names of ours given to import_module or __import__."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and node.args):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ("import_module", "__import__"):
            name = node.args[0]
            first = name.values[0] if isinstance(name, ast.JoinedStr) else name
            if isinstance(first, ast.Constant) and str(first.value).startswith("container"):
                yield str(first.value)


ALL = [pytest.param(layer, path, id=str(path.relative_to(PACKAGE))) for layer, path in modules()]


@pytest.mark.parametrize(("layer", "path"), ALL)
def test_a_module_imports_only_what_lies_below_it(layer: str, path: Path) -> None:
    for name in imports(path):
        if name == "container" or name.startswith("container."):
            folder = name.split(".")[1] if "." in name else ""
            assert folder in LAYERS[layer], f"{layer} must not import {name}"
        assert name.split(".")[0] not in FORBIDDEN.get(layer, ()), f"{layer} must not import {name}"


@pytest.mark.parametrize(("layer", "path"), ALL)
def test_other_servers_are_asked_by_a_client_of_our_own(layer: str, path: Path) -> None:
    """PY-05: the standard library's blocks, and is for tests."""
    assert not {"http.client", "urllib.request", "requests"} & set(imports(path))


@pytest.mark.parametrize(("layer", "path"), ALL)
def test_a_late_import_has_a_reason(layer: str, path: Path) -> None:
    for name in late_imports(path):
        assert (str(path.relative_to(PACKAGE)), name) in LATE, f"{layer} must not import {name}"


@pytest.mark.parametrize(("layer", "path"), ALL)
def test_a_library_is_named_in_its_own_folder_only(layer: str, path: Path) -> None:
    for name in imports(path):
        homes = LIBRARIES.get(name.split(".")[0])
        assert homes is None or layer in homes, f"{layer} must not import {name}"


@pytest.mark.parametrize(("layer", "path"), ALL)
def test_one_kind_of_resource_does_not_know_another(layer: str, path: Path) -> None:
    if layer != "resources":
        return
    kind = path.relative_to(PACKAGE / "resources").parts[0].removesuffix(".py")
    shared = {"deadlines", "media_types", "pool", "said"}
    for name in imports(path):
        if name.startswith("container.resources."):
            assert name.split(".")[2] in {kind, *shared}, f"resources/{kind} must not import {name}"


@pytest.mark.parametrize(("layer", "path"), ALL)
def test_the_process_environment_is_read_at_the_edge_only(layer: str, path: Path) -> None:
    names = {
        node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in {"os", "sys"}
    }
    if layer not in ENVIRONMENT and str(path.relative_to(PACKAGE)) not in PROGRAMS:
        assert not names & {"environ", "getenv", "argv"}


def test_importing_container_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = "import sys, container; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"asyncio", "httptools", "werkzeug", "click", "uvloop"} & set(loaded)
