"""What requests may weigh and how long connections may wait."""

from __future__ import annotations

from typing import Final

from container.config.compound import Spelt
from container.config.gateways import parse_proxies
from container.config.options.option import Section, option
from container.config.values import Duration, Number, Size
from container.message.limits import Limits, Timeouts

_limits, _timeouts = Limits(), Timeouts()
_LINE: Final = Size(16, 1 << 20)


def _proxies(text: str, name: str) -> tuple[str, ...]:
    return parse_proxies(text)


REQUESTS: Final = Section(
    "Requests and connections",
    (
        option(
            "--limit-request-line", type=_LINE, default=_limits.request_line,
            help="The longest first line of a request, else 414.",
        ),
        option(
            "--limit-request-fields", type=Number(1, 100_000), default=_limits.fields,
            help="The most header fields, else 431.",
        ),
        option(
            "--limit-request-field-size", "--limit-request-field_size", type=_LINE, default=_limits.field_size,
            help="The longest header field, else 431.",
        ),
        option(
            "--limit-request-body", "--max-body", type=Size(off=True), default=_limits.body,
            help="The largest content of a request, else 413; 0 or off: any.",
        ),
        option(
            "--keep-alive", "--timeout-keep-alive", "--channel-timeout", type=Duration(), default=_timeouts.keep_alive,
            help="How long an idle connection is kept.",
        ),
        option(
            "--limit-concurrency", "--worker-connections", "--connection-limit", type=Number(1, 10_000_000),
            help="Requests of a site at a time; more are answered 503.",
        ),
        option(
            "--forwarded-allow-ips", "--trusted-proxy", variables=("FORWARDED_ALLOW_IPS",),
            type=Spelt("NETWORKS", _proxies, ",".join, joint=","),
            help="Addresses and networks of proxies whose Forwarded or X-Forwarded-* fields count, with commas "
            "between; * for all, none for not even those of UNIX sockets, which count otherwise.",
        ),
    ),
)  # fmt: skip
