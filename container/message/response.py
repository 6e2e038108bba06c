"""What to say: a status, fields and content. A value: it may be built once and returned for ever.

Hot path: a Response whose content is bytes is encoded on its first send and is frozen from then on.
Sending it is the exchange's work; error pages are made in `tree/pages.py`.
"""

import json
from collections.abc import AsyncIterable, Iterable
from typing import TYPE_CHECKING, Self

from container.message.fields import FieldBlock, LastingBlock
from container.message.file_body import FileBody
from container.message.headers import Headers, HeaderSource
from container.message.status import check_status

if TYPE_CHECKING:
    from typing import Unpack

    from container.message.cookies import CookieAttributes, CookieScope

Content = bytes | Iterable[bytes] | AsyncIterable[bytes]

HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


class Response:
    """A final response (RFC 9110 15).

    `body`: bytes are sent with their length; str is encoded as UTF-8; a FileBody leaves without being read,
    where that is possible; a sync or async iterable of bytes is streamed as it yields, and closed. Iterables
    and files are used once: build a new Response for every request.
    Content without a Content-Type is `text/html; charset=utf-8`.
    """

    __slots__ = ("body", "headers", "reason", "sealed", "status")

    def __init__(
        self,
        body: Content | str = b"",
        status: int = 200,
        headers: HeaderSource = None,
        *,
        content_type: str | None = None,
        reason: str = "",
    ) -> None:
        self.status = check_status(status)
        self.reason = reason
        self.headers = Headers(headers)
        # The header section once it has been sent.
        self.sealed: FieldBlock | None = None
        self.body: Content = body.encode() if isinstance(body, str) else body
        if content_type is not None:
            self.headers.set("Content-Type", content_type)
        elif not (isinstance(self.body, bytes) and not self.body) and "Content-Type" not in self.headers:
            self.headers.add("Content-Type", HTML)

    def block(self) -> FieldBlock:
        """The encoded header section. Raises ValueError when a field cannot go to the wire."""
        block = self.headers.freeze()
        if isinstance(self.body, FileBody) and block.length < 0:
            block = block.sized(self.body.count)
        self.sealed = block
        return block

    def keep_codings(self) -> None:
        """Freeze it, for it is given again and again: what its content is encoded to is kept as long as it is."""
        assert isinstance(self.body, bytes), "content that is there"
        block = self.headers.freeze()
        self.sealed = LastingBlock(block.fields, block.lines, block.kinds, block.length)

    def copy(self) -> "Response":
        """An equal response that can still be changed."""
        clone = Response.__new__(type(self))
        clone.status, clone.reason, clone.body = self.status, self.reason, self.body
        clone.headers = self.headers.copy()
        clone.sealed = None
        return clone

    def set_cookie(self, name: str, value: str, **attributes: "Unpack[CookieAttributes]") -> None:
        """Add a cookie (RFC 6265 4.1); the attributes are those of `message.cookies.set_cookie`.

        Raises ValueError for what cannot be in a cookie, ExchangeStateError when the headers have been sent.
        """
        from container.message.cookies import set_cookie

        self.headers.add("Set-Cookie", set_cookie(name, value, **attributes))

    def delete_cookie(self, name: str, **attributes: "Unpack[CookieScope]") -> None:
        """Make the client forget a cookie: pass the path and domain it was set with."""
        from container.message.cookies import delete_cookie

        self.headers.add("Set-Cookie", delete_cookie(name, **attributes))

    @classmethod
    def html(cls, text: str, status: int = 200, headers: HeaderSource = None) -> Self:
        return cls(text, status, headers, content_type=HTML)

    @classmethod
    def text(cls, text: str, status: int = 200, headers: HeaderSource = None) -> Self:
        return cls(text, status, headers, content_type=TEXT)

    @classmethod
    def json(cls, value: object, status: int = 200, headers: HeaderSource = None) -> Self:
        """`value` as JSON (RFC 8259), compact, UTF-8. Raises TypeError for what JSON cannot say."""
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return cls(text, status, headers, content_type=JSON)

    @classmethod
    def redirect(cls, url: str, status: int = 302) -> Self:
        """A redirection (RFC 9110 15.4) with a short page for those who do not follow it.

        `url` may be relative; characters a URI cannot hold are percent-encoded, so a target taken from a
        request cannot break out of its field.
        """
        from html import escape
        from urllib.parse import quote

        if status not in (301, 302, 303, 307, 308):
            raise ValueError(f"expected a redirect status (301, 302, 303, 307 or 308), got {status}")
        location = quote(url, safe="%/:?#[]@!$&'()*+,;=~-._")
        link = escape(location)
        page = f'<!doctype html>\n<title>Redirect</title>\n<p>See <a href="{link}">{link}</a>.\n'
        return cls(page, status, {"Location": location}, content_type=HTML)

    def __repr__(self) -> str:
        size = f"{len(self.body)} bytes" if isinstance(self.body, bytes) else "streamed"
        return f"<Response {self.status} {size}>"
