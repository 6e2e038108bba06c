"""Requests as a client writes them: target, fields and content from what a test asks for (RFC 9112 3)."""

import json
import uuid
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Literal, TypeAlias, TypedDict
from urllib.parse import quote, urlencode

from container.message.fields import TOKEN, VALUE, Pair
from container.message.headers import Headers, HeaderSource
from container.message.response import JSON, Content

Form: TypeAlias = Mapping[str, str | Iterable[str]] | Iterable[Pair]
# Content; with a name; with a name and a media type.
File: TypeAlias = bytes | tuple[str, bytes] | tuple[str, bytes, str]

# What may stand in a request target; the rest is percent-encoded.
_TARGET = "/%:?[]@!$&'()*+,;=~-._"


class RequestOptions(TypedDict, total=False):
    """What a request may have besides method and target.

    At most one of `body` (bytes are sent with their length, an iterable chunked), `json`, and `form` with or
    without `files`. `version` is "1.1" or "1.0".
    """

    headers: HeaderSource
    body: Content
    json: object
    form: Form
    files: Mapping[str, File]
    version: Literal["1.1", "1.0"]


class Outgoing:
    """One request, checked and ready to be sent: its head with the empty line, its content."""

    __slots__ = ("body", "expects_continue", "head", "host", "method", "target", "version")

    def __init__(self, method: str, target: str, base: Headers, options: RequestOptions) -> None:
        unknown = options.keys() - RequestOptions.__annotations__.keys()
        if unknown:
            raise TypeError(
                f"expected only {', '.join(RequestOptions.__annotations__)}, got {', '.join(unknown)}"
            )
        if not TOKEN.fullmatch(method.encode("latin-1", "replace")):
            raise ValueError(f"expected a method such as GET, got {method!r}")
        self.method = method
        self.version = options.get("version", "1.1")
        if self.version not in ("1.1", "1.0"):
            raise ValueError(f'expected version "1.1" or "1.0", got {self.version!r}')
        body, content_type = _content(options)
        headers = base.copy()
        own = Headers(options.get("headers"))
        for name in own:
            headers.remove(name)
        if content_type and "content-type" not in own:
            headers.set("Content-Type", content_type)
        for name, value in own.items():
            headers.add(name, value)
        self.body = self._frame(body, headers)
        self.expects_continue = (headers.get("expect") or "").lower() == "100-continue"
        self.host = headers.get("host") or ""
        self.target = encoded_target(target)
        lines = [f"{method} {self.target} HTTP/{self.version}".encode("ascii")]
        lines += [_line(name, value) for name, value in headers.items()]
        self.head = b"\r\n".join(lines) + b"\r\n\r\n"

    def __str__(self) -> str:
        return f"{self.method} {self.target}"

    def _frame(self, body: Content | None, headers: Headers) -> Content | None:
        """Say where the content ends; what the test says itself is left alone."""
        framed = "content-length" in headers or "transfer-encoding" in headers
        if body is None or isinstance(body, bytes):
            if not framed and (body is not None or self.method in ("POST", "PUT", "PATCH")):
                headers.add("Content-Length", str(len(body or b"")))
            return body
        if not isinstance(body, Iterable | AsyncIterable) or isinstance(body, str | bytearray | Mapping):
            raise TypeError(f"expected bytes or an iterable of bytes as body, got {type(body).__name__}")
        if framed:
            raise ValueError("expected no framing fields with an iterable body: it is sent chunked")
        if self.version == "1.0":
            raise ValueError("expected bytes as body of an HTTP/1.0 request, which cannot be chunked")
        headers.add("Transfer-Encoding", "chunked")
        return body


def encoded_target(target: str) -> str:
    """`target` as it may stand in a request line. Raises ValueError for what no client would send."""
    if not (target.startswith(("/", "http://", "https://")) or target == "*") or "#" in target:
        raise ValueError(f'expected a target such as "/path?query", got {target!r}')
    return quote(target, safe=_TARGET)


def without_content(options: RequestOptions) -> RequestOptions:
    """What is left of a request that a redirect has made a GET (RFC 9110 15.4)."""
    dropped = ("content-type", "content-length", "transfer-encoding", "expect")
    kept = options.copy()
    for name in ("body", "json", "form", "files"):
        kept.pop(name, None)  # type: ignore[misc]  # mypy wants a literal
    pairs = Headers(options.get("headers")).items()
    kept["headers"] = [(name, value) for name, value in pairs if name.lower() not in dropped]
    return kept


def _content(options: RequestOptions) -> tuple[Content | None, str]:
    """The content and its media type."""
    given = [name for name in ("body", "json", "form") if name in options]
    if len(given) > 1 or (given and given != ["form"] and "files" in options):
        raise ValueError("expected one of body, json and form with or without files")
    if "json" in options:
        return json.dumps(options["json"]).encode(), JSON
    if "files" in options:
        return _multipart(_pairs(options.get("form", {})), options["files"])
    if "form" in options:
        text = urlencode(_pairs(options["form"]))
        return text.encode("ascii"), "application/x-www-form-urlencoded"
    return options.get("body"), ""


def _pairs(form: Form) -> list[Pair]:
    if not isinstance(form, Mapping):
        return list(form)
    return [
        (name, value)
        for name, values in form.items()
        for value in ([values] if isinstance(values, str) else values)
    ]


def _multipart(pairs: list[Pair], files: Mapping[str, File]) -> tuple[bytes, str]:
    """multipart/form-data as browsers write it (RFC 7578 4)."""
    boundary = f"container-{uuid.uuid4().hex}"
    parts = [_part(boundary, f'name="{_quoted(name)}"', "", value.encode()) for name, value in pairs]
    for name, file in files.items():
        filename, content, media_type = _file(name, file)
        disposition = f'name="{_quoted(name)}"; filename="{_quoted(filename)}"'
        parts.append(_part(boundary, disposition, f"Content-Type: {media_type}\r\n", content))
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


def _part(boundary: str, disposition: str, fields: str, content: bytes) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n{fields}\r\n"
    return b"%b%b\r\n" % (head.encode(), content)


def _file(name: str, file: File) -> tuple[str, bytes, str]:
    filename, content, media_type = name, file, "application/octet-stream"
    if isinstance(file, tuple):
        filename, content = file[0], file[1]
        media_type = file[2] if len(file) == 3 else media_type
    if not isinstance(content, bytes):
        raise TypeError(f"expected bytes or (name, bytes, type) as file {name!r}, got {file!r}")
    return filename, content, media_type


def _quoted(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _line(name: str, value: str) -> bytes:
    try:
        raw_name, raw_value = name.encode("latin-1"), value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"expected latin-1 text in field {name!r}, got {value!r}") from None
    if not (TOKEN.fullmatch(raw_name) and VALUE.fullmatch(raw_value)):
        raise ValueError(f"expected a field without control characters, got {name!r}: {value!r}")
    return raw_name + b": " + raw_value
