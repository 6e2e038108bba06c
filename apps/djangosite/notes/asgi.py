"""The same project over ASGI, for what threads are too dear for: connections that stay open.

Mounted at /ws beside the WSGI application at the root: `site.tac`. Consumers are those of Django Channels.
"""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notes.settings")

from django.core.asgi import get_asgi_application

http = get_asgi_application()  # sets Django up, before any model is imported

from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from notes.models import Note


class Live(AsyncJsonWebsocketConsumer):
    """Tells how many notes there are, as often as it is asked."""

    async def receive_json(self, content: dict[str, object], **more: object) -> None:
        await self.send_json({"notes": await Note.objects.acount(), "echo": content})


application = ProtocolTypeRouter(
    {"http": http, "websocket": URLRouter([path("ws/live", Live.as_asgi()), path("live", Live.as_asgi())])}
)
