"""python manage.py prepare: from a checkout to a site that can run. Running it again changes nothing."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, call_command


class Command(BaseCommand):
    help = "Creates the tables, collects the static files and creates the superuser admin (password: admin)."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        users = get_user_model().objects
        if not users.filter(username="admin").exists():
            users.create_superuser("admin", password="admin")
        self.stdout.write("Ready. Sign in at /admin/ as admin, password admin, and change it.")
