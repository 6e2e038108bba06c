"""CGI scripts in the tree (RFC 3875), and the gateway that runs them."""

from container.resources.cgi.gateway import Gateway
from container.resources.cgi.resource import CGIDirectory, CGIProcessor, CGIScript

__all__ = ["CGIDirectory", "CGIProcessor", "CGIScript", "Gateway"]
