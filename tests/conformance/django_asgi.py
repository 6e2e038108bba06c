"""The smallest Django project that answers over ASGI: one module is settings, URLs and application."""

from __future__ import annotations

from typing import Any

from django.conf import settings

if not settings.configured:
    settings.configure(
        DEBUG=False, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="only for tests", USE_TZ=True
    )

import django
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse

django.setup(set_prefix=False)


async def item(request: HttpRequest, number: int) -> HttpResponse:
    return HttpResponse(reverse("item", args=[number]))


def deep(request: HttpRequest) -> HttpResponse:
    return HttpResponse(reverse("deep"))


urlpatterns: Any = [path("items/<int:number>", item, name="item"), path("inner/deep", deep, name="deep")]
application = ASGIHandler()
