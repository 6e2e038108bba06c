"""Options of Twisted and of other servers that are not taken: what each is told instead."""

from __future__ import annotations

from typing import Final

from container.message.limits import Timeouts

_PICKLED: Final = "state files are of Twisted only: use -y FILE"
_DROPPED: Final = "there is nothing like it"
_ONE_PARSER: Final = "there is one parser, of HTTP/1.1"
_NO_HTTP2: Final = "every address speaks HTTP/1.1, let a proxy in front speak HTTP/2"
_STATSD: Final = "under gunicorn use -k container.gunicorn.Worker"
_WATCHED: Final = "use --reload-exclude"
_ROOT: Final = "use --root-path where a proxy cuts it off the path, else --mount /prefix=NAME"
_HEAD: Final = "use --limit-request-line, --limit-request-fields and --limit-request-field-size"

_HTTP2: Final = (
    "--http2", "--http-protocols", "--http2-cleartext", "--http2-max-concurrent-streams",
    "--http2-initial-window-size", "--http2-max-frame-size", "--http2-max-header-list-size",
    "--http2-adaptive-window", "--http2-initial-connection-window-size", "--http2-initial-stream-window-size",
    "--http2-keep-alive-interval", "--http2-keep-alive-timeout", "--http2-max-headers-size",
    "--http2-max-send-buffer-size",
)  # fmt: skip

# What stands behind "expected a known option, got --spew: ".
REPLACED: Final = {
    "--reactor": "use --loop",
    "-r": "use --loop",
    "--help-reactors": "use --loop auto, uvloop or asyncio",
    "--file": _PICKLED,
    "-f": _PICKLED,
    "--source": _PICKLED,
    "-s": _PICKLED,
    "--encrypted": _PICKLED,
    "--euid": "use --user: both the effective and the real one are changed",
    "--logger": "use --log-config, or configure the loggers of Python in the application",
    "--logfile": "use --log-file for the log of the server, --access-log-file for that of requests",
    "-l": "use --log-file for the log of the server, --access-log-file for that of requests",
    "--spew": _DROPPED,
    "--profiler": "use --profile",
    "--savestats": "use --profile, which saves them",
    "--originalname": "use --proc-name",
    "--port-https": "use --https",
    "--interface": "applications tell it themselves: use --wsgi or --asgi to be sure",
    "--http": _ONE_PARSER,
    "--http-parser": _ONE_PARSER,
    **dict.fromkeys(_HTTP2, _NO_HTTP2),
    "--h11-max-incomplete-event-size": _HEAD,
    "--http1-buffer-size": _HEAD,
    "--max-request-header-size": _HEAD,
    "--ws": "there is one implementation; --ws-max-size and others are its options",
    "--worker-class": "there is one kind of worker; under gunicorn use -k container.gunicorn.Worker",
    "--worker-tmp-dir": "shared memory is used where there is some",
    "--preload": "workers load the application each for itself, so that SIGHUP can load it anew",
    "--statsd-host": _STATSD,
    "--statsd-prefix": _STATSD,
    "--dogstatsd-tags": _STATSD,
    "--metrics-address": "use --metrics ADDRESS:PORT",
    "--metrics-port": "use --metrics ADDRESS:PORT",
    "--metrics-scrape-interval": "processes tell of themselves once a second",
    "--access-log-fmt": "use --access-log-format",
    "--proxy-headers": "use --forwarded-allow-ips with the addresses of proxies",
    "--no-proxy-headers": "use --forwarded-allow-ips none",
    "--trusted-proxy-count": "use --forwarded-allow-ips with the addresses of all of them",
    "--trusted-proxy-headers": "Forwarded and X-Forwarded-* count, of those in --forwarded-allow-ips",
    "--url-path-prefix": _ROOT,
    "--url-prefix": _ROOT,
    "--ssl-client-verify": "use --ssl-client required, which --ssl-ca-certs implies",
    "--domain": "give certificates by --ssl-certfile, or a directory of them by --listen tls:DIR:443; those that a "
    "client of ACME renews are taken up",
    "--backpressure": "use --limit-concurrency, or --threads and --queue-limit where requests shall wait",
    "--read-timeout": f"requests have {Timeouts().head:.0f} seconds for their head and {Timeouts().body:.0f} between "
    "two reads of their content",
    "--workers-max-rss": "use --max-worker-rss with a unit, such as 512M",
    "--reload-engine": "watchfiles watches, by what the system has for it",
    "--reload-ignore-dirs": _WATCHED,
    "--reload-ignore-patterns": _WATCHED,
    "--reload-ignore-paths": _WATCHED,
    "--reload-tick": "use --reload-delay",
    "--use-colors": _DROPPED,
}
