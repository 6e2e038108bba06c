"""What kind of application a Python object is: WSGI, ASGI 3 or ASGI 2, told without calling it.

Not here: importing (importer.py), making resources of applications (build.py).
"""

from __future__ import annotations

from functools import partial
from inspect import Parameter, Signature, isclass, iscoroutinefunction, isfunction, ismethod, signature
from typing import TYPE_CHECKING, Literal, cast

from container.config.importer import ImportProblem, check_callable

if TYPE_CHECKING:
    from collections.abc import Callable

    from container.resources.asgi.scope import ASGIApplication, Receive, Scope, Send
    from container.resources.wsgi.call import WSGIApplication

Interface = Literal["wsgi", "asgi", "asgi2"]

_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def interface_of(application: Callable[..., object]) -> Interface:
    """How `application` wants to be called. What cannot be told is taken for WSGI.

    ASGI 3 is a coroutine function, an object whose call is one, or whatever takes (scope, receive, send) by
    name; ASGI 2 takes a scope and returns, or is as an instance, what takes (receive, send).
    """
    while isinstance(application, partial):
        application = application.func
    if isclass(application):
        if hasattr(application, "__await__"):
            return "asgi"  # made of (scope, receive, send), then awaited
        # Instances are called only when the class was called with a scope.
        return "asgi2" if iscoroutinefunction(getattr(application, "__call__", None)) else "wsgi"  # noqa: B004
    call = application if isfunction(application) or ismethod(application) else type(application).__call__
    if iscoroutinefunction(application) or iscoroutinefunction(call):
        return "asgi"
    names = _names(application)
    if names[:3] == ["scope", "receive", "send"]:
        return "asgi"
    return "asgi2" if names == ["scope"] else "wsgi"


def check_wsgi(value: object, name: str) -> WSGIApplication:
    """`value`, if it looks like a WSGI application. What cannot be told from its signature passes."""
    application = check_callable(value, name, "a WSGI callable")
    if interface_of(application) != "wsgi":
        raise ImportProblem(f"expected a WSGI application, got {name!r}: that is ASGI (give it as asgi)")
    if isfunction(application) or isclass(application):
        try:
            # Not that of a wrapped function: decorators may well change the arguments.
            arguments = signature(application, follow_wrapped=False)
        except (ValueError, TypeError):
            return cast("WSGIApplication", application)
        if not _takes(arguments, 2):
            hint = ' (is it a factory? add "()" to call it)' if _takes(arguments, 0) else ""
            raise ImportProblem(
                f"expected a WSGI application, called with (environ, start_response), "
                f"got {name!r} with {arguments}{hint}"
            )
    return cast("WSGIApplication", application)


def check_asgi(value: object, name: str, *, told: bool = False) -> ASGIApplication:
    """`value` as an ASGI 3 application, one of ASGI 2 wrapped; `told` when the user says that it is ASGI.

    What a decorator or an extension hides passes when told, unless it cannot take three arguments.
    """
    application = check_callable(value, name, "an ASGI callable")
    interface = interface_of(application)
    if interface == "asgi2":
        return from_asgi2(application)
    if interface == "wsgi":
        try:
            arguments = signature(application)
        except (ValueError, TypeError):
            arguments = None
        if not told or (arguments is not None and not _takes(arguments, 3)):
            shown = f" with {arguments}" if arguments is not None else ""
            hint = ' (is it a factory? add "()" to call it)' if arguments and _takes(arguments, 0) else ""
            raise ImportProblem(
                f"expected an ASGI application, called with (scope, receive, send), got {name!r}{shown}{hint}"
            )
    return cast("ASGIApplication", application)


def from_asgi2(application: Callable[..., object]) -> ASGIApplication:
    """An ASGI 2 application as one of ASGI 3."""

    async def asgi3(scope: Scope, receive: Receive, send: Send) -> None:
        instance = cast("Callable[[Receive, Send], object]", application(scope))
        await instance(receive, send)  # type: ignore[misc]

    return asgi3


def _names(application: Callable[..., object]) -> list[str]:
    """The names of the arguments without a default."""
    try:
        parameters = signature(application).parameters.values()
    except (ValueError, TypeError):
        return []
    return [each.name for each in parameters if each.kind in _POSITIONAL and each.default is Parameter.empty]


def _takes(arguments: Signature, count: int) -> bool:
    try:
        arguments.bind(*range(count))
    except TypeError:
        return False
    return True
