"""Flags of other servers, by column of the table of conventions: what each is here, so that none is forgotten.

CL-01, CL-09: whoever comes from uvicorn, gunicorn, granian, hypercorn, waitress or cheroot finds that a flag means
the same, or is told in one line what is used instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from container.cli.main import main
from container.config.options import OPTIONS
from container.config.options.old import REPLACED
from tests.config.said import gathered, printed

if TYPE_CHECKING:
    from pathlib import Path

REFUSED = "refused"

# The option that a flag is, by its canonical spelling or another, or that it is refused.
UVICORN = {
    "--host": "--host", "--port": "--port", "--uds": "--uds", "--fd": "--fd", "--workers": "--workers",
    "--reload": "--reload", "--reload-dir": "--reload-dir", "--reload-include": "--reload-include",
    "--reload-exclude": "--reload-exclude", "--reload-delay": "--reload-delay", "--log-level": "--log-level",
    "--access-log": "--access-log", "--no-access-log": "--access-log", "--log-config": "--log-config",
    "--ssl-keyfile": "--ssl-keyfile", "--ssl-keyfile-password": "--ssl-keyfile-password",
    "--ssl-certfile": "--ssl-certfile", "--ssl-ca-certs": "--ssl-ca-certs",
    "--ssl-ciphers": "--ssl-ciphers", "--ssl-cert-reqs": "--ssl-client",
    "--proxy-headers": REFUSED, "--no-proxy-headers": REFUSED, "--forwarded-allow-ips": "--forwarded-allow-ips",
    "--root-path": "--root-path", "--timeout-keep-alive": "--keep-alive",
    "--timeout-graceful-shutdown": "--graceful-timeout", "--timeout-worker-healthcheck": "--timeout",
    "--limit-max-requests": "--max-requests", "--limit-max-requests-jitter": "--max-requests-jitter",
    "--limit-concurrency": "--limit-concurrency", "--backlog": "--backlog",
    "--h11-max-incomplete-event-size": REFUSED, "--loop": "--loop", "--http": REFUSED, "--ws": REFUSED,
    "--lifespan": "--lifespan", "--interface": REFUSED, "--http2": REFUSED, "--env-file": "--env-file",
    "--app-dir": "--app-dir", "--use-colors": REFUSED,
}  # fmt: skip
GUNICORN = {
    "-b": "--listen", "--bind": "--listen", "-w": "--workers", "--workers": "--workers", "--threads": "--threads",
    "--reload": "--reload", "--reload-engine": REFUSED, "--reload-extra-file": "--reload-extra-file",
    "--log-level": "--log-level", "--access-logfile": "--access-log-file",
    "--access-logformat": "--access-log-format", "--log-config": "--log-config",
    "--log-config-json": "--log-config",
    "--keyfile": "--ssl-keyfile", "--certfile": "--ssl-certfile", "--ca-certs": "--ssl-ca-certs",
    "--ciphers": "--ssl-ciphers", "--cert-reqs": "--ssl-client",
    "--forwarded-allow-ips": "--forwarded-allow-ips", "--proxy-protocol": "--proxy-protocol",
    "--proxy-allow-from": "--proxy-allow-from",
    "--root-path": "--root-path", "--keep-alive": "--keep-alive", "--graceful-timeout": "--graceful-timeout",
    "-t": "--timeout", "--timeout": "--timeout", "--max-requests": "--max-requests",
    "--max-requests-jitter": "--max-requests-jitter", "--worker-connections": "--limit-concurrency",
    "--backlog": "--backlog", "--limit-request-line": "--limit-request-line",
    "--limit-request-fields": "--limit-request-fields", "--limit-request-field_size": "--limit-request-field-size",
    "--asgi-loop": "--loop", "--http-parser": REFUSED, "--asgi-lifespan": "--lifespan",
    "--http-protocols": REFUSED, "--http2-cleartext": REFUSED, "--http2-max-concurrent-streams": REFUSED,
    "--http2-initial-window-size": REFUSED, "--http2-max-frame-size": REFUSED,
    "--http2-max-header-list-size": REFUSED,
    "--statsd-host": REFUSED, "--dogstatsd-tags": REFUSED, "-D": "--daemon", "--pid": "--pidfile",
    "-u": "--user", "-g": "--group", "-m": "--umask", "--chdir": "--chdir", "-n": "--nodaemon",
    "--worker-tmp-dir": REFUSED, "-e": "--env", "-c": "--config", "--pythonpath": "--app-dir",
}  # fmt: skip
GRANIAN = {
    "--host": "--host", "--port": "--port", "--uds": "--uds", "--workers": "--workers",
    "--blocking-threads": "--threads", "--reload": "--reload", "--reload-paths": "--reload-dir",
    "--reload-ignore-dirs": REFUSED, "--reload-ignore-patterns": REFUSED, "--reload-ignore-paths": REFUSED,
    "--reload-tick": REFUSED, "--log-level": "--log-level", "--access-log": "--access-log",
    "--access-log-fmt": REFUSED, "--log-config": "--log-config",
    "--ssl-keyfile": "--ssl-keyfile", "--ssl-certificate": "--ssl-certfile",
    "--ssl-ca": "--ssl-ca-certs", "--ssl-client-verify": REFUSED, "--ssl-protocol-min": "--ssl-min-version",
    "--url-path-prefix": REFUSED, "--workers-kill-timeout": "--graceful-timeout",
    "--workers-lifetime": "--max-worker-lifetime", "--workers-max-rss": REFUSED, "--backpressure": REFUSED,
    "--backlog": "--backlog", "--http1-buffer-size": REFUSED, "--loop": "--loop", "--http": REFUSED,
    "--interface": REFUSED, "--ws": REFUSED, "--http2-adaptive-window": REFUSED,
    "--http2-initial-connection-window-size": REFUSED, "--http2-initial-stream-window-size": REFUSED,
    "--http2-keep-alive-interval": REFUSED, "--http2-keep-alive-timeout": REFUSED,
    "--http2-max-concurrent-streams": REFUSED, "--http2-max-frame-size": REFUSED,
    "--http2-max-headers-size": REFUSED, "--http2-max-send-buffer-size": REFUSED,
    "--static-path-route": "--static-path-route", "--static-path-mount": "--static-path-mount",
    "--static-path-expires": "--static-path-expires", "--static-path-dir-to-file": "--static-path-dir-to-file",
    "--metrics": "--metrics", "--metrics-address": REFUSED, "--metrics-port": REFUSED,
    "--pid-file": "--pidfile", "--process-name": "--proc-name", "--working-dir": "--chdir",
    "--env-files": "--env-file",
}  # fmt: skip
HYPERCORN = {
    "-b": "--listen", "--bind": "--listen", "-w": "--workers", "--reload": "--reload", "--log-level": "--log-level",
    "--access-logfile": "--access-log-file", "--access-logformat": "--access-log-format",
    "--log-config": "--log-config",
    "--keyfile": "--ssl-keyfile", "--certfile": "--ssl-certfile", "--ca-certs": "--ssl-ca-certs",
    "--verify-mode": "--ssl-client", "--root-path": "--root-path", "--keep-alive": "--keep-alive",
    "--graceful-timeout": "--graceful-timeout", "--read-timeout": REFUSED, "--max-requests": "--max-requests",
    "--max-requests-jitter": "--max-requests-jitter", "--backlog": "--backlog", "-k": "--ssl-keyfile",
    "--statsd-host": REFUSED, "-D": "--daemon", "-p": "--pidfile", "-u": "--user", "-g": "--group",
    "-m": "--umask", "-c": "--config",
}  # fmt: skip
WAITRESS_AND_CHEROOT = {
    "--call": "--factory", "--listen": "--listen", "--bind": "--listen", "--threads": "--threads",
    "--trusted-proxy": "--forwarded-allow-ips", "--trusted-proxy-count": REFUSED,
    "--trusted-proxy-headers": REFUSED, "--url-prefix": REFUSED, "--channel-timeout": "--keep-alive",
    "--shutdown-timeout": "--graceful-timeout", "--connection-limit": "--limit-concurrency",
    "--max-request-header-size": REFUSED, "--chdir": "--chdir",
}  # fmt: skip
# What was meant to be here, from the beginning.
OURS = {
    "--wsgi": "--wsgi", "--asgi": "--asgi", "--app": "--app", "--factory": "--factory", "-b": "--listen",
    "--bind": "--listen", "--host": "--host", "--port": "--port", "--uds": "--uds", "--fd": "--fd",
    "-w": "--workers", "--workers": "--workers", "--threads": "--threads", "--blocking-threads": "--threads",
    "--reload-extra-file": "--reload-extra-file", "--log-level": "--log-level", "--access-log": "--access-log",
    "--no-access-log": "--access-log", "--access-log-format": "--access-log-format",
    "--log-config": "--log-config",
    "--ssl-certfile": "--ssl-certfile", "--ssl-keyfile": "--ssl-keyfile", "--certfile": "--ssl-certfile",
    "--keyfile": "--ssl-keyfile", "--domain": REFUSED, "--proxy-protocol": "--proxy-protocol",
    "--mount": "--mount", "--root-path": "--root-path", "--keep-alive": "--keep-alive",
    "--timeout-keep-alive": "--keep-alive", "--graceful-timeout": "--graceful-timeout",
    "--request-timeout": "--request-timeout", "--timeout": "--timeout", "--worker-timeout": "--timeout",
    "--max-requests": "--max-requests", "--max-requests-jitter": "--max-requests-jitter",
    "--max-lifetime": "--max-worker-lifetime", "--max-rss": "--max-worker-rss",
    "--limit-concurrency": "--limit-concurrency", "--limit-queue": "--queue-limit", "--backlog": "--backlog",
    "--limit-request-body": "--limit-request-body", "--http-protocols": REFUSED, "--path": "--path",
    "--static": "--static", "--static-path-route": "--static-path-route", "--static-path-mount": "--static-path-mount",
    "--metrics": "--metrics", "--rundir": "--rundir", "--chroot": "--chroot", "--uid": "--user", "--gid": "--group",
    "--env-file": "--env-file", "-e": "--env", "-c": "--config", "--check-config": "--check-config",
    "--print-config": "--print-config", "--app-dir": "--app-dir", "--use-colors": REFUSED,
}  # fmt: skip
COLUMNS = {
    "uvicorn": UVICORN, "gunicorn": GUNICORN, "granian": GRANIAN, "hypercorn": HYPERCORN,
    "waitress and cheroot": WAITRESS_AND_CHEROOT, "ours": OURS,
}  # fmt: skip
SPELLINGS = {
    spelling: option.long
    for option in OPTIONS.values()
    for spelling in (*option.spellings, option.negative or "")
}
TAKEN = sorted({flag for column in COLUMNS.values() for flag, here in column.items() if here != REFUSED})


@pytest.mark.parametrize("column", COLUMNS)
def test_every_flag_is_an_option_or_refused(column: str) -> None:
    here = {flag: REFUSED if flag in REPLACED else SPELLINGS.get(flag) for flag in COLUMNS[column]}
    assert here == COLUMNS[column]


def test_nothing_is_both() -> None:
    assert not SPELLINGS.keys() & REPLACED.keys()


@pytest.mark.parametrize("flag", sorted(REPLACED))
def test_what_is_refused_is_told_in_one_line(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([flag, "x"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"container: expected a known option, got {flag}: {REPLACED[flag]}\n"
    assert "\n" not in REPLACED[flag]


# How others spell a value, and how that is printed.
SPELT = [
    (["--call", "hello:create_app"], ["--factory", "hello:create_app"]),
    (["--asgi=hello:asgi", "--asgi-lifespan=off"], ["--asgi=hello:asgi", "--lifespan=off"]),
    (["hello:application", "--asgi-loop=asyncio"], ["hello:application", "--loop=asyncio"]),
    (["--path=public", "--pid-file=run.pid"], ["--path=public", "--pidfile=run.pid"]),
    (["--path=public", "--workers-kill-timeout=5m"], ["--path=public", "--graceful-timeout=300"]),
    (["--path=public", "--timeout-worker-healthcheck=60"], ["--path=public", "--timeout=60"]),
    (["--path=public", "--connection-limit=50"], ["--path=public", "--limit-concurrency=50"]),
    (["--path=public", "--channel-timeout=120"], ["--path=public", "--keep-alive=120"]),
    (["--path=public", "--reload-paths=public", "--reload-paths=other"],
     ["--path=public", "--reload-dir=public", "--reload-dir=other"]),
    (["--path=public", "--uds=s", "--ssl-certificate=c.pem", "--ssl-ca=ca.pem", "--verify-mode=CERT_OPTIONAL"],
     ["--path=public", "--uds=s", "--ssl-certfile=c.pem", "--ssl-ca-certs=ca.pem", "--ssl-client=optional"]),
    (["--path=public", "--port=0", "--ssl-certificate=c.pem", "--ssl-ca=ca.pem", "--cert-reqs=1"],
     ["--path=public", "--port=0", "--ssl-certfile=c.pem", "--ssl-ca-certs=ca.pem", "--ssl-client=optional"]),
    (["--path=public", "--port=0", "--certfile=c.pem", "--ca-certs=ca.pem", "--ssl-cert-reqs=2"],
     ["--path=public", "--port=0", "--ssl-certfile=c.pem", "--ssl-ca-certs=ca.pem", "--ssl-client=required"]),
    (["--path=public", "--port=0", "--ssl-certificate=c.pem", "--ssl-protocol-min=tls1.3"],
     ["--path=public", "--port=0", "--ssl-certfile=c.pem", "--ssl-min-version=1.3"]),
    (["hello:application", "--static=/a/b=public"], ["hello:application", "--mount=/a/b=files:public"]),
    (["hello:application", "--static-path-mount=public"],
     ["hello:application", "--mount=/static=files:public", "--mount-option=/static:cache-control=max-age=86400"]),
    (["hello:application", "--static-path-expires=1h", "--static-path-mount=public",
      "--mount-option=/static:listing=yes"],
     ["hello:application", "--mount=/static=files:public", "--mount-option=/static:cache-control=max-age=3600",
      "--mount-option=/static:listing=yes"]),
    (["hello:application", "--static-path-mount=public", "--static-path-route=/a", "--static-path-mount=other",
      "--static-path-route=/b/", "--static-path-expires=0", "--static-path-dir-to-file=a.txt"],
     ["hello:application", "--mount=/a=files:public", "--mount=/b=files:other", "--mount-option=/a:index=a.txt",
      "--mount-option=/b:index=a.txt"]),
]  # fmt: skip


@pytest.mark.parametrize(("theirs", "ours"), SPELT, ids=lambda line: line[-1])
def test_a_spelling_of_others_is_printed_as_ours(place: Path, theirs: list[str], ours: list[str]) -> None:
    said = printed(*theirs)
    assert said == printed(*ours)
    assert theirs[0] == "--call" or said != printed(theirs[0])


def test_who_may_send_headers_is_told_of_all_addresses(place: Path) -> None:
    """EP-07"""
    said = printed(
        "--path=public",
        "--listen=haproxy:tcp:80",
        "--listen=tcp:81",
        "--proxy-allow-from=10.0.0.0/8,192.0.2.7",
    )
    assert 'listen = ["haproxy:tcp:80", "tcp:81"]\nproxy-allow-from = ["10.0.0.0/8", "192.0.2.7"]\n' in said
    (place / "again.toml").write_text(said)
    assert printed("-c", "again.toml") == said
    everybody = printed("--path=public", "--port=0", "--proxy-protocol", "--proxy-allow-from=*")
    assert 'proxy-allow-from = ["0.0.0.0/0", "::/0"]' in everybody
    (place / "site.tac").write_text("""
from ipaddress import ip_network
from container import Application, Files
from container.channel.endpoints import ProxiedEndpoint, ProxyPolicy, TCPEndpoint
application = Application("a")
policy = ProxyPolicy(peers=(ip_network("10.0.0.0/8"),))
application.serve(Files("public"), ProxiedEndpoint(TCPEndpoint(None, 80), policy), "haproxy:tcp:81")
""")
    assert printed("-y", "site.tac").startswith("# who may send PROXY headers is told by Python only\n")


def test_a_password_is_not_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = ["--path=public", "--listen=tcp:8443", "--ssl-certfile=c.pem", "--ssl-keyfile=k.pem"]
    (place / "site.toml").write_text('ssl-keyfile-password = "sesame"\n')
    remark = "# a password that is not told: --ssl-keyfile-password\n"
    by_file = printed("-c", "site.toml", *tls)
    assert by_file == remark + printed(*tls)
    assert "key=k.pem" in by_file
    assert (
        by_file
        == printed(*tls, "--ssl-keyfile-password=sesame")
        == printed(*tls, "--keyfile-password=sesame")
    )
    monkeypatch.setenv("CONTAINER_SSL_KEYFILE_PASSWORD", "sesame")
    assert by_file == printed(*tls)
    https = printed("--path=public", "--https=8443", "--ssl-certfile=c.pem")
    assert https.startswith(remark)
    assert "sesame" not in https


def test_the_file_of_a_password_is_told(place: Path) -> None:
    def said(*more: str) -> str:
        return printed("--path=public", *more)

    file = "--ssl-keyfile-password-file=pass.txt"
    address = said("--listen=tcp:8443", "--ssl-certfile=c.pem", file)
    assert 'listen = ["tls:8443:cert=c.pem:passfile=pass.txt"]' in address
    assert address == said("--listen=tls:8443:cert=c.pem:passfile=pass.txt")
    assert address == said("--https=8443", "--ssl-certfile=c.pem", file)
    assert 'ssl-keyfile-password-file = "pass.txt"' in said("--uds=s", "--ssl-certfile=c.pem", file)


def test_files_of_variables_have_the_name_that_granian_gives_them(place: Path) -> None:
    (place / "a.env").write_text("CONTAINER_THREADS=3\n")
    (place / "b.env").write_text("CONTAINER_KEEP_ALIVE=7\n")
    values = gathered("--env-files=a.env", "--env-files", "b.env", "hello:application").configuration.values
    assert (values["threads"], values["keep_alive"]) == (3, 7.0)
