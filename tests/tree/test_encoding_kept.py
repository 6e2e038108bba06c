"""What is the same for everybody is encoded once: small files, and data in memory (EN-04, ST-27)."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING

import pytest

from container.encoders.gzip import Gzip
from container.message.fields import LastingBlock, encode_fields
from container.message.response import Response
from container.resources.data import Data
from container.resources.static import Files
from container.testing import Client
from container.tree.encoding import Encoded
from container.tree.resource import Resource
from tests.leaf import Leaf

if TYPE_CHECKING:
    from pathlib import Path

    from container.message.encoding import Compressor

TEXT = b"A line that comes again and again.\n" * 100
LONG = TEXT * 30  # more than is encoded on the loop
ACCEPT = {"Accept-Encoding": "gzip"}


class Counting(Gzip):
    """Counts what it encodes."""

    made = 0

    def make(self) -> Compressor:
        self.made += 1
        return super().make()


def resource(kind: str, path: Path, content: bytes) -> Resource:
    if kind == "data":
        root = Resource()
        root.mount("a.txt", Data(content, "text/plain"))
        return root
    (path / "a.txt").write_bytes(content)
    return Files(path)


@pytest.mark.parametrize("content", [TEXT, LONG], ids=["on the loop", "in a thread"])
@pytest.mark.parametrize("kind", ["data", "file"])
def test_it_is_encoded_once(kind: str, content: bytes, tmp_path: Path) -> None:
    encoder = Counting()
    with Client(Encoded(resource(kind, tmp_path, content), [encoder])) as client:
        first, second, third = (client.get("/a.txt", headers=ACCEPT) for _ in range(3))
        assert gzip.decompress(first.body) == content
        assert second.body == third.body == first.body
        assert list(second.headers.items()) == list(first.headers.items())
        assert encoder.made == 1
        head = client.head("/a.txt", headers=ACCEPT)
        assert (head.headers["Content-Length"], head.body) == (str(len(first.body)), b"")
        assert client.get("/a.txt").body == content
        assert client.get("/a.txt", headers=ACCEPT | {"Range": "bytes=0-599"}).body == content[:600]
        assert client.get("/a.txt", headers=ACCEPT | {"If-None-Match": first.headers["ETag"]}).status == 304


def test_a_file_that_has_changed_is_encoded_anew(tmp_path: Path) -> None:
    encoder = Counting()
    files = Files(tmp_path)
    files._clock = lambda: now
    now = 0.0
    (tmp_path / "a.txt").write_bytes(TEXT)
    with Client(Encoded(files, [encoder])) as client:
        assert gzip.decompress(client.get("/a.txt", headers=ACCEPT).body) == TEXT
        (tmp_path / "a.txt").write_bytes(TEXT.upper())
        os.utime(tmp_path / "a.txt", (1_000_000_000, 1_000_000_000))
        now = 10.0
        assert gzip.decompress(client.get("/a.txt", headers=ACCEPT).body) == TEXT.upper()
    assert encoder.made == 2


def test_each_encoder_has_its_own() -> None:
    """The same content below two wrappers, at two levels."""
    root, data = Resource(), Data(TEXT, "text/plain")
    fast, small = Counting(level=1), Counting(level=9)
    root.mount("fast", Encoded(data, [fast]))
    root.mount("small", Encoded(data, [small]))
    with Client(root) as client:
        for name in ("fast", "small", "fast", "small"):
            assert gzip.decompress(client.get(f"/{name}", headers=ACCEPT).body) == TEXT
    assert (fast.made, small.made) == (1, 1)


def test_any_other_answer_is_encoded_each_time() -> None:
    """Even one that is given twice: nobody knows whether a third will come."""
    encoder = Counting()
    response = Response(TEXT)
    with Client(Encoded(Leaf(lambda request: response), [encoder])) as client:
        client.get("/", headers=ACCEPT)
        client.get("/", headers=ACCEPT)
    assert encoder.made == 2


def test_only_so_many_are_kept() -> None:
    fields = encode_fields([("A", "1")])
    block = LastingBlock(fields.fields, fields.lines, fields.kinds, 3)
    encoders = [object() for _ in range(20)]
    for encoder in encoders:
        block.keep(encoder, b"x")
        assert block.sized(3).coded(encoder) == b"x"
    assert sum(block.coded(encoder) is not None for encoder in encoders) <= 8
