"""Content codings, one a file (RFC 9110 8.4.1)."""
