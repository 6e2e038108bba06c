"""A note: a title, a text and one file."""

from pathlib import PurePath

from django.db import models
from django.urls import reverse

# Anybody may upload, and /media is the same origin as the admin: a page or a drawing that carries a script
# must not come back as one. Types that browsers only show keep their ending; all others are stored, hence
# served, as plain bytes.
PASSIVE = {".bin", ".csv", ".gif", ".jpeg", ".jpg", ".png", ".txt", ".webp", ".zip"}


def stored_name(note: "Note", filename: str) -> str:
    return f"attachments/{filename}" + ("" if PurePath(filename).suffix.lower() in PASSIVE else ".bin")


class Note(models.Model):
    title = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    attachment = models.FileField(upload_to=stored_name, max_length=255)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("note", args=[self.pk])
