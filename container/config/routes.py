"""A tree in lines, for people: each place, what answers there, and what is around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from container.config.addresses import describe_endpoints, spell_endpoint
from container.config.describe import describe_site, describe_tree, hosts_of, kind_of_resource
from container.config.policy import POLICIES
from container.tree.forwarded import Forwarded
from container.tree.health import Health
from container.tree.resource import Resource
from container.tree.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from container.service.application import Application


def routes(application: Application) -> Iterator[str]:
    """The lines: of each site its addresses, what is around all of it, and its places."""
    for binding in application.bindings:
        assert isinstance(binding.site, Site), "bind_sites has made it one"
        yield "listening on " + ", ".join(map(spell_endpoint, binding.endpoints))
        table = describe_site(binding.site, binding.endpoints)
        mounts = table.pop("mount", [])
        for name in describe_endpoints(binding.endpoints):
            del table[name]
        for name, value in table.items():
            yield f"  {name} = {_shown(value)}"
        rows = [_row(mount) for mount in mounts]
        width = max((len(place) for place, _, _ in rows), default=0)
        for place, what, keys in rows:
            yield f"  {place.ljust(width)}  {what}" + (f"  ({keys})" if keys else "")
    for service in application.services:
        yield f"beside it {service!r}"


def label(resource: Resource) -> str:
    """A resource in a few words: its kind and subject, or the policy it is."""
    policy = next((each for each in POLICIES if each.makes(resource)), None)
    if policy is not None:
        said = policy.say(resource)
        return policy.key.name + ("" if said is None else f" {_shown(said)}")
    if hosts_of(resource) is not None:
        return "virtual hosts"
    if kind_of_resource(resource) is not None:
        return _row(next(describe_tree(resource)))[1]
    if type(resource) is Site:
        return "site"
    if type(resource) is Resource:
        return "a place that only leads to others"
    if isinstance(resource, Health):
        return "health"
    return "forwarded-allow-ips" if type(resource) is Forwarded else type(resource).__name__.lstrip("_")


def _row(mount: Mapping[str, Any]) -> tuple[str, str, str]:
    host = mount.get("host")
    place = f"//{host}{mount['path']}" if host else mount["path"]
    (kind, subject), *keys = [(name, value) for name, value in mount.items() if name not in ("host", "path")]
    return place, f"{kind} {_shown(subject)}", ", ".join(f"{name}={_shown(value)}" for name, value in keys)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return " ".join(f"{name}={_shown(each)}" for name, each in value.items())
    return ",".join(map(_shown, value)) if isinstance(value, list | tuple) else str(value)
