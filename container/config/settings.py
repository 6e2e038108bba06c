"""What the user gave, as values: what is to be served, and what holds for all of it. Nothing is loaded here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from container.config.scripts import Scripts
from container.message.websocket import DEFAULT_OPTIONS, WebSocketOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from container.config.mounts import Mount
    from container.message.encoding import Encoder
    from container.message.exchange import Exchange
    from container.message.fields import Pair
    from container.resources.asgi.lifespan import LifespanMode


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for all that is built.

    `threads`, `queue_limit`: of each WSGI application and class of handlers that is named; `lifespan`, `websocket`:
    of each ASGI application; `request_timeout`: of all three and of Python scripts. Resources that a `.tac` file has
    made have their own. All others hold for every site: `headers` are added, `limits` and `timeouts` replace single
    values by name, `encoders` replace those a site has. `index` is of every directory that is named, `listing` of a
    root that is one.
    `access_log` is for sites that have none; with `override_log` for all of them. `takes_notes`: log
    records tell of requests. `request_id`: whose ids go on with requests, `accept` those of clients, `issue` only ours;
    `send_request_id`: to clients as well.
    `sessions` is the store of sessions around every site, as `make_store` takes it; `htpasswd` the file of those
    who may see any of them, `forward_auth` the URL of a server that knows them. `trusted_proxies` are the networks
    of proxies whose word counts, None for those of UNIX sockets only, `("none",)` for nobody. `healthz` and
    `readyz` are paths answered in front of every site; `limit_concurrency` is how many requests it answers at a
    time, `root_path` what a proxy has cut off their paths. `ignore_ext`, `default_type` and `processors`, names of
    classes by extension, are of directories of files. `origins` is where options were said, by their field.
    """

    threads: int = 8
    queue_limit: int = 1000
    lifespan: LifespanMode = "auto"
    websocket: WebSocketOptions = DEFAULT_OPTIONS
    request_timeout: float | None = None
    index: tuple[str, ...] = ("index.html",)
    listing: bool = True
    headers: tuple[Pair, ...] = ()
    encoders: tuple[Encoder, ...] = ()
    display_tracebacks: bool = False
    limits: Mapping[str, int | None] = field(default_factory=dict)
    timeouts: Mapping[str, float] = field(default_factory=dict)
    access_log: Callable[[Exchange], None] | None = None
    override_log: bool = False
    takes_notes: bool = False
    request_id: str = "off"
    send_request_id: bool = False
    sessions: str | None = None
    trusted_proxies: tuple[str, ...] | None = None
    htpasswd: str | None = None
    forward_auth: str | None = None
    healthz: str | None = None
    readyz: str | None = None
    limit_concurrency: int | None = None
    root_path: str | None = None
    ignore_ext: tuple[str, ...] = ()
    default_type: str | None = None
    processors: Mapping[str, str] = field(default_factory=dict)
    scripts: Scripts = field(default_factory=Scripts)
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be served, as the user spelt it: at most one of the first nine, and mounts before it."""

    app: str | None = None
    wsgi: str | None = None
    asgi: str | None = None
    path: str | None = None
    tac: str | None = None
    cgi: str | None = None
    script: str | None = None
    user_dirs: str | None = None
    class_: str | None = None
    factory: bool = False
    mounts: Sequence[Mount] = ()
    cgi_bins: Sequence[str] = ()
