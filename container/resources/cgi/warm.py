"""Python scripts in a copy of an interpreter that has started already: loaded by `starter.py` from its file.

A script finds what it would find in an interpreter of its own: a fresh `__main__`, its arguments, environment
and directory, standard streams that are descriptors, exit functions that run. What differs: modules that were
imported beforehand are there, and the secret of hash randomisation is shared.

A copy shares its memory until it writes to it, and Python writes wherever it looks. So a copy does as little
as it can, and what can be done once is done before (4.4 µs for each page that is touched, measured).
"""

import atexit
import gc
import os
import sys
import warnings
from importlib import import_module
from importlib.machinery import SourceFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` and `types` are more than all else here together, and few scripts want them
    from collections.abc import Iterable
    from types import CodeType
    from typing import NoReturn

_Module = type(sys)
_Code = type(compile("", "", "exec"))
_KNOWN_MAX = 256
_REHEARSALS = 32
_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()

_HAS_ENTRIES = hasattr(os.environ, "_data")
# What the environment of this process holds for its copies, and in how many more runs it is looked for more.
_standing: dict[bytes, bytes] = {}
_last: dict[bytes, bytes] = {}
looks = 64
# What scripts may share once one of them uses it.
offered: set[str] = set()


class Loaded:
    """A script that was compiled: its code, or what is wrong with it, and the `__main__` it will run in."""

    __slots__ = ("code", "directory", "key", "main", "path")

    def __init__(self, path: bytes, key: tuple[int, ...], code: "CodeType | Exception") -> None:
        self.key = key
        self.code = code
        self.path = os.fsdecode(path)
        self.directory = os.path.dirname(self.path)
        self.main = _Module("__main__")
        self.main.__dict__.update(
            __file__=self.path,
            __loader__=SourceFileLoader("__main__", self.path),
            __builtins__=sys.modules["builtins"],
            __cached__=None,
        )


_known: dict[bytes, Loaded] = {}


def prepare(names: "Iterable[str]") -> None:
    """Import what scripts share; what cannot be imported will be the scripts' own problem."""
    output, sys.stdout = sys.stdout, sys.stderr
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            try:
                import_module(name)
            except Exception as error:  # noqa: BLE001  # foreign code
                print(f"{name} could not be imported beforehand: {error}", file=sys.stderr)
    sys.stdout = output
    os.environ.clear()
    gc.collect()
    gc.freeze()


def rehearse() -> None:
    """Run a script that does next to nothing, here: what the interpreter learns of code and types from the first runs,
    copies know from their beginning (40 pages less that each of them touches, measured)."""
    path, main = sys.path[:], sys.modules["__main__"]
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    code = compile("import os\nos.environ.get('A')\nprint(flush=True)\n", "", "exec")
    for _ in range(_REHEARSALS):
        _run(Loaded(b"", (), code), [], {b"A": b""})
    os.environ.clear()
    sys.path[:], sys.modules["__main__"] = path, main


def load(path: bytes) -> Loaded:
    """The script, compiled once as long as its file stays what it is. Raises OSError."""
    status = os.stat(path)
    key = status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size
    known = _known.get(path)
    if known is not None and known.key == key:
        return known
    with open(path, "rb") as file:
        source = file.read()
    code: CodeType | Exception
    try:
        code = compile(source, os.fsdecode(path), "exec", dont_inherit=True)
        used = offered.intersection(_imported(code))
        offered.difference_update(used)
    except Exception as error:  # noqa: BLE001  # whatever the compiler raises is for the script's author
        code, used = error, set()
    if len(_known) >= _KNOWN_MAX:
        _known.clear()
    _known[path] = loaded = Loaded(path, key, code)
    prepare(used)
    return loaded


def _imported(code: "CodeType") -> set[str]:
    """Names in a script that may be those of modules it imports, functions included."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, _Code):
            names |= _imported(constant)
    return names | {name for name in offered if name.partition(".")[0] in names}


def run(script: Loaded, arguments: list[bytes], environment: dict[bytes, bytes]) -> "NoReturn":
    """Be the script, in a process made for it; never returns.

    What is called here touches few pages: functions of Python's own library cost more than what they do.
    """
    status = 1
    try:
        status = _finish(_run(script, arguments, environment))
    finally:
        os._exit(status)


def _run(script: Loaded, arguments: list[bytes], environment: dict[bytes, bytes]) -> int:
    _set_environment(environment)
    sys.argv[:] = [argument.decode(_ENCODING, _ERRORS) for argument in arguments]
    sys.path.insert(0, script.directory)
    main = sys.modules["__main__"] = script.main
    code = script.code
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
    return status


def settle(environment: dict[bytes, bytes]) -> None:
    """Put into the environment of this process what was the same in two runs: its copies need not, and each call
    of putenv is dear. After a while it is known, and what putenv keeps for ever has a bound."""
    global looks, _last
    looks -= 1
    if _HAS_ENTRIES:
        for name, value in environment.items():
            if name not in _standing and _last.get(name) == value:
                os.putenv(name, value)
                _standing[name] = value
        _last = environment


def _set_environment(environment: dict[bytes, bytes]) -> None:
    """`os.environ`, which is empty, without its one call of four Python functions for each variable."""
    if not _HAS_ENTRIES:
        os.environb.update(environment)
        return
    os.environ._data = os.environb._data = environment  # type: ignore[attr-defined]  # CPython has it
    standing = _standing
    for name, value in environment.items():
        if standing.get(name) != value:
            os.putenv(name, value)
    if not standing.keys() <= environment.keys():
        for name in standing.keys() - environment.keys():
            os.unsetenv(name)


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
