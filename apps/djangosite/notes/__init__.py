"""A Django project of one application: notes with an attachment."""
