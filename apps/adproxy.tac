"""A proxy that cuts advertisements: set http://127.0.0.1:8080 as your HTTP proxy, for http and https."""

import re

from container import Application, Data, ForwardProxy, Headers, HTTPError, Request, Site

HOSTS = ["ads.*", "*.ads.example", "*.doubleclick.net", "*.adservice.example"]
PATHS = re.compile(r"/(?:ads?|banners?|track(?:er|ing)?)[/.]")


class AdProxy(ForwardProxy):
    def change_request(self, request: Request, headers: Headers) -> None:
        if PATHS.search(request.path):
            raise HTTPError(403, "An advertisement was here.")
        headers.remove("Referer")


application = Application("adproxy")
application.serve(Site(AdProxy(deny=HOSTS, here=Data(b"A proxy without ads.\n", "text/plain"))), "127.0.0.1:8080")
