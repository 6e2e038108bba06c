"""Pages of our own: errors, as HTML or JSON by what the client accepts (RFC 9110 15, RFC 9457).

They show what went wrong in a sentence and nothing of the inside, unless tracebacks were asked for.
"""

import traceback
from html import escape
from typing import Final

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

# What every page of the server looks like: light or dark as the reader has it, nothing from elsewhere.
STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 1rem/1.55 system-ui, sans-serif; margin: 14vh auto 4rem; max-width: 42rem; padding: 0 1.25rem; }
h1 { font-size: 1.6rem; line-height: 1.25; font-weight: 650; }
small { opacity: .65; font-size: .9rem; font-weight: 400; font-variant-numeric: tabular-nums; }
pre { font-size: .875rem; overflow: auto; padding: 1rem; background: #8881; border-radius: .5rem; }
"""
_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{status} - {title}</title>
<style>{style}</style>
<main>
<h1><small>{status}</small><br>{title}</h1>
{text}</main>
</html>
"""
_NAMED: Final = "<p><small>Request {}</small></p>\n"


def page(status: int, title: str, detail: str, *, extra: str = "") -> str:
    """The HTML that tells of `status`. Title and detail are text, `extra` is markup."""
    text = (f"<p>{escape(detail)}</p>\n" if detail else "") + extra
    return _PAGE.format(status=status, title=escape(title), text=text, style=STYLE)


def error_page(
    status: int, detail: str = "", *, title: str = "", request: Request | None = None, id: str = ""
) -> Response:
    """The page for `status`: HTML, or problem JSON for a client that prefers it. All text is escaped.

    `id` is that of the request, for whoever wants to ask what is in the log.
    """
    title = title or reason(status)
    detail = detail or _DETAILS.get(status, "")
    if request is not None and prefers_json(request):
        problem = {"status": status, "title": title} | ({"detail": detail} if detail else {})
        if id:
            problem["request_id"] = id
        response = Response.json(problem, status)
        response.headers.set("Content-Type", "application/problem+json")
        return response
    extra = _NAMED.format(escape(id)) if id else ""
    return Response(page(status, title, detail, extra=extra), status, content_type=HTML)


def traceback_page(error: BaseException, id: str = "") -> Response:
    """The 500 page of a site under development: the whole traceback, escaped."""
    text = "".join(traceback.format_exception(error))
    extra = f"{_NAMED.format(escape(id)) if id else ''}<pre>{escape(text)}</pre>\n"
    return Response(page(500, "Internal Server Error", str(error), extra=extra), 500, content_type=HTML)


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
