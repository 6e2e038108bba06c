"""`tls:PORT:cert=FILE:key=FILE` (also `ssl:`), `tls:DIRECTORY:PORT`: endpoints whose connections begin with TLS.

Here: the spelling. What is done with files and names is in `channel/certificates.py`.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field, replace
from functools import partial

from container.channel.certificates import CertificateProblem, Certificates, TLSSettings, parse_minimum
from container.channel.endpoints.base import Endpoint, EndpointError, ListenError
from container.channel.endpoints.grammar import Arguments, register
from container.channel.endpoints.haproxy import ProxiedEndpoint, ProxyPolicy
from container.channel.endpoints.tcp import TCPEndpoint, parse_tcp

# What strports calls them.
_ALIASES = {
    "privateKey": "key", "certKey": "cert", "extraCertChain": "chain", "sslmethod": "min", "keyfile": "key",
    "certfile": "cert", "dhParameters": "dh",
}  # fmt: skip
_NAMES = ("port", "key", "cert", "chain", "ca", "client", "min", "ciphers", "dh")
_TCP_NAMES = ("interface", "backlog", "reuse_port")
_PASSWORD = "passfile"
DEFAULT_CERTIFICATE = "server.pem"
DEFAULT_PORT = "443"


@dataclass(frozen=True, slots=True)
class TLSEndpoint:
    """`inner`, each of whose connections begins with a TLS handshake.

    `listen` reads the certificates first, while the process has the right to: what is wrong with them is a
    ListenError.
    """

    inner: Endpoint
    settings: TLSSettings
    certificates: Certificates = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "certificates", Certificates(self.settings))

    def load(self) -> None:
        """Read the certificates: ListenError."""
        try:
            self.certificates.load()
        except CertificateProblem as error:
            raise ListenError("TLS", str(error)) from error

    def listen(self) -> list[socket.socket]:
        self.load()
        return self.inner.listen()

    def describe(self, sock: socket.socket) -> str:
        text = self.inner.describe(sock)
        return "https" + text.removeprefix("http") if text.startswith("http:") else text

    def release(self, sock: socket.socket) -> None:
        self.inner.release(sock)


def with_tls(endpoint: Endpoint, settings: TLSSettings) -> Endpoint:
    """`endpoint` behind TLS; one that says of itself how it does TLS stays as it is."""
    if isinstance(endpoint, ProxiedEndpoint):  # its header comes before the handshake
        return replace(endpoint, inner=with_tls(endpoint.inner, settings))
    return endpoint if isinstance(endpoint, TLSEndpoint) else TLSEndpoint(endpoint, settings)


def plain_endpoint(endpoint: Endpoint) -> Endpoint:
    """What opens the sockets of `endpoint`, without the layers around it."""
    while isinstance(endpoint, ProxiedEndpoint | TLSEndpoint):
        endpoint = endpoint.inner
    return endpoint


def prepare_endpoint(endpoint: Endpoint) -> None:
    """What has to be done before sockets are used that somebody else has opened for `endpoint`: ListenError."""
    while isinstance(endpoint, ProxiedEndpoint | TLSEndpoint):
        if isinstance(endpoint, TLSEndpoint):
            endpoint.load()
        endpoint = endpoint.inner


def layers_of(endpoint: Endpoint) -> tuple[ProxyPolicy | None, Certificates | None]:
    """Which PROXY header comes first, and which certificates are shown, if any?"""
    policy = endpoint.policy if isinstance(endpoint, ProxiedEndpoint) else None
    inner = endpoint.inner if isinstance(endpoint, ProxiedEndpoint) else endpoint
    return policy, inner.certificates if isinstance(inner, TLSEndpoint) else None


def _parse(arguments: Arguments, *, may_be_directory: bool = True) -> TLSEndpoint:
    fields = tuple((_ALIASES.get(key, key) if key else key, value) for key, value in arguments.fields)
    directory = None
    if may_be_directory and fields and fields[0][0] is None and not fields[0][1].isdigit():
        directory = fields[0][1]
        fields = (("port", DEFAULT_PORT), *fields[1:]) if _has_no_port(fields) else fields[1:]
        if not directory:
            raise EndpointError(
                f'expected "{arguments.scheme}:PORT" or "{arguments.scheme}:DIRECTORY", got {arguments.text!r}'
            )
    bound = replace(arguments, fields=fields).bind(*_NAMES, *_TCP_NAMES, _PASSWORD)
    return TLSEndpoint(_tcp(arguments, bound), _settings(arguments, bound, directory))


def _has_no_port(fields: tuple[tuple[str | None, str], ...]) -> bool:
    return not any(key == "port" for key, _ in fields) and (len(fields) < 2 or fields[1][0] is not None)


def _tcp(arguments: Arguments, bound: dict[str, str]) -> TCPEndpoint:
    own = tuple((key, bound[key]) for key in ("port", *_TCP_NAMES) if key in bound)
    return parse_tcp(replace(arguments, fields=own))


def _settings(arguments: Arguments, bound: dict[str, str], directory: str | None) -> TLSSettings:
    if directory is not None and not bound.keys().isdisjoint({"key", "cert", "chain"}):
        raise arguments.error("a directory of certificates or cert=FILE", bound.get("cert", ""))
    key = bound.get("key")
    certificate = bound.get("cert") or key or DEFAULT_CERTIFICATE
    client = bound.get("client", "required" if "ca" in bound else "none")
    if client not in ("none", "optional", "required"):
        raise arguments.error("client=required, client=optional or client=none", client)
    if client != "none" and "ca" not in bound:
        raise arguments.error("ca=FILE with client", client)
    minimum = ssl.TLSVersion.TLSv1_2
    if "min" in bound:
        try:
            minimum = parse_minimum(bound["min"])
        except ValueError:
            raise arguments.error("min=1.2 or min=1.3", bound["min"]) from None
    return TLSSettings(
        certificate=None if directory is not None else certificate,
        key=key,
        chain=bound.get("chain"),
        directory=directory,
        authorities=bound.get("ca"),
        client=client,
        minimum=minimum,
        ciphers=bound.get("ciphers"),
        dh_parameters=bound.get("dh"),
        password_file=bound.get(_PASSWORD),
    )


register("tls", _parse)
register("ssl", partial(_parse, may_be_directory=False))
