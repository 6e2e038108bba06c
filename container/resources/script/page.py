"""The `request` of a page script: what came, and a place to write the answer."""

from typing import Any, BinaryIO

from container.message.headers import Headers
from container.message.request import Request
from container.message.response import Response


class Page:
    """All that a Request has, and besides: `write`, the `status` and `headers` of the answer, and the
    request's content as a file, `content`. The answer leaves when the script has ended."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._pieces: list[bytes] = []
        self.status = 200
        self.headers = Headers()
        self.content: BinaryIO = request.body.file()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)

    def write(self, data: str | bytes) -> None:
        """More of the answer; text is sent as UTF-8."""
        if isinstance(data, str):
            data = data.encode()
        elif not isinstance(data, bytes):
            raise TypeError(f"expected str or bytes for write(), got {type(data).__name__}")
        self._pieces.append(data)

    def answer(self) -> Response:
        return Response(b"".join(self._pieces), self.status, self.headers)
