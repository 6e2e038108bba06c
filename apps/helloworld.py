"""The smallest WSGI application (PEP 3333): one answer for every path and method.

Start it in this directory: container --wsgi=helloworld.application
"""

from wsgiref.types import StartResponse, WSGIEnvironment

BODY = b"Hello World!"
FIELDS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]


def application(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    # A fresh list each time: PEP 3333 lets whatever stands between us and the server change it.
    start_response("200 OK", list(FIELDS))
    return [BODY]
