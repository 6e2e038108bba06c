"""Form content as values: the query of a target, and bodies of the two form media types.

`application/x-www-form-urlencoded` follows the WHATWG URL standard (5.1), `multipart/form-data` is in
`multipart.py`. The parser is pushed: whoever reads the body calls `FormParser.feed`, so the same code serves
threads and the loop. What comes out is in `form_data.py`. Reading the body, and the moment at which a resource asks
for its form, are not here.

Text is UTF-8; what is not valid becomes U+FFFD. A `charset` parameter is not obeyed, as in browsers.
"""

from collections.abc import Iterator
from typing import Protocol
from urllib.parse import unquote_to_bytes

from container.message.form_data import FormData, Params, text_of
from container.message.form_limits import FormError, FormLimits, check_size
from container.message.multipart import MultipartDecoder


def parse_query(query: str | bytes, *, max_pairs: int = 1000) -> Params:
    """The pairs of a query without its "?". "&" separates, ";" does not; "+" is a space.

    Repeated names keep all values in order; `a=` and `a` both give an empty value; nothing between two "&"
    gives no pair. Raises FormError 400 above `max_pairs`.
    """
    raw = query.encode("utf-8", "surrogatepass") if isinstance(query, str) else query
    return Params((text_of(name), text_of(value)) for name, value in _split_pairs(raw, max_pairs, 400))


class FormParser:
    """Turns the content of one form into a FormData: `feed` it as it comes, then `finish`.

    `feed` does no I/O except that a file above `limits.spool_bytes` is written to an anonymous temporary
    file. After an error, or after `close`, nothing is left open; after `finish` the files are the FormData's.
    """

    __slots__ = ("_decoder",)

    def __init__(self, content_type: str, *, limits: FormLimits | None = None) -> None:
        limits = limits or FormLimits()
        media_type = content_type.partition(";")[0].strip().lower()
        self._decoder: _Decoder | None
        if media_type == "application/x-www-form-urlencoded":
            self._decoder = _Urlencoded(limits)
        elif media_type == "multipart/form-data":
            self._decoder = MultipartDecoder(content_type, limits)
        else:
            raise FormError(415, f"expected a form, got content of type {media_type!r}")

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the content. Raises FormError 400 or 413."""
        decoder = self._opened()
        try:
            decoder.feed(data)
        except BaseException:
            self.close()
            raise

    def finish(self) -> FormData:
        """The form, once all content was fed. Raises FormError 400 when it is not complete, or 413."""
        decoder = self._opened()
        try:
            form = decoder.finish()
        except BaseException:
            self.close()
            raise
        self._decoder = None
        return form

    def close(self) -> None:
        """Give up: close what is open. Without effect after `finish`."""
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            decoder.close()

    def _opened(self) -> "_Decoder":
        if self._decoder is None:
            raise RuntimeError("expected an open form parser, got one that finished, failed or was closed")
        return self._decoder


class _Decoder(Protocol):
    """One media type's part of FormParser."""

    def feed(self, data: bytes) -> None: ...
    def finish(self) -> FormData: ...
    def close(self) -> None: ...


class _Urlencoded:
    """Collects the content, which is small by limit, and decodes it at the end."""

    __slots__ = ("_content", "_limits")

    def __init__(self, limits: FormLimits) -> None:
        self._content = bytearray()
        self._limits = limits

    def feed(self, data: bytes) -> None:
        check_size("bytes of text", len(self._content) + len(data), self._limits.max_text_bytes)
        self._content += data

    def finish(self) -> FormData:
        pairs = []
        for name, value in _split_pairs(bytes(self._content), self._limits.max_fields, 413):
            check_size("bytes in a field", len(value), self._limits.max_field_bytes)
            pairs.append((text_of(name), text_of(value)))
        return FormData(pairs)

    def close(self) -> None:
        self._content.clear()


def _split_pairs(raw: bytes, limit: int, status: int) -> Iterator[tuple[bytes, bytes]]:
    """Names and values, percent-decoded. Separators are counted before anything is split."""
    raw = raw.strip(b"&")
    if raw and raw.count(b"&") >= limit:
        raise FormError(status, f"expected at most {limit} fields")
    for pair in raw.split(b"&"):
        if pair:
            name, _, value = pair.replace(b"+", b" ").partition(b"=")
            yield unquote_to_bytes(name), unquote_to_bytes(value)
