"""From an endpoint back to the string that stands for it: the reverse of `parse_endpoint`."""

from __future__ import annotations

import socket
import ssl
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

if TYPE_CHECKING:
    from collections.abc import Iterable

    from container.channel.certificates import TLSSettings
    from container.channel.endpoints import Endpoint


def describe_endpoints(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """The options that stand for them; a host of one word, which no address may have, is one of its own."""
    listed: list[str] = []
    by_name: dict[str, Any] = {}
    for each in endpoints:
        spelt = spell_endpoint(each)
        if isinstance(each, TCPEndpoint) and not by_name and not _is_address(spelt):
            by_name = {"host": each.host, "port": each.port}
            by_name |= {"backlog": each.backlog} if each.backlog != DEFAULT_BACKLOG else {}
        else:
            listed.append(spelt)
    return ({"listen": listed} if listed or not by_name else {}) | by_name


def _is_address(text: str) -> bool:
    try:
        parse_endpoint(text)
    except EndpointError:
        return False
    return True


def spell_endpoint(endpoint: Endpoint) -> str:
    """The shortest string that stands for it; its repr when it is somebody else's."""
    if isinstance(endpoint, ProxiedEndpoint):
        return f"haproxy:{spell_endpoint(endpoint.inner)}"
    if isinstance(endpoint, TLSEndpoint) and isinstance(endpoint.inner, TCPEndpoint):
        directory = endpoint.settings.directory
        place = [_escaped(directory)] if directory is not None else []
        fields = [*_tls(endpoint.settings), *_tcp(endpoint.inner, interface=True)]
        return ":".join(["tls", *place, str(endpoint.inner.port), *fields])
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
    }
    return [f"{name}={_escaped(value)}" for name, value in said.items() if value is not None]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(":", "\\:").replace("=", "\\=")
