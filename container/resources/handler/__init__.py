"""Handlers of `http.server` in the tree. `resource` is what is mounted, `call` one request of it."""

from container.resources.handler.resource import HandlerResource, HandlerServer

__all__ = ["HandlerResource", "HandlerServer"]
