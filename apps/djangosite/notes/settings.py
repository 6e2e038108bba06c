"""What is written lives in var/ beside manage.py, or where DJANGO_DB, DJANGO_MEDIA and DJANGO_STATIC say."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"

DATABASE = Path(os.environ.get("DJANGO_DB", VAR_DIR / "db.sqlite3")).resolve()
MEDIA_ROOT = Path(os.environ.get("DJANGO_MEDIA", VAR_DIR / "media")).resolve()
STATIC_ROOT = Path(os.environ.get("DJANGO_STATIC", VAR_DIR / "static")).resolve()
for folder in (DATABASE.parent, MEDIA_ROOT, STATIC_ROOT):
    folder.mkdir(parents=True, exist_ok=True)

# Whoever knows the key can forge sessions: a real site has its own and keeps it out of the repository.
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "example-only-" + "0123456789abcdef" * 4)
DEBUG = os.environ.get("DJANGO_DEBUG") == "1"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", "testserver"]

INSTALLED_APPS = [
    "notes",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "notes.urls"
WSGI_APPLICATION = "notes.wsgi.application"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATABASE,
        # Several threads write: wait for the lock, and take it when the transaction begins. One that starts
        # by reading and then writes is refused at once when another wrote in between; waiting cannot help it.
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
    }
}

# Relative: Django puts SCRIPT_NAME in front, so a site mounted below a prefix finds its files there.
STATIC_URL = "static/"
MEDIA_URL = "media/"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"

# Without DEBUG Django would only mail its tracebacks; the server's log is where one looks for them.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "loggers": {"django": {"handlers": ["stderr"], "level": "WARNING", "propagate": False}},
}
