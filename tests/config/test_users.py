"""What `--user-dirs` builds, with a real server behind the socket of a user."""

import asyncio
import os
import pwd
from pathlib import Path

import pytest

from container.config.settings import Settings
from container.config.users import user_directories
from container.testing import AsyncClient
from container.tree.site import Site


def test_the_server_of_a_user_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """DI-03, CL-01: over its UNIX socket, told of the mount point."""
    uid = max(os.getuid(), 1000)
    entry = pwd.struct_passwd(("mary", "x", uid, 1, "", str(tmp_path), "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwnam", {"mary": entry}.__getitem__)
    monkeypatch.setattr("container.resources.userdir.personal.listener_of", lambda path: uid)
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nhers")
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_unix_server(answer, tmp_path / ".container-web-service")
        async with server, AsyncClient(Site(user_directories("public_html", Settings()))) as client:
            assert (await client.get("/mary.container/a")).text == "hers"

    asyncio.run(main())
    assert heads[0].startswith(b"GET /a HTTP/1.1\r\n")
    assert b"X-Forwarded-Prefix: /mary.container\r\n" in heads[0]
