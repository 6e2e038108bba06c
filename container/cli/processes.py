"""From options to processes: whether an arbiter is wanted, and what it is told.

An arbiter is wanted for several workers, for recycling, for the background and for reloading. One process that
only serves does without.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from container.config.problems import ConfigProblem
from container.service.logs import complain
from container.service.reload import PASSED_OVER, Watch, can_watch, check_reload
from container.service.server import as_endpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from container.channel.endpoints import Endpoint
    from container.config.settings import Source
    from container.service.application import Application
    from container.service.logs import LogSettings
    from container.service.privileges import Privileges

_WANTING = ("max_requests", "max_worker_lifetime", "max_worker_rss", "daemon", "reload")


def wants_arbiter(options: Mapping[str, Any]) -> bool:
    return options["workers"] > 1 or any(options[name] for name in _WANTING)


def run_processes(
    options: Mapping[str, Any],
    load: Callable[[], Application],
    source: Source,
    endpoints: Sequence[Endpoint],
    *,
    layer: Callable[[Endpoint], Endpoint],
    asks: bool,
    privileges: Privileges,
    logs: LogSettings,
    directory: str | None,
) -> int:
    """Serve what `load` gives, on `endpoints` where any are given; the exit code.

    `layer` gives the default address what those endpoints have around them; `privileges` are given up by the
    workers; `asks`: only the application knows where it is served; `directory` is where the command was started.
    """
    watch = check_processes(options, source)
    # Late: one process needs nothing of it.
    from container.service.daemon import daemonize
    from container.service.workers import WorkerSettings, is_successor, run_workers

    pidfile = os.path.abspath(options["pidfile"]) if options["pidfile"] else None
    verdict = daemonize() if options["daemon"] and not is_successor() else None
    settings = WorkerSettings(
        workers=options["workers"],
        max_requests=options["max_requests"],
        max_requests_jitter=options["max_requests_jitter"],
        max_lifetime=options["max_worker_lifetime"],
        max_rss=options["max_worker_rss"],
        timeout=options["timeout"],
        graceful_timeout=options["graceful_timeout"],
        drain_delay=options["drain_delay"],
        loop=options["loop"],
        server_name="container" if options["server_header"] else "",
        process_name=options["proc_name"],
        pidfile=pidfile,
        daemon=options["daemon"],
        directory=directory,
        privileges=privileges,
        logs=logs,
        watch=watch,
        on_serving=(lambda: verdict.tell(0)) if verdict is not None else (lambda: None),
    )
    groups = None
    if not asks:
        groups = [list(endpoints) or [layer(each) for each in as_endpoints(())]]
        if options["metrics"] is not None:
            groups.append([options["metrics"]])
    code = run_workers(load, settings, groups)
    if verdict is not None:
        verdict.tell(code)
    return code


def remark_on_imports(options: Mapping[str, Any], before: Iterable[str]) -> None:
    """Complain of modules of the application that are there before the workers: those that are started later have them
    as they are now. `before`: the names of all modules before logging was configured."""
    places = tuple(os.path.join(os.path.abspath(each or "."), "") for each in (".", options["app_dir"]))
    names = [
        name
        for name in sorted(sys.modules.keys() - set(before))
        if (path := getattr(sys.modules[name], "__file__", None) or "").startswith(places)
        and name.partition(".")[0] != "container"
        and not any(part in path for part in PASSED_OVER)
    ]
    if names:
        complain(f"warning: for {options['log_config']} only a restart imports {', '.join(names)} anew")


def check_processes(options: Mapping[str, Any], source: Source) -> Watch | None:
    """What to look at with --reload. ConfigProblem and ReloadProblem for what an arbiter cannot do."""
    if options["profile"] is not None:
        raise ConfigProblem("expected one process, not replaced, with --profile, got more")
    if os.name != "posix":
        raise ConfigProblem("expected a POSIX system for more than one process, got none")
    return watch_of(options, source)


def watch_of(options: Mapping[str, Any], source: Source) -> Watch | None:
    """What to look at with --reload; None without."""
    if not options["reload"]:
        return None
    check_reload()
    directories = options["reload_dir"] or (
        ".",
        *([os.path.dirname(source.tac) or "."] if source.tac else ()),
    )
    configured = options["log_config"]
    watch = Watch(
        directories=directories,
        include=options["reload_include"],
        exclude=options["reload_exclude"],
        files=[os.path.abspath(each) for each in (*options["reload_extra_file"], configured) if each],
        quiet=options["reload_delay"],
    )
    watch.check()
    return watch


def prepare_development(options: dict[str, Any], endpoints: Sequence[Endpoint]) -> None:
    """What --debug implies, and what it does not go with: ConfigProblem."""
    if options["reload"] is None:
        options["reload"] = options["debug"] and can_watch()
    if not options["debug"]:
        return
    if options["workers"] > 1:  # the process that has failed is asked again
        raise ConfigProblem(f"expected one worker with --debug, got {options['workers']}")
    from container.config.debugger import check_addresses, set_token

    check_addresses(endpoints)
    set_token(os.environ)
