"""Any kind of root with any option for the whole site works, or is refused at the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from container.testing import Client
from container.tree.site import Site
from tests.config.said import assembled

if TYPE_CHECKING:
    from pathlib import Path

ROOTS = {
    "nothing": [],
    "wsgi": ["--wsgi=hello:application", "--threads=0"],
    "asgi": ["--asgi=page:answer", "--lifespan=off"],
    "files": ["--path=public"],
    "a file": ["--path=public/a.txt"],
    "class": ["--class=page.Page"],
    "tac": ["-y", "site.tac"],
    "script": ["--resource-script=page.rpy"],
    "cgi": ["--cgi=."],
    "users": ["--user-dirs"],
    "redirect": ["--mount=/=redirect:/elsewhere"],
    "mounts": ["--mount=/x=files:public"],
    "hosts": ["--vhost=a.example=files:public"],
}
OPTIONS = [
    ["--index=a.txt", "--ignore-ext=txt", "--mime-type=text/x-any", "--allow-ignore-ext", "--no-listing"],
    ["--compress=gzip"],
    ["--sessions=memory"],
    ["--htpasswd=users.txt"],
    ["--health"],
    ["--forwarded-allow-ips=*"],
    ["--root-path=/shop"],
    ["--limit-concurrency=1"],
    ["--limit-request-body=10"],
    ["--display-tracebacks"],
    ["--request-id=issue"],
    ["--mount=/below=redirect:/other"],
    ["--scripts"],
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options[0])
@pytest.mark.parametrize("root", ROOTS)
def test_every_root_with_every_option(place: Path, root: str, options: list[str]) -> None:
    """CL-13, CL-04, RT-18, CL-05: with two fields on each answer, whoever gives it."""
    (place / "page.py").write_text(
        "from container import Resource, Response\n"
        "class Page(Resource):\n"
        "    def get(self, request):\n"
        "        return Response('page')\n"
        "    def post(self, request):\n"
        "        raise RuntimeError\n"
        "async def answer(scope, receive, send):\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b'asgi'})\n"
    )
    (place / "site.tac").write_text("from page import Page\napplication = Page()\n")
    (place / "page.rpy").write_text("from page import Page\nresource = Page()\n")
    _, application = assembled(*ROOTS[root], *options, "--header=X-One: 1", "--add-header", "X-Two: a: b")
    (binding,) = application.bindings
    assert isinstance(binding.site, Site)
    with Client(binding.site, headers={"Host": "a.example"}) as client:
        answers = [
            client.get("/"), client.get("/nothing/here"), client.get("/a.txt", headers={"If-None-Match": "*"}),
            client.post("/", body=b"x" * 20), client.request("OPTIONS", "*"), client.get("/below"),
            client.request("NONSENSE", "/"),
        ]  # fmt: skip
    for answer in answers:
        assert answer.headers.get_all("X-One") == ["1"]
        assert answer.headers.get_all("X-Two") == ["a: b"]
    statuses = [answer.status for answer in answers]
    assert not any(status >= 500 for status in statuses[:3])
    assert statuses[4] == 200
    assert statuses[0] == 401 if "--htpasswd=users.txt" in options else statuses[0] in (200, 302, 404)
