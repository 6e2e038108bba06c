"""Content codings under an ASGI server that the test plays: EN-01, EN-03, EN-04 as under our own."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from container import Encoded, Gzip, Resource, Response, Site
from container.service.hosted import as_asgi
from tests.leaf import Leaf
from tests.service.test_hosted import END, Host, fetch, run, scope_of, turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from container.message.headers import Headers
    from container.message.request import Request

TEXT = b"A line that comes again and again.\n" * 100
LARGE = TEXT * 300
TAKES = (b"accept-encoding", b"gzip")


def text(content: Any, **fields: str) -> Response:
    return Response(content, headers={"Content-Type": "text/plain", **fields})


def encoded(response: Response) -> Resource:
    return Encoded(Leaf(lambda request: response), [Gzip()])


@pytest.mark.parametrize("content", [TEXT, LARGE], ids=len)
def test_a_whole_answer_is_encoded_and_has_its_length(content: bytes) -> None:
    async def main() -> None:
        host = await fetch(encoded(text(content, ETag='"x"')), "/", TAKES)
        fields = dict(host.fields)
        assert fields[b"content-encoding"] == b"gzip"
        assert (fields[b"vary"], fields[b"etag"]) == (b"Accept-Encoding", b'W/"x"')
        assert int(fields[b"content-length"]) == len(host.content) < len(content)
        assert gzip.decompress(host.content) == content
        plain = await fetch(encoded(text(content)))
        assert (plain.content, dict(plain.fields)[b"content-length"]) == (content, b"%d" % len(content))

    run(main())


@pytest.mark.parametrize("length", [None, "9"])
def test_a_stream_can_be_decoded_as_it_comes(length: str | None) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one", b"two", b"six"):
            yield piece
            await turns()

    async def main() -> None:
        response = text(pieces(), **({"Content-Length": length} if length else {}))
        host = await fetch(Encoded(Leaf(lambda request: response), [Gzip()], minimum=0), "/", TAKES)
        assert b"content-length" not in dict(host.fields)
        decoder = zlib.decompressobj(31)
        bodies = [each["body"] for each in host.said if "body" in each]
        assert [piece for body in bodies if (piece := decoder.decompress(body))] == [b"one", b"two", b"six"]
        assert decoder.eof

    run(main())


def test_a_head_says_what_content_would_be_encoded_to() -> None:
    async def main() -> None:
        host = await fetch(encoded(text(TEXT)), "/", TAKES, method="HEAD")
        assert dict(host.fields)[b"content-encoding"] == b"gzip"
        assert (b"content-length" in dict(host.fields), host.content) == (False, b"")

    run(main())


def test_a_client_that_takes_nothing_is_told_so() -> None:
    async def main() -> None:
        host = await fetch(Site(encoded(text(TEXT))), "/", (b"accept-encoding", b"identity;q=0, br"))
        assert host.status == 406

    run(main())


def test_hooks_come_before_the_coding_and_may_take_their_time() -> None:
    async def hook(status: int, headers: Headers) -> None:
        await turns()
        headers.set("Content-Type", "text/css")

    def answer(request: Request) -> Response:
        request.exchange.before_head(hook)
        return Response(TEXT, headers={"Content-Type": "image/png"})

    async def main() -> None:
        host = await fetch(Encoded(Leaf(answer), [Gzip()]), "/", TAKES)
        assert dict(host.fields)[b"content-encoding"] == b"gzip"
        assert gzip.decompress(host.content) == TEXT

    run(main())


def test_an_encoder_that_fails_gives_no_whole_answer() -> None:
    class Broken:
        name = "gzip"

        def make(self) -> Any:
            return self

        def compress(self, data: bytes) -> bytes:
            raise RuntimeError("as the test wants it")

    async def main() -> None:
        leaf = Leaf(lambda request: text(TEXT))
        host = Host(as_asgi(Encoded(leaf, [Broken()])), scope_of("/", TAKES), END)
        with pytest.raises(RuntimeError, match="as the test wants it"):
            await host()
        assert not any(each.get("more_body") is False for each in host.said)

    run(main())
