"""What follows from the head of a request and the place in the tree it came to, kept in its `memo`. Hot path."""

from typing import Generic, TypeVar

from container.message.request import Request

T = TypeVar("T")


class Remembered(Generic[T]):
    """`value`, and what went into it that may be replaced on the way down the tree."""

    __slots__ = ("_consumed", "_fields", "_path", "_query", "_secure", "_variables", "value")

    def __init__(self, request: Request, value: T) -> None:
        self._path = request.raw_path
        self._query = request.raw_query
        self._fields = request.raw_headers
        self._consumed = request.consumed
        self._secure = request.connection.secure
        self._variables = request.variables
        self.value = value

    def is_of(self, request: Request) -> bool:
        """Does `value` hold for `request` too, which has the same memo?"""
        return (
            self._fields is request.raw_headers
            and self._path == request.raw_path
            and self._query == request.raw_query
            and self._consumed == request.consumed
            and self._secure == request.connection.secure
            and self._variables == request.variables
        )


def memo_for(request: Request) -> dict[object, object] | None:
    """Where to remember what follows from the head of a request; None where more than that decides: the address of
    the server where there is no Host field, the length of content that no field tells."""
    if request.is_masked or request.body.length is None:
        return None
    return request.memo
