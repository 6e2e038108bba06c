"""WSGI applications in the tree (PEP 3333): on a pool of threads, or inline on the loop.

`resource` decides when an application may run, `call` is one run of it, `environ` what the application is
told, `streams` its `wsgi.input` and `wsgi.errors`; the threads are those of `resources/pool.py`.
"""

from container.resources.pool import ThreadPool
from container.resources.wsgi.resource import WSGIResource

__all__ = ["ThreadPool", "WSGIResource"]
