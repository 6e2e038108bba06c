"""The pages: a list, an upload, a note with its file, a stream, a health check."""

import hashlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from django.db import DatabaseError
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe
from django.views.generic import CreateView, DetailView, ListView

from notes.models import Note

PIECE = bytes(range(256)) * 256  # 64 KiB
PIECES_PER_MB = 1024 * 1024 // len(PIECE)
MOST_MB = 1024


class NoteList(ListView):
    model = Note
    paginate_by = 50
    template_name = "notes/list.html"


class NoteUpload(CreateView):
    """Stores the file, then redirects to the note: reloading that page uploads nothing again."""

    model = Note
    fields = ("title", "text", "attachment")
    template_name = "notes/upload.html"


class NotePage(DetailView):
    """Size and digest are those of the stored file, so they prove that it arrived whole."""

    model = Note
    template_name = "notes/note.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        with open_attachment(self.object) as file:
            digest = hashlib.file_digest(file, "sha256")
            size = file.tell()
        return super().get_context_data(sha256=digest.hexdigest(), size=size, **kwargs)


def open_attachment(note: Note) -> BinaryIO:
    try:
        return open(note.attachment.path, "rb")
    except FileNotFoundError as missing:
        raise Http404(f"the file of note {note.pk} is gone") from missing


@require_safe
def download(request: HttpRequest, pk: int) -> FileResponse:
    """The file through Django, which could ask who wants it; below /media the tree does not ask."""
    return FileResponse(open_attachment(get_object_or_404(Note, pk=pk)), as_attachment=True)


@require_safe
def stream(request: HttpRequest, mb: int) -> HttpResponse | StreamingHttpResponse:
    """So many MiB that are never in memory at once; no Content-Length, the server frames the pieces."""
    if mb > MOST_MB:
        return HttpResponseBadRequest(f"expected at most {MOST_MB} MiB, got {mb}", content_type="text/plain")
    return StreamingHttpResponse(pattern(mb), content_type="application/octet-stream")


def pattern(mb: int) -> Iterator[bytes]:
    for _ in range(mb * PIECES_PER_MB):
        yield PIECE


@require_safe
def health(request: HttpRequest) -> JsonResponse:
    try:
        return JsonResponse({"status": "ok", "notes": Note.objects.count()})
    except DatabaseError:
        return JsonResponse({"status": "database unavailable"}, status=503)
