"""Sites: what is served at an address, with all the settings that hold for the whole of it.

Here: giving every binding of an application its Site. Not here: what the root of one is (build.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from container.channel.endpoints import UnixEndpoint, plain_endpoint
from container.config.blame import blaming
from container.config.gateways import behind_proxies
from container.config.importer import ImportProblem
from container.config.kinds.kind import construct
from container.config.objects import as_resource
from container.config.policy import BY_NAME
from container.config.problems import ConfigProblem
from container.resources.access import ConcurrencyLimit
from container.service.application import Application, Binding
from container.service.server import as_endpoints
from container.tree.encoding import EncodingRules
from container.tree.health import Health
from container.tree.policies import BodyLimit, RootPath
from container.tree.request_ids import RequestIds
from container.tree.site import Site

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container.channel.endpoints import Endpoint
    from container.config.settings import Settings


# What mounts have by the same name, from the innermost to the outermost.
_POLICIES: Final = ("htpasswd", "forward-auth", "sessions")


def bind_sites(
    application: Application, name: str, settings: Settings, endpoints: Sequence[Endpoint]
) -> list[Site]:
    """Give every binding a site with these settings, and its endpoints; return the sites."""
    sites: dict[int, Site] = {}
    bindings = application.bindings
    for binding in bindings:
        if binding.options:
            unknown = ", ".join(binding.options)
            raise ImportProblem(f"expected only a site and addresses in serve(), got {unknown} in {name}")
        if id(binding.site) not in sites:
            sites[id(binding.site)] = site_of(binding.site, name, settings)
    if not bindings and not application.services:
        raise ImportProblem(f"expected {name} to serve a site or to have a service, got neither")
    if endpoints and len(sites) != 1:
        raise ConfigProblem(f"expected one site to serve at the given address, got {len(sites)} in {name}")
    if endpoints:
        bindings = [replace(bindings[0], endpoints=tuple(endpoints))]
    application.bindings = [
        Binding(sites[id(each.site)], as_endpoints(each.endpoints), {}) for each in bindings
    ]
    for site in sites.values():
        if settings.request_id != "off":
            accept = settings.request_id == "accept"
            site.root = RequestIds(site.root, accept=accept, send=settings.send_request_id)
        places = [place for each in application.bindings if each.site is site for place in each.endpoints]
        unix = any(isinstance(plain_endpoint(place), UnixEndpoint) for place in places)
        site.root = behind_proxies(site.root, settings.trusted_proxies, unix=unix)
    return list(sites.values())


def site_of(value: object, name: str, settings: Settings) -> Site:
    """A site that serves `value`, with the settings that hold for sites.

    A site that is ready made keeps the headers it has: further ones come from a second site around it.
    """
    resource = as_resource(value, name, settings)
    site = resource if isinstance(resource, Site) else Site(resource, headers=settings.headers)
    if settings.display_tracebacks:
        site.display_tracebacks = True
    if site is resource and settings.headers:
        outer = Site(site, headers=settings.headers, error_pages=site.error_pages, access_log=site.log)
        outer.limits, outer.timeouts = site.limits, site.timeouts
        outer.display_tracebacks = site.display_tracebacks
        site = outer
    site.limits = replace(site.limits, **settings.limits)  # type: ignore[arg-type]  # None only where it may be
    site.timeouts = replace(site.timeouts, **settings.timeouts)
    if settings.encoders:
        site.encoding = EncodingRules(settings.encoders)
    if settings.override_log or site.log is None:
        site.log = settings.access_log
    site.takes_notes = site.takes_notes or settings.takes_notes
    for policy in _POLICIES:
        said = policy.replace("-", "_")
        if (value := getattr(settings, said)) is not None:
            with blaming(settings.origins.get(said, "")):
                site.root = BY_NAME[policy].wrap(site.root, value)
    if settings.healthz is not None or settings.readyz is not None:
        site.root = construct(Health, site.root, healthz=settings.healthz, readyz=settings.readyz)
    if settings.limit_concurrency is not None:
        site.root = ConcurrencyLimit(site.root, settings.limit_concurrency)
    if settings.root_path is not None:
        with blaming(settings.origins.get("root_path", "")):
            site.root = construct(RootPath, site.root, settings.root_path)
    return site


def allow_larger_content(site: Site) -> None:
    """Where a place of the tree may take more than its site does: all that reaches it has to come in first."""
    own = site.limits.body
    largest = max((each.limit for each in site.resources() if isinstance(each, BodyLimit)), default=0)
    if own is not None and largest > own:
        site.limits = replace(site.limits, body=largest)
        site.root = BodyLimit(site.root, own)
