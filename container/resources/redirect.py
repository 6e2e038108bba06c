"""Redirections that can be mounted (RFC 9110 15.4). Those that depend on more are a resource of your own."""

from urllib.parse import quote

from container.message.request import Request
from container.message.response import Response
from container.tree.resource import Resource


class Redirect(Resource):
    """Sends the client to `url`, absolute or relative, from here and from every path below.

    `status`: 301, 302, 303, 307 or 308; a client repeats its method only with the last two.
    """

    is_leaf = True

    def __init__(self, url: str, *, status: int = 302) -> None:
        self.url = url
        self.status = status
        self._response = Response.redirect(url, status)

    def render(self, request: Request) -> Response:
        return self._response


class ParentRedirect(Resource):
    """Sends the client to the directory this resource is mounted in, by an absolute URL without query.

    `/a/here` and all below it lead to `/a/`. As the root of a site, where there is no such directory, it
    takes that of the path the client asked for.
    """

    is_leaf = True

    def __init__(self, *, status: int = 302) -> None:
        Response.redirect("/", status)  # an unfit status is an error now, not with every request
        self.status = status

    def render(self, request: Request) -> Response:
        here = request.raw_path[: request.consumed] if request.consumed > request.base else request.raw_path
        directory = quote(here[: here.rfind(b"/") + 1], safe="/%:@!$&'()*+,;=~-._")
        return Response.redirect(request.urls.origin + directory, self.status)
