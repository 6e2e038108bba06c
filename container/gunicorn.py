"""The worker class for gunicorn: `gunicorn -k container.gunicorn.Worker module:app`.

Here: what gunicorn's settings mean to our server, and what is made of the application it names: a WSGI or ASGI
application, a Site, a Resource, an Application, or a factory, `module:make()`. Only settings that differ from
gunicorn's defaults replace ours. Not here: the life of a worker (service/worker.py); `container --workers`
(service/workers/), which needs no gunicorn command. docs/gunicorn.md has the table.
"""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gunicorn import util
from gunicorn.app.wsgiapp import WSGIApplication
from gunicorn.errors import AppImportError

from container.channel.certificates import TLSSettings
from container.channel.endpoints import (
    DEFAULT_BACKLOG,
    Endpoint,
    ProxiedEndpoint,
    ProxyPolicy,
    describe_socket,
    with_tls,
)
from container.config.gateways import parse_proxies
from container.config.importer import ImportProblem, format_user_traceback, import_object
from container.config.problems import ConfigProblem
from container.config.settings import Settings
from container.config.sites import bind_sites
from container.message.limits import Limits
from container.service.application import Application
from container.service.logs import revive_loggers
from container.service.observer import Announcer, Observer
from container.service.temporary import find_temporary_place
from container.service.worker import ServingWorker

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from container.tree.site import Site

# The arbiter kills what has not ended after its graceful_timeout: we are done before.
_KILL_MARGIN_S: Final = 1.0


class Worker(ServingWorker):
    """Serves what gunicorn was told to, by our server."""

    @classmethod
    def setup(cls) -> None:
        """Called by gunicorn before the application is loaded: it takes callables only, which a Site is not."""
        WSGIApplication.load_wsgiapp = _load_named

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Called by gunicorn in the arbiter: refuse what would be ignored otherwise."""
        if cfg.protocol != "http":
            raise RuntimeError(f"container.gunicorn.Worker: expected protocol http, got {cfg.protocol!r}")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.loop_name = self.cfg.asgi_loop
        if is_set(self.cfg, "worker_connections"):
            self.connections_max = self.cfg.worker_connections
        timeout = float(self.cfg.graceful_timeout)
        self.graceful_timeout = max(timeout / 2, timeout - _KILL_MARGIN_S)

    def load_application(self) -> Application:
        self._share_log()
        find_temporary_place()
        settings = settings_of(self.cfg)
        name = getattr(self.app, "app_uri", None) or "the application"
        try:
            value = self.app.wsgi()
            if not isinstance(value, Application):
                application = Application("container")
                application.serve(value)
                value = application
            (site,) = bind_sites(value, name, settings, [endpoint_of(self.cfg)])
        except (ImportProblem, ConfigProblem) as problem:
            raise AppImportError(_explained(problem)) from problem
        revive_loggers()
        self._observe(site)
        return value

    def _share_log(self) -> None:
        """Send our records where gunicorn's go, unless the operator has said so by its settings for logging."""
        ours, theirs = logging.getLogger("container"), self.log.error_log
        if ours.handlers:
            return
        ours.handlers[:] = theirs.handlers
        ours.propagate = theirs.propagate
        ours.setLevel(ours.level or theirs.level)

    def shared_sockets(self) -> Iterable[tuple[int, int, socket.socket]]:
        """All of gunicorn's sockets lead to the one site."""
        return [(0, 0, each.sock) for each in self.sockets]

    def _observe(self, site: Site) -> None:
        """gunicorn's hooks and its logger, where anybody asked for them."""
        watches = [name for name in ("pre_request", "post_request") if is_set(self.cfg, name)]
        logs = (
            self.log.access_log_enabled or is_set(self.cfg, "statsd_host") or is_set(self.cfg, "logger_class")
        )
        if not (watches or logs):
            return
        if "pre_request" in watches:
            site.root = Announcer(site.root, self)
        site.log = Observer(self, after="post_request" in watches, logs=logs)


def is_set(cfg: Any, name: str) -> bool:
    """Does a setting differ from gunicorn's default?"""
    setting = cfg.settings[name]
    return bool(setting.get() != type(setting)().get())


def settings_of(cfg: Any) -> Settings:
    """gunicorn's settings as ours, those that were changed."""
    limits: dict[str, int | None] = {
        ours: cfg.settings[theirs].get() or _ENDLESS
        for theirs, ours in _LIMITS.items()
        if is_set(cfg, theirs)
    }
    default = Limits()
    size = limits.get("field_size") or 0
    if size > default.field_size:
        limits["field_section"] = size + default.field_section
    return Settings(
        threads=cfg.threads if is_set(cfg, "threads") else Settings().threads,
        lifespan=cfg.asgi_lifespan,
        limits=limits,
        timeouts={"keep_alive": float(cfg.keepalive)} if is_set(cfg, "keepalive") else {},
        trusted_proxies=(
            parse_proxies(",".join(cfg.forwarded_allow_ips)) if is_set(cfg, "forwarded_allow_ips") else None
        ),
    )


def endpoint_of(cfg: Any) -> Endpoint:
    """What stands for gunicorn's sockets, behind the layers it was told of."""
    endpoint: Endpoint = _Sockets(cfg.backlog)
    if cfg.is_ssl:
        endpoint = with_tls(endpoint, _tls_of(cfg))
    if cfg.proxy_protocol != "off":
        endpoint = ProxiedEndpoint(endpoint, _policy_of(cfg))
    return endpoint


def _tls_of(cfg: Any) -> TLSSettings:
    return TLSSettings(
        certificate=cfg.certfile or cfg.keyfile,
        key=cfg.keyfile,
        authorities=cfg.ca_certs,
        client=_CLIENTS[ssl.VerifyMode(cfg.cert_reqs)],
        ciphers=cfg.ciphers,
        hook=partial(cfg.ssl_context, cfg) if is_set(cfg, "ssl_context") else None,
    )


def _policy_of(cfg: Any) -> ProxyPolicy:
    """A header may be missing, and only some peers may send one: gunicorn's rules."""
    peers = None if "*" in cfg.proxy_allow_ips else tuple(cfg.proxy_allow_networks())
    return ProxyPolicy(_VERSIONS[cfg.proxy_protocol], required=False, peers=peers)


_LIMITS: Final = {
    "limit_request_line": "request_line",
    "limit_request_fields": "fields",
    "limit_request_field_size": "field_size",
}
_VERSIONS: Final = {"v1": frozenset({1}), "v2": frozenset({2}), "auto": frozenset({1, 2})}
_CLIENTS: Final = {
    ssl.CERT_NONE: "none",
    ssl.CERT_OPTIONAL: "optional",
    ssl.CERT_REQUIRED: "required",
}
# gunicorn's 0 means no limit; ours is one that nobody needs.
_ENDLESS: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _Sockets:
    """The endpoint that stands for all sockets of gunicorn's; it never opens or releases one."""

    backlog: int = DEFAULT_BACKLOG

    def listen(self) -> list[socket.socket]:
        return []

    def describe(self, sock: socket.socket) -> str:
        return describe_socket(sock)

    def release(self, sock: socket.socket) -> None:
        """They are the arbiter's."""


def _load_named(application: Any) -> object:
    """What gunicorn's APP_MODULE names. Factories with arguments, `make("x")`, are gunicorn's own syntax."""
    name = application.app_uri
    if name.endswith(")") and not name.endswith("()"):
        return util.import_app(name)
    try:
        return import_object(name)
    except ImportProblem as problem:
        raise AppImportError(_explained(problem)) from problem


def _explained(problem: Exception) -> str:
    cause = getattr(problem, "cause", None)
    trace = format_user_traceback(cause) if cause is not None else ""
    return (trace if trace.count("\n") > 1 else "") + f"container: {problem}"
