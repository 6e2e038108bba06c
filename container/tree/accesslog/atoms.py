"""What a format of one's own may be made of: each atom is a function from an Entry to text.

Two spellings are known, gunicorn's `%(h)s` and Apache's `%h`, which differ in what some letters mean. Words in
parentheses, `%(duration_s)s`, are this server's own and those of its JSON lines. Text of clients is written so that
it can neither break a line nor forge one. How a format is taken apart is `custom.py`'s.
"""

import os
from collections.abc import Callable, Mapping
from time import gmtime, strftime
from typing import Final, NamedTuple, TypeAlias

from container.message.request import Request
from container.tree.accesslog.entry import Entry
from container.tree.accesslog.formats import quoted, quoted_word, request_line, user_of

Write: TypeAlias = Callable[[Entry], str]


class Atom(NamedTuple):
    """`write` gives the text of an entry; `needs_notes` for it."""

    write: Write
    needs_notes: bool = False


def _known(write: Callable[[Request], str]) -> Write:
    """Of a request that could be read; a dash for any other."""
    return lambda entry: write(entry.request) if entry.request.method != "-" else "-"


def _field(name: bytes) -> Write:
    """A field of the request, all its values."""

    def write(entry: Entry) -> str:
        values = [value for candidate, value in entry.request.raw_headers if candidate == name]
        return quoted(b", ".join(values)) if values else "-"

    return write


def _answer_field(name: str) -> Write:
    """A field of the answer, all its values."""

    def write(entry: Entry) -> str:
        values = [value for candidate, value in entry.answer_fields if candidate.lower() == name]
        return quoted(", ".join(values).encode("latin-1", "replace")) if values else "-"

    return write


def _cookie(name: str) -> Write:
    def write(entry: Entry) -> str:
        value = entry.request.cookies.get(name)
        return quoted(value.encode("utf-8", "replace")) if value is not None else "-"

    return write


def _scaled(unit: float, *, digits: int = 0) -> Write:
    """The duration in units of so many seconds."""

    def write(entry: Entry) -> str:
        duration = entry.duration_s
        if duration is None:
            return "-"
        return f"{duration / unit:.{digits}f}" if digits else str(int(duration / unit))

    return write


def _seconds(value: Callable[[Entry], float | None]) -> Write:
    def write(entry: Entry) -> str:
        seconds = value(entry)
        return f"{seconds:.6f}" if seconds is not None else "-"

    return write


def _time(form: str) -> Write:
    """The end of the exchange, in UTC."""
    made = 0, ""

    def write(entry: Entry) -> str:
        nonlocal made
        second = int(entry.finished)
        if made[0] != second:
            made = second, strftime(form, gmtime(second))
        return made[1]

    return write


def _port(request: Request) -> str:
    return str(request.port)


def _tls_version(entry: Entry) -> str:
    tls = entry.request.connection.peer.tls
    return tls.version if tls is not None else "-"


def _upstream(entry: Entry) -> str:
    return quoted_word((entry.upstream or "-").encode("latin-1", "replace"))


def _vhost_or_host(entry: Entry) -> str:
    if entry.request.method == "-":
        return "-"
    return entry.host or quoted_word(entry.request.hostname.encode("latin-1"))


_CLIENT: Final = Atom(lambda entry: entry.request.connection.client_host or "-")
_USER: Final = Atom(lambda entry: user_of(entry.request))
_TIME: Final = Atom(_time("[%d/%b/%Y:%H:%M:%S +0000]"))
_LINE: Final = Atom(lambda entry: request_line(entry.request))
_STATUS: Final = Atom(lambda entry: str(entry.status))
_BYTES: Final = Atom(lambda entry: str(entry.bytes_sent))
_BYTES_OR_DASH: Final = Atom(lambda entry: str(entry.bytes_sent or "-"))
_METHOD: Final = Atom(lambda entry: quoted_word(entry.request.method.encode("latin-1")))
_PATH: Final = Atom(_known(lambda request: quoted(request.raw_path)))
_PROTOCOL: Final = Atom(_known(lambda request: f"HTTP/{request.http_version}"))
_SECONDS: Final = Atom(_scaled(1.0), needs_notes=True)
_MICROSECONDS: Final = Atom(_scaled(1e-6), needs_notes=True)
_MILLISECONDS: Final = Atom(_scaled(1e-3), needs_notes=True)
_PROCESS: Final = Atom(lambda entry: str(os.getpid()))
_DASH: Final = Atom(lambda entry: "-")

# %(x)s, as gunicorn has it.
GUNICORN: Final[Mapping[str, Atom]] = {
    "h": _CLIENT,
    "l": _DASH,
    "u": _USER,
    "t": _TIME,
    "r": _LINE,
    "m": _METHOD,
    "U": _PATH,
    "q": Atom(lambda entry: quoted(entry.request.raw_query)),
    "H": _PROTOCOL,
    "s": _STATUS,
    "B": _BYTES,
    "b": _BYTES_OR_DASH,
    "f": Atom(_field(b"referer")),
    "a": Atom(_field(b"user-agent")),
    "T": _SECONDS,
    "M": _MILLISECONDS,
    "D": _MICROSECONDS,
    "L": Atom(_scaled(1.0, digits=6), needs_notes=True),
    "p": Atom(lambda entry: f"<{os.getpid()}>"),
}

# %x, as Apache has it.
APACHE: Final[Mapping[str, Atom]] = {
    "h": _CLIENT,
    "a": _CLIENT,
    "l": _DASH,
    "u": _USER,
    "t": _TIME,
    "r": _LINE,
    "m": _METHOD,
    "U": _PATH,
    "q": Atom(lambda entry: f"?{quoted(entry.request.raw_query)}" if entry.request.raw_query else ""),
    "H": _PROTOCOL,
    "s": _STATUS,
    "B": _BYTES,
    "b": _BYTES_OR_DASH,
    "T": _SECONDS,
    "D": _MICROSECONDS,
    "p": Atom(_known(_port)),
    "P": _PROCESS,
    "v": Atom(_vhost_or_host, needs_notes=True),
    "V": Atom(_known(lambda request: quoted_word(request.hostname.encode("latin-1")))),
    "L": Atom(lambda entry: entry.request.id),
}

# %(word)s, as the JSON lines have them.
WORDS: Final[Mapping[str, Atom]] = {
    "duration_s": Atom(_seconds(lambda entry: entry.duration_s), needs_notes=True),
    "first_byte_s": Atom(_seconds(lambda entry: entry.first_byte_s), needs_notes=True),
    "queue_s": Atom(_seconds(lambda entry: entry.queue_s), needs_notes=True),
    "bytes": _BYTES,
    "bytes_received": Atom(lambda entry: str(entry.bytes_received)),
    "time": Atom(_time("%Y-%m-%dT%H:%M:%SZ")),
    "client": _CLIENT,
    "user": _USER,
    "method": _METHOD,
    "target": Atom(_known(lambda request: quoted(request.raw_target))),
    "http_version": Atom(_known(lambda request: request.http_version)),
    "status": _STATUS,
    "host": Atom(_known(lambda request: quoted_word(request.host.encode("latin-1")))),
    "referer": Atom(_field(b"referer")),
    "user_agent": Atom(_field(b"user-agent")),
    "scheme": Atom(_known(lambda request: request.scheme)),
    "tls": Atom(_tls_version),
    "vhost": Atom(lambda entry: entry.host or "-", needs_notes=True),
    "mount": Atom(_known(lambda request: quoted(request.raw_path[: request.consumed]))),
    "upstream": Atom(_upstream, needs_notes=True),
    "request_id": Atom(lambda entry: entry.request.id),
    "trace_id": Atom(lambda entry: entry.request.trace.trace_id),
}


def of_field(name: str) -> Atom:
    """`{name}i`."""
    return Atom(_field(name.lower().encode("latin-1", "replace")))


def of_answer_field(name: str) -> Atom:
    """`{name}o`."""
    return Atom(_answer_field(name.lower()), needs_notes=True)


def of_cookie(name: str) -> Atom:
    """`{name}C`."""
    return Atom(_cookie(name))


def of_time(form: str) -> Atom:
    """`{strftime}t`."""
    return Atom(_time(form))


UNITS: Final[Mapping[str, Atom]] = {"s": _SECONDS, "ms": _MILLISECONDS, "us": _MICROSECONDS}

_VARIABLES: Final[Mapping[str, Write]] = {
    "REQUEST_METHOD": _METHOD.write,
    "REQUEST_URI": WORDS["target"].write,
    "RAW_URI": WORDS["target"].write,
    "SCRIPT_NAME": WORDS["mount"].write,
    "PATH_INFO": _known(lambda request: quoted(request.raw_path[request.consumed :])),
    "QUERY_STRING": GUNICORN["q"].write,
    "SERVER_NAME": APACHE["V"].write,
    "SERVER_PORT": APACHE["p"].write,
    "SERVER_PROTOCOL": _PROTOCOL.write,
    "REMOTE_ADDR": _CLIENT.write,
    "REMOTE_PORT": lambda entry: entry.request.connection.client_port or "-",
    "REMOTE_USER": _USER.write,
    "REQUEST_SCHEME": WORDS["scheme"].write,
    "WSGI.URL_SCHEME": WORDS["scheme"].write,
    "CONTAINER.REQUEST_ID": WORDS["request_id"].write,
}


def of_variable(name: str) -> Atom | None:
    """`{name}e`: a variable of CGI, as far as it follows from the request; None for any other."""
    name = name.upper()
    if name.startswith("HTTP_"):
        return of_field(name.removeprefix("HTTP_").replace("_", "-"))
    if name.startswith("SSL_"):
        return Atom(lambda entry: _tls_variable(entry, name))
    write = _VARIABLES.get(name)
    return Atom(write) if write is not None else None


VARIABLES: Final = tuple(_VARIABLES)


def _tls_variable(entry: Entry, name: str) -> str:
    tls = entry.request.connection.peer.tls
    value = tls.variables.get(name) if tls is not None else None
    return quoted(value.encode("latin-1", "replace")) if value is not None else "-"
