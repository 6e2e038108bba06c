"""From the values of options to what they are for: the application with its sites, addresses, TLS, rights.

Here: which option means what. Not here: where values come from (gather.py), the tree (build.py), running it all
(the command).
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from container.channel.certificates import TLSSettings
from container.channel.endpoints import (
    Endpoint,
    FDEndpoint,
    ProxiedEndpoint,
    TCPEndpoint,
    UnixEndpoint,
    is_loopback,
    plain_endpoint,
    with_tls,
)
from container.config.build import build
from container.config.metrics import bind_metrics
from container.config.options.addresses import DEFAULT_CERTIFICATE, DEFAULT_HOST, DEFAULT_PORT, PLATFORM_PORT
from container.config.problems import ConfigProblem
from container.config.scripts import Scripts
from container.config.settings import Settings, Source
from container.config.users import personal_endpoint
from container.message.limits import Limits
from container.message.websocket import WebSocketOptions
from container.service.logs import LogFile, LogSettings, access_stream
from container.service.privileges import Privileges, find_group, find_user
from container.tree.accesslog import AccessLog, make_formatter
from container.tree.health import DEFAULT_HEALTH_PATH, DEFAULT_READY_PATH
from container.tree.site import Site

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import ExitStack

    from container.config.gather import Gathered
    from container.config.layers import Configuration
    from container.config.mounts import Mount
    from container.service.application import Application

_LIMITS = {
    "limit_request_line": "request_line",
    "limit_request_fields": "fields",
    "limit_request_field_size": "field_size",
    "limit_request_body": "body",
}


def assemble(gathered: Gathered, stack: ExitStack) -> Application:
    """The application with all that was said of it; files that are opened for it are closed with `stack`."""
    log = open_access_log(gathered.configuration, stack)
    applications = [_site(configuration, mounts, log) for configuration, mounts in gathered.parts]
    whole, *others = applications
    for each in others:
        if each.services:
            raise ConfigProblem(
                f"expected services in the first site only, got {each.services[0]!r} in another"
            )
        whole.bindings += each.bindings
    _check_proxied(gathered.configuration, whole)
    metrics = gathered.configuration.values["metrics"]
    if metrics is not None:
        whole.bindings.append(bind_metrics(metrics))
    return whole


def _check_proxied(configuration: Configuration, application: Application) -> None:
    """ConfigProblem where it is said who sends PROXY headers, and no address takes any."""
    if "proxy_allow_from" in configuration.given and not any(
        isinstance(each, ProxiedEndpoint) for binding in application.bindings for each in binding.endpoints
    ):
        name = configuration.names["proxy_allow_from"]
        raise ConfigProblem(f"expected --proxy-protocol or an address haproxy:… with {name}, got neither")


def _site(configuration: Configuration, mounts: Sequence[Mount], log: AccessLog | None) -> Application:
    """An application of what is said of one site."""
    settings = settings_of(configuration, log)
    application = build(source_of(configuration, mounts), settings, endpoints_of(configuration))
    application.bindings = [
        replace(binding, endpoints=tuple(layered(configuration, each) for each in binding.endpoints))
        for binding in application.bindings
    ]
    return application


def asks_for_addresses(gathered: Gathered) -> bool:
    """Does only what is built know where it is served?"""
    values = gathered.configuration.values
    names_none = not endpoints_of(gathered.configuration)
    return bool(gathered.sites) or (
        names_none and (values["app"] is not None or values["python"] is not None)
    )


def source_of(configuration: Configuration, mounts: Sequence[Mount]) -> Source:
    values = configuration.values
    return Source(
        app=values["app"],
        wsgi=values["wsgi"],
        asgi=values["asgi"],
        class_=values["class"],
        path=values["path"],
        tac=values["python"],
        script=values["resource_script"],
        user_dirs="public_html" if values["user_dirs"] else None,
        factory=values["factory"],
        mounts=mounts,
        cgi=values["cgi"],
        cgi_bins=values["cgi_bin"],
    )


def settings_of(configuration: Configuration, access_log: AccessLog | None) -> Settings:
    """Only what was given replaces what a ready-made site says of itself."""
    values, given = configuration.values, configuration.given
    if values["send_request_id"] and values["request_id"] == "off":
        raise ConfigProblem("expected --request-id accept or issue with --send-request-id, got neither")
    limits = {name: given[option] for option, name in _LIMITS.items() if option in given}
    default = Limits()
    if limits.get("field_size", 0) > default.field_size:  # one of that size must fit in beside ordinary ones
        limits["field_section"] = limits["field_size"] + default.field_section
    return Settings(
        threads=values["threads"],
        queue_limit=values["queue_limit"],
        lifespan=values["lifespan"],
        websocket=websocket_of(values),
        request_timeout=values["request_timeout"],
        index=values["index"],
        listing=values["listing"],
        ignore_ext=values["ignore_ext"] or (("*",) if values["allow_ignore_ext"] else ()),
        default_type=values["mime_type"],
        processors=dict(map(_processor, values["processor"])),
        headers=values["headers"],
        encoders=values["compress"] or (),
        display_tracebacks=values["display_tracebacks"],
        limits=limits,
        timeouts={"keep_alive": given["keep_alive"]} if "keep_alive" in given else {},
        access_log=access_log,
        sessions=values["sessions"],
        trusted_proxies=values["forwarded_allow_ips"],
        htpasswd=values["htpasswd"],
        forward_auth=values["forward_auth"],
        healthz=values["healthz"] or (DEFAULT_HEALTH_PATH if values["health"] else None),
        readyz=values["readyz"] or (DEFAULT_READY_PATH if values["health"] else None),
        limit_concurrency=values["limit_concurrency"],
        root_path=values["root_path"],
        scripts=Scripts(
            interpreters=values["cgi_interpreter"],
            variables=values["cgi_env"],
            user=values["cgi_user"],
            timeout=values["cgi_timeout"],
            processes=values["cgi_processes"],
            warm=values["cgi_warm"],
            among_files=values["scripts"],
            session=values["cgi_session"],
        ),
        takes_notes=logs_of(configuration).follows_requests,
        request_id=values["request_id"],
        send_request_id=values["send_request_id"],
        origins=configuration.origins,
        override_log=not given.keys().isdisjoint({"access_log", "access_log_file", "access_log_format"}),
    )


def websocket_of(values: Mapping[str, Any]) -> WebSocketOptions:
    try:
        return WebSocketOptions(
            max_message=values["ws_max_size"],
            max_frame=values["ws_max_size"],
            queue_messages=values["ws_max_queue"],
            ping_interval=values["ws_ping_interval"],
            ping_timeout=values["ws_ping_timeout"],
            deflate=values["ws_per_message_deflate"],
        )
    except ValueError as error:
        raise ConfigProblem(str(error)) from error


def _processor(text: str) -> tuple[str, str]:
    extension, equals, name = text.partition("=")
    if not equals or not name or not extension.startswith("."):
        raise ConfigProblem(f'expected ".EXT=NAME" for --processor, got {text!r}')
    return extension, name


# Addresses.


def endpoints_of(configuration: Configuration) -> list[Endpoint]:
    """The addresses that were given; none when none was."""
    given = configuration.given
    endpoints: list[Endpoint] = list(given.get("listen", ()))
    if "uds" in given:
        endpoints.append(UnixEndpoint(given["uds"]))
    if "fd" in given:
        endpoints.append(FDEndpoint(given["fd"]))
    if "host" in given or "port" in given:
        # Who sets PORT, a platform, reaches the process from elsewhere.
        default = None if configuration.names.get("port") == PLATFORM_PORT else DEFAULT_HOST
        host = given["host"].strip("[]") if "host" in given else default
        endpoints.append(TCPEndpoint(host, given.get("port", DEFAULT_PORT)))
    if "https" in given:
        certificate = TLSSettings(
            given.get("ssl_certfile", DEFAULT_CERTIFICATE),
            given.get("ssl_keyfile"),
            password=given.get("ssl_keyfile_password"),
            password_file=given.get("ssl_keyfile_password_file"),
        )
        endpoints.append(with_tls(TCPEndpoint(None, given["https"]), certificate))
    if not endpoints and given.get("personal"):
        endpoints.append(personal_endpoint())
    return endpoints


def layered(configuration: Configuration, endpoint: Endpoint) -> Endpoint:
    """An address with what holds for all of them: how many may wait, TLS, a PROXY header."""
    values, given = configuration.values, configuration.given
    if "backlog" in given and isinstance(endpoint, TCPEndpoint | UnixEndpoint):
        endpoint = replace(endpoint, backlog=given["backlog"])
    tls = tls_of(configuration)
    if tls is not None and "https" not in given:
        endpoint = with_tls(endpoint, tls)
    if values["proxy_protocol"] and not isinstance(endpoint, ProxiedEndpoint):
        endpoint = ProxiedEndpoint(endpoint)
    if isinstance(endpoint, ProxiedEndpoint) and "proxy_allow_from" in given:
        endpoint = replace(endpoint, policy=replace(endpoint.policy, peers=given["proxy_allow_from"]))
    return endpoint


def tls_of(configuration: Configuration) -> TLSSettings | None:
    """What was said of TLS, if certificates were given."""
    values, given = configuration.values, configuration.given
    certificate = values["ssl_certfile"]
    if certificate is None:
        for name in given:
            if name.startswith("ssl_"):
                raise ConfigProblem(f"expected --ssl-certfile with --{name.replace('_', '-')}, got none")
        return None
    if "ssl_keyfile_password" in given and "ssl_keyfile_password_file" in given:
        raise ConfigProblem("expected --ssl-keyfile-password or --ssl-keyfile-password-file, got both")
    authorities = values["ssl_ca_certs"]
    client = values["ssl_client"] or ("required" if authorities is not None else "none")
    if client != "none" and authorities is None:
        raise ConfigProblem(f"expected --ssl-ca-certs with --ssl-client {client}, got none")
    return TLSSettings(
        certificate=certificate,
        key=values["ssl_keyfile"],
        authorities=authorities,
        client=client,
        minimum=values["ssl_min_version"],
        ciphers=values["ssl_ciphers"],
        password=values["ssl_keyfile_password"],
        password_file=values["ssl_keyfile_password_file"],
    )


def is_exposed(endpoint: Endpoint) -> bool:
    """Can other machines reach this address?"""
    return isinstance(plain_endpoint(endpoint), TCPEndpoint) and not is_loopback(endpoint)


def shows_tracebacks_to_all(application: Application) -> bool:
    """Tracebacks show secrets: only the developer's own machine should see them."""
    return any(
        isinstance(binding.site, Site)
        and binding.site.display_tracebacks
        and any(map(is_exposed, binding.endpoints))
        for binding in application.bindings
    )


# The process.


def privileges_of(values: Mapping[str, Any]) -> Privileges:
    return Privileges(
        uid=find_user(values["user"]) if values["user"] is not None else None,
        gid=find_group(values["group"]) if values["group"] is not None else None,
        umask=values["umask"],
        chroot=values["chroot"],
        rundir=values["rundir"],
    )


def logs_of(configuration: Configuration) -> LogSettings:
    values = configuration.values
    if values["daemon"] and values["log_file"] == "-":
        raise ConfigProblem("expected a file or --syslog for the log of a --daemon, got standard output")
    return LogSettings(
        level=values["log_level"],
        format=values["log_format"],
        file=values["log_file"],
        syslog=values["syslog"],
        address=values["syslog_address"],
        facility=values["syslog_facility"],
        prefix=values["syslog_prefix"],
        journal=values["journal"],
        requests=values["log_requests"],
        config=values["log_config"],
        said=frozenset(configuration.given),
    )


def open_access_log(configuration: Configuration, stack: ExitStack) -> AccessLog | None:
    values = configuration.values
    name = values["access_log_file"]
    if not values["access_log"]:
        if name is not None:
            raise ConfigProblem("expected --access-log-file or --no-access-log, got both")
        return None
    stream = access_stream(logs_of(configuration), name)
    if isinstance(stream, LogFile):
        stack.callback(stream.close)
    return AccessLog(stream, make_formatter(values["access_log_format"])) if stream is not None else None


def change_directory(path: str) -> None:
    try:
        os.chdir(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigProblem(f"expected a directory for --chdir, got {path!r}: {reason}") from error
