"""Certificates for tests, made on the spot: an authority, what it issues, and contexts of clients."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

if TYPE_CHECKING:
    from pathlib import Path


class Authority:
    """One that clients trust; `path` is its own certificate."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.ca = trustme.CA()
        self.folder = folder
        self.path = folder / f"{name}.pem"
        self.ca.cert_pem.write_to_path(self.path)

    def issue(self, path: str, *names: str, common_name: str | None = None) -> Path:
        """Write a certificate for `names`, with its chain and key, into one file; replaced in one step."""
        leaf = self.ca.issue_cert(*names, common_name=common_name)
        target = self.folder / path
        target.parent.mkdir(exist_ok=True)
        fresh = target.with_name(target.name + ".new")
        leaf.private_key_and_cert_chain_pem.write_to_path(fresh)
        os.replace(fresh, target)
        return target

    def issue_apart(self, folder: str, *names: str) -> tuple[Path, Path]:
        """Certificate and key in two files."""
        leaf = self.ca.issue_cert(*names)
        target = self.folder / folder
        target.mkdir()
        leaf.cert_chain_pems[0].write_to_path(target / "fullchain.pem")
        leaf.private_key_pem.write_to_path(target / "privkey.pem")
        return target / "fullchain.pem", target / "privkey.pem"

    def client(self, certificate: Path | None = None) -> ssl.SSLContext:
        """The context of a client that trusts this authority, and may show a certificate of its own."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.path)
        if certificate is not None:
            context.load_cert_chain(certificate)
        return context


def locked(key: bytes, password: bytes, *, traditional: bool = False) -> bytes:
    """A key behind a password: PKCS#8, or as OpenSSL has written it of old."""
    form = PrivateFormat.TraditionalOpenSSL if traditional else PrivateFormat.PKCS8
    private = load_pem_private_key(key, None)
    return private.private_bytes(Encoding.PEM, form, BestAvailableEncryption(password))


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str | None) -> ssl.SSLObject:
    """A handshake in memory; the client's side of it. Raises what either side does."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client.check_hostname = name is not None
    asking = client.wrap_bio(to_client, to_server, server_hostname=name)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [asking, answering]
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
    return asking
