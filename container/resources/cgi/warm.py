"""Python scripts in a copy of an interpreter that has started already: loaded by `starter.py` from its file.

A script finds what it would find in an interpreter of its own: a fresh `__main__`, its arguments, environment
and directory, standard streams that are descriptors, exit functions that run. What differs: modules that were
imported beforehand are there, and the secret of hash randomisation is shared.
"""

import atexit
import io
import os
import sys
import threading
import warnings
from importlib import import_module
from importlib.machinery import SourceFileLoader
from types import CodeType, ModuleType
from typing import NoReturn, TextIO

_KNOWN_MAX = 256
_Key = tuple[int, int, int]
_codes: dict[bytes, tuple[_Key, CodeType]] = {}


def prepare(names: list[str]) -> None:
    """Import what scripts share; what cannot be imported will be the scripts' own problem."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            try:
                import_module(name)
            except Exception as error:  # noqa: BLE001  # foreign code
                print(f"{name} could not be imported beforehand: {error}", file=sys.stderr)


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
    os.environ.clear()
    os.environb.update(environment)
    sys.argv[:] = map(os.fsdecode, arguments)
    sys.path[0:0] = [os.path.dirname(path)]
    _open_streams()
    sys.__dict__.update(__stdin__=sys.stdin, __stdout__=sys.stdout, __stderr__=sys.stderr)
    main = ModuleType("__main__")
    main.__file__ = path
    main.__loader__ = SourceFileLoader("__main__", path)
    main.__dict__["__builtins__"] = sys.modules["builtins"]
    main.__dict__["__cached__"] = None
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
        sys.excepthook(type(error), error, trace.tb_next if trace is not None else None)
        status = 1
    return _finish(status)


def _open_streams() -> None:
    """The standard streams, as an interpreter opens them when its start finds no terminal."""
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "r", closefd=False)), *_coding(sys.stdin))
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)), *_coding(sys.stdout))
    errors = io.BufferedWriter(io.FileIO(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(errors, sys.stderr.encoding, "backslashreplace", line_buffering=True)


def _coding(stream: TextIO) -> tuple[str, str | None]:
    return stream.encoding, stream.errors


def _exit_code(end: SystemExit) -> int:
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code & 0xFF
    print(end.code, file=sys.stderr)
    return 1


def _finish(status: int) -> int:
    """What an interpreter does at its end: wait for threads, call exit functions, flush."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            status = status or 120
    return status
