"""Options of Twisted and of other servers that are not taken: what each is told instead."""

from __future__ import annotations

from typing import Final

_PICKLED: Final = "state files are of Twisted only: use -y FILE"
_DROPPED: Final = "there is nothing like it"

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
    "--logger": "configure the loggers of Python in the application",
    "--logfile": "use --log-file for the log of the server, --access-log-file for that of requests",
    "-l": "use --log-file for the log of the server, --access-log-file for that of requests",
    "--spew": _DROPPED,
    "--profiler": "use --profile",
    "--savestats": "use --profile, which saves them",
    "--originalname": "use --proc-name",
    "--port-https": "use --https",
    "--interface": "applications tell it themselves: use --wsgi or --asgi to be sure",
    "--http": "there is one parser",
    "--http-parser": "there is one parser",
    "--ws": "there is one implementation; --ws-max-size and others are its options",
    "--worker-class": "there is one kind of worker; under gunicorn use -k container.gunicorn.Worker",
    "--worker-tmp-dir": "shared memory is used where there is some",
    "--preload": "workers load the application each for itself, so that SIGHUP can load it anew",
    "--statsd-host": "under gunicorn use -k container.gunicorn.Worker",
    "--access-log-fmt": "use --access-log-format",
    "--proxy-headers": "use --forwarded-allow-ips with the addresses of proxies",
    "--no-proxy-headers": "use --forwarded-allow-ips none",
    "--static-path-mount": "use --mount /prefix=files:DIR",
    "--static": "use --mount /prefix=files:DIR",
    "--url-path-prefix": "use --root-path, or --mount /prefix=NAME",
    "--ssl-cert-reqs": "use --ssl-client",
    "--cert-reqs": "use --ssl-client",
    "--use-colors": _DROPPED,
}
