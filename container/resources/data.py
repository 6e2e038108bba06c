"""Data: bytes in memory, served as they are. Hot path: the answers are built once and returned for ever."""

from hashlib import blake2b

from container.message.conditional import not_modified
from container.message.request import Request
from container.message.response import Response
from container.message.selection import ACCEPT_RANGES, is_plain, judge, partial
from container.resources.media_types import content_type
from container.tree.resource import Resource


class Data(Resource):
    """Content that does not change while it is mounted, with a strong validator (RFC 9110 8.8.3).

    `content`: bytes of type `media_type`, or text, which is sent as UTF-8 and says so. As the root of a site
    it answers `/`.
    """

    def __init__(self, content: bytes | str, media_type: str) -> None:
        if isinstance(content, str):
            content, media_type = content.encode(), content_type(media_type)
        raw = bytes(content)
        self.etag = f'"{blake2b(raw, digest_size=16).hexdigest()}"'
        self._response = Response(raw, content_type=media_type)
        self._response.headers.add("ETag", self.etag)
        self._response.headers.add(*ACCEPT_RANGES)
        self._content = raw
        self._response.keep_codings()  # and an illegal type is an error now, not with every request
        self._not_modified = not_modified(self._response.headers)

    def child(self, name: str, request: Request) -> Resource | None:
        return self if request.raw_path[request.base : request.consumed] == b"/" else None

    def get(self, request: Request) -> Response:
        if is_plain(request):
            return self._response
        verdict = judge(request, len(self._content), etag=self.etag, last_modified=None)
        if isinstance(verdict, list):
            return partial(self._content, verdict, self._response.headers.items())
        return self._response if verdict is None else self._not_modified
