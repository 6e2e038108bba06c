"""The options of the command line: their spelling, their help, and how their text becomes a value.

Here: numbers, sizes such as 10M, durations such as 500ms, header fields, endpoints; every slip is one line
that says what was expected. Not here: what the values do (main.py and config/build.py).
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from container import __version__
from container.channel.certificates import parse_minimum
from container.channel.endpoints import Endpoint, parse_endpoint
from container.config.encoders import parse_encoders
from container.config.gateways import parse_proxies
from container.config.importer import nearest_name
from container.config.kinds import KINDS
from container.config.scripts import Scripts
from container.config.settings import Settings
from container.message.encoding import Encoder
from container.message.fields import CONTENT_LENGTH, Pair, encode_fields
from container.message.limits import Limits, Timeouts
from container.service.logs import LEVELS
from container.service.loop import LOOPS
from container.service.server import DEFAULT_ADDRESS, GRACEFUL_TIMEOUT_S
from container.tree.health import DEFAULT_HEALTH_PATH, DEFAULT_READY_PATH

_NUMBER: Final = re.compile(r"[0-9]{1,10}")
_SIZE: Final = re.compile(r"([0-9]{1,15})([kmgt]?)(?:i?b)?", re.IGNORECASE)
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)?")
_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SECONDS: Final = {None: 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_OFF: Final = ("0", "off")


class Parsed(click.ParamType):  # type: ignore[type-arg]  # click before 8.4 has no type arguments
    """A value that `parse` makes from the text and the option's name; its ValueError is the whole message."""

    def __init__(self, name: str, parse: Callable[[str, str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value, param.opts[0] if param is not None else self.name)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def number(lowest: int, highest: int) -> Parsed:
    def parse(text: str, option: str) -> int:
        if _NUMBER.fullmatch(text) and lowest <= int(text) <= highest:
            return int(text)
        raise ValueError(f"expected a number from {lowest} to {highest} for {option}, got {text!r}")

    return Parsed("number", parse)


def parse_size(text: str, option: str) -> int:
    """Bytes; K, M, G and T are powers of 1024."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"expected a size such as 10M for {option}, got {text!r}")
    return int(match[1]) * _UNITS[match[2].lower()]


def parse_line_size(text: str, option: str) -> int:
    size = parse_size(text, option)
    if not 16 <= size <= 1 << 20:
        raise ValueError(f"expected a size from 16 to 1M for {option}, got {text!r}")
    return size


def parse_body_size(text: str, option: str) -> int | None:
    return None if text in _OFF else parse_size(text, option)


def parse_duration(text: str, option: str) -> float:
    """Seconds, or with one of the units ms, s, m, h, d."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"expected a duration such as 30, 500ms or 5m for {option}, got {text!r}")
    return float(match[1]) * _SECONDS[match[2]]


def parse_timeout(text: str, option: str) -> float | None:
    return None if text in _OFF else parse_duration(text, option) or None


def parse_header(text: str, option: str) -> Pair:
    name, colon, value = text.partition(":")
    pair = name.strip(), value.strip()
    if not colon or not pair[0]:
        raise ValueError(f'expected "Name: value" for {option}, got {text!r}')
    block = encode_fields([pair])
    if not block.lines or block.kinds & CONTENT_LENGTH:
        raise ValueError(f"expected a field that is not the server's own for {option}, got {text!r}")
    return pair


def one_of(names: Sequence[str]) -> Parsed:
    def parse(text: str, option: str) -> str:
        if text.lower() in names:
            return text.lower()
        hint = nearest_name(text.lower(), names)
        raise ValueError(f"expected {', '.join(names)} for {option}, got {text!r}{hint}")

    return Parsed("|".join(names), parse)


def _endpoint(text: str, option: str) -> Endpoint:
    return parse_endpoint(text)


def _encoders(text: str, option: str) -> tuple[Encoder, ...]:
    return parse_encoders(text)


def _tls_version(text: str, option: str) -> object:
    try:
        return parse_minimum(text)
    except ValueError:
        raise ValueError(f"expected 1.2 or 1.3 for {option}, got {text!r}") from None


def parse_umask(text: str, option: str) -> int:
    if not re.fullmatch(r"(?:0o?)?[0-7]{1,3}", text):
        raise ValueError(f"expected an octal number such as 027 for {option}, got {text!r}")
    return int(text, 8)


def _proxies(text: str, option: str) -> tuple[str, ...]:
    return parse_proxies(text)


def spell_size(size: int | None) -> str:
    """The shortest spelling that `parse_size` reads."""
    if size is None:
        return "off"
    unit = next((unit for unit in "tgmk" if size and not size % _UNITS[unit]), "")
    return f"{size // _UNITS[unit]}{unit.upper()}"


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"container {__version__}")
        ctx.exit()


def _option(*names: str, help: str, **more: Any) -> click.Option:
    """An option; its default is shown as it would be typed."""
    return click.Option(names, help=help, show_default="default" in more, **more)


def _flag(*names: str, help: str, default: bool = False) -> click.Option:
    return click.Option(names, help=help, is_flag=True, default=default, show_default=default)


_limits, _timeouts, _settings, _scripts = Limits(), Timeouts(), Settings(), Scripts()
_HOST, _, _PORT = DEFAULT_ADDRESS.partition(":")
_NAME: Final = {"metavar": "NAME"}
_SIZED: Final = {"type": Parsed("size", parse_line_size), "metavar": "SIZE"}
_TIMED: Final = {"type": Parsed("duration", parse_duration), "metavar": "SECONDS"}


def _number(lowest: int, highest: int, default: object) -> dict[str, Any]:
    return {"type": number(lowest, highest), "metavar": "N", "default": str(default)}


TLS_PARAMETERS: Final[list[click.Parameter]] = [
    _option(
        "--ssl-certfile", "--tls-cert", "--certfile", metavar="FILE",
        help="Speak TLS at every address: the certificate, with its chain, as PEM.",
    ),
    _option("--ssl-keyfile", "--tls-key", "--keyfile", metavar="FILE", help="Its key, unless it is in the same file."),
    _option(
        "--ssl-ca-certs", "--ca-certs", metavar="FILE",
        help="Who may have issued the certificates of clients, which have to have one then.",
    ),
    _option(
        "--ssl-client", type=one_of(("none", "optional", "required")), metavar="MODE",
        help="Whether clients have to have a certificate: none, optional, required.",
    ),
    _option(
        "--ssl-min-version", type=Parsed("version", _tls_version), metavar="VERSION", default="1.2",
        help="The lowest version of TLS: 1.2 or 1.3.",
    ),
    _option("--ssl-ciphers", "--ciphers", metavar="LIST", help="Ciphers of TLS 1.2, as OpenSSL spells them."),
]  # fmt: skip
PROCESS_PARAMETERS: Final[list[click.Parameter]] = [
    _option("--user", "-u", "--uid", **_NAME, help="Whom to become, by name or number, once the ports are open."),
    _option("--group", "-g", "--gid", **_NAME, help="The group to become; the user's unless given."),
    _option(
        "--umask", "-m", type=Parsed("mask", parse_umask), metavar="OCTAL",
        help="Which rights new files do not have, such as 027.",
    ),
    _option("--chroot", metavar="DIR", help="Shut the process into a directory once everything is loaded."),
    _option("--chdir", metavar="DIR", help="Change to a directory before anything is loaded."),
    _option("--rundir", "-d", metavar="DIR", help="Change to a directory once everything is loaded, after --chroot."),
    _option("--pidfile", "-p", "--pid", metavar="FILE", help="Write the process id to a file, removed at the end."),
]  # fmt: skip

WORKER_PARAMETERS: Final[list[click.Parameter]] = [
    _option(
        "--workers", "-w", **_number(1, 1000, 1), envvar="WEB_CONCURRENCY", show_envvar=True,
        help="How many processes serve.",
    ),
    _option(
        "--max-requests", **_number(0, 1_000_000_000, 0),
        help="Replace a worker after so many requests; 0: never.",
    ),
    _option(
        "--max-requests-jitter", **_number(0, 1_000_000_000, 0),
        help="Up to so many more, so that workers are not replaced at one time.",
    ),
    _option(
        "--max-worker-lifetime", type=Parsed("duration", parse_timeout), metavar="SECONDS", default="off",
        help="Replace a worker after so long.",
    ),
    _option(
        "--max-worker-rss", type=Parsed("size", parse_body_size), metavar="SIZE", default="off",
        help="Replace a worker that uses so much memory.",
    ),
    _option(
        "--timeout", "-t", **_number(0, 86_400, 30),
        help="Kill a worker whose event loop is blocked for so many seconds; 0: never. See --request-timeout.",
    ),
    _option(
        "--drain-delay", **_TIMED, default="0",
        help="When told to stop, serve on for so long while --readyz answers 503.",
    ),
    _flag("--health", help=f"Answer {DEFAULT_HEALTH_PATH} and {DEFAULT_READY_PATH}."),
    _option("--healthz", metavar="PATH", help="Answer 200 here while the process lives."),
    _option("--readyz", metavar="PATH", help="Answer 200 here until the process begins to stop, then 503."),
    _flag("--daemon", "-D", help="Go into the background; the exit code tells whether it serves."),
    _flag("--reload", help="Start anew when source files change. For development only."),
    _option(
        "--proc-name", metavar="NAME", default="container", help="The name in lists of processes (needs setproctitle).",
    ),
]  # fmt: skip

PARAMETERS: Final[list[click.Parameter]] = [
    click.Argument(["app"], nargs=-1, metavar="[APP]"),
    _option("--wsgi", **_NAME, help="Serve a WSGI application: package.module.name or package.module:name."),
    _option("--asgi", **_NAME, help="Serve an ASGI application."),
    _flag("--factory", help="APP, --wsgi or --asgi names a function that returns the application."),
    _option("--path", metavar="DIR", help="Serve the files of a directory, or a single file."),
    _option(
        "--index", metavar="NAME", multiple=True, default=_settings.index,
        help="What to answer for a directory instead of a listing; the first that is there. Repeatable.",
    ),
    _flag("--listing/--no-listing", default=True, help="Show directories of --path that have no index."),
    _option(
        "-y", "--python", "tac", metavar="FILE",
        help="Serve what a .tac file binds to `application`, at its own addresses unless one is given here.",
    ),
    _flag("--scripts", help="Run .cgi, .php, .rpy and .epy scripts below --path, and send .asis files as they are."),
    _option(
        "--cgi", metavar="DIR",
        help="Serve the files of a directory, and run the CGI scripts in its cgi-bin and htbin.",
    ),
    _option(
        "--cgi-bin", "cgi_bins", metavar="/PREFIX[=DIR]", multiple=True,
        help="Run the CGI scripts of a directory, of the same name below that of --path unless given. Repeatable.",
    ),
    _option(
        "--cgi-interpreter", "cgi_interpreters", metavar=".EXT=PROGRAM", multiple=True,
        help="What runs scripts of an extension, such as .php=php-cgi. Repeatable.",
    ),
    _option(
        "--cgi-env", "cgi_variables", metavar="NAME[=VALUE]", multiple=True,
        help="A variable for CGI scripts, or one of this environment to pass on. Repeatable.",
    ),
    _option(
        "--cgi-user", metavar="USER[:GROUP]",
        help="Whose rights CGI scripts have; nobody's when started as root.",
    ),
    _option(
        "--cgi-timeout", type=Parsed("duration", parse_timeout), metavar="SECONDS",
        default=f"{_scripts.timeout:g}", help="How long a CGI script may be silent, else 504.",
    ),
    _option(
        "--cgi-processes", **_number(1, 10_000, _scripts.processes),
        help="CGI scripts that run at a time; further requests wait.",
    ),
    _flag("--cgi-session", help="Tell CGI scripts the id and user of the visitor's session."),
    _flag("--cgi-warm", help="Run CGI scripts in Python in copies of an interpreter that has started already."),
    _option(
        "--resource-script", "script", metavar="FILE",
        help="Serve what a Python script binds to `resource`, run for each request; of a directory, each file.",
    ),
    _flag(
        "--user-dirs", help="Serve ~/public_html of every user of this machine at /~user/ and /user/."
    ),
    _option(
        "--mount", "mounts", metavar="/PREFIX=KIND:ARG", multiple=True,
        help=f"Mount a further thing, in front of the root. KIND is one of {', '.join(KINDS)}; what a "
        "module:name without a KIND leads to is found out. Repeatable.",
    ),
    _option(
        "--vhost", "vhosts", metavar="NAME=KIND:ARG", multiple=True,
        help="Serve a thing of its own for a host, such as a.example=path:a, *.b.example=b:app or "
        "c.example:8443=c:app; the rest is for all other hosts, without any they are answered 421. Repeatable.",
    ),
    _option(
        "--listen", "-b", "--bind", type=Parsed("endpoint", _endpoint), metavar="ADDRESS", multiple=True,
        help="Where to listen: 8080, 127.0.0.1:8080, [::1]:8080, tcp:8080:interface=127.0.0.1, "
        "unix:/run/app.sock:mode=660, tls:443:cert=FILE:key=FILE, systemd:NAME, fd:3 or haproxy:ADDRESS. "
        "A port alone means every interface. Repeatable.",
    ),
    _flag(
        "--personal",
        help="Listen where the central server of this machine looks for the server of each user: on "
        "~/.container-web-service, open to it and to you only. --listen, --host and --port replace that.",
    ),
    _option("--host", metavar="HOST", default=_HOST, help="Listen on this address."),
    _option("--port", **_number(0, 65535, _PORT), help="Listen on this port; 0 lets the system choose."),
    *TLS_PARAMETERS,
    *PROCESS_PARAMETERS,
    _option(
        "--threads", **_number(0, 10_000, _settings.threads),
        help="Threads of each WSGI application named here; 0 runs them on the event loop.",
    ),
    _option(
        "--queue-limit", **_number(1, 10_000_000, _settings.queue_limit),
        help="Requests that may wait for a thread; more are answered 503.",
    ),
    _option(
        "--lifespan", type=one_of(("auto", "on", "off")), metavar="MODE", default=_settings.lifespan,
        help="Start and stop ASGI applications by the lifespan protocol: auto where they know it, on, off.",
    ),
    _option(
        "--ws-max-size", type=Parsed("size", parse_size), metavar="SIZE",
        default=spell_size(_settings.websocket.max_message), help="The largest message of a WebSocket, else 1009.",
    ),
    _option(
        "--ws-max-queue", **_number(1, 100_000, _settings.websocket.queue_messages),
        help="Messages of a WebSocket that may wait for the application; further ones wait in the network.",
    ),
    _option(
        "--ws-ping-interval", type=Parsed("duration", parse_timeout), metavar="SECONDS",
        default=f"{_settings.websocket.ping_interval:g}", help="Ping a WebSocket that was silent for so long, or off.",
    ),
    _option(
        "--ws-ping-timeout", **_TIMED, default=f"{_settings.websocket.ping_timeout:g}",
        help="How long a WebSocket may stay silent after a ping.",
    ),
    _flag(
        "--ws-per-message-deflate/--no-ws-per-message-deflate", default=True,
        help="Agree to compress the messages of WebSockets.",
    ),
    _option(
        "--request-timeout", type=Parsed("duration", parse_timeout), metavar="SECONDS", default="off",
        help="How long an application may take, else 504. Durations: 30, 500ms, 5m.",
    ),
    _option(
        "--keep-alive", "--timeout-keep-alive", **_TIMED, default=f"{_timeouts.keep_alive:g}",
        help="How long an idle connection is kept.",
    ),
    _option(
        "--graceful-timeout", **_TIMED, default=f"{GRACEFUL_TIMEOUT_S:g}",
        help="How long requests in flight may take after the signal to stop.",
    ),
    _option(
        "--limit-request-line", **_SIZED, default=spell_size(_limits.request_line),
        help="The longest first line of a request, else 414.",
    ),
    _option(
        "--limit-request-fields", **_number(1, 100_000, _limits.fields),
        help="The most header fields, else 431.",
    ),
    _option(
        "--limit-request-field-size", **_SIZED, default=spell_size(_limits.field_size),
        help="The longest header field, else 431.",
    ),
    _option(
        "--limit-request-body", "--max-body", type=Parsed("size", parse_body_size), metavar="SIZE",
        default=spell_size(_limits.body), help="The largest content of a request, else 413; 0 or off: any.",
    ),
    _option(
        "--header", "--add-header", "headers", type=Parsed("field", parse_header), metavar='"NAME: VALUE"',
        multiple=True, help="Add a field to every answer. Repeatable.",
    ),
    _option(
        "--compress", type=Parsed("encoders", _encoders), metavar="NAME[:LEVEL],...",
        help="Encode answers for clients that take it: zstd, br, gzip, deflate, those preferred first.",
    ),
    _option(
        "--sessions", metavar="STORE",
        help="Keep sessions for what is served: memory, sqlite:FILE or redis://HOST:PORT/DATABASE.",
    ),
    _option(
        "--forwarded-allow-ips", "--trusted-proxy", "trusted_proxies", type=Parsed("networks", _proxies),
        metavar="NETWORKS",
        help="Addresses and networks of proxies whose Forwarded or X-Forwarded-* fields count, with commas between; "
        "* for all, none for not even those of UNIX sockets, which count otherwise.",
    ),
    _option(
        "--htpasswd", metavar="FILE",
        help="Let only those in whom a file of htpasswd knows, by Basic authentication.",
    ),
    _option(
        "--forward-auth", metavar="URL",
        help="Let only those in of whom the server at URL says so; it is asked before each request.",
    ),
    *WORKER_PARAMETERS,
    _flag("--server-header/--no-server-header", default=True, help="Send a Server field."),
    _flag("--display-tracebacks", help="Show the traceback of an error to the client. For development only."),
    _flag("--access-log/--no-access-log", default=True, help="Log every request to standard output."),
    _option("--access-log-file", metavar="FILE", help="Log every request to this file; - is stdout."),
    _option(
        "--access-log-format", type=one_of(("combined", "vhost", "json")), metavar="FORMAT", default="combined",
        help="combined, as of Apache and nginx, the same with the host in front, or json.",
    ),
    _option(
        "--log-level", type=one_of(LEVELS), metavar="LEVEL", default="info",
        help=f"How much to log to standard error: {', '.join(LEVELS)}.",
    ),
    _option("--loop", type=one_of(LOOPS), **_NAME, default="auto", help=f"Event loop: {', '.join(LOOPS)}."),
    _flag("-n", "--nodaemon", help="Accepted, no effect: the foreground is the default."),
    _flag("-o", "--no-save", help="Accepted, no effect."),
    click.Option(
        ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
        help="Show the version and exit.",
    ),
]  # fmt: skip
