"""container: a WSGI and ASGI application container; one process serves one tree of resources.

The names below are the public face; each is imported when it is first used, so `import container` is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from container.client.pool import ClientTimeouts
    from container.encoders.brotli import Brotli
    from container.encoders.deflate import Deflate
    from container.encoders.gzip import Gzip
    from container.encoders.zstd import Zstd
    from container.message.errors import ClientDisconnected, HTTPError
    from container.message.file_body import FileBody
    from container.message.headers import Headers
    from container.message.limits import Limits, Timeouts
    from container.message.request import Request
    from container.message.response import Response
    from container.message.websocket import WebSocket, WebSocketDisconnected, WebSocketOptions
    from container.resources.access import Allow, ConcurrencyLimit, Deny, RateLimit
    from container.resources.asgi import ASGIResource
    from container.resources.asis import AsIs
    from container.resources.auth import (
        Avatars,
        BasicAuth,
        BearerAuth,
        DigestAuth,
        FormLogin,
        ForwardAuth,
        Guard,
        Permit,
        SlowDown,
    )
    from container.resources.data import Data
    from container.resources.handler import HandlerResource
    from container.resources.pool import ThreadPool
    from container.resources.proxy import ForwardProxy, Health, ReverseProxy, Upstream
    from container.resources.redirect import ParentRedirect, Redirect
    from container.resources.responder import FastCGIProcessor, FastCGIResource, SCGIResource, UWSGIResource
    from container.resources.rewrite import Rewriter, RewriteRule, alias, tilde, tilde_to_users
    from container.resources.script import PageScript, Registry, ResourceScript, ScriptDirectory
    from container.resources.sendfile import SendfileFrom
    from container.resources.static import Files
    from container.resources.userdir import UserDirectory
    from container.resources.vhost import HostDirectory, VirtualHosts
    from container.resources.vhostmonster import VHostMonster
    from container.resources.websocket import WebSocketResource
    from container.resources.wsgi import WSGIResource
    from container.service.application import Application, Service
    from container.service.hosted.fastcgi import FastCGIServer
    from container.service.metrics import Metrics
    from container.service.server import serve
    from container.sessions import MemoryStore, Sessions
    from container.sessions.redis import RedisStore
    from container.sessions.sqlite import SQLiteStore
    from container.tree.accesslog import AccessLog
    from container.tree.encoding import Encoded
    from container.tree.forwarded import Forwarded
    from container.tree.front import Front
    from container.tree.own_log import LogTo
    from container.tree.pages import ErrorPage
    from container.tree.policies import AddHeaders, BodyLimit, RootPath, Variables
    from container.tree.request_ids import RequestIds
    from container.tree.resource import Resource
    from container.tree.site import Site

_HOMES = {
    "ASGIResource": "resources.asgi",
    "AccessLog": "tree.accesslog",
    "AddHeaders": "tree.policies",
    "Allow": "resources.access",
    "Application": "service.application",
    "AsIs": "resources.asis",
    "Avatars": "resources.auth",
    "BasicAuth": "resources.auth",
    "BearerAuth": "resources.auth",
    "BodyLimit": "tree.policies",
    "Brotli": "encoders.brotli",
    "ClientDisconnected": "message.errors",
    "ClientTimeouts": "client.pool",
    "ConcurrencyLimit": "resources.access",
    "Data": "resources.data",
    "Deflate": "encoders.deflate",
    "Deny": "resources.access",
    "DigestAuth": "resources.auth",
    "Encoded": "tree.encoding",
    "ErrorPage": "tree.pages",
    "FastCGIProcessor": "resources.responder",
    "FastCGIResource": "resources.responder",
    "FastCGIServer": "service.hosted.fastcgi",
    "FileBody": "message.file_body",
    "Files": "resources.static",
    "FormLogin": "resources.auth",
    "ForwardAuth": "resources.auth",
    "ForwardProxy": "resources.proxy",
    "Forwarded": "tree.forwarded",
    "Front": "tree.front",
    "Guard": "resources.auth",
    "Gzip": "encoders.gzip",
    "HTTPError": "message.errors",
    "HandlerResource": "resources.handler",
    "Headers": "message.headers",
    "Health": "resources.proxy",
    "HostDirectory": "resources.vhost",
    "Limits": "message.limits",
    "LogTo": "tree.own_log",
    "MemoryStore": "sessions",
    "Metrics": "service.metrics",
    "PageScript": "resources.script",
    "ParentRedirect": "resources.redirect",
    "Permit": "resources.auth",
    "RateLimit": "resources.access",
    "Redirect": "resources.redirect",
    "RedisStore": "sessions.redis",
    "Registry": "resources.script",
    "Request": "message.request",
    "RequestIds": "tree.request_ids",
    "Resource": "tree.resource",
    "ResourceScript": "resources.script",
    "Response": "message.response",
    "ReverseProxy": "resources.proxy",
    "RewriteRule": "resources.rewrite",
    "Rewriter": "resources.rewrite",
    "RootPath": "tree.policies",
    "SCGIResource": "resources.responder",
    "SQLiteStore": "sessions.sqlite",
    "ScriptDirectory": "resources.script",
    "SendfileFrom": "resources.sendfile",
    "Service": "service.application",
    "Sessions": "sessions",
    "Site": "tree.site",
    "SlowDown": "resources.auth",
    "ThreadPool": "resources.pool",
    "Timeouts": "message.limits",
    "UWSGIResource": "resources.responder",
    "Upstream": "resources.proxy",
    "UserDirectory": "resources.userdir",
    "VHostMonster": "resources.vhostmonster",
    "Variables": "tree.policies",
    "VirtualHosts": "resources.vhost",
    "WSGIResource": "resources.wsgi",
    "WebSocket": "message.websocket",
    "WebSocketDisconnected": "message.websocket",
    "WebSocketOptions": "message.websocket",
    "WebSocketResource": "resources.websocket",
    "Zstd": "encoders.zstd",
    "alias": "resources.rewrite",
    "serve": "service.server",
    "tilde": "resources.rewrite",
    "tilde_to_users": "resources.rewrite",
}

__all__ = [  # noqa: PLE0604, RUF100  # the names of _HOMES, spelt out for type checkers
    "ASGIResource", "AccessLog", "AddHeaders", "Allow", "Application", "AsIs", "Avatars", "BasicAuth",
    "BearerAuth", "BodyLimit", "Brotli", "ClientDisconnected", "ClientTimeouts", "ConcurrencyLimit",
    "Data", "Deflate", "Deny", "DigestAuth", "Encoded", "ErrorPage", "FastCGIProcessor",
    "FastCGIResource", "FastCGIServer", "FileBody", "Files", "FormLogin", "ForwardAuth", "ForwardProxy", "Forwarded",
    "Front", "Guard", "Gzip", "HTTPError", "HandlerResource", "Headers", "Health", "HostDirectory",
    "Limits", "LogTo", "MemoryStore", "Metrics", "PageScript", "ParentRedirect", "Permit", "RateLimit", "Redirect",
    "RedisStore", "Registry", "Request", "RequestIds", "Resource", "ResourceScript", "Response",
    "ReverseProxy", "RewriteRule", "Rewriter", "RootPath", "SCGIResource", "SQLiteStore",
    "ScriptDirectory", "SendfileFrom", "Service", "Sessions", "Site", "SlowDown", "ThreadPool",
    "Timeouts", "UWSGIResource", "Upstream", "UserDirectory", "VHostMonster", "Variables", "VirtualHosts",
    "WSGIResource", "WebSocket", "WebSocketDisconnected", "WebSocketOptions", "WebSocketResource", "Zstd",
    "alias", "serve", "tilde", "tilde_to_users",
]  # fmt: skip


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"container.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
