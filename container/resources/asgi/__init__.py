"""ASGI applications in the tree (ASGI 3.0): `ASGIResource`.

`resource.py` decides when an application runs and ends its tasks, `scope.py` says what it is told, `http.py`
carries one request and its answer, `lifespan.py` starts and stops the application itself.
"""

from container.resources.asgi.resource import ASGIResource

__all__ = ["ASGIResource"]
