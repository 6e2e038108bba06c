"""What is known of the TLS of a connection: values, for whoever asks. The handshake itself is not here."""

from typing import Any, Final

# Attribute types that RFC 4514 3 has short names for.
_SHORT: Final = {
    "commonName": "CN", "localityName": "L", "stateOrProvinceName": "ST", "organizationName": "O",
    "organizationalUnitName": "OU", "countryName": "C", "streetAddress": "STREET", "domainComponent": "DC",
    "userId": "UID",
}  # fmt: skip
_VERSIONS: Final = {"TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
_ESCAPED: Final = frozenset('"+,;<>\\')


class TLS:
    """One for the life of a connection.

    `version` such as "TLSv1.3", `cipher` by its OpenSSL name, `suite` by IANA's number. `server_certificate`
    and `client_certificate` are PEM; `client_chain` begins with the client's own. `client_facts` are what
    `ssl.SSLSocket.getpeercert` tells of the client's certificate, which has been verified; empty without one.
    """

    __slots__ = (
        "_variables", "cipher", "client_certificate", "client_chain", "client_facts", "server_certificate", "suite",
        "version",
    )  # fmt: skip

    def __init__(
        self,
        version: str,
        cipher: str,
        suite: int | None = None,
        *,
        server_certificate: str | None = None,
        client_chain: tuple[str, ...] = (),
        client_facts: dict[str, Any] | None = None,
    ) -> None:
        self.version = version
        self.cipher = cipher
        self.suite = suite
        self.server_certificate = server_certificate
        self.client_chain = client_chain
        self.client_certificate = client_chain[0] if client_chain else None
        self.client_facts = client_facts or {}
        self._variables: dict[str, str] | None = None

    @property
    def version_number(self) -> int | None:
        """As in the protocol: 0x0304 is TLS 1.3."""
        return _VERSIONS.get(self.version)

    @property
    def client_name(self) -> str | None:
        """The subject of the client's certificate, as RFC 4514 writes it; None without one."""
        return distinguished_name(self.client_facts["subject"]) if "subject" in self.client_facts else None

    @property
    def variables(self) -> dict[str, str]:
        """What CGI scripts and WSGI applications expect, by the names of Apache's mod_ssl."""
        if self._variables is None:
            self._variables = self._make_variables()
        return self._variables

    def _make_variables(self) -> dict[str, str]:
        variables = {"SSL_PROTOCOL": self.version, "SSL_CIPHER": self.cipher}
        facts = self.client_facts
        if self.client_certificate is None:
            variables["SSL_CLIENT_VERIFY"] = "NONE"
            return variables
        variables["SSL_CLIENT_VERIFY"] = "SUCCESS"
        variables["SSL_CLIENT_CERT"] = self.client_certificate
        variables["SSL_CLIENT_S_DN"] = _native(self.client_name or "")
        variables["SSL_CLIENT_I_DN"] = _native(distinguished_name(facts.get("issuer", ())))
        variables["SSL_CLIENT_M_SERIAL"] = str(facts.get("serialNumber", ""))
        variables["SSL_CLIENT_V_START"] = str(facts.get("notBefore", ""))
        variables["SSL_CLIENT_V_END"] = str(facts.get("notAfter", ""))
        for part in facts.get("subject", ()):
            for kind, value in part:
                if kind in _SHORT:
                    variables.setdefault(f"SSL_CLIENT_S_DN_{_SHORT[kind]}", _native(value))
        return variables


def distinguished_name(name: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """A name as RFC 4514 writes it, the last part first."""
    return ",".join(
        "+".join(f"{_SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in part)
        for part in reversed(name)
    )


def _escaped(value: str) -> str:
    """RFC 4514 2.4."""
    text = "".join(f"\\{each}" if each in _ESCAPED else "\\00" if each == "\0" else each for each in value)
    if text.startswith(("#", " ")):
        text = "\\" + text
    return text[:-1] + "\\ " if value.endswith(" ") and len(value) > 1 else text


def _native(text: str) -> str:
    """What PEP 3333 calls native: the bytes of UTF-8 as latin-1."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")
