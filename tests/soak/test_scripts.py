"""Handlers, Python scripts and PHP under strain: a gigabyte each, for clients that do not read."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.soak.conftest import Memory
from tests.system.fpm import php_fpm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.soak.conftest import Server

pytestmark = pytest.mark.soak
MIB = 1 << 20
SCRIPT = """
from container import Resource, Response

class Large(Resource):
    is_leaf = True

    def get(self, request):
        return Response(b"small" if request.path_info == "/small" else self.pieces())

    async def pieces(self):
        for _ in range(1 << 14):
            yield bytes(1 << 16)

resource = Large()
"""
PAGE = """<?php
if ($_SERVER['PATH_INFO'] === '/small') die('small');
for ($i = 0; $i < 16384; $i++) echo str_repeat('x', 65536);
"""


def test_a_gigabyte_for_clients_that_do_not_read_stays_where_it_is_made(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    """One thread, one process each: when its client has left it is there for the next."""
    (tmp_path / "large.rpy").write_text(SCRIPT)
    (tmp_path / "fpm").mkdir()
    (tmp_path / "large.php").write_text(PAGE)
    with php_fpm(tmp_path / "fpm", "pm.max_children = 1") as address, ExitStack() as until_left:
        server = start(
            "--threads", 1, "--mount", "/old=handler:old_handler:Old", "--mount", f"/rpy=script:{tmp_path}/large.rpy",
            "--mount", f"/php=fastcgi:{address}={tmp_path}/large.php", "--no-access-log",
        )  # fmt: skip
        places = ("/old", "/rpy", "/php")
        assert [server.get(f"{place}/small") for place in places] == [b"small"] * 3
        open_files = server.open_files()
        with Memory(server) as memory:
            for place in places:
                client = until_left.enter_context(server.connect(receive_buffer=4096))
                client.sendall(server.head(f"{place}/large"))
                assert client.recv(16).startswith(b"HTTP/1.1 200")
            time.sleep(3)  # long enough for the whole of it, were nobody to stop it
            assert server.is_answering()
        assert memory.growth < 8 * MIB
        until_left.pop_all().close()
        assert [server.get(f"{place}/small") for place in places] == [b"small"] * 3
        until = time.monotonic() + 10
        while server.open_files() > open_files:
            assert time.monotonic() < until, "as many descriptors as before"
            time.sleep(0.05)
