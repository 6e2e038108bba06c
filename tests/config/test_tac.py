"""`.tac` files: what they are run with, what they give, and how they fail."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from container.config.importer import format_user_traceback
from container.config.tac import TacProblem, load_tac

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)

    def write(source: str) -> Path:
        path = tmp_path / "shop.tac"
        path.write_text(source, "utf-8")
        return path

    yield write
    for name in ("container.tac", "beside_the_tac"):
        sys.modules.pop(name, None)


def test_the_value_is_what_the_name_is_bound_to_at_the_end(write: Callable[[str], Path]) -> None:
    path = write("def application(environ, start_response): ...\nfirst = application\napplication = [first]")
    value = load_tac(path)
    assert isinstance(value, list)
    assert callable(value[0])


def test_the_file_knows_its_place_and_is_not_main(write: Callable[[str], Path]) -> None:
    path = write("application = (__file__, __name__, __package__)")
    assert load_tac("shop.tac") == (str(path), "container.tac", "")


def test_modules_beside_the_file_are_found_first(write: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "beside_the_tac.py").write_text("value = 1")
    assert load_tac(write("from beside_the_tac import value as application")) == 1
    assert sys.path[0] == str(tmp_path)


def test_a_value_of_none_is_a_value(write: Callable[[str], Path]) -> None:
    assert load_tac(write("application = None")) is None


def test_the_file_has_no_future_imports_but_its_own(write: Callable[[str], Path]) -> None:
    assert load_tac(write("def f(x: int): ...\napplication = f.__annotations__['x']")) is int


def test_a_dataclass_with_deferred_annotations_works(write: Callable[[str], Path]) -> None:
    source = """
from __future__ import annotations
from dataclasses import dataclass
@dataclass
class Shop:
    name: str
application = Shop('x').name
"""
    assert load_tac(write(source)) == "x"


def test_a_declared_encoding_is_obeyed(tmp_path: Path, write: Callable[[str], Path]) -> None:
    path = write("")
    path.write_bytes("# -*- coding: latin-1 -*-\napplication = 'é'".encode("latin-1"))
    assert load_tac(path) == "é"


def test_a_second_load_runs_the_file_again(write: Callable[[str], Path]) -> None:
    assert load_tac(write("application = 1")) == 1
    assert load_tac(write("application = 2")) == 2


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("aplication = 1", ' (did you mean "aplication"?)'),
        ("unlike = 1", ""),
        ("", ""),
    ],
)
def test_a_file_without_the_variable_is_told_what_to_bind(
    source: str, hint: str, write: Callable[[str], Path]
) -> None:
    write(source)
    with pytest.raises(TacProblem) as caught:
        load_tac("shop.tac")
    assert str(caught.value) == (
        'expected shop.tac to bind "application" as in application = Application("shop"),'
        f" got no such name{hint}"
    )
    assert caught.value.cause is None


def test_a_missing_file_is_one_line(write: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(TacProblem) as caught:
        load_tac("gone.tac")
    assert str(caught.value) == "cannot read gone.tac: no such file or directory"
    with pytest.raises(TacProblem, match="is a directory"):
        load_tac(tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n1 / 0", "ZeroDivisionError: division by zero (HERE:2)"),
        ("x = 1\nx = = 2", "SyntaxError: invalid syntax (HERE:2)"),
        ("raise SystemExit('no')", "SystemExit: no (HERE:1)"),
        (
            "import not_installed_anywhere",
            "ModuleNotFoundError: No module named 'not_installed_anywhere' (HERE:1)",
        ),
        (
            "from . import tree",
            "ImportError: attempted relative import with no known parent package (HERE:1)",
        ),
    ],
)
def test_what_the_file_raises_is_kept_and_shown_from_the_file_on(
    source: str, message: str, write: Callable[[str], Path]
) -> None:
    path = write(source)
    with pytest.raises(TacProblem) as caught:
        load_tac(path)
    assert str(caught.value) == f"{path} failed: {message.replace('HERE', str(path))}"
    assert caught.value.cause is not None
    shown = format_user_traceback(caught.value.cause)
    assert f'File "{path}", line {message[-2]}' in shown
    assert "config/tac.py" not in shown
    assert "container.tac" not in sys.modules


def test_what_we_refuse_is_reported_at_the_line_that_asked(write: Callable[[str], Path]) -> None:
    path = write("from container.channel.endpoints import parse_endpoint\nparse_endpoint('tpc:80')")
    with pytest.raises(TacProblem) as caught:
        load_tac("shop.tac")
    assert str(caught.value) == (
        """shop.tac failed: EndpointError: expected "tcp:PORT", got 'tpc:80' (did you mean "tcp"?)"""
        f" ({path}:2)"
    )


@pytest.mark.parametrize(
    ("call", "line"),
    [
        ("Files('.', indx=[])", "TypeError: Files.__init__() got an unexpected keyword argument 'indx'"),
        ("Files()", "TypeError: Files.__init__() missing 1 required positional argument: 'path'"),
        ("Rewriter(None)", "TypeError: expected a Resource inside Rewriter, got None"),
        ("BasicAuth('x', htpasswd='nowhere', users={})", "ValueError: expected one of users, htpasswd and "),
        ("Application('shop').serve(Files('.'), 'tpc:80')", 'EndpointError: expected "tcp:PORT", got'),
        ("open_file('nowhere')", "FileNotFoundError: [Errno 2] No such file or directory: 'nowhere'"),
    ],
)
def test_wrong_arguments_for_something_of_ours_are_one_line(
    call: str, line: str, write: Callable[[str], Path]
) -> None:
    imports = "from container import *\nfrom container.message.file_body import open_file\n"
    path = write(f"{imports}application = {call}")
    with pytest.raises(TacProblem) as caught:
        load_tac("shop.tac")
    assert str(caught.value).startswith(f"shop.tac failed: {line}")
    assert str(caught.value).endswith(f" ({path}:3)")
    assert caught.value.cause is None


@pytest.mark.parametrize(
    "source",
    [
        "class Files:\n    pass\nFiles(1)",
        "from container import Service\nclass Mine(Service):\n    def __init__(self): pass\nMine(1)",
        "int('x')",
        "from container import *\nWSGIResource(print).prefixes(1)",
    ],
)
def test_what_the_file_does_wrong_by_itself_is_shown_in_full(
    source: str, write: Callable[[str], Path]
) -> None:
    write(source)
    with pytest.raises(TacProblem) as caught:
        load_tac("shop.tac")
    assert caught.value.cause is not None


def test_source_that_is_no_text_is_a_problem_of_the_file(write: Callable[[str], Path]) -> None:
    path = write("")
    path.write_bytes(b"application = 1\0")
    with pytest.raises(TacProblem, match="null bytes"):
        load_tac(path)
