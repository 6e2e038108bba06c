"""A proxy that keeps cookies from servers, and from you: set http://127.0.0.1:8080 as your HTTP proxy."""

from container import Application, Data, ForwardProxy, Headers, Request, Site

ALLOWED = ("intranet.example",)


class CookieProxy(ForwardProxy):
    def change_request(self, request: Request, headers: Headers) -> None:
        if request.hostname not in ALLOWED:
            headers.remove("Cookie")

    def change_response(self, request: Request, status: int, headers: Headers) -> None:
        if request.hostname not in ALLOWED:
            headers.remove("Set-Cookie")


application = Application("cookieproxy")
application.serve(Site(CookieProxy(here=Data(b"A proxy without cookies.\n", "text/plain"))), "127.0.0.1:8080")
