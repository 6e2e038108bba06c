"""What a form may hold, and what is raised when it holds more or cannot be read."""

from dataclasses import dataclass

from container.message.errors import HTTPError

KIB = 1 << 10
MIB = 1 << 20


class FormError(HTTPError):
    """A query or form that cannot be read: 400 malformed, 413 over a limit, 415 another media type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormLimits:
    """What one form may hold; `None` is no limit of its own. Sizes are bytes after decoding.

    `max_text_bytes` counts names and values of all text fields, for urlencoded content the bytes as they
    came. `max_header_bytes` is the header section of one part. A file of up to `spool_bytes` is kept in memory; a
    larger one goes to disk and is an open file, with a descriptor, until the form is closed: `max_files` bounds those.
    """

    max_fields: int = 1000
    max_field_bytes: int = MIB
    max_text_bytes: int = 2 * MIB
    max_files: int = 1000
    max_file_bytes: int | None = None
    max_header_bytes: int = 16 * KIB
    spool_bytes: int = 64 * KIB


def check_size(what: str, size: int, limit: int | None) -> None:
    """Raise FormError 413 when `size` is above `limit`; `what` is counted."""
    if limit is not None and size > limit:
        raise FormError(413, f"expected at most {limit} {what}")
