"""Connections that the server itself opens, to programs and other servers that answer requests for it."""
