"""Connections that the server itself opens, to programs that answer requests for it."""
