"""Addresses of programs that speak no HTTP. Those of servers are tested with their pool."""

from __future__ import annotations

import pytest

from container.client.address import parse_address


@pytest.mark.parametrize(
    ("text", "host", "port", "path", "spelt"),
    [
        ("unix:/run/a.sock", "localhost", 0, "/run/a.sock", "unix:/run/a.sock"),
        ("127.0.0.1:9000", "127.0.0.1", 9000, None, "127.0.0.1:9000"),
        ("tcp:localhost:80", "localhost", 80, None, "localhost:80"),
        ("[::1]:9000", "::1", 9000, None, "[::1]:9000"),
    ],
)
def test_addresses(text: str, host: str, port: int, path: str | None, spelt: str) -> None:
    address = parse_address(text)
    assert (address.host, address.port, address.path, address.tls) == (host, port, path, None)
    assert str(address) == spelt


@pytest.mark.parametrize(
    "text", ["", "unix:", "9000", ":9000", "a:", "a:0", "a:70000", "a:x", "::1:9000", "/run/a.sock"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="expected an address such as"):
        parse_address(text)
