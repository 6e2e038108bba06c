"""From a name to the Python object it stands for, with errors for the person who wrote the name.

Here: `module:name`, `module:name.inner`, `module:factory()`, the dotted `package.module.name` and a lone
`module`; which part of a traceback concerns the user. Not here: `.tac` files (tac.py), what is done with the
object, printing, exit codes.

A problem without a cause is a slip in a name or an argument: its one line says everything. With a cause, the
user's own code raised, and `format_user_traceback(problem.cause)` shows where.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import sys
import traceback
from types import ModuleType
from typing import TYPE_CHECKING

import container
from container.config.problems import nearest_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

DEFAULT_NAMES = ("application", "app")

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_NOT_THE_USERS = (
    _OURS,
    os.path.dirname(importlib.__file__) + os.sep,
    "<frozen importlib",
)
# How Python says that a call does not fit: "Files.__init__() got an unexpected keyword argument 'indx'".
_REFUSED = re.compile(r"(\w+)(?:\.\w+)*\(\) (?:got|missing|takes) ")


class ImportProblem(Exception):
    """A name that leads to no usable object: one line, and the user's exception where there was one."""

    def __init__(self, message: str, cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.cause = cause


def ensure_cwd_importable(path: str | os.PathLike[str] = ".") -> None:
    """Make `path` the first place modules are looked for; python -m does so, an installed script does not."""
    directory = os.path.abspath(path)
    if sys.path[:1] != [directory]:
        sys.path[:] = [directory, *(entry for entry in sys.path if entry != directory)]
        importlib.invalidate_caches()


def import_object(name: str, *, factory: bool = False) -> object:
    """The object `name` stands for; with `factory`, what it returns when called without arguments."""
    spelling = name.removesuffix("()")
    module, colon, attribute = spelling.partition(":")
    parts = module.split(".")
    inner = attribute.split(".") if colon else []
    if not all(part.isidentifier() for part in (*parts, *inner)) or parts[1:] == ["py"]:
        raise ImportProblem(f'expected "module:name", got {name!r}{_spelling_hint(module, attribute)}')
    if colon:
        found: object = _import_all(parts)
    else:
        found, inner = _import_longest(parts)
        if len(parts) == 1:
            inner = [_default_name(found)]
    for part in inner:
        found = _attribute(found, part)
    return _call(found, spelling) if factory or spelling != name else found


def check_callable(value: object, name: str, expected: str = "an application") -> Callable[..., object]:
    """`value`, if it can be called as `expected` can; `name` is how the user spelt it."""
    if callable(value):
        return value
    hint = ""
    if isinstance(value, ModuleType):
        named = next((each for each in DEFAULT_NAMES if hasattr(value, each)), None)
        hint = f' (did you mean "{value.__name__}:{named}"?)' if named else ""
    source = "" if isinstance(value, ModuleType) and value.__name__ == name else f" from {name!r}"
    raise ImportProblem(f"expected {expected}, got {_kind(value)}{source}{hint}")


def format_user_traceback(error: BaseException) -> str:
    """The traceback from the user's first frame on: how we came to call it helps nobody."""
    return "".join(traceback.format_exception(type(error), error, _user_frames(error)))


def frames_of_others(error: BaseException) -> int:
    """How many frames of its traceback come before the user's first; 0 when there is none of the user's."""
    user = _user_frames(error)
    count = 0
    frames = error.__traceback__
    while user is not None and frames is not None and frames is not user:
        frames = frames.tb_next
        count += 1
    return count


def first_line(error: BaseException) -> str:
    """An exception in one line: its type, what it says, and the place in the user's code."""
    text = str(error.msg if isinstance(error, SyntaxError) else error).strip().partition("\n")[0]
    if isinstance(error, SyntaxError):
        place = f"{error.filename}:{error.lineno}" if error.filename else ""
    else:
        # What the user calls may raise in our files: the line that called is theirs.
        frames = traceback.extract_tb(error.__traceback__)
        theirs = list(filter(_is_theirs, frames))
        place = f"{theirs[-1].filename}:{theirs[-1].lineno}" if theirs else ""
    return type(error).__name__ + (f": {text}" if text else "") + (f" ({place})" if place else "")


def failure(what: str, error: BaseException) -> ImportProblem:
    """The problem to raise for an exception of the user's code."""
    return ImportProblem(f"{what} failed: {first_line(error)}", cause_to_show(error))


def cause_to_show(error: BaseException) -> BaseException | None:
    """The exception, unless its line says it all: something of ours was called with wrong arguments."""
    frames = traceback.extract_tb(error.__traceback__)
    is_ours = bool(frames) and not _is_theirs(frames[-1])
    if isinstance(error, TypeError):
        # Of others, only what was raised on purpose: one that just happened may be a bug of ours.
        is_refusal = _refuses_call_of_ours(error) or (
            is_ours and (frames[-1].line or "").startswith("raise ")
        )
    else:
        is_refusal = is_ours and isinstance(error, (ValueError, OSError))
    return None if is_refusal else error


def _is_theirs(frame: traceback.FrameSummary) -> bool:
    return not frame.filename.startswith(_NOT_THE_USERS)


def _refuses_call_of_ours(error: TypeError) -> bool:
    """Does Python refuse the arguments of a call because something of ours takes others?"""
    name = _REFUSED.match(str(error))
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if name is None or not frames:
        return False
    called = frames[-1].f_globals.get(name[1]) or vars(container).get(name[1])
    module = sys.modules.get(getattr(called, "__module__", None) or "")
    return (getattr(module, "__file__", None) or "").startswith(_OURS)


def _import_all(parts: list[str]) -> ModuleType:
    """The module whose name is all of `parts`."""
    parent: ModuleType | None = None
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        module = _import(name)
        if module is None:
            place = _places(parent)[0] if _places(parent) else _kind(parent)
            known = (f"{name.rpartition('.')[0]}.{each}".lstrip(".") for each in _submodules(parent))
            raise ImportProblem(f"no module named {name!r} in {place}{nearest_name(name, known)}")
        parent = module
    assert parent is not None  # a split string has a first part
    return parent


def _import_longest(parts: list[str]) -> tuple[ModuleType, list[str]]:
    """The module that the most of `parts` name, and the parts left over."""
    module = _import_all(parts[:1])
    for count in range(1, len(parts)):
        value = vars(module).get(parts[count])
        # `from .app import app` in a package hides the module `app` behind the object: the object is meant.
        is_object = value is not None and not isinstance(value, ModuleType)
        inner = None if is_object else _import(".".join(parts[: count + 1]))
        if inner is None:
            return module, parts[count:]
        module = inner
    return module, []


def _import(name: str) -> ModuleType | None:
    """The module, or None if there is no such module; what is missing *inside* it is the user's exception."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name and _user_frames(error) is None:
            return None
        raise failure(f"importing {name!r}", error) from error
    except (Exception, SystemExit) as error:  # the user's module runs here
        raise failure(f"importing {name!r}", error) from error


def _default_name(module: object) -> str:
    for name in DEFAULT_NAMES:
        if hasattr(module, name):
            return name
    expected = " or ".join(repr(name) for name in DEFAULT_NAMES)
    hint = nearest_name(DEFAULT_NAMES[0], _public_names(module))
    raise ImportProblem(f"expected a name {expected} in {_kind(module)}, got neither{hint}")


def _attribute(owner: object, name: str) -> object:
    try:
        value: object = getattr(owner, name)
    except AttributeError:
        known = {*_public_names(owner), *_submodules(owner)} - {name}
        raise ImportProblem(
            f"expected a name {name!r} in {_kind(owner)}, got none{nearest_name(name, known)}"
        ) from None
    except Exception as error:  # the user's module may have a __getattr__
        raise failure(f"looking up {name!r}", error) from error
    return value


def _call(factory: object, name: str) -> object:
    if not callable(factory):
        raise ImportProblem(f"expected a factory to call, got {_kind(factory)} from {name!r}")
    try:
        value: object = factory()
    except (Exception, SystemExit) as error:  # the user's factory
        if isinstance(error, TypeError) and _user_frames(error) is None:
            raise ImportProblem(f"expected a factory without arguments, got {name!r}: {error}") from error
        raise failure(f"calling {name!r}", error) from error
    return value


def _user_frames(error: BaseException) -> TracebackType | None:
    """The traceback from the first frame that is neither ours nor the import system's."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_NOT_THE_USERS):
        frames = frames.tb_next
    return frames


def _public_names(owner: object) -> list[str]:
    return [name for name in dir(owner) if not name.startswith("_")]


def _places(parent: object) -> list[str]:
    """The directories a package looks for its modules in; without a package, where we look first."""
    if parent is None:
        return [sys.path[0] or os.getcwd()] if sys.path else [os.getcwd()]
    return list(getattr(parent, "__path__", ()))


def _submodules(parent: object) -> list[str]:
    return [found.name for found in pkgutil.iter_modules(_places(parent))]


def _kind(value: object) -> str:
    if isinstance(value, ModuleType):
        return f"module {value.__name__!r}"
    return f"class {value.__qualname__!r}" if isinstance(value, type) else f"{type(value).__name__} object"


def _spelling_hint(module: str, attribute: str) -> str:
    if module.endswith(".py"):
        dotted = module.removesuffix(".py").strip("./").replace("/", ".")
        return f' (did you mean "{dotted}{":" if attribute else ""}{attribute}"?)'
    return ' (a factory is called without arguments: "module:name()")' if "(" in attribute else ""
