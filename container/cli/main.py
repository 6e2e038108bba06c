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
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from container.channel.certificates import TLSSettings
from container.channel.endpoints import (
    Endpoint,
    EndpointError,
    TCPEndpoint,
    is_loopback,
    plain_endpoint,
    with_tls,
)
from container.cli.options import COMMAND, texts_of, usage_line
from container.cli.processes import prepare_development, run_processes, wants_arbiter
from container.config.build import build
from container.config.importer import ImportProblem, ensure_cwd_importable, format_user_traceback
from container.config.layers import from_texts, merge
from container.config.options.addresses import DEFAULT_HOST, DEFAULT_PORT
from container.config.problems import ConfigProblem
from container.config.scripts import Scripts
from container.config.settings import Settings, Source
from container.config.users import personal_endpoint
from container.message.limits import Limits
from container.message.websocket import WebSocketOptions
from container.service.logs import (
    LogFile,
    LogProblem,
    LogSettings,
    access_stream,
    complain,
    configure_logging,
    report_failure,
    revive_loggers,
)
from container.service.loop import EXIT_ERROR, EXIT_NOT_LOADED, EXIT_USAGE, STOP_SIGNALS, LoopProblem, run
from container.service.pidfile import Pidfile
from container.service.privileges import PrivilegeProblem, Privileges, find_group, find_user
from container.service.reload import NotLoaded, ReloadProblem
from container.tree.accesslog import AccessLog, make_formatter
from container.tree.health import DEFAULT_HEALTH_PATH, DEFAULT_READY_PATH
from container.tree.site import Site

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
    with COMMAND.make_context("container", arguments) as context:
        configuration = merge([from_texts(texts_of(context))])
        options = {**configuration.values, "app": context.params["app"]}
        given = configuration.given
    configure_logging(logs_of(options))
    prepare_development(options, endpoints_of(given))
    started_in = os.getcwd() if wants_arbiter(options) else None
    if options["chdir"] is not None:
        change_directory(options["chdir"])
    ensure_cwd_importable()
    with ExitStack() as stack:

        def load() -> Application:
            access_log = open_access_log(options, stack)
            settings = settings_of(options, given, access_log)
            application = build(source_of(options), settings, endpoints_of(given))
            secure(application, tls_of(options, given))
            if options["debug"]:
                from container.config.debugger import install_debugger

                install_debugger(application)
            revive_loggers()
            warn_of_tracebacks(application)
            return application

        if wants_arbiter(options):
            code = run_processes(
                options,
                partial(_load_or_exit, load),
                source_of(options),
                endpoints_of(given),
                tls=tls_of(options, given),
                privileges=privileges_of(options),
                directory=started_in,
            )
        else:
            application = load()
            code = run(
                application,
                loop=options["loop"],
                graceful_timeout=options["graceful_timeout"],
                drain_delay=options["drain_delay"],
                server_name="container" if options["server_header"] else "",
                exit_timeout=EXIT_TIMEOUT_S,
                privileges=privileges_of(options),
                pidfile=Pidfile(options["pidfile"]) if options["pidfile"] else None,
            )
        for number in STOP_SIGNALS:  # all is stopped: no second signal shall change the exit code now
            signal.signal(number, signal.SIG_IGN)
    _close_output()
    return code


def _load_or_exit(load: Callable[[], Application]) -> Application:
    """In a worker: what is wrong with the application is said there."""
    try:
        return load()
    except (*PROBLEMS, KeyboardInterrupt) as problem:
        cause = problem.cause if isinstance(problem, ImportProblem) else None
        text = f"{problem}\n" if cause is None else format_user_traceback(cause)
        raise NotLoaded(report(problem), text) from problem


def source_of(options: Mapping[str, Any]) -> Source:
    apps = options["app"]
    if len(apps) > 1:
        raise ConfigProblem(f"expected one APP, got {' and '.join(map(repr, apps))}")
    return Source(
        app=apps[0] if apps else None,
        wsgi=options["wsgi"],
        asgi=options["asgi"],
        path=options["path"],
        tac=options["python"],
        script=options["resource_script"],
        user_dirs="public_html" if options["user_dirs"] else None,
        factory=options["factory"],
        mounts=options["mounts"],
        cgi=options["cgi"],
        cgi_bins=options["cgi_bin"],
        vhosts=options["vhosts"],
    )


def settings_of(
    options: Mapping[str, Any], given: Mapping[str, Any], access_log: AccessLog | None
) -> Settings:
    """Only what was given replaces what a ready-made site says of itself."""
    names = {
        "limit_request_line": "request_line",
        "limit_request_fields": "fields",
        "limit_request_field_size": "field_size",
        "limit_request_body": "body",
    }
    limits = {name: given[option] for option, name in names.items() if option in given}
    default = Limits()
    if limits.get("field_size", 0) > default.field_size:  # one of that size must fit in beside ordinary ones
        limits["field_section"] = limits["field_size"] + default.field_section
    return Settings(
        threads=options["threads"],
        queue_limit=options["queue_limit"],
        lifespan=options["lifespan"],
        websocket=websocket_of(options),
        request_timeout=options["request_timeout"],
        index=options["index"],
        listing=options["listing"],
        headers=options["headers"],
        encoders=options["compress"] or (),
        display_tracebacks=options["display_tracebacks"],
        limits=limits,
        timeouts={"keep_alive": given["keep_alive"]} if "keep_alive" in given else {},
        access_log=access_log,
        sessions=options["sessions"],
        trusted_proxies=options["forwarded_allow_ips"],
        htpasswd=options["htpasswd"],
        forward_auth=options["forward_auth"],
        healthz=options["healthz"] or (DEFAULT_HEALTH_PATH if options["health"] else None),
        readyz=options["readyz"] or (DEFAULT_READY_PATH if options["health"] else None),
        scripts=Scripts(
            interpreters=options["cgi_interpreter"],
            variables=options["cgi_env"],
            user=options["cgi_user"],
            timeout=options["cgi_timeout"],
            processes=options["cgi_processes"],
            warm=options["cgi_warm"],
            among_files=options["scripts"],
            session=options["cgi_session"],
        ),
        takes_notes=logs_of(options).follows_requests,
        request_id=options["request_id"],
        send_request_id=options["send_request_id"],
        override_log=not given.keys().isdisjoint({"access_log", "access_log_file", "access_log_format"}),
    )


def websocket_of(options: Mapping[str, Any]) -> WebSocketOptions:
    try:
        return WebSocketOptions(
            max_message=options["ws_max_size"],
            max_frame=options["ws_max_size"],
            queue_messages=options["ws_max_queue"],
            ping_interval=options["ws_ping_interval"],
            ping_timeout=options["ws_ping_timeout"],
            deflate=options["ws_per_message_deflate"],
        )
    except ValueError as error:
        raise ConfigProblem(str(error)) from error


def endpoints_of(given: Mapping[str, Any]) -> list[Endpoint]:
    """The addresses that were given; none when none was."""
    endpoints: list[Endpoint] = list(given.get("listen", ()))
    if "host" in given or "port" in given:
        host = given.get("host", DEFAULT_HOST).strip("[]")
        if not host:  # an empty variable of a script shall not open every interface
            raise ConfigProblem("expected an address for --host, got ''")
        endpoints.append(TCPEndpoint(host, given.get("port", DEFAULT_PORT)))
    if not endpoints and given.get("personal"):
        endpoints.append(personal_endpoint())
    return endpoints


def privileges_of(options: Mapping[str, Any]) -> Privileges:
    return Privileges(
        uid=find_user(options["user"]) if options["user"] is not None else None,
        gid=find_group(options["group"]) if options["group"] is not None else None,
        umask=options["umask"],
        chroot=options["chroot"],
        rundir=options["rundir"],
    )


def tls_of(options: Mapping[str, Any], given: Mapping[str, Any]) -> TLSSettings | None:
    """What was said of TLS, if certificates were given."""
    certificate = options["ssl_certfile"]
    if certificate is None:
        for name in given:
            if name.startswith("ssl_"):
                raise ConfigProblem(f"expected --ssl-certfile with --{name.replace('_', '-')}, got none")
        return None
    authorities = options["ssl_ca_certs"]
    client = options["ssl_client"] or ("required" if authorities is not None else "none")
    if client != "none" and authorities is None:
        raise ConfigProblem(f"expected --ssl-ca-certs with --ssl-client {client}, got none")
    return TLSSettings(
        certificate=certificate,
        key=options["ssl_keyfile"],
        authorities=authorities,
        client=client,
        minimum=options["ssl_min_version"],
        ciphers=options["ssl_ciphers"],
    )


def secure(application: Application, settings: TLSSettings | None) -> None:
    """Put every address behind TLS when certificates were given."""
    if settings is None:
        return
    application.bindings = [
        replace(binding, endpoints=tuple(with_tls(each, settings) for each in binding.endpoints))
        for binding in application.bindings
    ]


def logs_of(options: Mapping[str, Any]) -> LogSettings:
    if options["daemon"] and options["log_file"] == "-":
        raise ConfigProblem("expected a file or --syslog for the log of a --daemon, got standard output")
    return LogSettings(
        level=options["log_level"],
        format=options["log_format"],
        file=options["log_file"],
        syslog=options["syslog"],
        address=options["syslog_address"],
        facility=options["syslog_facility"],
        prefix=options["syslog_prefix"],
        journal=options["journal"],
        requests=options["log_requests"],
    )


def open_access_log(options: Mapping[str, Any], stack: ExitStack) -> AccessLog | None:
    name = options["access_log_file"]
    if not options["access_log"]:
        if name is not None:
            raise ConfigProblem("expected --access-log-file or --no-access-log, got both")
        return None
    stream = access_stream(logs_of(options), name)
    if isinstance(stream, LogFile):
        stack.callback(stream.close)
    return AccessLog(stream, make_formatter(options["access_log_format"])) if stream is not None else None


def change_directory(path: str) -> None:
    try:
        os.chdir(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigProblem(f"expected a directory for --chdir, got {path!r}: {reason}") from error


def warn_of_tracebacks(application: Application) -> None:
    """Tracebacks show secrets: only the developer's own machine should see them."""
    for binding in application.bindings:
        shows = isinstance(binding.site, Site) and binding.site.display_tracebacks
        if shows and any(map(is_exposed, binding.endpoints)):
            complain("warning: tracebacks are shown to everybody who reaches an address that is not loopback")
            return


def is_exposed(endpoint: Endpoint) -> bool:
    """Can other machines reach this address?"""
    return isinstance(plain_endpoint(endpoint), TCPEndpoint) and not is_loopback(endpoint)


def _close_output() -> None:
    """What cannot be written to a closed pipe shall not be complained about when the interpreter exits."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
