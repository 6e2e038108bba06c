"""Apache, nginx and lighttpd of Debian as private instances in front of somebody, and ourselves: what differs is how
to say it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.system.conftest import ROOT
from tests.system.ports import await_port, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_PATH = os.environ.get("PATH", "") + ":/usr/sbin"
PATIENCE_S = 20.0

APACHE = """
ServerRoot "{folder}"
Listen 127.0.0.1:{port}
ServerName localhost
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
Mutex file:{folder}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
LoadModule rewrite_module /usr/lib/apache2/modules/mod_rewrite.so
{sites}
"""
NGINX = """
worker_processes 1; daemon off; master_process off;
pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
{sites}
}}
"""
LIGHTTPD = """
server.modules = ("mod_rewrite", "mod_proxy", "mod_setenv")
server.document-root = "{folder}"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{folder}/error.log"
{sites}
"""
CONFIGS = {"apache": APACHE, "nginx": NGINX, "lighttpd": LIGHTTPD, "container": "{sites}"}
PROGRAMS = {"apache": "apache2", "nginx": "nginx", "lighttpd": "lighttpd", "container": sys.executable}


def program(name: str) -> str | None:
    return shutil.which(PROGRAMS[name], path=_PATH)


def _command(name: str, config: Path, folder: Path) -> list[str]:
    executable = program(name)
    assert executable is not None, "asked by the callers"
    if name == "apache":
        return [executable, "-d", str(folder), "-f", str(config), "-DFOREGROUND"]
    if name == "nginx":
        return [executable, "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(config)]
    if name == "container":
        return [executable, "-m", "container", "-y", str(config)]
    return [executable, "-D", "-f", str(config)]


@contextlib.contextmanager
def front_server(name: str, folder: Path, sites: Callable[[int], str]) -> Iterator[int]:
    """Run a server; `sites` makes what is said of sites from its port. Gives the port."""
    port = free_port()
    folder.mkdir()
    config = folder / "server.conf"
    config.write_text(CONFIGS[name].format(folder=folder, port=port, sites=sites(port)))
    environment = {
        "PATH": _PATH,
        "PYTHONPATH": str(ROOT),
        "APACHE_RUN_DIR": str(folder),
        "APACHE_LOG_DIR": str(folder),
    }
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            _command(name, config, folder),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        await_port(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
