"""The two ends of a transport, as resources may see them. No socket is kept here."""

from container.message.tls import TLS


class Connection:
    """Who is connected to what: one for the life of a transport, shared by its requests.

    `client` and `server` are `(address, port)`; both are None on a UNIX socket, whose path is `path`.
    `tls` is what is known of TLS that ends here, and None without; `secure` connections may have theirs elsewhere.
    `peer` is who is really at the other end: itself, or, for a request whose ends are what a trusted proxy
    says they are, the connection of that proxy.
    """

    __slots__ = ("_peer", "client", "client_host", "client_port", "path", "secure", "server", "tls")

    def __init__(
        self,
        client: tuple[str, int] | None = None,
        server: tuple[str, int] | None = None,
        *,
        path: str | None = None,
        secure: bool = False,
        tls: TLS | None = None,
    ) -> None:
        self.server = server
        self.path = path
        self.secure = secure
        self.tls = tls
        self._peer: Connection | None = None
        self.set_client(client)

    @property
    def scheme(self) -> str:
        return "https" if self.secure else "http"

    @property
    def peer(self) -> "Connection":
        return self._peer or self

    def set_client(self, client: tuple[str, int] | None) -> None:
        """Another client's end; a port that is not known is 0."""
        self.client = client
        # Text of the client's end, made once a connection: WSGI wants it for every request.
        self.client_host = client[0] if client else ""
        self.client_port = str(client[1]) if client and client[1] else ""

    def told(self) -> "Connection":
        """What one request may say of its ends without the others noticing: itself when it is that already."""
        if self._peer is not None:
            return self
        copy = Connection(self.client, self.server, path=self.path, secure=self.secure)
        copy._peer = self
        return copy
