"""How applications are run: threads, deadlines, lifespan, WebSockets."""

from __future__ import annotations

from typing import Final

from container.config.compound import Variable
from container.config.options.option import Section, option, switch
from container.config.settings import Settings
from container.config.values import Choice, Duration, Number, Size, Text

_settings = Settings()
_websocket = _settings.websocket

APPLICATIONS: Final = Section(
    "Applications",
    (
        option(
            "--threads", "--blocking-threads", type=Number(0, 10_000), default=_settings.threads,
            help="Threads of each WSGI application named here; 0 runs them on the event loop.",
        ),
        option(
            "--queue-limit", "--limit-queue", type=Number(1, 10_000_000), default=_settings.queue_limit,
            help="Requests that may wait for a thread; more are answered 503.",
        ),
        option(
            "--request-timeout", type=Duration(off=True),
            help="How long an application may take, else 504. Durations: 30, 500ms, 5m.",
        ),
        option(
            "--root-path", type=Text("PATH"),
            help="What a proxy in front has cut off the path, such as /shop: it is in all paths and URLs again.",
        ),
        option(
            "--env", "-e", many=True, type=Variable(),
            help="Set a variable of the environment before anything is loaded. Repeatable.",
        ),
        option(
            "--app-dir", "--pythonpath", type=Text("DIR"),
            help="Search this directory for modules first, instead of the one we are in.",
        ),
        option(
            "--lifespan", "--asgi-lifespan", type=Choice(("auto", "on", "off")), default=_settings.lifespan,
            help="Start and stop ASGI applications by the lifespan protocol: auto where they know it, on, off.",
        ),
        option(
            "--ws-max-size", type=Size(), default=_websocket.max_message,
            help="The largest message of a WebSocket, else 1009.",
        ),
        option(
            "--ws-max-queue", type=Number(1, 100_000), default=_websocket.queue_messages,
            help="Messages of a WebSocket that may wait for the application; further ones wait in the network.",
        ),
        option(
            "--ws-ping-interval", type=Duration(off=True), default=_websocket.ping_interval,
            help="Ping a WebSocket that was silent for so long, or off.",
        ),
        option(
            "--ws-ping-timeout", type=Duration(), default=_websocket.ping_timeout,
            help="How long a WebSocket may stay silent after a ping.",
        ),
        switch(
            "--ws-per-message-deflate", default=True, help="Agree to compress the messages of WebSockets."
        ),
    ),
)  # fmt: skip
