#!/usr/bin/env python3
"""Greets by name: a form that posts to itself."""

import html
import os
import sys
from urllib.parse import parse_qs

length = int(os.environ.get("CONTENT_LENGTH") or 0)
form = parse_qs(sys.stdin.buffer.read(length).decode())
name = form.get("name", ["stranger"])[0]

print("Content-Type: text/html; charset=utf-8\n")
print(f"<!doctype html><title>Visitors</title><p>Hello from Python, {html.escape(name)}.")
action = html.escape(os.environ["SCRIPT_NAME"])
print(f'<form method=post action="{action}"><input name=name><button>Greet</button></form>')
