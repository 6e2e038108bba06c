"""A small Flask application: forms, JSON, a stream, a session cookie, an error, an upload.

It does not know where it is mounted. Every link comes from url_for, which puts SCRIPT_NAME in front, so the
pages work at the root (container --wsgi=flasksite.app) and below a prefix (blog.tac) alike.
"""

import hashlib
import os
from collections.abc import Iterator

from flask import Flask, Response, abort, jsonify, render_template, request, session, url_for
from jinja2 import DictLoader

MOST_LINES = 100_000

# A real site keeps these in a templates/ folder. Names that end in .html are escaped automatically.
PAGES = {
    "base.html": """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{% block title %}{% endblock %} - Flask</title>
  <style>
    :root { color-scheme: light dark; }
    body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; }
  </style>
</head>
<body>
  <nav aria-label="Site"><a href="{{ url_for('index') }}">Flask example</a></nav>
  <main><h1>{{ self.title() }}</h1>{% block main %}{% endblock %}</main>
</body>
</html>
""",
    "index.html": """{% extends "base.html" %}
{% block title %}Flask in a tree{% endblock %}
{% block main %}
<p>Mounted at <code>{{ request.script_root or "/" }}</code>.</p>
<ul>
  <li><a href="{{ url_for('echo') }}">Echo a form</a></li>
  <li><a href="{{ url_for('facts') }}">JSON</a></li>
  <li><a href="{{ url_for('stream', lines=100) }}">A stream of 100 lines</a></li>
  <li><a href="{{ url_for('counter') }}">A counter in the session cookie</a></li>
  <li><a href="{{ url_for('upload') }}">Upload a file</a></li>
  <li><a href="{{ url_for('error') }}">An error</a></li>
</ul>
{% endblock %}
""",
    "echo.html": """{% extends "base.html" %}
{% block title %}Echo{% endblock %}
{% block main %}
<form method="post">
  <label for="text">Text</label>
  <input id="text" name="text" value="{{ text }}" required>
  <button>Send</button>
</form>
{% if text %}<p>You said: <output for="text">{{ text }}</output></p>{% endif %}
{% endblock %}
""",
    "counter.html": """{% extends "base.html" %}
{% block title %}Counter{% endblock %}
{% block main %}
<p>Visits in this session: <strong id="visits">{{ visits }}</strong></p>
<p><a href="{{ url_for('counter') }}">Once more</a></p>
{% endblock %}
""",
    "upload.html": """{% extends "base.html" %}
{% block title %}Upload{% endblock %}
{% block main %}
<form method="post" enctype="multipart/form-data">
  <label for="file">File</label>
  <input id="file" name="file" type="file" required>
  <button>Upload</button>
</form>
{% endblock %}
""",
}

app = Flask(__name__, static_folder=None)
app.jinja_loader = DictLoader(PAGES)
app.secret_key = os.environ.get("FLASK_SECRET_KEY", "good enough for an example")
# Applications of one tree share a host, hence its cookies: each needs a cookie name of its own.
app.config.update(SESSION_COOKIE_NAME="flasksite", SESSION_COOKIE_SAMESITE="Lax")


@app.get("/")
def index() -> str:
    return render_template("index.html")


@app.route("/echo", methods=["GET", "POST"])
def echo() -> str:
    return render_template("echo.html", text=request.form.get("text", ""))


@app.get("/json")
def facts() -> Response:
    return jsonify(
        method=request.method,
        script_root=request.script_root,
        path=request.path,
        args=request.args.to_dict(flat=False),
        index=url_for("index", _external=True),
    )


@app.get("/stream/<int:lines>")
def stream(lines: int) -> Response:
    """No Content-Length: the server frames each piece as the generator yields it."""
    if lines > MOST_LINES:
        abort(400, f"expected at most {MOST_LINES} lines, got {lines}")

    def body() -> Iterator[str]:
        for number in range(1, lines + 1):
            yield f"line {number} of {lines}\n"

    return Response(body(), mimetype="text/plain")


@app.get("/counter")
def counter() -> str:
    """The count lives in a signed cookie, so any worker can answer the next request."""
    session["visits"] = session.get("visits", 0) + 1
    return render_template("counter.html", visits=session["visits"])


@app.get("/error")
def error() -> str:
    """Flask logs the traceback to wsgi.errors and answers 500 without it."""
    raise RuntimeError("this page always fails")


@app.route("/upload", methods=["GET", "POST"])
def upload() -> Response | str:
    if request.method == "GET":
        return render_template("upload.html")
    if "file" not in request.files:
        abort(400, "expected a file in the field 'file'")
    file = request.files["file"]
    digest = hashlib.file_digest(file.stream, "sha256")
    return jsonify(filename=file.filename, size=file.stream.tell(), sha256=digest.hexdigest())
