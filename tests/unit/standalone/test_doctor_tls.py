"""What the doctor makes of certificates."""

from __future__ import annotations

import datetime
import functools
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from lalmesh.runtime.config import load_config
from services.standalone.doctor import Finding, Status
from services.standalone.doctor._tls import Pair, judge_pair, pairs

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


@functools.cache
def key(name: str) -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


@functools.cache
def certificate(
    name: str, issuer: str = "", *, begins: int = -1, ends: int = 90, hosts: tuple[str, ...] = (), is_authority: bool = False
) -> bytes:
    """One of `name` that `issuer` vouches for, by default itself; days are counted from `NOW`."""
    issuer = issuer or name
    builder = x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(issuer)).public_key(key(name).public_key())
    builder = builder.serial_number(1).not_valid_before(NOW + begins * DAY).not_valid_after(NOW + ends * DAY)
    builder = builder.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
    if hosts:
        names = [x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host) for host in hosts]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key(issuer), SHA256()).public_bytes(Encoding.PEM)


def private(name: str) -> bytes:
    return key(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def judged(cert: bytes, key_pem: bytes = b"", ca: bytes = b"", *names: str) -> list[Finding]:
    pair = Pair(key="edge.tls", cert_file="cert.pem", key_file="key.pem", ca_file="ca.pem" if ca else "", names=names)
    return list(judge_pair(pair, cert, key_pem or private("a"), ca, NOW.timestamp()))


def worst(found: list[Finding]) -> str:
    order = list(Status)
    for each in found:
        assert bool(each.remedy) or each.status is Status.OK
    return str(max((each.status for each in found), key=order.index))


CHAIN = certificate("a", "mid", hosts=("a.example", "192.0.2.1")) + certificate("mid", "root", is_authority=True)
ROOT = certificate("root", is_authority=True)


def test_a_chain_that_the_authority_vouches_for_is_well() -> None:
    assert worst(judged(CHAIN, b"", ROOT, "a.example", "192.0.2.1")) == "ok"


@pytest.mark.parametrize(
    ("cert", "said", "status"),
    [
        (certificate("a", "mid", ends=-1, begins=-9) + certificate("mid", "root"), "expired on 2026-05-31", "failed"),
        (certificate("a", "mid", ends=3) + certificate("mid", "root"), "in 3 days", "warning"),
        (certificate("a", "mid", begins=2) + certificate("mid", "root"), "not valid before 2026-06-03", "failed"),
        (certificate("mid", "root") + certificate("a", "mid"), "is not the key of", "failed"),
        (certificate("a", "mid") + certificate("root"), "does not vouch for CN=a", "failed"),
        (certificate("a"), "self-signed", "warning"),
        (b"nothing", "holds no certificate", "failed"),
    ],
)
def test_what_is_wrong_is_said(cert: bytes, said: str, status: str) -> None:
    found = judged(cert)
    assert any(said in each.found for each in found), found
    assert worst(found) == status


def test_another_authority_is_told() -> None:
    assert any("does not vouch for CN=mid" in each.found for each in judged(CHAIN, b"", certificate("other", is_authority=True)))


@pytest.mark.parametrize("key_pem", [b"nothing", private("b")])
def test_a_key_of_another_certificate_or_none_is_told(key_pem: bytes) -> None:
    assert worst(judged(CHAIN, key_pem)) == "failed"


@pytest.mark.parametrize(
    ("hosts", "name", "status"),
    [
        (("*.example",), "a.example", "ok"),
        (("*.example",), "a.b.example", "failed"),
        (("A.example",), "a.EXAMPLE", "ok"),
        (("b.example",), "a.example", "failed"),
        (("192.0.2.1",), "192.0.2.1", "ok"),
        (("192.0.2.1",), "192.0.2.2", "failed"),
        ((), "a.example", "failed"),
    ],
)
def test_a_certificate_is_for_the_name_that_others_use(hosts: tuple[str, ...], name: str, status: str) -> None:
    cert = certificate("a", "mid", hosts=hosts) + certificate("mid", "root", is_authority=True)
    assert worst(judged(cert, b"", b"", name)) == status


def test_each_role_has_its_own_certificates() -> None:
    files = ["edge.tls", "hls.tls", "scheduler.http.tls", "cluster.tls"]
    sets = [f"{section}.{each}_file={section}.{each}" for section in files for each in ("cert", "key")]
    config = load_config(None, [*sets, "cluster.tls.ca_file=ca", "origin.advertise_host=o1"], {})
    assert [pair.key for pair in pairs(config, "edge")] == ["edge.tls", "cluster.tls"]
    assert [pair.key for pair in pairs(config, "scheduler")] == ["scheduler.http.tls", "cluster.tls"]
    assert [(pair.key, pair.names) for pair in pairs(config, "origin")] == [("cluster.tls", ("o1",))]
    assert [pair.key for pair in pairs(config, "standalone")] == ["edge.tls", "hls.tls", "scheduler.http.tls"]
