"""Many kinds of things side by side: one tree, one port, one process.

    container -y blog.tac

A .tac is Python that binds `application`. Each mount names a path and what answers below it.
"""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from container import Application, Files, Resource, Response, Site, WSGIResource

# The modules beside this file can be imported from whatever directory the server was started in.
sys.path.insert(0, str(Path(__file__).resolve().parent))

import pypiserver
from flasksite import app as flask_app
from helloworld import application as hello

here = Path(__file__).resolve().parent
packages = Path(os.environ.get("PYPI_PACKAGES", here / "var/packages")).resolve()
packages.mkdir(parents=True, exist_ok=True)
started = time.monotonic()


class Time(Resource):
    """A resource of our own: a method named like the verb takes a request and returns a response."""

    def get(self, request) -> Response:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Response.html(
            f'<!doctype html><html lang="en"><title>Server time</title><h1>Server time</h1>'
            f'<p><time datetime="{now}">{now}</time></p><p><a href="/">Back</a></p></html>'
        )


class Health(Resource):
    """Answered on the event loop: it takes no thread, so busy applications cannot delay it."""

    def get(self, request) -> Response:
        return Response.json({"status": "ok", "uptime_s": round(time.monotonic() - started, 3)})


# Files at the root answer whatever no mount below claims; public/index.html is the front page.
root = Files(here / "public")

# WSGI applications run on threads. SCRIPT_NAME tells each where it is mounted, so its links stay right.
root.mount("flask", WSGIResource(flask_app, threads=4))
root.mount("hello", WSGIResource(hello, threads=2))

# A pool of its own is a bulkhead: a slow package index leaves the other mounts their threads. A package it
# lacks is a plain 404 (its default sends pip on to pypi.org); without a password file it refuses uploads.
index = pypiserver.app(roots=[packages], disable_fallback=True)
root.mount("pypi", WSGIResource(index, threads=2))

# Native resources run on the event loop and return values.
root.mount("time", Time())
root.mount("healthz", Health())

application = Application("blog")
application.serve(Site(root), "127.0.0.1:8080")
