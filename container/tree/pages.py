"""Pages of our own: errors, as HTML or JSON by what the client accepts (RFC 9110 15, RFC 9457).

They show what went wrong in a sentence and nothing of the inside, unless tracebacks were asked for.
"""

import traceback
from html import escape

from container.message.negotiation import preferred_type
from container.message.request import Request
from container.message.response import HTML, Response
from container.message.status import reason
from container.tree.resource import Resource

_DETAILS = {
    404: "Nothing is at this address.",
    500: "The server met an error while it was answering. It has been logged.",
    503: "The server is busy. Please try again in a moment.",
}

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{status} - {title}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 12vh auto; max-width: 40rem; padding: 0 1rem; }}
pre {{ overflow: auto; padding: 1rem; background: #f4f4f4; color: #222; }}
</style>
<h1>{title}</h1>
<p>{detail}</p>
{extra}</html>
"""


def error_page(status: int, detail: str = "", *, title: str = "", request: Request | None = None) -> Response:
    """The page for `status`: HTML, or problem JSON for a client that prefers it. All text is escaped."""
    title = title or reason(status)
    detail = detail or _DETAILS.get(status, "")
    if request is not None and prefers_json(request):
        problem = {"status": status, "title": title} | ({"detail": detail} if detail else {})
        response = Response.json(problem, status)
        response.headers.set("Content-Type", "application/problem+json")
        return response
    page = _PAGE.format(status=status, title=escape(title), detail=escape(detail), extra="")
    return Response(page, status, content_type=HTML)


def traceback_page(error: BaseException) -> Response:
    """The 500 page of a site under development: the whole traceback, escaped."""
    text = "".join(traceback.format_exception(error))
    page = _PAGE.format(
        status=500,
        title="Internal Server Error",
        detail=escape(str(error)),
        extra=f"<pre>{escape(text)}</pre>\n",
    )
    return Response(page, 500, content_type=HTML)


def prefers_json(request: Request) -> bool:
    """Does the client rank JSON above HTML (RFC 9110 12.5.1)? A bare `*/*` does not."""
    accept = b",".join([value for name, value in request.raw_headers if name == b"accept"])
    if b"json" not in accept:
        return False
    offers = ("text/html", "application/json", "application/problem+json")
    best = preferred_type(accept.decode("latin-1"), offers)
    return best is not None and best != "text/html"


class ErrorPage(Resource):
    """A resource that answers every request, at any path below it, with one error page."""

    is_leaf = True

    def __init__(self, status: int, detail: str = "", *, title: str = "") -> None:
        self.status = status
        self.detail = detail
        self.title = title

    def render(self, request: Request) -> Response:
        return error_page(self.status, self.detail, title=self.title, request=request)
