"""EP-04, EP-05: certificates of one endpoint: by name, changed while in use, and those that cannot be used."""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from container.channel.certificates import CertificateProblem, Certificates, TLSSettings, parse_minimum
from tests.certificates import Authority, locked, shake_hands

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def names_of(certificates: Certificates, authority: Authority, name: str | None) -> set[str]:
    """The names of the certificate that is shown to a client asking for `name`."""
    shown = shake_hands(certificates.context, authority.client(), name).getpeercert()
    assert shown is not None
    return {str(value) for _, value in shown["subjectAltName"]}


def loaded(clock: Clock | None = None, **settings: object) -> Certificates:
    certificates = Certificates(TLSSettings(**settings), clock or Clock())  # type: ignore[arg-type]  # any of them
    certificates.load()
    return certificates


def test_a_directory_serves_each_name_its_own_certificate(authority: Authority, tmp_path: Path) -> None:
    """EP-05: three names, a wildcard, a pair of files, certbot's layout, and a default for all others."""
    authority.issue("sites/a.example.pem", "a.example")
    authority.issue("sites/_.wild.example.pem", "*.wild.example")
    authority.issue("sites/default.pem", "fallback.example", "other.example")
    chain, key = authority.issue_apart("sites/c.example", "c.example")
    pair = authority.issue_apart("pair", "d.example")
    pair[0].rename(tmp_path / "sites/d.example.crt")
    pair[1].rename(tmp_path / "sites/d.example.key")
    (tmp_path / "sites/README").write_text("not a certificate")
    certificates = loaded(directory=str(tmp_path / "sites"))
    assert chain.exists()
    assert key.exists()
    for name, expected in {
        "a.example": "a.example",
        "A.Example": "a.example",
        "x.wild.example": "*.wild.example",
        "c.example": "c.example",
        "d.example": "d.example",
        "other.example": "fallback.example",
        None: "fallback.example",
    }.items():
        assert expected in names_of(certificates, authority, name), name


def test_a_name_nobody_has_is_refused_without_a_default(authority: Authority, tmp_path: Path) -> None:
    """EP-05"""
    authority.issue("sites/a.example.pem", "a.example")
    certificates = loaded(directory=str(tmp_path / "sites"))
    for name in ("b.example", "x.a.example", None):
        with pytest.raises(ssl.SSLError):
            names_of(certificates, authority, name)
    assert names_of(certificates, authority, "a.example") == {"a.example"}


def test_a_changed_file_is_taken_up_and_a_broken_one_is_not(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """EP-04: at most a second later; the failure is logged once."""
    clock = Clock()
    path = authority.issue("server.pem", "a.example", "old.example")
    certificates = loaded(clock, certificate=str(path))
    authority.issue("server.pem", "a.example", "new.example")
    assert "old.example" in names_of(certificates, authority, "a.example")
    clock.now += 1
    assert "new.example" in names_of(certificates, authority, "a.example")
    with caplog.at_level(logging.ERROR):
        path.write_text("-----BEGIN CERTIFICATE-----\nrubbish")
        for _ in range(3):
            clock.now += 1
            assert "new.example" in names_of(certificates, authority, "a.example")
    assert len(caplog.records) == 1
    assert "the old one stays in use" in caplog.text
    path.unlink()
    clock.now += 1
    assert "new.example" in names_of(certificates, authority, "a.example")
    authority.issue("server.pem", "a.example", "third.example")
    clock.now += 1
    assert "third.example" in names_of(certificates, authority, "a.example")


def test_a_certificate_may_come_and_go_in_a_directory(authority: Authority, tmp_path: Path) -> None:
    """EP-05"""
    clock = Clock()
    authority.issue("sites/a.example.pem", "a.example")
    certificates = loaded(clock, directory=str(tmp_path / "sites"))
    added = authority.issue("sites/b.example.pem", "b.example")
    clock.now += 1
    assert names_of(certificates, authority, "b.example") == {"b.example"}
    added.unlink()
    clock.now += 1
    with pytest.raises(ssl.SSLError):
        names_of(certificates, authority, "b.example")
    (tmp_path / "sites").rename(tmp_path / "gone")
    clock.now += 1
    assert names_of(certificates, authority, "a.example") == {"a.example"}


def test_a_key_of_another_certificate_does_not_replace_a_good_pair(
    authority: Authority, tmp_path: Path
) -> None:
    """EP-04: half of a renewal is on disk when a client connects."""
    clock = Clock()
    certificate, key = authority.issue_apart("one", "a.example")
    certificates = loaded(clock, certificate=str(certificate), key=str(key))
    other, other_key = authority.issue_apart("two", "a.example", "new.example")
    other.rename(certificate)
    clock.now += 1
    assert names_of(certificates, authority, "a.example") == {"a.example"}
    other_key.rename(key)
    clock.now += 1
    assert "new.example" in names_of(certificates, authority, "a.example")


def test_a_chain_may_be_in_a_file_of_its_own(authority: Authority, tmp_path: Path) -> None:
    """EP-04: the client knows the root only."""
    intermediate = authority.ca.create_child_ca()
    leaf = intermediate.issue_cert("a.example")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "leaf.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
    intermediate.cert_pem.write_to_path(tmp_path / "chain.pem")
    files = {"certificate": str(tmp_path / "leaf.pem"), "key": str(tmp_path / "key.pem")}
    with pytest.raises(ssl.SSLCertVerificationError):
        names_of(loaded(**files), authority, "a.example")
    assert names_of(loaded(**files, chain=str(tmp_path / "chain.pem")), authority, "a.example") == {
        "a.example"
    }


@pytest.mark.parametrize("traditional", [False, True])
def test_a_key_may_have_a_password(authority: Authority, tmp_path: Path, traditional: bool) -> None:
    """EP-04"""
    certificate, key = authority.issue_apart("one", "a.example")
    key.write_bytes(locked(key.read_bytes(), b"s\xe4sam", traditional=traditional))
    files = {"certificate": str(certificate), "key": str(key)}
    certificates = loaded(**files, password=os.fsdecode(b"s\xe4sam"))
    assert names_of(certificates, authority, "a.example") == {"a.example"}
    assert "sam" not in repr(certificates.settings)
    (tmp_path / "password").write_bytes(b"s\xe4sam\nsecond line\n")
    of_file = loaded(**files, password_file=str(tmp_path / "password"))
    assert names_of(of_file, authority, "a.example") == {"a.example"}
    unlocked = loaded(certificate=str(authority.issue("plain.pem", "b.example")), password="not asked for")
    assert names_of(unlocked, authority, "b.example") == {"b.example"}


def test_a_renewed_key_may_have_another_password(authority: Authority, tmp_path: Path) -> None:
    """EP-04: until both are there, the old one is shown."""
    clock = Clock()
    certificate, key = authority.issue_apart("one", "a.example")
    key.write_bytes(locked(key.read_bytes(), b"old"))
    password = tmp_path / "password"
    password.write_text("old\n")
    certificates = loaded(clock, certificate=str(certificate), key=str(key), password_file=str(password))
    fresh, fresh_key = authority.issue_apart("two", "a.example", "new.example")
    fresh.rename(certificate)
    key.write_bytes(locked(fresh_key.read_bytes(), b"new"))
    clock.now += 1
    assert names_of(certificates, authority, "a.example") == {"a.example"}
    password.write_text("new, at last\nnew\n")
    clock.now += 1
    assert names_of(certificates, authority, "a.example") == {"a.example"}
    password.write_text("new")
    clock.now += 1
    assert "new.example" in names_of(certificates, authority, "a.example")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"certificate": "none.pem"}, "cannot read '.*none.pem': no such file or directory"),
        ({"certificate": "empty"}, "expected a certificate as PEM in '.*empty', got something else"),
        ({"certificate": "leaf.pem"}, "expected a private key as PEM in '.*leaf.pem', got none"),
        ({"certificate": "good.pem", "key": "none.key"}, "cannot read '.*none.key': no such file or directory"),
        ({"certificate": "leaf.pem", "key": "other.key"}, "the key in '.*other.key' is not that of the certificate"),
        ({"certificate": "leaf.pem", "key": "locked.key"},
         "expected a password for the key in '.*locked.key', got none"),
        ({"certificate": "leaf.pem", "key": "locked.key", "password": "sesame"},
         "the password does not open the key in '.*locked.key'"),
        ({"certificate": "good.pem", "key": "locked.key", "password": "secret"},
         "the key in '.*locked.key' is not that of the certificate"),
        ({"certificate": "leaf.pem", "key": "locked.key", "password_file": "none"}, "cannot read '.*none': no such"),
        ({"certificate": "leaf.pem", "key": "locked.key", "password_file": "empty"},
         "expected a password of up to 1023 bytes in '.*empty'"),
        ({"certificate": "leaf.pem", "key": "locked.key", "password_file": "long"},
         "expected a password of up to 1023 bytes in '.*long'"),
        ({"certificate": "leaf.pem", "key": "locked.key", "password": "x" * 1024},
         "expected a password of up to 1023 bytes$"),
        ({"certificate": "good.pem", "ciphers": "NONSENSE"}, "expected ciphers as OpenSSL spells them, got 'NONSENSE'"),
        ({"certificate": "good.pem", "authorities": "empty", "client": "required"}, "certificates in '.*empty'"),
        ({"certificate": "good.pem", "dh_parameters": "empty"}, "expected DH parameters in '.*empty'"),
        ({"certificate": "good.pem", "chain": "none.pem"}, "cannot read '.*none.pem': no such file"),
        ({"directory": "nothing"}, "cannot read the directory '.*nothing': no such file or directory"),
        ({"directory": "hollow"}, "expected certificates such as NAME.pem in '.*hollow', got none"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_clear_line(
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
    message: str,
) -> None:
    """EP-04"""
    monkeypatch.chdir(tmp_path)
    authority.issue("good.pem", "a.example")
    leaf, other = authority.ca.issue_cert("a.example"), authority.ca.issue_cert("b.example")
    leaf.cert_chain_pems[0].write_to_path("leaf.pem")
    other.private_key_pem.write_to_path("other.key")
    (tmp_path / "locked.key").write_bytes(locked(leaf.private_key_pem.bytes(), b"secret"))
    (tmp_path / "empty").write_text("")
    (tmp_path / "long").write_text("x" * 1024)
    (tmp_path / "hollow").mkdir()
    with pytest.raises(CertificateProblem, match=message) as caught:
        loaded(**settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("1.2", ssl.TLSVersion.TLSv1_2),
        ("TLSv1.3", ssl.TLSVersion.TLSv1_3),
        ("TLSv1_2_METHOD", ssl.TLSVersion.TLSv1_2),
    ],
)
def test_a_version_has_several_spellings(text: str, version: ssl.TLSVersion) -> None:
    assert parse_minimum(text) is version


@pytest.mark.parametrize("text", ["", "1", "1.0", "1.1", "SSLv3", "1.4"])
def test_a_version_that_is_broken_or_unknown_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected 1\.2 or 1\.3"):
        parse_minimum(text)


# What a scanner would find (CH-16, EP-04). Every suite that OpenSSL knows is offered alone, in every version.
GOOD_SUITES = {
    trustme.KeyType.RSA: {
        "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-GCM-SHA256",
    },
    trustme.KeyType.ECDSA: {
        "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-GCM-SHA256",
    },
}  # fmt: skip
MODERN_SUITES = {"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", GOOD_SUITES)
def test_of_all_versions_and_suites_only_the_good_are_accepted(
    authority: Authority, kind: trustme.KeyType
) -> None:
    path = authority.folder / "server.pem"
    leaf = authority.ca.issue_cert("a.example", key_type=kind)
    leaf.private_key_and_cert_chain_pem.write_to_path(path)
    context = loaded(certificate=str(path)).context
    versions = [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2]
    probe = authority.client()
    probe.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    offered = {suite["name"] for suite in probe.get_ciphers()} - MODERN_SUITES
    assert len(offered) > 50
    accepted = set()
    for version in versions:
        for suite in offered:
            client = authority.client()
            client.set_ciphers(f"{suite}:@SECLEVEL=0")
            client.minimum_version = client.maximum_version = version
            with contextlib.suppress(ssl.SSLError):
                agreed = shake_hands(context, client, "a.example").cipher()
                assert agreed is not None
                accepted.add((version, agreed[0]))
    assert accepted == {(ssl.TLSVersion.TLSv1_2, suite) for suite in GOOD_SUITES[kind]}


def test_the_suites_of_tls_1_3_are_those_of_the_standard(authority: Authority) -> None:
    """CH-16: RFC 8446 B.4, without those for constrained devices."""
    context = loaded(certificate=str(authority.issue("server.pem", "a.example"))).context
    assert {
        suite["name"] for suite in context.get_ciphers() if suite["protocol"] == "TLSv1.3"
    } == MODERN_SUITES
    client = authority.client()
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    assert shake_hands(context, client, "a.example").version() == "TLSv1.3"


def test_a_hook_has_the_last_word_on_every_context(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """GW-01: at the start as well as when a file has changed; one that fails then leaves the old context."""
    made: list[ssl.SSLContext] = []

    def hook(make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        if len(made) == 2:
            raise RuntimeError("as the test wants it")
        context = make()
        context.set_alpn_protocols(["own"])
        made.append(context)
        return context

    clock = Clock()
    path = authority.issue("server.pem", "a.example", "old.example")
    certificates = loaded(clock, certificate=str(path), hook=hook)
    assert certificates.context is made[0]
    client = authority.client()
    client.set_alpn_protocols(["own"])
    for _ in range(2):
        authority.issue("server.pem", "a.example", "new.example")
        clock.now += 1
        assert shake_hands(certificates.context, client, "a.example").selected_alpn_protocol() == "own"
        assert "new.example" in names_of(certificates, authority, "a.example")
    assert "as the test wants it" in caplog.text


def test_a_hook_may_choose_by_name_itself(authority: Authority) -> None:
    asked: list[str | None] = []

    def hook(make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        context = make()
        context.sni_callback = lambda sock, name, front: asked.append(name)
        return context

    path = authority.issue("server.pem", "a.example")
    shake_hands(loaded(certificate=str(path), hook=hook).context, authority.client(), "a.example")
    assert asked == ["a.example"]
