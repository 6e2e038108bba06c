"""Access logs of single places in a tree: another one for what is below a place, or none."""

from collections.abc import Callable, Iterable

from container.message.exchange import Exchange
from container.message.request import Request
from container.tree.accesslog import Flushable
from container.tree.resource import Resource
from container.tree.wrapper import Wrapper

Listener = Callable[[Exchange], None]


class LogTo(Wrapper):
    """Logs the requests for `inner` to `access_log` instead of the log of the site: `LogTo(admin, AccessLog(file))`;
    None: nowhere. The innermost one around a resource counts. `name`: how the log is spelt in a configuration.
    """

    def __init__(self, inner: Resource, access_log: Listener | None, *, name: str = "") -> None:
        super().__init__(inner)
        self.access_log = access_log
        self.name = name

    def enter(self, request: Request) -> Resource:
        request.own_log = self
        return self.inner


class LogByPlace:
    """What a site that has such places logs to: `default`, unless a request came by one of `places`."""

    def __init__(self, default: Listener | None, places: Iterable[LogTo]) -> None:
        self._default = default
        self._logs = {
            id(log): log for log in (default, *(place.access_log for place in places)) if log is not None
        }
        self.needs_notes = any(getattr(log, "needs_notes", False) for log in self._logs.values())

    def __call__(self, exchange: Exchange) -> None:
        place = getattr(exchange.request, "own_log", None)
        log = place.access_log if isinstance(place, LogTo) else self._default
        if log is not None:
            log(exchange)

    def flush(self) -> None:
        for log in self._logs.values():
            if isinstance(log, Flushable):
                log.flush()


def by_place(log: Listener | None, resources: Iterable[Resource]) -> Listener | None:
    """`log` itself, or what sorts requests when some of `resources` have logs of their own."""
    places = [each for each in resources if isinstance(each, LogTo)]
    return LogByPlace(log, places) if places and not isinstance(log, LogByPlace) else log
