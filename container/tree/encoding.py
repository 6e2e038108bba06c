"""Which answers are encoded, and how (RFC 9110 8.4, 12.5.3): the rules of choice, and the wrapper that sets them.

What encodes is in `encoders/`, when it happens is the channel's: `message/encoding.py` says what they agree on.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from container.message.encoding import Encoder
from container.message.errors import HTTPError
from container.message.headers import Headers
from container.message.negotiation import preferred_coding
from container.message.request import Request
from container.message.status import BODILESS
from container.tree.resource import Resource
from container.tree.wrapper import Wrapper

# Smaller content fits into one packet anyway.
MINIMUM: Final = 512
# What compression makes smaller; text/* too, and everything that ends in +json, +xml or +text.
COMPRESSIBLE: Final = frozenset(
    "application/json application/xml application/javascript application/ecmascript application/x-javascript"
    " application/ld+json application/manifest+json application/rtf application/wasm application/x-ndjson"
    " application/graphql application/sql application/toml application/yaml application/vnd.ms-fontobject"
    " application/x-sh application/x-www-form-urlencoded application/x-tar application/postscript font/ttf font/otf"
    " font/collection image/svg+xml image/bmp image/x-icon image/vnd.microsoft.icon model/gltf+json".split()
)
_SUFFIXES: Final = ("+json", "+xml", "+text", "+yaml")
_EVENTS: Final = "text/event-stream"
# True of the content as it was, not of the coded one; ranges are of the coded content (RFC 9110 14.2).
_OUTDATED: Final = (
    "Content-Length", "Accept-Ranges", "Content-MD5", "Digest", "Content-Digest", "Repr-Digest",
)  # fmt: skip
_MEMORY: Final = 256


class EncodingRules:
    """Chooses the coding of every answer they are set for.

    `encoders`: in the server's order of preference, which decides between codings that the client likes
    equally well; none of them: nothing is encoded. `minimum`: smaller content of known length stays as it
    is. `types`: media types worth it, instead of the built-in list; `"text/*"` stands for all of a kind.
    `event_streams`: also those of `text/event-stream`.
    """

    def __init__(
        self,
        encoders: Iterable[Encoder],
        *,
        minimum: int = MINIMUM,
        types: Iterable[str] | None = None,
        event_streams: bool = False,
    ) -> None:
        self.encoders = {each.name: each for each in _checked(list(encoders))}
        self.minimum = minimum
        self.types = None if types is None else frozenset(each.lower() for each in types)
        self.event_streams = event_streams
        self._names = list(self.encoders)
        # What Accept-Encoding came to; browsers send the same few again and again.
        self._choices: dict[tuple[bytes, ...], tuple[str | None, bool]] = {}

    def choose(self, request: Request, status: int, headers: Headers, length: int) -> Encoder | None:
        """See `message.encoding.EncodingChoice`."""
        if not self.encoders or not self._may_encode(status, headers):
            return None
        if status == 304:
            self._revalidated(request, headers)
            return None
        accept = tuple([value for name, value in request.raw_headers if name == b"accept-encoding"])
        name, takes_identity = self._choice(accept)
        if takes_identity and (0 <= length < self.minimum or not self._is_worth_it(headers)):
            return None
        headers.vary("Accept-Encoding")
        if name is None:
            if status >= 300:  # better an error page that is not understood than none
                return None
            expected = f"expected a client that takes {', '.join(self._names)} or identity"
            raise HTTPError(406, expected, headers={"Vary": "Accept-Encoding"})
        if name == "identity":
            return None
        for outdated in _OUTDATED:
            headers.remove(outdated)
        headers.set("Content-Encoding", name)
        etag = headers.get("ETag")
        if etag is not None and not etag.startswith("W/"):
            headers.set("ETag", f"W/{etag}")
        return self.encoders[name]

    def _choice(self, accept: tuple[bytes, ...]) -> tuple[str | None, bool]:
        """The coding for these lines of Accept-Encoding, and whether content as it is would do."""
        if not accept:
            return "identity", True
        try:
            return self._choices[accept]
        except KeyError:
            if len(self._choices) >= _MEMORY:
                self._choices.clear()
            takes_identity = preferred_coding(accept, ()) is not None
            choice = self._choices[accept] = preferred_coding(accept, self._names), takes_identity
            return choice

    def _may_encode(self, status: int, headers: Headers) -> bool:
        """Is it complete content that nobody has encoded or forbidden to encode?"""
        if (status in BODILESS and status != 304) or status in (205, 206):
            return False
        coding = headers.get("Content-Encoding")
        if coding is not None:
            if coding.strip().lower() == "identity":  # says "not this one", and nothing to the client
                headers.remove("Content-Encoding")
            return False
        if "Content-Range" in headers:
            return False
        return not any("no-transform" in value.lower() for value in headers.get_all("Cache-Control"))

    def _is_worth_it(self, headers: Headers) -> bool:
        kind = (headers.get("Content-Type") or "").partition(";")[0].strip().lower()
        if kind == _EVENTS:
            return self.event_streams
        if self.types is not None:
            return kind in self.types or f"{kind.partition('/')[0]}/*" in self.types
        return kind.startswith("text/") or kind in COMPRESSIBLE or kind.endswith(_SUFFIXES)

    def _revalidated(self, request: Request, headers: Headers) -> None:
        """A 304 carries the validator of what the client has: the weak one if that was encoded."""
        headers.vary("Accept-Encoding")
        etag = headers.get("ETag")
        if etag is None or etag.startswith("W/"):
            return
        known = b",".join([value for name, value in request.raw_headers if name == b"if-none-match"])
        if b"W/" + etag.encode("latin-1") in known:
            headers.set("ETag", f"W/{etag}")


class Encoded(Wrapper):
    """Encodes the answers of `inner` and of everything below it: `Encoded(resource, [Zstd(), Brotli(), Gzip()])`.

    The options are those of EncodingRules. The innermost one around a resource counts: `Encoded(resource, [])`
    switches encoding off below a tree that encodes.
    """

    def __init__(
        self,
        inner: Resource,
        encoders: Sequence[Encoder],
        *,
        minimum: int = MINIMUM,
        types: Iterable[str] | None = None,
        event_streams: bool = False,
    ) -> None:
        super().__init__(inner)
        self.rules = EncodingRules(encoders, minimum=minimum, types=types, event_streams=event_streams)
        self.made_with: dict[str, object] = {
            "minimum": minimum, "types": self.rules.types, "event_streams": event_streams
        }  # fmt: skip

    def enter(self, request: Request) -> Resource:
        request.exchange.encode_by(self.rules)
        return self.inner


def _checked(encoders: list[Encoder]) -> list[Encoder]:
    names: set[str] = set()
    for each in encoders:
        if isinstance(each, type):
            raise TypeError(
                f"expected encoders, got the class {each.__name__} (did you mean {each.__name__}()?)"
            )
        name = getattr(each, "name", None)
        if not isinstance(name, str) or not callable(getattr(each, "make", None)):
            raise TypeError(f"expected encoders such as Gzip(), got {each!r}")
        if name in names:
            raise ValueError(f"expected one encoder for {name!r}, got two")
        names.add(name)
    return encoders
