"""A tree under a foreign server: as an ASGI application, or as a WSGI application.

`asgi` is the application, `scope` makes requests of what the host says, `incoming` takes their content from it,
`exchange` carries the answer to it, `wsgi` puts a loop in a thread beneath a WSGI host. What hosts cannot do is told in
docs/hosted.md.
"""

from container.service.hosted.asgi import HostedSite, as_asgi
from container.service.hosted.wsgi import as_wsgi

__all__ = ["HostedSite", "as_asgi", "as_wsgi"]
