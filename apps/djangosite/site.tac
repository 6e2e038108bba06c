"""One Django project three ways: its WSGI application at the root, on threads; its ASGI application at /ws, on
the event loop; its static and uploaded files from the tree, taking neither.

Start it in this directory: python manage.py prepare && container -y site.tac
"""

import sys
from pathlib import Path

from container import Application, ASGIResource, Files, Site, WSGIResource

# The package `notes` can be imported from whatever directory the server was started in.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from django.conf import settings
from notes.asgi import application as django_asgi
from notes.wsgi import application as django

root = WSGIResource(django, threads=8)
# Children are tried before the application they are mounted on.
root.mount("static", Files(settings.STATIC_ROOT))
root.mount("media", Files(settings.MEDIA_ROOT))
root.mount("ws", ASGIResource(django_asgi))

application = Application("notes")
application.serve(Site(root), "127.0.0.1:8080")
