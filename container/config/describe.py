"""From what was built back to how it is said in a file: `--print-config`, whatever the spelling was.

What is told is read off the objects, so a tree that was made in Python is told like one that was made of options.
What only Python has is told by its name, `module:attribute`, or else as an `object` that no file can make.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from container.channel.endpoints import UnixEndpoint, plain_endpoint
from container.config.addresses import describe_endpoints, untold_of
from container.config.encoders import spell_encoders
from container.config.file import APP, OBJECT
from container.config.gateways import NOBODY
from container.config.kinds.registry import TWINS, unique_kinds
from container.config.metrics import told_address
from container.config.mounts import spell_path
from container.config.names import name_of
from container.config.options import OPTIONS
from container.config.options.content import SCRIPTS
from container.config.options.development import DEVELOPMENT
from container.config.options.logs import LOGS
from container.config.options.process import PROCESS, WORKERS
from container.config.policy import BY_NAME, POLICIES
from container.config.toml import dump
from container.message.forwarded import KNOWN
from container.message.limits import Limits, Timeouts
from container.resources.access import ConcurrencyLimit
from container.tree.forwarded import Forwarded
from container.tree.health import Health
from container.tree.policies import BodyLimit, RootPath
from container.tree.request_ids import RequestIds
from container.tree.resource import Resource
from container.tree.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from container.channel.endpoints import Endpoint
    from container.config.gather import Gathered
    from container.config.kinds.kind import Kind
    from container.config.layers import Configuration
    from container.config.options import Option
    from container.service.application import Application, Binding

Table = dict[str, Any]
# Ways to say that there is none.
_NOTHING: Final[tuple[object, ...]] = (None, (), [], {})

# What no tree knows of is told as it was said.
_SAID: Final = (
    *(
        each
        for section in (LOGS, PROCESS, WORKERS, DEVELOPMENT)
        for each in section.options
        if each.name != "display-tracebacks"  # a site tells of it
    ),
    *(OPTIONS[name] for name in ("server_header", "env", "app_dir")),
)
# What scripts among files are run by; those of mounts have keys.
_OF_SCRIPTS: Final = tuple(each for each in SCRIPTS.options if each.name not in ("cgi", "cgi-bin"))
# What is around a whole site by an option of that name: the policies that are told of there.
_OF_SITES: Final = ("sessions", "htpasswd", "forward-auth")


def config_of(application: Application, gathered: Gathered) -> str:
    """The text of a container.toml that says the same; with a remark on what cannot be said in one."""
    remarks = [f"# a service that only Python has: {each!r}" for each in application.services]
    own_address, bindings = _metrics_apart(application)
    sites = {id(binding.site): binding for binding in bindings}
    parts = [configuration for configuration, _ in gathered.parts]
    if len(parts) != len(sites):  # one of them has made several
        parts = [gathered.configuration] * len(sites)
    tables = []
    for binding, configuration in zip(sites.values(), parts, strict=True):
        assert isinstance(binding.site, Site), "bind_sites has made it one"
        table = describe_site(binding.site, binding.endpoints)
        if any(mount.get("scripts") for mount in table.get("mount", ())):
            table = describe_options(configuration, _OF_SCRIPTS) | table
        tables.append(table)
        remarks += untold_of(binding.endpoints)
        if binding.site.error_pages:
            pages = ", ".join(map(str, binding.site.error_pages))
            remarks.append(f"# error pages that only Python has: {pages}")
    options = describe_options(gathered.configuration, _SAID)
    own = tables[0] if len(tables) == 1 else {"site": tables} if tables else {}
    rights = {
        name: str(number)
        for name, number in (("user", application.uid), ("group", application.gid))
        if number is not None
    }
    return "\n".join([*remarks, dump(rights | options | own_address | own)])


def _metrics_apart(application: Application) -> tuple[Table, list[Binding]]:
    """What an option says of metrics that have an address of their own, and all other bindings."""
    said: Table = {}
    others = []
    for binding in application.bindings:
        assert isinstance(binding.site, Site), "bind_sites has made it one"
        address = told_address(binding, describe_site(binding.site, binding.endpoints))
        if address is None or said or len(application.bindings) == 1:
            others.append(binding)
        else:
            said["metrics"] = address
    return said, others


def describe_options(configuration: Configuration, options: Iterable[Option]) -> Table:
    """Those that were said and differ from what holds anyway."""
    table: Table = {}
    for option in options:
        value = configuration.values[option.field]
        if option.only_here or (not value and not option.default) or value == option.default:
            continue
        table[option.name] = [*map(option.type.spell, value)] if option.many else option.type.spell(value)
    return table


def describe_site(site: Site, endpoints: Sequence[Endpoint]) -> Table:
    """Its addresses, what holds for all of it, and the mounts of its tree."""
    table: Table = describe_endpoints(endpoints)
    unix = any(isinstance(plain_endpoint(each), UnixEndpoint) for each in endpoints)
    root, around = _unwrap_site(site, unix=unix)
    table |= _limits(site, around)
    if site.display_tracebacks:
        table["display-tracebacks"] = True
    if site.encoding is not None:
        table["compress"] = spell_encoders(site.encoding.encoders.values())
    if site.headers.items():
        table["headers"] = _fields(site.headers.items())
    mounts = sorted(describe_tree(root), key=lambda mount: (mount.get("host", ""), mount["path"]))
    return table | around | ({"mount": mounts} if mounts else {})


def _unwrap_site(site: Site, *, unix: bool) -> tuple[Resource, Table]:
    """The root without what options of the whole site have put around it, and these."""
    said: Table = {}
    resource = site.root
    believes = False
    while True:
        policy = next((each for each in POLICIES if each.makes(resource)), None)
        if isinstance(resource, Health):
            said |= {
                name: path for name in ("healthz", "readyz") if (path := getattr(resource, name)) is not None
            }
        elif type(resource) is Forwarded and resource.made_with == {"unix": True, "fields": KNOWN}:
            believes = True
            entries = list(resource.trusted.entries)
            if entries or not unix:  # it may turn out that a socket somebody else has made is a UNIX socket
                said["forwarded-allow-ips"] = entries
        elif type(resource) is RequestIds:
            pass  # it was said by --request-id, which is told of as it was said
        elif type(resource) is RootPath:
            said["root-path"] = resource.path
        elif type(resource) is ConcurrencyLimit and policy is not None and policy.say(resource) is not None:
            said["limit-concurrency"] = resource.limit
        elif type(resource) is BodyLimit:
            said["limit-request-body"] = OPTIONS["limit_request_body"].type.spell(resource.limit)
        elif policy is not None and policy.key.name in _OF_SITES and policy.say(resource) is not None:
            said[policy.key.name] = policy.say(resource)
        else:
            if unix and not believes:
                said["forwarded-allow-ips"] = NOBODY
            return resource, said
        resource = resource.inner  # type: ignore[attr-defined]  # all of these are wrappers


def _limits(site: Site, around: Table) -> Table:
    usual, said = Limits(), {}
    names = {"request_line": "line", "fields": "fields", "field_size": "field-size", "body": "body"}
    for name, word in names.items():
        value = getattr(site.limits, name)
        if value != getattr(usual, name) and not (name == "body" and "limit-request-body" in around):
            option = OPTIONS[f"limit_request_{word.replace('-', '_')}"]
            said[option.name] = option.type.spell(value)
    if site.timeouts.keep_alive != Timeouts().keep_alive:
        said["keep-alive"] = OPTIONS["keep_alive"].type.spell(site.timeouts.keep_alive)
    return said


# The tree.


def describe_tree(root: Resource, host: str = "", path: str = "") -> Iterator[Table]:
    """A table for each mount, those above before those below."""
    resource, policies = unwrap(root)
    if (hosts := hosts_of(resource)) is not None and not path:
        default, others = hosts
        if default is not None:
            yield from describe_tree(default, host, path)
        for name, each in others.items():
            yield from describe_tree(each, name)
        return
    own, children = _describe(resource), resource.children
    leads_on = not policies and (children or not (path or host))
    if not own and not leads_on:  # a plain resource that no kind makes
        own = {OBJECT: repr(resource)}
    if own:
        place = {"host": host} if host else {}
        yield place | {"path": spell_path(path)} | own | policies
    for name, child in children.items():
        yield from describe_tree(child, host, f"{path}/{name}".removeprefix("/"))


def unwrap(resource: Resource) -> tuple[Resource, Table]:
    """What policies are around, and those. A Site inside a tree is taken for its fields and codings."""
    said: Table = {}
    place = len(POLICIES)
    while True:
        policy = next((each for each in POLICIES if each.makes(resource)), None)
        if policy is not None and (value := policy.say(resource)) is not None:
            if policy.key.name in said or (policy.is_guard and POLICIES.index(policy) > place):
                return resource, said  # a file puts each around once, and in one order
            said[policy.key.name] = value
            place = POLICIES.index(policy) if policy.is_guard else place
            resource = resource.inner  # type: ignore[attr-defined]  # policies are wrappers
        elif type(resource) is Site and (own := _of_inner(resource)) is not None and not own.keys() & said:
            said |= own
            resource = resource.root
        else:
            return resource, said


def _of_inner(site: Site) -> Table | None:
    """What a site inside a tree is told as; None when it has more."""
    said: Table = {}
    fields = site.headers.items()
    if fields:
        said["headers"] = dict(fields)
    if site.encoding is not None:
        said["compress"] = BY_NAME["compress"].key.say(tuple(site.encoding.encoders.values()))
    is_told = len(dict(fields)) == len(fields) and None not in said.values()
    return said if is_told and not site.error_pages else None


def hosts_of(resource: Resource) -> tuple[Resource | None, dict[str, Resource]] | None:
    """The default and the trees of hosts, for what is VirtualHosts and no more."""
    from container.resources.vhost import VirtualHosts

    if type(resource) is VirtualHosts and not resource.parents:
        return resource.default, resource.hosts
    return None


def kind_of_resource(resource: Resource) -> Kind | None:
    """The kind it is of; None for somebody's own class."""
    return next((each for each in (*unique_kinds(), *TWINS) if each.makes(resource)), None)


def _describe(resource: Resource) -> Table:
    """Its kind and keys, or its name; empty for a place that only leads to others."""
    kind = kind_of_resource(resource)
    subject = kind.subject(resource) if kind is not None else None
    keys = keys_of(kind, resource) if kind is not None else None
    if kind is not None and subject is not None and keys is not None:
        return {kind.name: subject} | keys
    if type(resource) is Resource or (kind is None and type(resource).__name__.startswith("_")):
        return {}
    name = name_of(resource) if kind is None else None
    return {OBJECT: repr(resource)} if name is None else {APP: name}


def keys_of(kind: Kind, resource: Resource) -> Table | None:
    """The keys whose values are not those that hold anyway; None when a file cannot say all of it."""
    if kind.has_more(resource):
        return None
    usual = kind.defaults()
    said: Table = {}
    for key in kind.keys:
        value = key.told(resource)
        default = usual.get(key.name)
        if _same(value, default) or (value in _NOTHING and default in _NOTHING):
            continue
        if (spelt := key.say(value)) is None:
            return None
        said[key.name] = spelt
    return said


def _same(one: object, other: object) -> bool:
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return list(one) == list(other)
    return one == other and isinstance(one, bool) is isinstance(other, bool)


def _fields(pairs: Sequence[tuple[str, str]]) -> Table:
    """A table of fields, those that come several times as a list."""
    table: Table = {}
    for name, value in pairs:
        there = table.get(name)
        table[name] = value if there is None else [*([there] if isinstance(there, str) else there), value]
    return table
