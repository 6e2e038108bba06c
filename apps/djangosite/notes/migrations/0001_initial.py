"""The table of notes."""

from django.db import migrations, models

import notes.models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Note",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("title", models.CharField(max_length=200)),
                ("text", models.TextField(blank=True)),
                ("attachment", models.FileField(max_length=255, upload_to=notes.models.stored_name)),
                ("created", models.DateTimeField(auto_now_add=True)),
            ],
            options={"ordering": ("-pk",)},
        ),
    ]
