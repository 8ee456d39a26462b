"""Certificates in files: what they are for, until when they hold, and whether they belong to their key and authority."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from lalmesh.runtime.config import Config, Role, ServerTlsConfig
from services.standalone import settings
from services.standalone.doctor._finding import Finding, failed, ok, skipped, warning
from services.standalone.doctor._place import Place
from services.standalone.doctor._ports import Listener, edge_listeners
from services.standalone.doctor._threads import in_thread
from services.standalone.drain_cli import ANY_ADDRESS

SOON_S = 14 * 86_400  #: before its end a certificate should have been renewed
DAY_S = 86_400
MAX_FILE_BYTES = 1 << 20


@dataclass(slots=True, frozen=True, kw_only=True)
class Pair:
    """Files of a certificate that the role uses."""

    key: str  #: section of the configuration
    cert_file: str
    key_file: str
    ca_file: str = ""  #: of the authority that vouches for it, where others take no other
    names: tuple[str, ...] = ()  #: what clients call the server, each of which the certificate has to be for
    listeners: tuple[Listener, ...] = ()  #: which show it


def pairs(config: Config, role: Role) -> Iterator[Pair]:
    """The certificates of a role."""
    alone, cluster = role == "standalone", config.cluster.tls
    edge, hls = config.edge, config.hls
    if (alone or role == "edge") and edge.tls.has_certificate:
        shown = tuple(each for each in edge_listeners(config) if each.key in ("edge.rtmps", "edge.rtsps", "edge.https"))
        yield _public("edge.tls", edge.tls, shown, edge.advertise.host)
    if (alone or role == "hls") and hls.tls.has_certificate:
        yield _public("hls.tls", hls.tls, (Listener("hls.https", hls.https.host, hls.https.port),) if hls.https_enabled else ())
    http, etcd, redis = config.scheduler.http.tls, config.scheduler.etcd, config.scheduler.redis
    if (alone or role == "scheduler") and http.has_certificate:
        listener = Listener("scheduler.http", config.scheduler.http.host, config.scheduler.http.port)
        yield _public("scheduler.http.tls", http, (listener,))
    if cluster.enabled and not alone:
        name = _advertised(config, role)
        names = (name,) if name else ()
        yield Pair(key="cluster.tls", cert_file=cluster.cert_file, key_file=cluster.key_file, ca_file=cluster.ca_file, names=names)
    if role == "scheduler" and etcd.cert_file:
        yield Pair(key="scheduler.etcd", cert_file=etcd.cert_file, key_file=etcd.key_file)
    if role == "scheduler" and redis.cert_file:
        yield Pair(key="scheduler.redis", cert_file=redis.cert_file, key_file=redis.key_file)


def _public(key: str, tls: ServerTlsConfig, listeners: tuple[Listener, ...], name: str = "") -> Pair:
    names = (name,) if name else ()
    return Pair(key=key, cert_file=tls.cert_file, key_file=tls.key_file, names=names, listeners=listeners)


def _advertised(config: Config, role: Role) -> str:
    """What other nodes reach this one by; nothing for edges, which nobody dials."""
    match role:
        case "origin":
            return config.origin.advertise_host or settings.machine_address()
        case "hls":
            return config.hls.advertise_host or settings.machine_address()
        case "scheduler":
            return settings.scheduler_host(config)
        case _:
            return ""


def judge_pair(pair: Pair, cert_pem: bytes, key_pem: bytes, ca_pem: bytes, now_s: float) -> Iterator[Finding]:
    """Whether a certificate can be used, for how long, and by whom it is taken."""
    try:
        chain = x509.load_pem_x509_certificates(cert_pem)
    except ValueError as error:
        yield failed(pair.key, f"{pair.cert_file} holds no certificate: {error}", "a PEM file, the server's certificate first")
        return
    leaf = chain[0]
    yield _validity(pair.key, leaf, now_s)
    yield from _belonging(pair, leaf, key_pem)
    yield from _chained(pair, chain, ca_pem)
    for name in pair.names:
        yield _named(pair.key, leaf, name)


def _validity(key: str, leaf: x509.Certificate, now_s: float) -> Finding:
    begin_s, end_s = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    renew = "renew it: the files are read again within seconds; see docs/runbooks/certificate-expires.md"
    if now_s < begin_s:
        return failed(key, f"not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC", "look at the clock, or wait")
    if now_s >= end_s:
        return failed(key, f"expired on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC", renew)
    left = f"expires on {leaf.not_valid_after_utc:%Y-%m-%d}, in {(end_s - now_s) / DAY_S:.0f} days"
    return warning(key, left, renew) if end_s - now_s < SOON_S else ok(key, left)


def _belonging(pair: Pair, leaf: x509.Certificate, key_pem: bytes) -> Iterator[Finding]:
    try:
        private = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError) as error:
        yield failed(pair.key, f"{pair.key_file} holds no key that can be used: {error}", "a PEM file without a password")
        return
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if private.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        yield failed(
            pair.key, f"{pair.key_file} is not the key of {pair.cert_file}", "put the two files together that were made together"
        )


def _chained(pair: Pair, chain: Sequence[x509.Certificate], ca_pem: bytes) -> Iterator[Finding]:
    """Whether each vouches for the one before it, and at last the authority or somebody that clients may know."""
    for below, above in pairwise(chain):
        if not _vouches(above, below):
            found = f"{_name(above)} does not vouch for {_name(below)}, before it in {pair.cert_file}"
            yield failed(pair.key, found, "the server's certificate first, then each one's issuer")
            return
    last = chain[-1]
    if ca_pem:
        try:
            authorities = x509.load_pem_x509_certificates(ca_pem)
        except ValueError as error:
            yield failed(pair.key, f"{pair.ca_file} holds no certificate: {error}", "the PEM file of the authority")
            return
        if not any(_vouches(each, last) or each == last for each in authorities):
            yield failed(
                pair.key, f"{pair.ca_file} does not vouch for {_name(last)}", "a certificate of that authority, or its own file"
            )
    elif len(chain) == 1 and _vouches(last, last):
        yield warning(
            pair.key, "self-signed: clients refuse it unless they are told to trust it", "one of an authority that clients know"
        )


def _vouches(above: x509.Certificate, below: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "a certificate without a name"


def _named(key: str, leaf: x509.Certificate, name: str) -> Finding:
    """Whether a certificate is for a host (RFC 6125 §6.4)."""
    try:
        alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return failed(key, "names no host at all (no subjectAltName)", f"a certificate with the subjectAltName {name}")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        names = alternatives.get_values_for_type(x509.DNSName)
        known = any(_matches(each, name) for each in names)
    else:
        known = address in alternatives.get_values_for_type(x509.IPAddress)
    if known:
        return ok(key, f"is for {name}")
    return failed(key, f"is not for {name}, which others reach this node by", f"a certificate with the subjectAltName {name}")


def _matches(pattern: str, name: str) -> bool:
    pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
    if pattern.startswith("*."):
        return name.partition(".")[2] == pattern[2:]
    return pattern == name


def judge_shown(listener: Listener, cert_pem: bytes, shown_der: bytes) -> Finding:
    """Whether a listener shows the certificate that is in its file."""
    try:
        leaf = x509.load_pem_x509_certificates(cert_pem)[0]
        shown = x509.load_der_x509_certificate(shown_der)
    except ValueError as error:
        return skipped(listener.key, f"it cannot be told whether the certificate of the file is shown: {error}")
    if leaf == shown:
        return ok(listener.key, "shows the certificate of the file")
    found = f"shows another certificate than the file has, which ends on {shown.not_valid_after_utc:%Y-%m-%d}"
    remedy = "the log says why the file was not taken, SIGHUP has it tried again; or somebody else listens there"
    return warning(listener.key, found, remedy)


async def check_tls(place: Place) -> list[Finding]:
    """The certificates of the role can be used, go on to be, and are shown where the node runs."""
    found = await in_thread(_look, place.config, place.role)
    wanted = [(pair, each) for pair in pairs(place.config, place.role) for each in pair.listeners if each.port]
    shown = await asyncio.gather(*(_shown_by(place, pair, listener) for pair, listener in wanted))
    return [*found, *(finding for findings in shown for finding in findings)]


async def _shown_by(place: Place, pair: Pair, listener: Listener) -> list[Finding]:
    """What is found of a listener that listens; nothing where none does, which is no matter of certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # whatever it is, it is compared with the file
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(place.limit_s / 2):
            host = ANY_ADDRESS.get(listener.host, listener.host)
            _, writer = await asyncio.open_connection(
                host, listener.port, ssl=context, server_hostname=pair.names[0] if pair.names else host
            )
        try:
            der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""
        finally:
            writer.transport.abort()
        return [judge_shown(listener, await in_thread(_read, pair.cert_file), der)]
    return []


def _look(config: Config, role: Role) -> list[Finding]:
    found = []
    for pair in pairs(config, role):
        try:
            cert, key = _read(pair.cert_file), _read(pair.key_file)
            authority = _read(pair.ca_file) if pair.ca_file else b""
        except OSError as error:
            found.append(failed(pair.key, str(error), "mend the name, or let the user that the node runs as read it"))
            continue
        found += judge_pair(pair, cert, key, authority, time.time())
    if not found:
        found.append(ok(f"{role} on {socket.gethostname()}", "no certificate is configured"))
    return found


def _read(file: str) -> bytes:
    with Path(file).open("rb") as source:
        return source.read(MAX_FILE_BYTES)
