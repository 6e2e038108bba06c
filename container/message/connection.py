"""The two ends of a transport, as resources may see them. No socket is kept here."""

from container.message.tls import TLS


class Connection:
    """Who is connected to what: one for the life of a transport, shared by its requests.

    `client` and `server` are `(address, port)`; both are None on a UNIX socket, whose path is `path`.
    `tls` is what is known of TLS that ends here, and None without; `secure` connections may have theirs elsewhere.
    """

    __slots__ = ("client", "client_host", "client_port", "path", "secure", "server", "tls")

    def __init__(
        self,
        client: tuple[str, int] | None = None,
        server: tuple[str, int] | None = None,
        *,
        path: str | None = None,
        secure: bool = False,
        tls: TLS | None = None,
    ) -> None:
        self.client = client
        self.server = server
        self.path = path
        self.secure = secure
        self.tls = tls
        # Text of the client's end, made once a connection: WSGI wants it for every request.
        self.client_host = client[0] if client else ""
        self.client_port = str(client[1]) if client else ""

    @property
    def scheme(self) -> str:
        return "https" if self.secure else "http"
