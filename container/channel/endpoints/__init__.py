"""Endpoint strings (`tcp:8080:interface=127.0.0.1`, `unix:/run/app.sock:mode=660`, `tls:443:cert=a.pem`), and the
listening sockets behind them.

One scheme a file; what all have in common is in base.py, the grammar in grammar.py. A further scheme calls
`register`, or is found by an entry point of the group `container.endpoints`. Not here: accepting connections
(arrival.py), and what is spoken.
"""

from container.channel.endpoints.base import (
    DEFAULT_BACKLOG,
    Endpoint,
    EndpointError,
    ListenError,
    describe_socket,
    listen_all,
)
from container.channel.endpoints.fd import FDEndpoint
from container.channel.endpoints.grammar import Arguments, parse_endpoint, register
from container.channel.endpoints.haproxy import ProxiedEndpoint, ProxyPolicy
from container.channel.endpoints.reach import is_loopback, is_loopback_host
from container.channel.endpoints.systemd import SystemdEndpoint
from container.channel.endpoints.tcp import TCPEndpoint
from container.channel.endpoints.tls import TLSEndpoint, layers_of, plain_endpoint, prepare_endpoint, with_tls
from container.channel.endpoints.unix import DEFAULT_UNIX_MODE, UnixEndpoint, adopt_socket

__all__ = [
    "DEFAULT_BACKLOG",
    "DEFAULT_UNIX_MODE",
    "Arguments",
    "Endpoint",
    "EndpointError",
    "FDEndpoint",
    "ListenError",
    "ProxiedEndpoint",
    "ProxyPolicy",
    "SystemdEndpoint",
    "TCPEndpoint",
    "TLSEndpoint",
    "UnixEndpoint",
    "adopt_socket",
    "describe_socket",
    "is_loopback",
    "is_loopback_host",
    "layers_of",
    "listen_all",
    "parse_endpoint",
    "plain_endpoint",
    "prepare_endpoint",
    "register",
    "with_tls",
]
