"""The command `container`: options in, exit code out; whatever the user got wrong is one line.

Exit codes: 0 stopped as asked; 1 a runtime error, such as a port that is taken; 2 options that cannot be
understood; 3 a resource or service did not start; 4 the application could not be loaded; 130 or 143 a second
signal cut the stop short.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from container.channel.endpoints import EndpointError
from container.cli.commands import LOOKING
from container.cli.options import read_further, read_line, usage_line
from container.cli.processes import prepare_development, remark_on_imports, run_processes, wants_arbiter
from container.config.assemble import (
    asks_for_addresses,
    assemble,
    change_directory,
    endpoints_of,
    layered,
    logs_of,
    privileges_of,
    shows_tracebacks_to_all,
    source_of,
)
from container.config.gather import Gathered, gather
from container.config.importer import ImportProblem, ensure_cwd_importable, format_user_traceback
from container.config.problems import ConfigProblem
from container.service.daemon import open_standard_files
from container.service.init import serve_below_init
from container.service.logs import (
    LogProblem,
    complain,
    configure_for_looking,
    configure_logging,
    report_failure,
    revive_loggers,
    say,
)
from container.service.loop import EXIT_ERROR, EXIT_NOT_LOADED, EXIT_USAGE, LoopProblem, run
from container.service.pidfile import Pidfile
from container.service.privileges import PrivilegeProblem
from container.service.reload import NotLoaded, ReloadProblem
from container.service.signals import STOP_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from container.service.application import Application

# What the user got wrong; the message is one line.
PROBLEMS: Final = (
    click.UsageError,
    ConfigProblem,
    EndpointError,
    LogProblem,
    LoopProblem,
    PrivilegeProblem,
    ImportProblem,
    ReloadProblem,
)

EXIT_INTERRUPTED: Final = 130
# What the application's own threads and exit functions get once everything is stopped.
EXIT_TIMEOUT_S: Final = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    open_standard_files()
    try:
        return _main(list(sys.argv[1:] if arguments is None else arguments))
    except click.exceptions.Exit as end:  # --help, --version
        return end.exit_code
    except (*PROBLEMS, KeyboardInterrupt) as problem:
        return report(problem)
    except Exception as error:  # noqa: BLE001  # ours, or what the application did to us
        report_failure("crashed", error)
        return EXIT_ERROR


def report(problem: BaseException) -> int:
    """Say in a line what the user got wrong; the exit code."""
    if isinstance(problem, KeyboardInterrupt):  # while the application was being imported
        return EXIT_INTERRUPTED
    if isinstance(problem, ImportProblem):
        if problem.cause is not None and (text := format_user_traceback(problem.cause)).count("\n") > 1:
            sys.stderr.write(text)
        complain(str(problem))
        return EXIT_NOT_LOADED
    complain(usage_line(problem) if isinstance(problem, click.UsageError) else str(problem))
    return EXIT_USAGE


def _main(arguments: list[str]) -> int:
    name, texts, extra = read_line(arguments)
    if name == "schema" or "print_schema" in texts:
        code = LOOKING["schema"](None, None, extra)
        _close_output()
        return code
    gather_all = partial(gather, texts, read_further(os.environ))
    gathered = gather_all()
    options = dict(gathered.configuration.values)
    prepare_development(options, endpoints_of(gathered.configuration))
    started_in = os.getcwd() if wants_arbiter(options) else None
    enter_directories(options)
    looking = _looking(name, options)
    before = [*sys.modules]
    configure = configure_logging if looking is None else configure_for_looking
    configure(logs_of(gathered.configuration))
    _remark(gathered, options)
    if started_in is not None and options["log_config"] is not None:
        remark_on_imports(options, before)
    with ExitStack() as stack:
        if looking is not None:
            code = LOOKING[looking](gathered, load(gathered, options, stack), extra | options)
            _close_output()
            return code
        code = _serve(gather_all, gathered, options, stack, started_in)
        for number in STOP_SIGNALS:  # all is stopped: no second signal shall change the exit code now
            signal.signal(number, signal.SIG_IGN)
    _close_output()
    return code


def _looking(name: str, options: Mapping[str, Any]) -> str | None:
    """The command that only looks at the configuration, if it is one."""
    if options["check_config"]:
        return "check"
    if options["print_config"]:
        return "print"
    return None if name == "run" else name


def _remark(gathered: Gathered, options: Mapping[str, Any]) -> None:
    if gathered.file is not None:
        say(f"container reads {gathered.file}")
    for remark in gathered.remarks:
        complain(f"warning: {remark}")
    if options["debug"] and not options["reload"] and gathered.configuration.values["reload"] is None:
        complain(
            'warning: --debug does not reload without watchfiles: pip install "container-server[reload]"'
        )


def enter_directories(options: Mapping[str, Any]) -> None:
    if options["chdir"] is not None:
        change_directory(options["chdir"])
    if options["app_dir"] is not None and not os.path.isdir(options["app_dir"]):
        raise ConfigProblem(f"expected a directory for --app-dir, got {options['app_dir']!r}: none is there")
    ensure_cwd_importable(options["app_dir"] or ".")


def load(gathered: Gathered, options: Mapping[str, Any], stack: ExitStack) -> Application:
    """The application with everything around it, not yet started."""
    application = assemble(gathered, stack)
    if options["debug"]:
        from container.config.debugger import install_debugger

        install_debugger(application)
    revive_loggers()
    if shows_tracebacks_to_all(application):
        complain("warning: tracebacks are shown to everybody who reaches an address that is not loopback")
    return application


def _serve(
    gather_all: Callable[..., Gathered],
    gathered: Gathered,
    options: Mapping[str, Any],
    stack: ExitStack,
    started_in: str | None,
) -> int:
    if started_in is not None:
        configuration = gathered.configuration
        path = os.path.join(started_in, gathered.file) if gathered.file is not None else None

        def load_anew() -> Application:
            """In a worker, which may have been started long after the file was last read."""
            return load(gather_all(reading=path) if path is not None else gathered, options, stack)

        return run_processes(
            options,
            partial(_load_or_exit, load_anew),
            source_of(gathered.configuration, gathered.mounts),
            [layered(configuration, each) for each in endpoints_of(configuration)],
            layer=partial(layered, configuration),
            asks=asks_for_addresses(gathered),
            privileges=privileges_of(options),
            logs=logs_of(gathered.configuration),
            directory=started_in,
        )
    serve_below_init()
    serve = run if options["profile"] is None else partial(_profiled, options["profile"])
    return serve(
        load(gathered, options, stack),
        loop=options["loop"],
        graceful_timeout=options["graceful_timeout"],
        drain_delay=options["drain_delay"],
        server_name="container" if options["server_header"] else "",
        exit_timeout=EXIT_TIMEOUT_S,
        privileges=privileges_of(options),
        pidfile=Pidfile(options["pidfile"]) if options["pidfile"] else None,
    )


def _profiled(path: str, *arguments: Any, **more: Any) -> int:
    """Serve, and write at the end what the time went to."""
    from cProfile import Profile

    profile = Profile()
    try:
        return profile.runcall(run, *arguments, **more)
    finally:
        profile.dump_stats(path)


def _load_or_exit(load: Callable[[], Application]) -> Application:
    """In a worker: what is wrong with the application is said there."""
    try:
        return load()
    except (*PROBLEMS, KeyboardInterrupt) as problem:
        cause = problem.cause if isinstance(problem, ImportProblem) else None
        text = f"{problem}\n" if cause is None else format_user_traceback(cause)
        raise NotLoaded(report(problem), text) from problem


def _close_output() -> None:
    """What cannot be written to a closed pipe shall not be complained about when the interpreter exits."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
