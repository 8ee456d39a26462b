"""The certificate of public listeners, and its renewal without a restart.

Every handshake asks for the context of the newest certificate (the callback for server names, which OpenSSL calls for each hello,
with a name or without). To load a new certificate into the old context would not do: OpenSSL keeps one for each type of key, so an
old one of another type would still be shown to some.
"""

from __future__ import annotations

import hashlib
import logging
import os
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path

from cryptography import x509
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

CHECK_S = 5.0  #: between two looks at the files: far below the hours by which certificates are renewed before they end
MAX_FILE_BYTES = 1 << 20  #: of a certificate chain or a key; nothing larger is one

_Stamp = tuple[tuple[int, int, int], ...]  # time, size and inode of each file


class ServerCertificate:
    """A certificate chain and its key in two files, loaded again when they change."""

    def __init__(self, cert_file: str, key_file: str) -> None:
        """Load it.

        Raises:
            OSError: a file cannot be read.
            ssl.SSLError: it is no certificate, no key, or they do not belong together.
        """
        self.reloads = 0  #: times that another certificate was taken
        self.failures = 0  #: times that the files had changed and could not be used
        self._files = (Path(cert_file), Path(key_file))
        self._next_check = 0.0
        self._stamp = self._stamped()
        self._digest = self._read()
        self._newest = self._load()
        self.ends_at = end_of(self._files[0])  #: Unix seconds; None where that cannot be told
        self.context = self._load()  #: of listeners; it never changes, what it shows does
        self.context.sni_callback = self._show_newest

    def sweep(self, now: float) -> None:
        """Look at the files every `CHECK_S`; call it often. `now` is any clock in seconds that does not step."""
        if now >= self._next_check:
            self._next_check = now + CHECK_S
            self.refresh()

    def refresh(self, *, at_once: bool = False) -> bool:
        """Look at the files; gives whether another certificate is shown from now on. One that cannot be used is not.

        The two files may be written one after the other: what does not fit together now is tried again once they change again, or
        when somebody asks for it (`at_once`).
        """
        try:
            stamp = self._stamped()
        except OSError as error:
            return self._failed((), error, at_once=at_once)
        if stamp == self._stamp and not at_once:
            return False
        try:
            digest = self._read()
            newest = self._newest if digest == self._digest else self._load()
        except (OSError, ssl.SSLError) as error:
            return self._failed(stamp, error, at_once=at_once)
        changed = newest is not self._newest
        self._stamp, self._digest, self._newest = stamp, digest, newest
        if changed:
            self.reloads += 1
            self.ends_at = end_of(self._files[0])
            log.info("certificate loaded again", extra={"cert_file": str(self._files[0])})
        return changed

    def _failed(self, stamp: _Stamp, error: Exception, *, at_once: bool) -> bool:
        """Say it once, until the files change or somebody asks again."""
        if stamp != self._stamp or at_once:
            self.failures += 1
            facts = {"cert_file": str(self._files[0])}
            log.warning("changed certificate cannot be used, the old one stays: %s", error, extra=facts)
            self._stamp = stamp
        return False

    def _stamped(self) -> _Stamp:
        stats = [os.stat(file) for file in self._files]
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)

    def _read(self) -> bytes:
        digest = hashlib.sha256()
        for file in self._files:
            with file.open("rb") as source:
                digest.update(source.read(MAX_FILE_BYTES))
        return digest.digest()

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*self._files)
        return context

    def _show_newest(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self._newest


def end_of(cert_file: Path) -> float | None:
    """When the first certificate of a file ends, Unix seconds; None where that cannot be told."""
    try:
        own = x509.load_pem_x509_certificates(cert_file.read_bytes())[0]
    except (OSError, ValueError):  # OpenSSL, which loads it, takes what the standard does not
        return None
    return own.not_valid_after_utc.timestamp()


class CertificateWatch:
    """Whether the certificate of a node has changed, where it has one: looked at as time passes, and when somebody asks."""

    def __init__(self, certificate: ServerCertificate | None, clock: Callable[[], float]) -> None:
        """Watch it; `clock` gives seconds and does not step."""
        self._certificate = certificate
        self._clock = clock

    def sweep(self) -> None:
        """Call it often."""
        if self._certificate is not None:
            self._certificate.sweep(self._clock())

    def reload(self) -> None:
        """Load it again now, if it can be used."""
        if self._certificate is not None:
            self._certificate.refresh(at_once=True)


def certificate_metrics(role: str, certificate: ServerCertificate) -> Iterable[Metric]:
    """Until when the certificate of a node holds, how often it changed, and how often that failed; the names begin with `role`."""
    if certificate.ends_at is not None:
        yield GaugeMetricFamily(
            f"{role}_certificate_end_timestamp_seconds", "When the certificate that is shown ends, Unix time.", certificate.ends_at
        )
    yield CounterMetricFamily(f"{role}_certificate_reloads", "Changed certificates that were taken.", certificate.reloads)
    yield CounterMetricFamily(
        f"{role}_certificate_failures", "Times that a changed certificate could not be used.", certificate.failures
    )


class CertificateCollector(Collector):
    """The same for a registry of a role that collects nothing else of the kind."""

    def __init__(self, role: str, certificate: ServerCertificate) -> None:
        """Tell of `certificate` under names of `role`."""
        self._role = role
        self._certificate = certificate

    def collect(self) -> Iterable[Metric]:
        """Count now."""
        return certificate_metrics(self._role, self._certificate)
