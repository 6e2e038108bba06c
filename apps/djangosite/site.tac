"""Django at the root, on threads; its static and uploaded files come from the tree and never take a thread.

Start it in this directory: python manage.py prepare && container -y site.tac
"""

import sys
from pathlib import Path

from container import Application, Files, Site, WSGIResource

# The package `notes` can be imported from whatever directory the server was started in.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from django.conf import settings
from notes.wsgi import application as django

root = WSGIResource(django, threads=8)
# Children are tried before the application they are mounted on.
root.mount("static", Files(settings.STATIC_ROOT))
root.mount("media", Files(settings.MEDIA_ROOT))

application = Application("notes")
application.serve(Site(root), "127.0.0.1:8080")
