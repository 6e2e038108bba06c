"""The access log as JSON: one object a line, for programs."""

from json import JSONEncoder
from time import gmtime, strftime
from typing import Final

from container.tree.accesslog.entry import Entry

_encode: Final = JSONEncoder(separators=(",", ":")).encode


class JSONFormatter:
    """One JSON object a line, its text latin-1; null where the client said nothing or could not be understood, and
    where there was nothing to measure. Times that end in `_s` are seconds, to the microsecond."""

    needs_notes = True

    def __init__(self) -> None:
        self._second = -1
        self._stamp = ""

    def __call__(self, entry: Entry) -> str:
        request = entry.request
        known = request.method != "-"
        headers = {name: value.decode("latin-1") for name, value in request.raw_headers}
        tls = request.connection.peer.tls
        second = int(entry.finished)
        if second != self._second:
            self._second = second
            self._stamp = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(second))
        return _encode(
            {
                "time": self._stamp,
                "client": request.connection.client_host or None,
                "user": request.authorization[0] or None if request.user is None else request.user[0],
                "method": request.method if known else None,
                "target": request.raw_target.decode("latin-1") if known else None,
                "http_version": request.http_version if known else None,
                "status": entry.status,
                "bytes": entry.bytes_sent,
                "host": headers.get(b"host"),
                "referer": headers.get(b"referer"),
                "user_agent": headers.get(b"user-agent"),
                "scheme": request.scheme if known else None,
                "tls": tls.version if tls is not None else None,
                "bytes_received": entry.bytes_received,
                "duration_s": _rounded(entry.duration_s),
                "first_byte_s": _rounded(entry.first_byte_s),
                "queue_s": _rounded(entry.queue_s),
                "vhost": entry.host,
                "mount": entry.mount.decode("latin-1") if known else None,
                "upstream": entry.upstream,
                "request_id": request.id,
                "trace_id": request.trace.trace_id,
            }
        )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
