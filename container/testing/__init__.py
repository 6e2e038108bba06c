"""Tests of trees without sockets: clients in memory that drive the real channel and the real Site.

`Client` is for plain test functions, `AsyncClient` for those that run on a loop. Between a client and its
site there are a `MockTransport`, which behaves as the transports of a loop do, and a `FakeClock`, the time
that deadlines of connections see. Nothing here is used by a server.
"""

from container.testing.asynchronous import AsyncClient, AsyncStream
from container.testing.client import Client, Connection, Stream
from container.testing.clock import FakeClock
from container.testing.connection import AsyncConnection, RawAnswer
from container.testing.content import RequestOptions
from container.testing.reader import BadResponse, ClientResponse, ResponseHead
from container.testing.transport import MockTransport
from container.testing.wire import ClientTimeout, NoResponse

__all__ = [
    "AsyncClient", "AsyncConnection", "AsyncStream", "BadResponse", "Client", "ClientResponse",
    "ClientTimeout", "Connection", "FakeClock", "MockTransport", "NoResponse", "RawAnswer", "RequestOptions",
    "ResponseHead", "Stream",
]  # fmt: skip
