"""A proxy whose upstream is stopped, killed and started again, all of them processes of their own (PX-01, PX-03)."""

from __future__ import annotations

import http.client
import os
import signal
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.system.conftest import PATIENCE_S
from tests.system.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.system.conftest import Running

UPSTREAM = """
from container import Application, Resource, Response, Site


class Endless(Resource):
    async def get(self, request):
        return Response(self.pieces())

    async def pieces(self):
        while True:
            yield b"x" * 65536


class Hello(Resource):
    def get(self, request):
        return Response.text("hello")


root = Resource()
root.mount("", Hello())
root.mount("endless", Endless())
application = Application("upstream")
application.serve(Site(root), "tcp:{port}:interface=127.0.0.1")
"""
PROXY = """
from container import Application, ClientTimeouts, ReverseProxy, Site

timeouts = ClientTimeouts(connect=1, answer=1, read=1, idle=1)
application = Application("proxy")
application.serve(Site(ReverseProxy("http://127.0.0.1:{port}", timeouts=timeouts)), "tcp:0:interface=127.0.0.1")
"""


def test_whatever_becomes_of_the_upstream(start: Callable[..., Running], tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "upstream.tac").write_text(UPSTREAM.format(port=port))
    (tmp_path / "proxy.tac").write_text(PROXY.format(port=port))
    proxy = start("-y", "proxy.tac")

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{proxy.process.pid}/fd"))

    assert proxy.fetch("/").status == 502  # it is not there yet
    before = descriptors()
    upstream = start("-y", "upstream.tac")
    assert proxy.fetch("/").body == b"hello"
    upstream.send(signal.SIGSTOP)
    try:
        assert proxy.fetch("/").status == 504
    finally:
        upstream.send(signal.SIGCONT)
    assert proxy.fetch("/").body == b"hello"
    client = http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=PATIENCE_S)
    client.request("GET", "/endless")
    answer = client.getresponse()
    assert len(answer.read(1 << 20)) == 1 << 20
    upstream.send(signal.SIGKILL)
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        answer.read()
    client.close()
    assert proxy.fetch("/").status == 502
    start("-y", "upstream.tac")
    assert proxy.fetch("/").body == b"hello"
    until = time.monotonic() + PATIENCE_S
    while descriptors() > before and time.monotonic() < until:
        time.sleep(0.1)  # connections that are kept are closed in time
    assert descriptors() == before
    assert proxy.stop() == 0
    assert "Traceback" not in "\n".join(proxy.lines)
