"""The codings themselves (EN-04, EN-06): what was encoded decodes to what it was, as soon as it was flushed."""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Any

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.encoders import brotli as brotli_coding
from container.encoders import zstd as zstd_coding
from container.encoders.brotli import Brotli
from container.encoders.deflate import Deflate
from container.encoders.gzip import Gzip
from container.encoders.levels import MissingLibrary
from container.encoders.zstd import Zstd

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable

    from container.message.encoding import Encoder


def decompressor(name: str) -> Callable[[bytes], bytes]:
    """Takes coded content piece by piece."""
    if name == "br":
        return brotli.Decompressor().process  # type: ignore[no-any-return]
    if name == "zstd":
        return zstd.ZstdDecompressor().decompress
    return zlib.decompressobj(47).decompress


EVERY = pytest.mark.parametrize("encoder", [Gzip(), Deflate(), Brotli(), Zstd()], ids=lambda each: each.name)
LEVELS = [(Gzip, 1, 9), (Deflate, 1, 9), (Brotli, 0, 11), (Zstd, 1, 19)]


@EVERY
@given(pieces=st.lists(st.one_of(st.binary(max_size=300), st.text("ab", max_size=900).map(str.encode))))
def test_every_flushed_piece_can_be_decoded_at_once(encoder: Encoder, pieces: list[bytes]) -> None:
    """EN-04: streaming stays streaming."""
    stream, decode = encoder.make(), decompressor(encoder.name)
    for piece in pieces:
        if piece:
            assert decode(stream.compress(piece) + stream.flush()) == piece
    assert decode(stream.finish()) == b""


@EVERY
@given(pieces=st.lists(st.binary(max_size=300)))
def test_a_whole_can_be_decoded(encoder: Encoder, pieces: list[bytes]) -> None:
    stream = encoder.make()
    coded = b"".join([*map(stream.compress, pieces), stream.finish()])
    assert decompressor(encoder.name)(coded) == b"".join(pieces)


@EVERY
def test_the_same_content_gives_the_same_bytes(encoder: Encoder) -> None:
    def coded() -> bytes:
        stream = encoder.make()
        return stream.compress(b"abc" * 1000) + stream.finish()

    assert coded() == coded()
    assert len(coded()) < 100


@pytest.mark.parametrize(("kind", "least", "most"), LEVELS)
def test_a_level_is_checked(kind: Any, least: int, most: int) -> None:
    for level in (least, most):
        stream = kind(level=level).make()
        assert decompressor(kind.name)(stream.compress(b"abc") + stream.finish()) == b"abc"
        assert f"level={level}" in repr(kind(level=level))
    for level in (least - 1, most + 1, "6", True, None):
        with pytest.raises(ValueError, match=f"expected a level from {least} to {most}"):
            kind(level=level)


@pytest.mark.parametrize(
    ("module", "name", "kind", "extra"),
    [(brotli_coding, "brotli", Brotli, "brotli"), (zstd_coding, "zstd", Zstd, "zstd")],
)
def test_a_library_that_is_missing_is_told_when_it_is_configured(
    module: Any, name: str, kind: Any, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, None)
    with pytest.raises(MissingLibrary, match=f'pip install "container-server\\[{extra}\\]"'):
        kind()
