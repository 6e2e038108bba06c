"""Python scripts in a copy of an interpreter that has started already: loaded by `starter.py` from its file.

A script finds what it would find in an interpreter of its own: a fresh `__main__`, its arguments, environment
and directory, standard streams that are descriptors, exit functions that run. What differs: modules that were
imported beforehand are there, and the secret of hash randomisation is shared.

A copy shares its memory until it writes to it, and Python writes wherever it looks. So a copy does as little
as it can, and what can be done once is done before (4.4 µs for each page that is touched, measured).
"""

import atexit
import os
import sys
import warnings
from contextlib import redirect_stdout
from importlib import import_module
from importlib.machinery import SourceFileLoader
from types import CodeType, ModuleType
from typing import NoReturn

_KNOWN_MAX = 256
_Key = tuple[int, int, int]
_codes: dict[bytes, tuple[_Key, CodeType]] = {}


def prepare(names: list[str]) -> None:
    """Import what scripts share; what cannot be imported will be the scripts' own problem."""
    with warnings.catch_warnings(), redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        for name in names:
            try:
                import_module(name)
            except Exception as error:  # noqa: BLE001  # foreign code
                print(f"{name} could not be imported beforehand: {error}", file=sys.stderr)
    os.environ.clear()


def load(path: bytes) -> "CodeType | Exception":
    """The compiled script, or what is wrong with it. Compiled once as long as the file stays what it is."""
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        key = status.st_mtime_ns, status.st_ino, status.st_size
        known = _codes.get(path)
        if known is not None and known[0] == key:
            return known[1]
        source = file.read()
    try:
        code = compile(source, os.fsdecode(path), "exec", dont_inherit=True)
    except Exception as error:  # noqa: BLE001  # whatever the compiler raises is for the script's author
        return error
    if len(_codes) >= _KNOWN_MAX:
        _codes.clear()
    _codes[path] = key, code
    return code


def run(
    code: "CodeType | Exception", path: bytes, arguments: list[bytes], environment: dict[bytes, bytes]
) -> NoReturn:
    """Be the script, in a process made for it; never returns."""
    status = 1
    try:
        status = _run(code, os.fsdecode(path), arguments, environment)
    finally:
        os._exit(status)


def _run(
    code: "CodeType | Exception", path: str, arguments: list[bytes], environment: dict[bytes, bytes]
) -> int:
    _set_environment(environment)
    sys.argv[:] = map(os.fsdecode, arguments)
    sys.path.insert(0, os.path.dirname(path))
    main = ModuleType("__main__")
    main.__dict__.update(
        __file__=path,
        __loader__=SourceFileLoader("__main__", path),
        __builtins__=sys.modules["builtins"],
        __cached__=None,
    )
    sys.modules["__main__"] = main
    status = 0
    try:
        if isinstance(code, Exception):
            raise code
        exec(code, main.__dict__)
    except SystemExit as end:
        status = _exit_code(end)
    except BaseException as error:  # noqa: BLE001  # the script's
        trace = error.__traceback__
        error = error.with_traceback(trace.tb_next if trace is not None else None)  # without this function
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    return _finish(status)


def _set_environment(environment: dict[bytes, bytes]) -> None:
    """`os.environ`, which is empty, without its one call of four Python functions for each variable."""
    entries: dict[bytes, bytes] | None = getattr(os.environ, "_data", None)
    if entries is None:
        os.environb.update(environment)
        return
    entries.update(environment)
    for name, value in environment.items():
        os.putenv(name, value)


def _exit_code(end: SystemExit) -> int:
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code & 0xFF
    print(end.code, file=sys.stderr)
    return 1


def _finish(status: int) -> int:
    """What an interpreter does at its end: wait for threads, call exit functions, flush."""
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            status = status or 120
    return status
