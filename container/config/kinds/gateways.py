"""Other servers: proxies, FastCGI, SCGI, uwsgi; and what only leads elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from container.config.compound import Table
from container.config.kinds.kind import Key, Kind, construct
from container.config.values import Choice, Duration, Number, Switch, Text

if TYPE_CHECKING:
    from container.config.settings import Settings
    from container.tree.resource import Resource

_RESPONDER: Final = (
    Key("environment", Table("NAME=VALUE"), "Variables for the program.", argument="variables"),
    Key("session", Switch(), "Tell the id and user of the visitor's session."),
    Key("connections", Number(1, 100_000), "Requests that are asked at a time."),
    Key("queue-limit", Number(0, 10_000_000), "Requests that may wait; more are answered 503."),
    Key("timeout", Duration(), "How long the program may be silent, else 504."),
    Key("connect-timeout", Duration(), "How long a connection may take."),
)  # fmt: skip


def _proxy(urls: str, settings: Settings, arguments: dict[str, Any]) -> Resource:
    from container.resources.proxy import ReverseProxy

    return construct(ReverseProxy, *(each.strip() for each in urls.split(",")), **arguments)


def _fastcgi(address: str, settings: Settings, arguments: dict[str, Any]) -> Resource:
    """`ADDRESS`, or `ADDRESS=SCRIPT` for the script that answers everything."""
    from container.resources.responder import FastCGIResource

    place, _, script = address.partition("=")
    return construct(FastCGIResource, place, **({"script": script or None} | arguments))


def _scgi(address: str, settings: Settings, arguments: dict[str, Any]) -> Resource:
    from container.resources.responder import SCGIResource

    return construct(SCGIResource, address, **arguments)


def _uwsgi(address: str, settings: Settings, arguments: dict[str, Any]) -> Resource:
    from container.resources.responder import UWSGIResource

    return construct(UWSGIResource, address, **arguments)


def _redirect(url: str, settings: Settings, arguments: dict[str, Any]) -> Resource:
    from container.resources.redirect import Redirect

    return construct(Redirect, url, **arguments)


def _monster(networks: str, settings: Settings, arguments: dict[str, Any]) -> Resource:
    from container.resources.vhostmonster import VHostMonster

    return construct(VHostMonster, [each.strip() for each in networks.split(",")])


PROXY: Final = Kind(
    name="proxy", metavar="URL", help="A gateway to another server, or to several with commas between.",
    make=_proxy, home="container.resources.proxy:ReverseProxy",
    subject=lambda resource: _one_or_all([each.url for each in resource.upstreams]),
    parts={
        "timeouts": "container.client.pool:ClientTimeouts",
        "health": "container.resources.proxy:Health",
    },
    keys=(
        Key("upstream-host", Text("HOST"), "The Host field they get: upstream, preserve, or a name.", argument="host"),
        Key("forwarding", Choice(("x", "standard", "both", "none")), "How they learn of the client."),
        Key("trust-forwarding", Switch(), "Add to what the client says of that itself."),
        Key("rewrite", Switch(), "Translate Location and cookies to the mount point."),
        Key("connect-timeout", Duration(), "Until the connection stands.", argument="timeouts.connect"),
        Key("queue-timeout", Duration(), "For a free connection.", argument="timeouts.queue"),
        Key("answer-timeout", Duration(), "Until the answer begins, else 504.", argument="timeouts.answer"),
        Key("read-timeout", Duration(), "Between two pieces of it.", argument="timeouts.read"),
        Key("idle-timeout", Duration(), "How long a connection is kept.", argument="timeouts.idle"),
        Key("tunnel-timeout", Duration(), "How long nothing may move in a WebSocket."),
        Key("balance", Text("POLICY"), "Which of several servers is asked."),
        Key("max-fails", Number(0, 1_000_000), "Failures in a row after which one rests."),
        Key("cool-down", Duration(), "How long it rests."),
        Key("slow-start", Duration(), "How long it takes to get its full share again."),
        Key("health-path", Text("PATH"), "Ask servers here how they are.", argument="health.path",
            default=None,
            attribute=lambda resource: _health(resource, "path")),
        Key("health-interval", Duration(), "How often.", argument="health.interval",
            default=None,
            attribute=lambda resource: _health(resource, "interval")),
    ),
)  # fmt: skip
FASTCGI: Final = Kind(
    name="fastcgi", metavar="ADDRESS", help="A FastCGI responder such as php-fpm.",
    make=_fastcgi, home="container.resources.responder:FastCGIResource", subject=lambda resource: resource.address,
    keys=(
        Key("front-script", Text("FILE"), "The script that answers everything below.", argument="script"), *_RESPONDER,
    ),
)  # fmt: skip
SCGI: Final = Kind(
    name="scgi", metavar="ADDRESS", help="A program that speaks SCGI.", make=_scgi, keys=_RESPONDER,
    home="container.resources.responder:SCGIResource", subject=lambda resource: resource.address,
)  # fmt: skip
UWSGI: Final = Kind(
    name="uwsgi", metavar="ADDRESS", help="An application server that speaks uwsgi.", make=_uwsgi, keys=_RESPONDER,
    home="container.resources.responder:UWSGIResource", subject=lambda resource: resource.address,
)  # fmt: skip
REDIRECT: Final = Kind(
    name="redirect", metavar="URL", help="Sends clients to a URL.",
    make=_redirect, home="container.resources.redirect:Redirect", subject=lambda resource: resource.url,
    keys=(Key("status", Number(301, 308), "301, 302, 303, 307 or 308."),),
)  # fmt: skip
MONSTER: Final = Kind(
    name="vhostmonster", metavar="NETWORKS",
    help="Believes what proxies of these networks say in the path of host and scheme.",
    make=_monster, home="container.resources.vhostmonster:VHostMonster",
    subject=lambda resource: list(resource.trusted.entries),
)  # fmt: skip


def _health(resource: Any, name: str) -> object:
    health = resource.made_with["health"]
    return None if health is None else getattr(health, name)


def _one_or_all(urls: list[str]) -> str | list[str]:
    return urls[0] if len(urls) == 1 else urls
