"""Where it is served: addresses, and TLS for all of them."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from container.channel.certificates import parse_minimum
from container.channel.endpoints import DEFAULT_BACKLOG, Endpoint, parse_endpoint
from container.config.compound import Spelt
from container.config.gateways import parse_peers, spell_peers
from container.config.options.option import Section, option, switch
from container.config.values import Choice, Number, Secret, Text
from container.message.authority import normal_name
from container.service.server import DEFAULT_ADDRESS

if TYPE_CHECKING:
    from container.channel.endpoints.haproxy import Network

DEFAULT_HOST, _, _port = DEFAULT_ADDRESS.partition(":")
DEFAULT_PORT: Final = int(_port)
# Set by platforms that run programs for others.
PLATFORM_PORT: Final = "PORT"
# As of Twisted.
DEFAULT_CERTIFICATE: Final = "server.pem"
# Names and numbers of ssl.VerifyMode, as others have them.
_VERIFY_MODES: Final = {
    "cert_none": "none", "cert_optional": "optional", "cert_required": "required",
    "0": "none", "1": "optional", "2": "required",
}  # fmt: skip


def _endpoint(text: str, name: str) -> Endpoint:
    return parse_endpoint(text)


def _tls_version(text: str, name: str) -> ssl.TLSVersion:
    try:
        return parse_minimum(text)
    except ValueError:
        raise ValueError(f"expected 1.2 or 1.3 for {name}, got {text!r}") from None


def _spell_version(version: ssl.TLSVersion) -> str:
    return "1.3" if version is ssl.TLSVersion.TLSv1_3 else "1.2"


def _host(text: str, name: str) -> str:
    try:
        normal_name(text)
    except ValueError:
        raise ValueError(f"expected a name or an address for {name}, got {text!r}") from None
    return text


def _peers(text: str, name: str) -> tuple[Network, ...]:
    return parse_peers(text)


ADDRESSES: Final = Section(
    "Addresses",
    (
        option(
            "--listen", "-b", "--bind", many=True, type=Spelt("ADDRESS", _endpoint, spaced=True),
            help="Where to listen: 8080, 127.0.0.1:8080, [::1]:8080, tcp:8080:interface=127.0.0.1, "
            "unix:/run/app.sock:mode=660, tls:443:cert=FILE:key=FILE, systemd:NAME, fd:3 or haproxy:ADDRESS. "
            "A port alone means every interface. Repeatable.",
        ),
        option("--uds", type=Text("PATH"), help="Listen on a UNIX socket."),
        option("--fd", type=Number(0, 1_000_000), help="Serve a socket that was opened by whoever started this."),
        option(
            "--https", type=Number(0, 65535),
            help="Listen on this port by TLS, with --ssl-certfile or server.pem; the other addresses stay plain.",
        ),
        option("--backlog", type=Number(1, 65535), default=DEFAULT_BACKLOG, help="Connections that may wait."),
        switch("--proxy-protocol", help="Expect a PROXY header first on every connection, as of HAProxy."),
        option(
            "--proxy-allow-from", type=Spelt("NETWORKS", _peers, spell_peers, joint=","),
            help="Addresses and networks whose connections begin with a PROXY header, with --proxy-protocol or haproxy:"
            "ADDRESS, commas between; those of others begin without. All unless given.",
        ),
        option("--host", type=Spelt("HOST", _host), default=DEFAULT_HOST, help="Listen on this address."),
        option(
            "--port", type=Number(0, 65535), default=DEFAULT_PORT, variables=(PLATFORM_PORT,),
            help="Listen on this port; 0 lets the system choose.",
        ),
        switch(
            "--personal",
            help="Listen where the central server of this machine looks for the server of each user: on "
            "~/.container-web-service, open to it and to you only. --listen, --host and --port replace that.",
        ),
    ),
)  # fmt: skip

TLS: Final = Section(
    "TLS",
    (
        option(
            "--ssl-certfile", "--tls-cert", "--certfile", "--certificate", "--ssl-certificate", type=Text("FILE"),
            help="Speak TLS at every address: the certificate, with its chain, as PEM.",
        ),
        option(
            "--ssl-keyfile", "--tls-key", "--keyfile", "--privkey", "-k", type=Text("FILE"),
            help="Its key, unless it is in the same file.",
        ),
        option(
            "--ssl-keyfile-password", "--keyfile-password", type=Secret("PASSWORD"),
            help="The password of that key. Other users of the machine see what is typed: a file or the environment "
            "keeps it to itself.",
        ),
        option(
            "--ssl-keyfile-password-file", type=Text("FILE"), help="A file whose first line is that password.",
        ),
        option(
            "--ssl-ca-certs", "--ca-certs", "--ssl-ca", type=Text("FILE"),
            help="Who may have issued the certificates of clients, which have to have one then.",
        ),
        option(
            "--ssl-client", "--verify-mode", "--ssl-cert-reqs", "--cert-reqs",
            type=Choice(("none", "optional", "required"), also=_VERIFY_MODES),
            help="Whether clients have to have a certificate: none, optional, required.",
        ),
        option(
            "--ssl-min-version", "--ssl-protocol-min", type=Spelt("VERSION", _tls_version, _spell_version),
            default=ssl.TLSVersion.TLSv1_2,
            help="The lowest version of TLS: 1.2 or 1.3.",
        ),
        option("--ssl-ciphers", "--ciphers", type=Text("LIST"), help="Ciphers of TLS 1.2, as OpenSSL spells them."),
    ),
)  # fmt: skip
