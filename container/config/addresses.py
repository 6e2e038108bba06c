"""From an endpoint back to the string that stands for it: the reverse of `parse_endpoint`."""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from container.channel.endpoints import (
    DEFAULT_BACKLOG,
    DEFAULT_UNIX_MODE,
    EndpointError,
    FDEndpoint,
    ProxiedEndpoint,
    SystemdEndpoint,
    TCPEndpoint,
    TLSEndpoint,
    UnixEndpoint,
    parse_endpoint,
)
from container.config.gateways import spell_peers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container.channel.certificates import TLSSettings
    from container.channel.endpoints import Endpoint
    from container.channel.endpoints.haproxy import Network


def describe_endpoints(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The options that stand for them. What no address can say is said by options of its own: a host of one word; TLS
    on UNIX sockets and a PROXY header before either, which then hold for all that have none."""
    table: dict[str, Any] = {}
    if len(peers := _peers_of(endpoints)) == 1 and (networks := peers.pop()) is not None:
        table["proxy-allow-from"] = spell_peers(networks)
    if (settings := _tls_for_options(endpoints)) is not None:
        table |= _tls_options(settings)
        endpoints = [_without_tls(each) if _tls_of(each) == settings else each for each in endpoints]
    if any(map(_is_odd, endpoints)) and all(isinstance(each, ProxiedEndpoint) for each in endpoints):
        table["proxy-protocol"] = True
        endpoints = [_without_header(each) for each in endpoints]
    listed: list[str] = []
    for each in endpoints:
        if isinstance(each, TCPEndpoint) and "host" not in table and _is_odd(each):
            table |= {"host": each.host, "port": each.port}
            table |= {"backlog": each.backlog} if each.backlog != DEFAULT_BACKLOG else {}
        else:
            listed.append(spell_endpoint(each))
    return ({"listen": listed} if listed or "host" not in table else {}) | table


def untold_of(endpoints: Sequence[Endpoint]) -> list[str]:
    """Remarks on what is not told of them: passwords, and what options would say of all."""
    remarks = []
    if any((tls := _tls_of(each)) is not None and tls.password is not None for each in endpoints):
        remarks.append("# a password that is not told: --ssl-keyfile-password")
    if len(_peers_of(endpoints)) > 1:
        remarks.append("# who may send PROXY headers is told by Python only")
    return remarks


def _peers_of(endpoints: Sequence[Endpoint]) -> set[tuple[Network, ...] | None]:
    """Who may send PROXY headers, at addresses that take them."""
    return {each.policy.peers for each in endpoints if isinstance(each, ProxiedEndpoint)}


def _tls_of(endpoint: Endpoint) -> TLSSettings | None:
    inner = endpoint.inner if isinstance(endpoint, ProxiedEndpoint) else endpoint
    return inner.settings if isinstance(inner, TLSEndpoint) else None


def _tls_for_options(endpoints: Sequence[Endpoint]) -> TLSSettings | None:
    """That of an address which cannot tell it itself, where options can. They would speak of any without TLS, too."""
    settings = next((_tls_of(each) for each in endpoints if _is_odd(each)), None)
    if settings is None or None in map(_tls_of, endpoints):
        return None
    return settings if _is_of_options(settings) else None


def _without_tls(endpoint: Endpoint) -> Endpoint:
    if isinstance(endpoint, ProxiedEndpoint):
        return replace(endpoint, inner=_without_tls(endpoint.inner))
    return endpoint.inner if isinstance(endpoint, TLSEndpoint) else endpoint


def _without_header(endpoint: Endpoint) -> Endpoint:
    if isinstance(endpoint, ProxiedEndpoint) and endpoint == ProxiedEndpoint(endpoint.inner):
        return endpoint.inner
    return endpoint


def _is_of_options(settings: TLSSettings) -> bool:
    """Do the options of the command say all of it?"""
    others = settings.chain, settings.directory, settings.dh_parameters, settings.hook
    return settings.certificate is not None and others == (None, None, None, None)


def _tls_options(settings: TLSSettings) -> dict[str, str]:
    usual = "none" if settings.authorities is None else "required"
    said = {
        "ssl-certfile": settings.certificate,
        "ssl-keyfile": settings.key,
        "ssl-keyfile-password-file": settings.password_file,
        "ssl-ca-certs": settings.authorities,
        "ssl-client": settings.client if settings.client != usual else None,
        "ssl-min-version": "1.3" if settings.minimum is ssl.TLSVersion.TLSv1_3 else None,
        "ssl-ciphers": settings.ciphers,
    }
    return {name: value for name, value in said.items() if value is not None}


def _is_odd(endpoint: Endpoint) -> bool:
    """Can no address say what it is?"""
    try:
        parse_endpoint(spell_endpoint(endpoint))
    except EndpointError:
        return True
    return False


def spell_endpoint(endpoint: Endpoint) -> str:
    """The shortest string that stands for it, or that tells of it when none does."""
    if isinstance(endpoint, ProxiedEndpoint):
        return f"haproxy:{spell_endpoint(endpoint.inner)}"
    if isinstance(endpoint, TLSEndpoint) and isinstance(endpoint.inner, TCPEndpoint):
        directory = endpoint.settings.directory
        place = [_escaped(directory)] if directory is not None else []
        fields = [*_tls(endpoint.settings), *_tcp(endpoint.inner, interface=True)]
        return ":".join(["tls", *place, str(endpoint.inner.port), *fields])
    if isinstance(endpoint, TLSEndpoint):  # for people: no address can say that
        return f"tls:{spell_endpoint(endpoint.inner)}"
    if isinstance(endpoint, TCPEndpoint):
        return _spell_tcp(endpoint)
    if isinstance(endpoint, UnixEndpoint):
        return ":".join(["unix", _escaped(endpoint.path), *_unix(endpoint)])
    if isinstance(endpoint, FDEndpoint):
        return f"fd:{endpoint.descriptor}"
    return _spell_systemd(endpoint) if isinstance(endpoint, SystemdEndpoint) else repr(endpoint)


def _spell_systemd(endpoint: SystemdEndpoint) -> str:
    which = f"index={endpoint.index}" if endpoint.name is None else f"name={_escaped(endpoint.name)}"
    return f"systemd:{which}" + (f":domain={endpoint.domain}" if endpoint.domain is not None else "")


def _spell_tcp(endpoint: TCPEndpoint) -> str:
    more = ":".join(_tcp(endpoint, interface=False))
    more = f":{more}" if more else ""
    if endpoint.host is None:
        return f"tcp:{endpoint.port}{more}"
    if endpoint.family is socket.AF_INET6 and ":" not in endpoint.host:
        return f"tcp6:{endpoint.port}:interface={_escaped(endpoint.host)}{more}"
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"{host}:{endpoint.port}{more}"


def _tcp(endpoint: TCPEndpoint, *, interface: bool) -> list[str]:
    fields = []
    if interface and endpoint.host is not None:
        fields.append(f"interface={_escaped(endpoint.host)}")
    if endpoint.backlog != DEFAULT_BACKLOG:
        fields.append(f"backlog={endpoint.backlog}")
    return fields + (["reuse_port=1"] if endpoint.reuse_port else [])


def _unix(endpoint: UnixEndpoint) -> list[str]:
    fields = []
    if endpoint.mode != DEFAULT_UNIX_MODE:
        fields.append(f"mode={endpoint.mode:o}")
    if endpoint.backlog != DEFAULT_BACKLOG:
        fields.append(f"backlog={endpoint.backlog}")
    for name, number in (("owner", endpoint.owner), ("group", endpoint.group)):
        if number != -1:
            fields.append(f"{name}={number}")
    if endpoint.peers is not None:
        fields.append("peers=" + ",".join(map(str, sorted(endpoint.peers))))
    return fields


def _tls(settings: TLSSettings) -> list[str]:
    said = {
        "cert": settings.certificate,
        "key": settings.key,
        "chain": settings.chain,
        "ca": settings.authorities,
        "client": settings.client if settings.client not in ("none", "required") else None,
        "min": "1.3" if settings.minimum is ssl.TLSVersion.TLSv1_3 else None,
        "ciphers": settings.ciphers,
        "dh": settings.dh_parameters,
        "passfile": settings.password_file,
    }
    return [f"{name}={_escaped(value)}" for name, value in said.items() if value is not None]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(":", "\\:").replace("=", "\\=")
