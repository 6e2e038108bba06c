"""CGI scripts in the tree (RFC 3875), and the gateway that runs them."""

from container.resources.cgi.gateway import Gateway
from container.resources.cgi.resource import CGIDirectory, CGIScript, cgi_processor

__all__ = ["CGIDirectory", "CGIScript", "Gateway", "cgi_processor"]
