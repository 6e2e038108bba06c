"""What is around all answers: fields, codings, sessions, passwords, health; and what is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from container.config.compound import HeaderField, Spelt
from container.config.encoders import parse_encoders, spell_encoders
from container.config.metrics import DEFAULT_METRICS, MetricsAddress
from container.config.options.option import Section, option, switch
from container.config.values import Text
from container.tree.health import DEFAULT_HEALTH_PATH, DEFAULT_READY_PATH

if TYPE_CHECKING:
    from container.message.encoding import Encoder


def _encoders(text: str, name: str) -> tuple[Encoder, ...]:
    return parse_encoders(text)


def _path(text: str, name: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f"expected a path such as {DEFAULT_HEALTH_PATH} for {name}, got {text!r}")
    return text


_PATH: Final = Spelt("PATH", _path)
ANSWERS: Final = Section(
    "Answers",
    (
        option(
            "--header", "--add-header", key="headers", many=True, type=HeaderField(),
            help="Add a field to every answer. Repeatable.",
        ),
        option(
            "--compress", type=Spelt("NAME[:LEVEL],...", _encoders, spell_encoders, joint=","),
            help="Encode answers for clients that take it: zstd, br, gzip, deflate, those preferred first.",
        ),
        option(
            "--sessions", type=Text("STORE"),
            help="Keep sessions for what is served: memory, sqlite:FILE or redis://HOST:PORT/DATABASE.",
        ),
        option(
            "--htpasswd", type=Text("FILE"),
            help="Let only those in whom a file of htpasswd knows, by Basic authentication.",
        ),
        option(
            "--forward-auth", type=Text("URL"),
            help="Let only those in of whom the server at URL says so; it is asked before each request.",
        ),
        switch("--health", help=f"Answer {DEFAULT_HEALTH_PATH} and {DEFAULT_READY_PATH}."),
        option("--healthz", type=_PATH, help="Answer 200 here while the process lives."),
        option("--readyz", type=_PATH, help="Answer 200 here until the process begins to stop, then 503."),
        option(
            "--metrics", type=MetricsAddress(), bare="yes",
            help=f"Tell Prometheus of requests and processes, at {DEFAULT_METRICS} unless an address is given. A port "
            "alone means the loopback.",
        ),
        switch("--server-header", default=True, help="Send a Server field."),
    ),
)  # fmt: skip
