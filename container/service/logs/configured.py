"""Logging as a file says that `logging.config` can read: JSON, TOML and YAML for `dictConfig`, INI for `fileConfig`.

Here: from the file to loggers, with one line for whatever is wrong with it, and the logger that requests go to if the
file names it. Not here: what it means for the options of our own log (destinations.py).
"""

from __future__ import annotations

import contextvars
import logging
import os
import re
from typing import TYPE_CHECKING, Any, Final

from container.service.logs.problem import LogProblem

if TYPE_CHECKING:
    from collections.abc import Callable

# Where requests go, a record each, when a file names it.
ACCESS: Final = "container.access"
# By path, as applied last.
_texts: Final[dict[str, str]] = {}
# What begins as sentences do, not with the name of a class.
_SENTENCE: Final = re.compile(r"[A-Z][a-z]+ ")
_AT_LINE: Final = re.compile(r"(?s)(.*) \(at line ([0-9]+), .*")


def apply_config(path: str) -> None:
    """Configure logging as the file at `path` says; its suffix tells the format. LogProblem names the file and the
    place in it. What exists and is not named in it goes on, unless it says otherwise."""
    text = _texts[path] = _read(path)
    load = _LOADERS.get(os.path.splitext(path)[1].lower())
    if load is None:
        _apply_ini(path, text)
    else:
        _apply_table(path, load(path, text))
    if is_access_logged() and not (access := logging.getLogger(ACCESS)).level:
        access.setLevel(logging.INFO)  # how much of the rest is logged is no matter of requests


def has_changed(path: str) -> bool:
    """Is the file another one than was applied last? LogProblem when it cannot be read."""
    return _read(path) != _texts.get(path)


def forget_loggers() -> None:
    """Take all loggers back to before anything was configured."""
    manager = logging.root.manager
    manager.loggerDict.pop(ACCESS, None)
    for each in (logging.root, *manager.loggerDict.values()):
        if isinstance(each, logging.Logger):
            for handler in each.handlers[:]:
                each.removeHandler(handler)
                handler.close()
            each.filters.clear()
            each.setLevel(logging.WARNING if each is logging.root else logging.NOTSET)
            each.propagate = True
            each.disabled = False


def is_access_logged() -> bool:
    """Has the file named the logger of requests?"""
    return isinstance(logging.root.manager.loggerDict.get(ACCESS), logging.Logger)


class LoggerStream:
    """What the access log can write its lines to: each is a record."""

    def __init__(self) -> None:
        self._logger = logging.getLogger(ACCESS)

    def write(self, text: str) -> None:
        # They are written together: none belongs to the request that is being answered right now.
        contextvars.Context().run(self._write, text)

    def _write(self, text: str) -> None:
        for line in text.removesuffix("\n").split("\n"):
            self._logger.info("%s", line)

    def flush(self) -> None:
        """Handlers do so by themselves."""


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LogProblem(f"expected a file to read for --log-config, got {path!r}: {reason}") from error
    except UnicodeDecodeError as error:
        raise LogProblem(f"{path}: expected UTF-8, got byte 0x{error.object[error.start]:02x}") from error


# Tables.


def _load_json(path: str, text: str) -> object:
    import json

    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _syntax(path, "JSON", error.msg, error.lineno) from error
    except (RecursionError, ValueError) as error:  # nested too deeply, numbers of too many digits
        raise _syntax(path, "JSON", str(error)) from error


def _load_toml(path: str, text: str) -> object:
    import tomllib

    try:
        return tomllib.loads(text)
    except (RecursionError, ValueError) as error:
        match = _AT_LINE.fullmatch(str(error))
        raise _syntax(path, "TOML", *((match[1], int(match[2])) if match else (str(error),))) from error


def _load_yaml(path: str, text: str) -> object:
    try:
        import yaml
    except ImportError as error:
        raise LogProblem(
            f'expected PyYAML to be installed for {path}: pip install "container-server[yaml]"'
        ) from error
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise _syntax(path, "YAML", what, mark.line + 1 if mark is not None else None) from error


_LOADERS: Final[dict[str, Callable[[str, str], object]]] = {
    ".json": _load_json,
    ".toml": _load_toml,
    ".yaml": _load_yaml,
    ".yml": _load_yaml,
}


def _syntax(path: str, language: str, what: str, line: int | None = None) -> LogProblem:
    place = path if line is None else f"{path}:{line}"
    return LogProblem(f"{place}: expected {language}, got an error: {what[:1].lower()}{what[1:]}")


def _apply_table(path: str, table: object) -> None:
    from logging.config import dictConfig

    if not isinstance(table, dict):
        raise LogProblem(
            f"{path}: expected a table with version = 1, handlers and loggers, got {_shown(table)}"
        )
    try:
        dictConfig({"disable_existing_loggers": False} | table)
    except Exception as error:  # classes that it names are anybody's
        raise _problem(path, error) from error


def _shown(value: object) -> str:
    return "nothing" if value is None else "a list" if isinstance(value, list) else repr(value)


# INI.


def _apply_ini(path: str, text: str) -> None:
    """As gunicorn and others do, it may name its own directory: `%(here)s`."""
    from configparser import ConfigParser, Error
    from logging.config import fileConfig

    class Sections(ConfigParser):
        """Remembers which section was asked for last: `fileConfig` tells of none."""

        asked = ""

        def __getitem__(self, key: str) -> Any:
            self.asked = key
            return super().__getitem__(key)

    full = os.path.abspath(path).replace("%", "%%")
    sections = Sections({"__file__": full, "here": os.path.dirname(full)})
    try:
        sections.read_string(text, path)
    except Error as error:
        raise _ini_syntax(path, error) from error
    try:
        if "root" not in re.split(r"\s*,\s*", sections["loggers"]["keys"].strip()):
            raise LogProblem(
                f"{_place(path, text, 'loggers')}: expected root among the keys of [loggers], got none"
            )
        fileConfig(sections, disable_existing_loggers=False)
    except LogProblem:
        raise
    except Exception as error:  # classes that it names are anybody's
        place = _place(path, text, sections.asked)
        if not sections.has_section(sections.asked):
            raise LogProblem(f"{place}: expected a section [{sections.asked}], got none") from error
        raise _problem(place, error, f" in [{sections.asked}]") from error


def _ini_syntax(path: str, error: Any) -> LogProblem:
    line, said = next(iter(getattr(error, "errors", None) or ()), (getattr(error, "lineno", None), None))
    if said is None:
        said = getattr(error, "line", None) and repr(error.line)
    if said is None:  # a section or a key twice
        said = f"{getattr(error, 'option', None) or '[' + error.section + ']'} twice"
    return LogProblem(f"{path}:{line}: expected a [section] or NAME = VALUE, got {said}")


def _place(path: str, text: str, section: str) -> str:
    """The file, and the line where a section begins."""
    match = re.search(rf"^\[{re.escape(section)}\]", text, re.MULTILINE)
    return path if match is None else f"{path}:{text.count(chr(10), 0, match.start()) + 1}"


# What `logging.config` raises.


def _problem(place: str, error: BaseException, where: str = "") -> LogProblem:
    """In one line, with the causes: only they tell what is wrong with the handler that is named."""
    texts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        text = " ".join(_text(cause).split())
        if not any(text.removeprefix("no ") in each for each in texts):
            texts.append(text[:1].lower() + text[1:] if _SENTENCE.match(text) else text)
        cause = cause.__cause__ or cause.__context__
    return LogProblem(
        f"{place}: expected a configuration of logging, got an error{where}: {': '.join(texts)}"
    )


def _text(error: BaseException) -> str:
    if isinstance(error, KeyError) and error.args:
        return f"no {error.args[0]!r}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename!r}: {error.strerror.lower()}" if error.filename else error.strerror.lower()
    return str(error) or type(error).__name__
