"""Which path shows what."""

from django.contrib import admin
from django.urls import path

from notes import views

urlpatterns = [
    path("", views.NoteList.as_view(), name="list"),
    path("upload/", views.NoteUpload.as_view(), name="upload"),
    path("notes/<int:pk>/", views.NotePage.as_view(), name="note"),
    path("notes/<int:pk>/download/", views.download, name="download"),
    path("stream/<int:mb>/", views.stream, name="stream"),
    path("health/", views.health, name="health"),
    path("admin/", admin.site.urls),
]
