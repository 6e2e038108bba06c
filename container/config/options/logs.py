"""What is written down."""

from __future__ import annotations

from typing import Final

from container.config.compound import Spelt
from container.config.options.option import Section, option, switch
from container.config.values import Choice, Text
from container.service.logs import FACILITIES, LEVELS, LOG_FORMATS, check_prefix, parse_address
from container.service.logs.syslog import DEFAULT_ADDRESS, DEFAULT_PREFIX
from container.tree.accesslog import FORMATS, FormatProblem, make_formatter


def _address(text: str, name: str) -> str:
    try:
        parse_address(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return text


def _prefix(text: str, name: str) -> str:
    try:
        return check_prefix(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _format(text: str, name: str) -> str:
    try:
        make_formatter(text)
    except FormatProblem as error:
        raise ValueError(f"{name}: {error}") from error
    return text


LOGS: Final = Section(
    "Logs",
    (
        switch("--access-log", default=True, help="Log every request to standard output."),
        option(
            "--access-log-file", "--access-logfile", type=Text("FILE"),
            help="Log every request to this file; - is stdout.",
        ),
        option(
            "--access-log-format", "--access-logformat", type=Spelt("FORMAT", _format), default="combined",
            help=f"{', '.join(FORMATS)}, or a format of your own in the atoms of gunicorn or of Apache, such as "
            "'%h \"%r\" %>s %D'.",
        ),
        option(
            "--request-id", type=Choice(("off", "accept", "issue")), default="off",
            help="Give every request an X-Request-ID and a traceparent on its way to applications and upstreams: "
            "accept those that clients send, or issue new ones only.",
        ),
        switch("--send-request-id", help="Tell clients too, with --request-id."),
        option(
            "--log-file", "--error-logfile", type=Text("FILE"),
            help="Log to this file what else would go to standard error; - is stdout.",
        ),
        option("--log-format", type=Choice(LOG_FORMATS, "FORMAT"), default="text", help="Of that log: text or json."),
        switch(
            "--log-requests",
            help="Tell with every record, the application's too, which request it belongs to: request_id, method, "
            "target, client. So it is with --log-format json.",
        ),
        switch(
            "--syslog", "--log-syslog",
            help="Log to syslog, requests too unless they have a file of their own.",
        ),
        option(
            "--syslog-address", "--log-syslog-to", type=Spelt("ADDRESS", _address), default=DEFAULT_ADDRESS,
            help="Where it listens for datagrams, such as udp://host:514.",
        ),
        option(
            "--syslog-facility", "--log-syslog-facility", type=Choice(FACILITIES, "NAME"), default="daemon",
            help="What it files the lines under.",
        ),
        option(
            "--syslog-prefix", "--log-syslog-prefix", "--prefix", type=Spelt("NAME", _prefix), default=DEFAULT_PREFIX,
            help="What lines in syslog and the journal begin with.",
        ),
        switch("--journal", help="Log to the journal of systemd, with the fields of each record."),
        option(
            "--log-level", type=Choice(LEVELS, "LEVEL"), default="info",
            help=f"How much to log to standard error: {', '.join(LEVELS)}.",
        ),
        option(
            "--log-config", "--log-config-json", type=Text("FILE"),
            help="Configure all of logging as this file says, in a format of logging.config: .json, .toml, .yaml, "
            "anything else is .ini.",
        ),
    ),
)  # fmt: skip
