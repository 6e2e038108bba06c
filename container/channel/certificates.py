"""Certificates and what else a TLS handshake needs; changed files are taken up while the server runs.

A context per certificate, never changed once made, so that a handshake sees the old or the new one and never
something between. Files are looked at when a client connects, at most once a second; what cannot be loaded
leaves the old one in use and is logged once. Not here: connections.
"""

from __future__ import annotations

import logging
import os
import ssl
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger("container.channel")

LOOK_EVERY_S: Final = 1.0
# Of TLS 1.2: forward secrecy and authenticated encryption. Those of 1.3 are all good.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
DEFAULT_NAME: Final = "default"
_MINIMUM: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
# Which names a directory may give the key that belongs to NAME.pem.
_CERTIFICATE_ENDS: Final = (".pem", ".crt")
# As certbot names them, in a directory of the name.
_IN_DIRECTORY: Final = ("fullchain.pem", "privkey.pem")

# Of OpenSSL.
_PASSWORD_MAX: Final = 1023

_Stamp = tuple[tuple[int, int, int] | None, ...]


class CertificateProblem(Exception):
    """A certificate, key or setting that cannot be used. The message is one line and names the file."""


@dataclass(frozen=True, slots=True)
class TLSSettings:
    """What the user says of TLS: `certificate` with `key` (None: in the same file), or a `directory` of them.

    `chain` is a file of intermediate certificates, which `certificate` may hold as well. `authorities` is a
    file of those who may have issued the client's; `client`: "none", "optional", "required".
    `password` opens the keys that have one; `password_file` is a file whose first line it is.
    `hook` is called for every context, with a function that makes ours; the one it returns is used.
    """

    certificate: str | None = None
    key: str | None = None
    chain: str | None = None
    directory: str | None = None
    authorities: str | None = None
    client: str = "none"
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    ciphers: str | None = None
    dh_parameters: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: str | None = None
    hook: Callable[[Callable[[], ssl.SSLContext]], ssl.SSLContext] | None = None


def parse_minimum(text: str) -> ssl.TLSVersion:
    """A TLS version such as "1.2" or "TLSv1.3"; ValueError for any that is unknown, or broken by now."""
    number = text.lower().removeprefix("tls").removeprefix("v").removesuffix("_method").replace("_", ".")
    version = _MINIMUM.get(number)
    if version is None:
        raise ValueError(f"expected 1.2 or 1.3 as TLS version, got {text!r}")
    return version


class ServerContext(ssl.SSLContext):
    """The context of one certificate; knows what was loaded, as PEM."""

    certificate_pem: str | None = None
    _suites: dict[str, int] | None = None

    def suite_number(self, name: str) -> int | None:
        """The number that IANA has given to a cipher suite."""
        if self._suites is None:
            self._suites = {suite["name"]: suite["id"] & 0xFFFF for suite in self.get_ciphers()}
        return self._suites.get(name)


@dataclass(frozen=True, slots=True)
class _Source:
    """The files of one certificate."""

    certificate: str
    key: str | None = None
    chain: str | None = None


@dataclass(slots=True)
class _Loaded:
    """A context, and the state of its files when they were last tried."""

    context: ssl.SSLContext
    stamp: _Stamp


class Certificates:
    """The certificates of one endpoint, by the name a client asks for.

    `load` before anything else. `context` is given to the transport; who asks for a name with a certificate of
    its own, or comes after a change, is handed another context in the middle of the handshake.
    """

    def __init__(self, settings: TLSSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        # Files that are looked at later are to be found then, wherever the process has gone.
        self._directory = os.path.abspath(settings.directory) if settings.directory is not None else None
        self._authorities = _absolute(settings.authorities)
        self._password_file = _absolute(settings.password_file)
        self._clock = clock
        self._next_look = 0.0
        self._loaded: dict[str, _Loaded] = {}
        self._refused: dict[str, _Stamp] = {}
        self._front: ssl.SSLContext | None = None
        self._single = _Source(
            os.path.abspath(settings.certificate or ""), _absolute(settings.key), _absolute(settings.chain)
        )

    @property
    def context(self) -> ssl.SSLContext:
        assert self._front is not None, "loaded before it is asked for"
        return self._front

    def load(self) -> None:
        """Read everything; CertificateProblem for what cannot be used."""
        if self._front is not None:
            return
        for name, source in self._sources().items():
            stamp = self._stamp(source)
            self._loaded[name] = _Loaded(self._make(source), stamp)
        if not self._loaded:
            raise CertificateProblem(
                f"expected certificates such as NAME.pem in {self._directory!r}, got none"
            )
        default = self._loaded.get(DEFAULT_NAME) or next(iter(self._loaded.values()))
        self._front = default.context
        if self._front.sni_callback is None:  # else the hook has its own way
            self._front.sni_callback = self._choose
        self._next_look = self._clock() + LOOK_EVERY_S

    def refresh(self) -> None:
        """Take up what has changed on disk; never raises."""
        self._next_look = self._clock() + LOOK_EVERY_S
        try:
            sources = self._sources()
        except CertificateProblem as error:
            log.warning("certificates stay as they are: %s", error)
            return
        for name, source in sources.items():
            stamp = self._stamp(source)
            loaded = self._loaded.get(name)
            if (loaded is not None and loaded.stamp == stamp) or self._refused.get(name) == stamp:
                continue
            try:
                context = self._make(source)
            except Exception as error:  # noqa: BLE001  # the hook is the operator's code
                self._refused[name] = stamp
                kept = "the old one stays in use" if loaded is not None else "it is not used"
                log.error("certificate not taken up, %s: %s", kept, error)
                continue
            self._refused.pop(name, None)
            self._loaded[name] = _Loaded(context, stamp)
            log.info("certificate %s was %s", source.certificate, "changed" if loaded else "added")
        for name in self._loaded.keys() - sources.keys():
            if len(self._loaded) > 1:
                del self._loaded[name]

    # In the handshake, for every client, also for those that name no server.

    def _choose(
        self, sock: ssl.SSLObject | ssl.SSLSocket, name: str | None, front: ssl.SSLContext
    ) -> int | None:
        if self._clock() >= self._next_look:
            self.refresh()
        found = self._find(name)
        if found is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        if found.context is not front:
            sock.context = found.context
        return None

    def _find(self, name: str | None) -> _Loaded | None:
        loaded = self._loaded
        if name is not None and self._directory is not None:
            name = name.lower().rstrip(".")
            found = loaded.get(name) or loaded.get("*." + name.partition(".")[2])
            if found is not None and name != DEFAULT_NAME:
                return found
        return loaded.get(DEFAULT_NAME)

    # Files.

    def _sources(self) -> dict[str, _Source]:
        if self._directory is None:
            return {DEFAULT_NAME: self._single}
        try:
            entries = sorted(os.scandir(self._directory), key=lambda entry: entry.name)
        except OSError as error:
            raise CertificateProblem(
                f"cannot read the directory {self._directory!r}: {_reason(error)}"
            ) from error
        sources: dict[str, _Source] = {}
        for entry in entries:
            stem, end = os.path.splitext(entry.name)
            if entry.is_dir():
                chain, key = (os.path.join(entry.path, name) for name in _IN_DIRECTORY)
                if os.path.exists(chain):
                    sources.setdefault(_host(entry.name), _Source(chain, key))
            elif end in _CERTIFICATE_ENDS and not entry.name.startswith("."):
                key = entry.path.removesuffix(end) + ".key"
                sources.setdefault(_host(stem), _Source(entry.path, key if os.path.exists(key) else None))
        return sources

    def _stamp(self, source: _Source) -> _Stamp:
        paths = (source.certificate, source.key, source.chain, self._authorities, self._password_file)
        return tuple(_stamp_of(path) for path in paths)

    def _make(self, source: _Source) -> ssl.SSLContext:
        hook = self.settings.hook
        return self._make_ours(source) if hook is None else hook(partial(self._make_ours, source))

    def _make_ours(self, source: _Source) -> ServerContext:
        """A context with all settings: whichever a handshake ends with decides by them."""
        settings = self.settings
        context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = settings.minimum
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.set_ciphers(settings.ciphers or CIPHERS)
        except ssl.SSLError:
            raise CertificateProblem(
                f"expected ciphers as OpenSSL spells them, got {settings.ciphers!r}"
            ) from None
        if settings.dh_parameters is not None:
            _read(settings.dh_parameters)
            try:
                context.load_dh_params(settings.dh_parameters)
            except ssl.SSLError:
                raise CertificateProblem(f"expected DH parameters in {settings.dh_parameters!r}") from None
        if self._authorities is not None:
            _read(self._authorities)
            try:
                context.load_verify_locations(self._authorities)
            except ssl.SSLError:
                raise CertificateProblem(f"expected certificates in {self._authorities!r}") from None
            context.verify_mode = ssl.CERT_REQUIRED if settings.client == "required" else ssl.CERT_OPTIONAL
        text = _load_pair(context, source, self._password())
        begin, end = text.find("-----BEGIN CERTIFICATE"), text.find("-----END CERTIFICATE-----")
        context.certificate_pem = text[begin : end + len("-----END CERTIFICATE-----")] + "\n"
        return context

    def _password(self) -> bytes | None:
        path, text = self._password_file, self.settings.password
        password = _first_line(path) if path is not None else os.fsencode(text) if text is not None else None
        if password is not None and not 0 < len(password) <= _PASSWORD_MAX:
            where = f" in {path!r}" if path is not None else ""
            raise CertificateProblem(f"expected a password of up to {_PASSWORD_MAX} bytes{where}")
        return password


def _load_pair(context: ssl.SSLContext, source: _Source, password: bytes | None) -> str:
    """Load certificate, chain and key; the text of the certificate's file."""
    is_locked = False

    def unlock() -> bytes:
        nonlocal is_locked
        is_locked = True
        if password is None:  # without this, OpenSSL would ask for one at the terminal
            raise _Locked
        return password

    text = _read(source.certificate)
    if source.key is not None:
        _read(source.key)
    where = repr(source.certificate)
    try:
        with _joined(source, text) as path:
            context.load_cert_chain(path, source.key or source.certificate, password=unlock)
    except _Locked:
        raise CertificateProblem(
            f"expected a password for the key in {source.key or source.certificate!r}, got none"
        ) from None
    except ssl.SSLError as error:
        if "KEY_VALUES_MISMATCH" in (error.reason or ""):
            what = (
                f"the key in {source.key or source.certificate!r} is not that of the certificate in {where}"
            )
        elif is_locked:
            what = f"the password does not open the key in {source.key or source.certificate!r}"
        elif "-----BEGIN CERTIFICATE-----" not in text:
            what = f"expected a certificate as PEM in {where}, got something else"
        elif "PRIVATE KEY-----" not in (_read(source.key) if source.key is not None else text):
            what = f"expected a private key as PEM in {source.key or source.certificate!r}, got none"
        else:
            reason = (error.reason or "unreadable").replace("_", " ").lower()
            what = f"the certificate in {where} or its key cannot be used: {reason}"
        raise CertificateProblem(what) from error
    except OSError as error:
        raise CertificateProblem(f"cannot read {where}: {_reason(error)}") from error
    return text


@contextmanager
def _joined(source: _Source, text: str) -> Iterator[str]:
    """The path of a file with the certificate and its chain: OpenSSL wants them in one."""
    if source.chain is None:
        yield source.certificate
        return
    with tempfile.NamedTemporaryFile("w", encoding="ascii", errors="replace", suffix=".pem") as together:
        together.write(text.rstrip("\n") + "\n" + _read(source.chain))
        together.flush()
        yield together.name


class _Locked(Exception):
    """A key wants a password, and there is none."""


def _first_line(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.readline(_PASSWORD_MAX + 3).rstrip(b"\r\n")
    except OSError as error:
        raise CertificateProblem(f"cannot read {path!r}: {_reason(error)}") from error


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError as error:
        raise CertificateProblem(f"cannot read {path!r}: {_reason(error)}") from error


def _stamp_of(path: str | None) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path) if path is not None else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found is not None else None


def _host(stem: str) -> str:
    """The name a file is for. A star is awkward in file names: an underscore stands for one."""
    return ("*" + stem[1:] if stem.startswith("_.") else stem).lower()


def _absolute(path: str | None) -> str | None:
    return os.path.abspath(path) if path is not None else None


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
