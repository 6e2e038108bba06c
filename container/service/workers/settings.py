"""What `container --workers` is told: how many workers, when they are replaced, how they end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from container.service.logs import LogSettings
from container.service.privileges import Privileges
from container.service.server import GRACEFUL_TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from container.service.reload import Watch

HEARTBEAT_TIMEOUT_S: Final = 30


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How many workers there are, when they are replaced, and how they end. Times are in seconds.

    `max_requests` and `max_requests_jitter`: a worker is replaced after so many answers, and up to so many
    more. `max_lifetime`, `max_rss`: after so long, at so many bytes of memory. `timeout`: a worker whose loop
    is blocked for so long is killed; 0: never. `privileges` are given up by every worker, once the application
    is loaded; the arbiter keeps the rights it was started with.
    """

    workers: int = 1
    max_requests: int = 0
    max_requests_jitter: int = 0
    max_lifetime: float | None = None
    max_rss: int | None = None
    timeout: int = HEARTBEAT_TIMEOUT_S
    graceful_timeout: float = GRACEFUL_TIMEOUT_S
    drain_delay: float = 0.0
    loop: str = "auto"
    server_name: str = "container"
    process_name: str = "container"
    pidfile: str | None = None
    daemon: bool = False
    # What to look at, for development; None: at nothing.
    watch: Watch | None = None
    # Where the command was started, and is by USR2; None: where it is.
    directory: str | None = None
    privileges: Privileges = field(default_factory=Privileges)
    # How the arbiter logs, and all that it starts.
    logs: LogSettings = field(default_factory=LogSettings)
    # Called in the arbiter and in every worker as soon as they serve.
    on_serving: Callable[[], None] = field(default=lambda: None)
