"""Names and the objects they lead to; every test has a directory of modules of its own, first on the path."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

import pytest

from container.config.importer import (
    ImportProblem,
    check_callable,
    ensure_cwd_importable,
    first_line,
    format_user_traceback,
    import_object,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MODULES = {
    "hello.py": """
import os
class inner:
    value = "inner"
def application(environ, start_response): ...
def create_app(): return "made"
def needs_arguments(one, two): ...
def broken_factory(): raise RuntimeError("no database")
not_callable = "text"
""",
    "only_app.py": "app = 'the app'",
    "no_app.py": "applicaton = 1",
    "raises.py": "def divide():\n    return 1 / 0\ndivide()",
    "syntax.py": "x = 1\ny = = 2",
    "exits.py": "import sys\nsys.exit('usage: …')",
    "needs.py": "import not_installed_anywhere",
    "needs_itself.py": "import needs_itself.inner",
    "refuses.py": "raise ModuleNotFoundError('I am not here', name='refuses')",
    "indirect.py": "import raises",
    "lazy.py": """
def __getattr__(name):
    if name == 'late': return 'late'
    if name == 'bad': raise RuntimeError('lazily broken')
    raise AttributeError(name)
""",
    "site_/__init__.py": "from .app import app",
    "site_/app.py": "def app(): ...",
    "site_/wsgi.py": "application = 'django'",
    "site_/deep/__init__.py": "",
    "site_/deep/broken.py": "import site_.deep.gone",
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, source in MODULES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, "utf-8")
    known = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    ensure_cwd_importable()
    yield tmp_path
    for name in set(sys.modules) - known:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("hello:application", "hello application"),
        ("hello.application", "hello application"),
        ("hello", "hello application"),
        ("hello:inner.value", "hello inner value"),
        ("hello.inner.value", "hello inner value"),
        ("only_app", "only_app app"),
        ("site_.wsgi:application", "site_.wsgi application"),
        ("site_.wsgi.application", "site_.wsgi application"),
        ("lazy.late", "lazy late"),
    ],
)
def test_a_name_leads_to_its_object(name: str, path: str) -> None:
    found = import_object(name)
    module, *inner = path.split()
    expected: object = sys.modules[module]
    for part in inner:
        expected = getattr(expected, part)
    assert found is expected


def test_a_dotted_name_prefers_the_object_that_hides_a_module() -> None:
    assert callable(import_object("site_.app"))


def test_a_dotted_name_may_end_at_a_module() -> None:
    assert import_object("site_.wsgi") is sys.modules["site_.wsgi"]


@pytest.mark.parametrize("name", ["hello:create_app()", "hello.create_app()"])
def test_brackets_call_a_factory(name: str) -> None:
    assert import_object(name) == "made"
    assert import_object(name, factory=True) == "made"


def test_the_factory_option_calls_what_was_found() -> None:
    assert import_object("hello:create_app", factory=True) == "made"
    assert import_object("hello:inner", factory=True).__class__.__name__ == "inner"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", """expected "module:name", got ''"""),
        ("hello:", """expected "module:name", got 'hello:'"""),
        (":app", """expected "module:name", got ':app'"""),
        ("hello:()", """expected "module:name", got 'hello:()'"""),
        (".hello:app", """expected "module:name", got '.hello:app'"""),
        ("a:b:c", """expected "module:name", got 'a:b:c'"""),
        ("a b", """expected "module:name", got 'a b'"""),
        ("hello.py", """expected "module:name", got 'hello.py' (did you mean "hello"?)"""),
        (
            "./site_/wsgi.py:app",
            """expected "module:name", got './site_/wsgi.py:app' (did you mean "site_.wsgi:app"?)""",
        ),
        (
            "hello:create_app(1)",
            """expected "module:name", got 'hello:create_app(1)'"""
            """ (a factory is called without arguments: "module:name()")""",
        ),
        ("helo:app", """no module named 'helo' in HERE (did you mean "hello"?)"""),
        ("helo", """no module named 'helo' in HERE (did you mean "hello"?)"""),
        ("zzz.zzz", "no module named 'zzz' in HERE"),
        ("site_.wsg:app", """no module named 'site_.wsg' in HERE/site_ (did you mean "site_.wsgi"?)"""),
        ("hello.deep:app", "no module named 'hello.deep' in module 'hello'"),
        (
            "no_app",
            "expected a name 'application' or 'app' in module 'no_app', got neither"
            ' (did you mean "applicaton"?)',
        ),
        (
            "hello:aplication",
            """expected a name 'aplication' in module 'hello', got none"""
            ' (did you mean "application"?)',
        ),
        (
            "hello.aplication",
            """expected a name 'aplication' in module 'hello', got none"""
            ' (did you mean "application"?)',
        ),
        ("hello:inner.valu", """expected a name 'valu' in class 'inner', got none (did you mean "value"?)"""),
        (
            "site_.wsg.application",
            """expected a name 'wsg' in module 'site_', got none (did you mean "wsgi"?)""",
        ),
        ("hello:zzz", "expected a name 'zzz' in module 'hello', got none"),
        ("lazy:zzz", "expected a name 'zzz' in module 'lazy', got none"),
        ("hello:not_callable()", "expected a factory to call, got str object from 'hello:not_callable'"),
        (
            "hello:needs_arguments()",
            "expected a factory without arguments, got 'hello:needs_arguments':"
            " needs_arguments() missing 2 required positional arguments: 'one' and 'two'",
        ),
    ],
)
def test_a_slip_in_the_name_is_one_line_without_a_cause(name: str, message: str, here: Path) -> None:
    with pytest.raises(ImportProblem) as caught:
        import_object(name)
    assert str(caught.value) == message.replace("HERE", str(here))
    assert caught.value.cause is None


@pytest.mark.parametrize(
    ("name", "message", "file"),
    [
        (
            "raises:app",
            "importing 'raises' failed: ZeroDivisionError: division by zero (HERE/raises.py:2)",
            "raises",
        ),
        (
            "indirect:app",
            "importing 'indirect' failed: ZeroDivisionError: division by zero (HERE/raises.py:2)",
            "indirect",
        ),
        (
            "raises",
            "importing 'raises' failed: ZeroDivisionError: division by zero (HERE/raises.py:2)",
            "raises",
        ),
        (
            "needs.app",
            "importing 'needs' failed: ModuleNotFoundError: No module named 'not_installed_anywhere'"
            " (HERE/needs.py:1)",
            "needs",
        ),
        (
            "needs_itself",
            "importing 'needs_itself' failed: ModuleNotFoundError:"
            " No module named 'needs_itself.inner'; 'needs_itself' is not a package (HERE/needs_itself.py:1)",
            "needs_itself",
        ),
        (
            "refuses:x",
            "importing 'refuses' failed: ModuleNotFoundError: I am not here (HERE/refuses.py:1)",
            "refuses",
        ),
        (
            "site_.deep.broken.app",
            "importing 'site_.deep.broken' failed: ModuleNotFoundError: No module named 'site_.deep.gone'"
            " (HERE/site_/deep/broken.py:1)",
            "site_/deep/broken",
        ),
        ("exits:app", "importing 'exits' failed: SystemExit: usage: … (HERE/exits.py:2)", "exits"),
        ("syntax:app", "importing 'syntax' failed: SyntaxError: invalid syntax (HERE/syntax.py:2)", "syntax"),
        (
            "hello:broken_factory()",
            "calling 'hello:broken_factory' failed: RuntimeError: no database (HERE/hello.py:8)",
            "hello",
        ),
        ("lazy:bad", "looking up 'bad' failed: RuntimeError: lazily broken (HERE/lazy.py:4)", "lazy"),
    ],
)
def test_what_the_users_code_raises_is_kept_and_shown_from_the_users_file_on(
    name: str, message: str, file: str, here: Path
) -> None:
    with pytest.raises(ImportProblem) as caught:
        import_object(name)
    assert str(caught.value) == message.replace("HERE", str(here))
    assert caught.value.cause is not None
    lines = format_user_traceback(caught.value.cause).splitlines()
    files = [line for line in lines if line.startswith("  File ")]
    assert files[0].startswith(f'  File "{here}/{file}.py"')
    assert not any("importlib" in line or "importer.py" in line for line in files)


def test_an_exception_without_frames_or_words_is_still_a_line() -> None:
    assert first_line(KeyError()) == "KeyError"
    assert first_line(ValueError("one\ntwo")) == "ValueError: one"
    assert first_line(SyntaxError("odd")) == "SyntaxError: odd"
    assert format_user_traceback(ValueError("one")) == "ValueError: one\n"


def test_ctrl_c_during_an_import_is_not_a_problem_of_the_name(here: Path) -> None:
    (here / "slow.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        import_object("slow")


def test_without_a_path_the_working_directory_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ImportProblem, match=f"in {here}"):
        import_object("zzz")


def test_a_directory_is_put_first_once(here: Path) -> None:
    sys.path.append(str(here))
    sys.path.insert(0, "/elsewhere")
    ensure_cwd_importable()
    once = list(sys.path)
    ensure_cwd_importable(here)
    assert sys.path == once
    assert once[0] == str(here)
    assert once.count(str(here)) == 1


@pytest.mark.parametrize("name", ["hello:application", "hello:inner"])
def test_a_callable_is_passed_on(name: str) -> None:
    found = import_object(name)
    assert cast("Callable[..., object]", found) is check_callable(found, name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "site_.wsgi",
            "expected an application, got module 'site_.wsgi' (did you mean \"site_.wsgi:application\"?)",
        ),
        ("site_.deep", "expected an application, got module 'site_.deep'"),
        ("hello:os", "expected an application, got module 'os' from 'hello:os'"),
        ("hello:not_callable", "expected an application, got str object from 'hello:not_callable'"),
    ],
)
def test_what_cannot_be_called_is_refused_at_start(name: str, message: str) -> None:
    with pytest.raises(ImportProblem) as caught:
        check_callable(import_object(name), name)
    assert str(caught.value) == message
