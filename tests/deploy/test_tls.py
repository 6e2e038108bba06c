"""`deploy/tls.tac`: TLS with certificates as certbot keeps them, and everybody sent there."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import trustme

from tests.deploy.options import DEPLOY
from tests.system.conftest import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path


def test_everybody_is_sent_to_tls(start: Any, tmp_path: Path) -> None:
    authority = trustme.CA()
    for name in ("shop.example", "www.shop.example"):
        certificate = authority.issue_cert(name)
        place = tmp_path / "live" / name
        place.mkdir(parents=True)
        certificate.private_key_pem.write_to_path(place / "privkey.pem")
        for pem in certificate.cert_chain_pems:
            pem.write_to_path(place / "fullchain.pem", append=True)
    (tmp_path / "live" / "README").write_text("This directory contains your keys and certificates.\n")
    for name in ("html/index.html", "acme/.well-known/acme-challenge/token"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(name)
    text = (DEPLOY / "tls.tac").read_text()
    for old, new in {
        "tls:/etc/letsencrypt/live:443": f"tls:{tmp_path}/live:0",
        "tcp:80": "tcp:0",
        "/var/www": str(tmp_path),
    }.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "tls.tac").write_text(text)
    running = start("-y", "tls.tac", addresses=2)
    ports = {urlsplit(url).scheme: urlsplit(url).port for url in running.urls}

    plain = running.fetch(
        "/a%20b?c=d", headers={"Host": "shop.example:80"}, url=f"http://127.0.0.1:{ports['http']}"
    )
    assert (plain.status, plain.headers["Location"]) == (308, "https://shop.example/a%20b?c=d")
    challenge = running.fetch("/.well-known/acme-challenge/token", url=f"http://127.0.0.1:{ports['http']}")
    assert challenge.body == b"acme/.well-known/acme-challenge/token"

    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    for name in ("shop.example", "www.shop.example"):
        raw = socket.create_connection(("127.0.0.1", ports["https"] or 0), PATIENCE_S)
        with trusting.wrap_socket(raw, server_hostname=name) as client:
            client.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            said = b"".join(iter(lambda: client.recv(4096), b""))
        assert said.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nStrict-Transport-Security: max-age=" in said
        assert said.endswith(b"\r\n\r\nhtml/index.html")
