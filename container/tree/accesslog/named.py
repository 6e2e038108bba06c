"""From what an operator writes to a formatter: the name of a format, or the format itself."""

from difflib import get_close_matches
from typing import Final

from container.tree.accesslog.custom import CustomFormatter, FormatProblem
from container.tree.accesslog.entry import Formatter
from container.tree.accesslog.formats import CommonFormatter, VirtualHostFormatter
from container.tree.accesslog.jsonlines import JSONFormatter

FORMATS: Final = ("combined", "common", "vhost", "json")


def make_formatter(text: str) -> Formatter | None:
    """The formatter for one of FORMATS, or for a format such as `%h "%r" %>s`; None is the combined one, which a
    log has by itself. Raises FormatProblem, one line that names the nearest thing that is known."""
    name = text.lower()
    if name == "combined":
        return None
    if name == "common":
        return CommonFormatter()
    if name == "vhost":
        return VirtualHostFormatter()
    if name == "json":
        return JSONFormatter()
    if "%" not in text:
        known = ", ".join(FORMATS)
        near = get_close_matches(name, FORMATS, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise FormatProblem(f'expected {known} or a format such as %h "%r" %>s, got {text!r}{hint}')
    return CustomFormatter(text)
