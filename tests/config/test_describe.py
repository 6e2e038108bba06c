"""What no key says of a tree made in Python is never told as if it were the usual: it is an object, or a remark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from container.config.problems import ConfigProblem
from tests.config.said import assembled, printed

if TYPE_CHECKING:
    from pathlib import Path

TAC = """
from container import *
from container.resources.access import *
from container.sessions.sqlite import SQLiteStore
from container.tree.forwarded import Forwarded
from container.tree.policies import AddHeaders
from container.resources.cgi import *
import hello, page
verify = "http://127.0.0.1:9091/verify"
application = Application("a")
root = Resource()
root.mount("x", {})
application.serve(Site(root), "127.0.0.1:8080")
"""
# Wrappers with something that their key cannot say, and with nothing but that.
THEIRS = [
    ("ForwardAuth(page.page, verify, user='X-User')", "ForwardAuth"),
    ("ForwardAuth(page.page, verify, fields=['X-Groups'])", "ForwardAuth"),
    ("ForwardAuth(page.page, verify, sends=['Cookie'])", "ForwardAuth"),
    ("ForwardAuth(page.page, verify, timeout=1)", "ForwardAuth"),
    ("ForwardAuth(page.page, verify, max_connections=1)", "ForwardAuth"),
    ("RateLimit(page.page, 5, key=lambda request: request.path)", "RateLimit"),
    ("RateLimit(page.page, 5, keys_max=7)", "RateLimit"),
    ("RateLimit(page.page, 5, clock=lambda: 0.0)", "RateLimit"),
    ("RateLimit(page.page, 5, per=7)", "RateLimit"),
    ("ConcurrencyLimit(page.page, 5, retry_after=9)", "ConcurrencyLimit"),
    ("BasicAuth(page.page, htpasswd='users.txt', realm='Ours')", "BasicAuth"),
    ("BasicAuth(page.page, htpasswd='users.txt', anonymous=True)", "BasicAuth"),
    ("BasicAuth(page.page, htpasswd='users.txt', slow_down=None)", "BasicAuth"),
    ("BasicAuth(page.page, users={'mary': '1234'})", "BasicAuth"),
    ("Rewriter(page.page, tilde_to_users)", "Rewriter"),
    ("Rewriter(page.page, RewriteRule('/a', '/b'), repeat=True)", "Rewriter"),
    ("Rewriter(page.page, RewriteRule('/a', '/b', method='GET'))", "Rewriter"),
    ("Rewriter(page.page, RewriteRule('/a', '/b'), RewriteRule('/a', '/c'))", "Rewriter"),
    ("Sessions(page.page, idle_timeout=60)", "Sessions"),
    ("Sessions(page.page, name='shop')", "Sessions"),
    ("Sessions(page.page, secure=True)", "Sessions"),
    ("Sessions(page.page, store=SQLiteStore('s.db', timeout=1))", "Sessions"),
    ("Encoded(page.page, [Gzip()], minimum=1)", "Encoded"),
    ("Encoded(page.page, [Gzip()], types=['text/css'])", "Encoded"),
]
# What is around each other in another way than a file puts it, or twice.
OTHERWISE = [
    ("BasicAuth(RateLimit(page.page, 5), htpasswd='users.txt')", "RateLimit"),
    ("Deny(Allow(page.page, ['10.0.0.0/8']), ['10.0.0.1'])", "Allow"),
    ("RateLimit(RateLimit(page.page, 5), 100, per=60)", "RateLimit"),
    ("AddHeaders(page.page, [('X-A', '1'), ('X-A', '2')])", "AddHeaders"),
    ("AddHeaders(Site(page.page, headers={'A': '1'}), {'B': '2'})", "Site"),
    ("Site(page.page, headers=[('X-A', '1'), ('X-A', '2')])", "Site"),
    ("Site(page.page, error_pages={404: Response('no')})", "Site"),
    ("WSGIResource(hello.application, queue_limit=0)", "WSGIResource"),
    ("WSGIResource(hello.application, request_timeout=float('inf'))", "WSGIResource"),
    ("Files('public', not_found=Response('no'))", "Files"),
    ("Files('public', processors={'.x': lambda path, files: page.page})", "Files"),
    ("Files('public', processors={'.cgi': CGIProcessor()})", "Files"),
    ("ReverseProxy('http://127.0.0.1:9000', via='me')", "ReverseProxy"),
    ("ReverseProxy('http://127.0.0.1:9000', client_grace=1)", "ReverseProxy"),
    ("CGIDirectory('cgi-bin', umask=0o77)", "CGIDirectory"),
    ("HostDirectory('public', Files)", "HostDirectory"),
    ("UserDirectory(Files)", "UserDirectory"),
    ("WSGIResource(hello.application, request_timeout='5m')", "WSGIResource"),
]
USUAL = [
    ("AddHeaders(Site(page.page, encoders=[Gzip()]), {'B': '2'})", 'B = "2"'),
    ("ForwardAuth(page.page, verify, fields=['Remote-Groups', 'Remote-Name', 'Remote-Email'], timeout=10)",
     'forward-auth = "http://127.0.0.1:9091/verify"'),
    ("RateLimit(page.page, 5, per=60, keys_max=10_000)", 'rate-limit = "5/m"'),
    ("ConcurrencyLimit(page.page, 5, retry_after=1)", "concurrency = 5"),
    ("BasicAuth(page.page, htpasswd='users.txt', slow_down=True)", 'htpasswd = "users.txt"'),
    ("Sessions(page.page, store=SQLiteStore('s.db'), lifetime=None)", 'sessions = "sqlite:s.db"'),
    ("Encoded(page.page, [Gzip()], minimum=512)", 'compress = ["gzip"]'),
]  # fmt: skip


@pytest.mark.parametrize(("made", "name"), [*THEIRS, *OTHERWISE])
def test_what_no_key_says_is_an_object_that_no_file_makes(place: Path, made: str, name: str) -> None:
    """CF-07: loaded again it would be another guard."""
    (place / "site.tac").write_text(TAC.format(made))
    text = printed("-y", "site.tac")
    assert f'object = "<{name}' in text or f"object = '<{name}" in text or f"{name} object at" in text
    (place / "again.toml").write_text(text)
    with pytest.raises(ConfigProblem, match="got an object that only Python has"):
        assembled("-c", "again.toml")


@pytest.mark.parametrize("made", [made for made, _ in THEIRS])
def test_around_a_whole_site_it_is_one_as_well(place: Path, made: str) -> None:
    (place / "site.tac").write_text(TAC.format("page.page").replace("Site(root)", f"Site({made})"))
    assert "object = " in printed("-y", "site.tac")


@pytest.mark.parametrize(("made", "line"), USUAL)
def test_what_is_the_usual_is_not_told(place: Path, made: str, line: str) -> None:
    (place / "site.tac").write_text(TAC.format(made))
    text = printed("-y", "site.tac")
    assert line in text.splitlines()
    (place / "again.toml").write_text(text)
    assert printed("-c", "again.toml") == text


def test_names_with_percent_signs_are_told_as_they_are_asked_for(place: Path) -> None:
    (place / "site.tac").write_text(TAC.format("page.page") + "root.mount('a%61/50%', page.page)\n")
    text = printed("-y", "site.tac")
    assert 'path = "/a%2561/50%"' in text
    (place / "again.toml").write_text(text)
    assert printed("-c", "again.toml") == text


def test_what_runs_scripts_among_files_is_told(place: Path) -> None:
    arguments = [
        "--path=public",
        "--scripts",
        "--cgi-timeout=10",
        "--cgi-interpreter=.sh=sh",
        "--processor=.x=hello:Old",
    ]
    text = printed(*arguments)
    lines = ["cgi-timeout = 10", 'cgi-interpreter = [".sh=sh"]', "scripts = true", '".x" = "hello:Old"']
    assert {*lines} <= {*text.splitlines()}
    (place / "again.toml").write_text(text)
    assert printed("-c", "again.toml") == text
    (place / "again.toml").write_text(text := printed(*arguments, "--mount=/cgi-bin=cgi:cgi-bin"))
    assert printed("-c", "again.toml") == text
    assert "cgi-timeout" not in printed("--path=public", "--cgi-timeout=10")


def test_each_of_several_sites_has_its_own_options(place: Path) -> None:
    sites = [
        "cgi-timeout = 10\nscripts = true\n",
        "cgi-timeout = 20\nscripts = true\n",
        "",
    ]
    text = "".join(
        f"[[site]]\nlisten = 'tcp:8{number}'\npath = 'public'\n{more}" for number, more in enumerate(sites)
    )
    (place / "sites.toml").write_text("log-level = 'debug'\n" + text)
    text = printed("-c", "sites.toml")
    first, second, third = text.split("[[site]]")[1:]
    assert "cgi-timeout = 10" in first
    assert "cgi-timeout = 20" in second
    assert "cgi-timeout" not in third
    (place / "again.toml").write_text(text)
    assert printed("-c", "again.toml") == text


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["--host=db", "--port=81"], ['host = "db"', "port = 81"]),
        (["--host=db", "--backlog=9"], ['host = "db"', "port = 8080", "backlog = 9"]),
        (["--host=db", "-b", "tcp:81"], ['host = "db"', "port = 8080", 'listen = ["tcp:81"]']),
        (
            ["--uds=s", "-b", "tcp:81", "--tls-cert=c.pem"],
            ['listen = ["tcp:81", "unix:s"]', 'ssl-certfile = "c.pem"'],
        ),
        (
            [
                "--uds=s",
                "--proxy-protocol",
                "--tls-cert=c",
                "--tls-key=k",
                "--ssl-ca-certs=a",
                "--ssl-min-version=1.3",
            ],
            [
                'listen = ["haproxy:unix:s"]',
                'ssl-keyfile = "k"',
                'ssl-ca-certs = "a"',
                'ssl-min-version = "1.3"',
            ],
        ),
        (["--uds=s", "--tls-cert=c", "-b", "tls:81:cert=d"], ['listen = ["tls:81:cert=d", "unix:s"]']),
        (
            ["--host=db", "--tls-cert=c", "--ssl-ca-certs=a", "--ssl-client=optional"],
            ['host = "db"', 'ssl-client = "optional"'],
        ),
        (["--uds=s", "--proxy-protocol"], ['listen = ["haproxy:unix:s"]']),
        (["--host=db", "--proxy-protocol"], ['host = "db"', "port = 8080", "proxy-protocol = true"]),
        (
            ["--host=db", "--proxy-protocol", "--tls-cert=c", "-b", "tcp:81"],
            ['host = "db"', 'listen = ["tcp:81"]', 'ssl-certfile = "c"', "proxy-protocol = true"],
        ),
        (["--fd=3", "--forwarded-allow-ips="], ['listen = ["fd:3"]', "forwarded-allow-ips = []"]),
        (["--fd=3", "--forwarded-allow-ips=none"], ['listen = ["fd:3"]']),
        (["--host=::1"], ['listen = ["[::1]:8080"]']),
        (["-b", "tcp6:81"], ['listen = ["[::]:81"]']),
        (["-b", "tcp6:81:interface=localhost"], ['listen = ["tcp6:81:interface=localhost"]']),
    ],
)
def test_addresses_are_told_as_they_can_be_read(place: Path, arguments: list[str], lines: list[str]) -> None:
    text = printed("--path=public", *arguments)
    assert {*lines} <= {*text.splitlines()}
    (place / "again.toml").write_text(text)
    assert printed("-c", "again.toml") == text


@pytest.mark.parametrize("trusted", ["fields=['for']", "unix=False"])
def test_whose_word_counts_of_a_few_fields_is_an_object(place: Path, trusted: str) -> None:
    root = f"Site(Forwarded(page.page, ['10.0.0.1'], {trusted}))"
    (place / "site.tac").write_text(TAC.format("page.page").replace("Site(root)", root))
    text = printed("-y", "site.tac")
    assert "object = " in text
    assert "forwarded-allow-ips" not in text
