"""What can become of a request to another server."""


class UpstreamError(Exception):
    """The server could not be asked, or did not answer as it should.

    `status`: what a gateway answers then (RFC 9110 15.6): 502, 503 or 504. `was_sent`: the server may have
    begun to act on the request; when not, even a POST may be sent to another one. `blames`: it speaks
    against the server's health; a full queue does not.
    """

    def __init__(self, status: int, message: str, *, was_sent: bool = True, blames: bool = True) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.was_sent = was_sent
        self.blames = blames
