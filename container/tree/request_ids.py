"""Ids that go with a request wherever it goes: to applications, programs, upstreams and back to the client.

Hot path, for trees that ask for it. How ids are spelt and what of clients' counts is in `message/trace.py`; without
this a request has an id as well, made when a log or an error page asks for it.
"""

from container.message.headers import Headers
from container.message.notes import Notes
from container.message.request import Request
from container.message.trace import ID_FIELD, STATE_FIELD, TRACE_FIELD
from container.tree.resource import Resource
from container.tree.wrapper import Wrapper

_OURS = (ID_FIELD, TRACE_FIELD, STATE_FIELD)


class RequestIds(Wrapper):
    """Gives every request that comes through here an `X-Request-ID` and a `traceparent` (W3C Trace Context).

    With `accept`, those that the client sent stay when they are valid; else all are new. `send`: the answer has
    an `X-Request-ID` too. Applications find the id as `container.request_id` besides, in environ and scope.
    """

    def __init__(self, inner: Resource, *, accept: bool = True, send: bool = False) -> None:
        super().__init__(inner)
        self.accept = accept
        self.send = send

    def enter(self, request: Request) -> Resource:
        if not self.accept:
            request.replace_fields([field for field in request.raw_headers if field[0] not in _OURS])
        identify(request)
        notes = request.notes
        if notes is None:
            notes = request.notes = Notes()
        notes.passes_id = True
        if self.send:
            id = request.id

            def tell(status: int, headers: Headers) -> None:
                headers.set("X-Request-ID", id)

            request.exchange.before_head(tell)
        return self.inner


def identify(request: Request) -> None:
    """Let the fields of `request` say its id and its trace, as if they had come so."""
    fields, trace = request.raw_headers, request.trace
    id = ID_FIELD, request.id.encode("ascii")
    if trace.is_new:  # what the client says of its state belongs to no trace
        fields = [field for field in fields if field[0] not in _OURS]
        fields += [id, (TRACE_FIELD, trace.header())]
    elif id not in fields:
        fields = [field for field in fields if field[0] != ID_FIELD]
        fields.append(id)
    else:
        return
    request.replace_fields(fields)
