"""Programs that answer requests over FastCGI, SCGI or the protocol of uWSGI: php-fpm and its kin.

`resource` is what is mounted, `call` one request, `frames` the three ways to say it.
"""

from container.resources.responder.resource import (
    FastCGIProcessor,
    FastCGIResource,
    SCGIResource,
    UWSGIResource,
)

__all__ = ["FastCGIProcessor", "FastCGIResource", "SCGIResource", "UWSGIResource"]
