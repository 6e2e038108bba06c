"""CH-16: what is known of the TLS of a connection, under the names of CGI and RFC 4514."""

from __future__ import annotations

import pytest

from container.message.tls import TLS, distinguished_name

FACTS = {
    "subject": (
        (("countryName", "GB"),),
        (("organizationName", "Analytical"),),
        (("commonName", "Ada Lövelace"),),
    ),
    "issuer": ((("commonName", "CA"),),),
    "serialNumber": "0A",
    "notBefore": "Nov 21 00:00:00 2026 GMT",
    "notAfter": "Nov 22 00:00:00 2026 GMT",
}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ((), ""),
        (((("commonName", "a"),),), "CN=a"),
        (((("countryName", "DE"),), (("commonName", "a"), ("userId", "7"))), "CN=a+UID=7,C=DE"),
        (((("commonName", 'a,b+c"d\\e<f>g;h'),),), 'CN=a\\,b\\+c\\"d\\\\e\\<f\\>g\\;h'),
        (((("commonName", " a "),),), "CN=\\ a\\ "),
        (((("commonName", " "),),), "CN=\\ "),
        (((("commonName", "#a"),),), "CN=\\#a"),
        (((("commonName", "a\0b"),),), "CN=a\\00b"),
        (((("emailAddress", "a@b"),),), "emailAddress=a@b"),
    ],
)
def test_a_name_is_written_as_rfc_4514_says(name: tuple[tuple[tuple[str, str], ...], ...], text: str) -> None:
    assert distinguished_name(name) == text


def test_a_client_without_a_certificate_has_none() -> None:
    tls = TLS("TLSv1.3", "TLS_AES_256_GCM_SHA384", 0x1302)
    assert (tls.client_name, tls.client_certificate, tls.version_number) == (None, None, 0x0304)
    assert tls.variables == {
        "SSL_PROTOCOL": "TLSv1.3", "SSL_CIPHER": "TLS_AES_256_GCM_SHA384", "SSL_CLIENT_VERIFY": "NONE",
    }  # fmt: skip


def test_a_certificate_of_the_client_becomes_variables() -> None:
    tls = TLS("TLSv1.2", "X", client_chain=("PEM", "CA PEM"), client_facts=FACTS)
    assert tls.client_name == "CN=Ada Lövelace,O=Analytical,C=GB"
    assert tls.variables == {
        "SSL_PROTOCOL": "TLSv1.2",
        "SSL_CIPHER": "X",
        "SSL_CLIENT_VERIFY": "SUCCESS",
        "SSL_CLIENT_CERT": "PEM",
        "SSL_CLIENT_S_DN": "CN=Ada L\xc3\xb6velace,O=Analytical,C=GB",
        "SSL_CLIENT_I_DN": "CN=CA",
        "SSL_CLIENT_M_SERIAL": "0A",
        "SSL_CLIENT_V_START": "Nov 21 00:00:00 2026 GMT",
        "SSL_CLIENT_V_END": "Nov 22 00:00:00 2026 GMT",
        "SSL_CLIENT_S_DN_C": "GB",
        "SSL_CLIENT_S_DN_O": "Analytical",
        "SSL_CLIENT_S_DN_CN": "Ada L\xc3\xb6velace",
    }


def test_a_version_that_is_not_known_has_no_number() -> None:
    assert TLS("TLSv9", "X").version_number is None
