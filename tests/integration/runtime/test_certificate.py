"""A certificate that is renewed while the edge runs, seen by real TLS clients."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from support.loops import Run

from lalmesh.runtime.certificate import CertificateWatch, ServerCertificate

LIMIT_S = 30.0
KEYS = {"ec": ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"), "rsa": ("rsa:2048",)}


def make(folder: Path, name: str, key: str = "ec", *, days: int = 2) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    folder.mkdir(exist_ok=True)
    cert, private = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", *KEYS[key], "-nodes", "-days", str(days), "-subj", f"/CN={name}"]
    subprocess.run([*command, "-keyout", private, "-out", cert], check=True, capture_output=True, timeout=30)
    return cert, private


class Files:
    """Certificates, and the two files that the server reads."""

    def __init__(self, folder: Path) -> None:
        self.cert, self.key = folder / "tls.crt", folder / "tls.key"
        self.made = {name: make(folder, name, key) for name, key in (("one", "ec"), ("two", "ec"), ("three", "rsa"))}

    def put(self, name: str) -> None:
        for source, target in zip(self.made[name], (self.cert, self.key), strict=True):
            shutil.copy(source, target.with_suffix(".new"))
            target.with_suffix(".new").rename(target)

    def name_of(self, shown: bytes) -> str:
        digests = {
            hashlib.sha256(ssl.PEM_cert_to_DER_cert(cert.read_text())).digest(): name for name, (cert, _) in self.made.items()
        }
        return digests[hashlib.sha256(shown).digest()]

    @property
    def certificate(self) -> ServerCertificate:
        return ServerCertificate(str(self.cert), str(self.key))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("certificates"))


def end_of(cert: Path) -> float:
    """As OpenSSL has it."""
    command = ["openssl", "x509", "-in", str(cert), "-noout", "-enddate"]
    said = subprocess.run(command, check=True, capture_output=True, timeout=30, text=True).stdout
    return float(ssl.cert_time_to_seconds(said.strip().removeprefix("notAfter=")))


def test_it_is_known_when_the_certificate_that_is_shown_ends(files: Files, tmp_path: Path) -> None:
    files.put("one")
    certificate = files.certificate
    assert certificate.ends_at == end_of(files.cert)
    _, private = longer = make(tmp_path, "longer", days=30)
    shutil.copy(longer[0], files.cert)
    assert not certificate.refresh(at_once=True)  # its key is not there yet
    assert certificate.ends_at != end_of(files.cert)
    shutil.copy(private, files.key)
    assert certificate.refresh(at_once=True)
    assert certificate.ends_at == end_of(files.cert)


async def shown(port: int, name: str | None = "edge.test") -> bytes:
    """The certificate that a client gets that asks for `name`."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name or "")
    certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return certificate


class Echo(asyncio.Protocol):
    """Says back what it hears."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]


async def listen(context: ssl.SSLContext) -> tuple[asyncio.AbstractServer, int]:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, ssl=context)
    return server, int(server.sockets[0].getsockname()[1])


def test_clients_see_the_new_certificate_and_who_is_connected_stays(run: Run, files: Files) -> None:
    async def check() -> None:
        files.put("one")
        certificate = files.certificate
        server, port = await listen(certificate.context)
        context = ssl.create_default_context(cafile=str(files.cert))
        context.check_hostname = False
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        assert not certificate.refresh()
        for name in ("two", "three", "one"):  # another, one with a key of another type, and the first again
            files.put(name)
            assert certificate.refresh()
            assert files.name_of(await shown(port)) == name
            assert files.name_of(await shown(port, None)) == name
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
        writer.close()
        server.close()
        assert (certificate.reloads, certificate.failures) == (3, 0)

    run(check())


@pytest.mark.parametrize("broken", ["no certificate", "another key", "gone"])
def test_a_broken_certificate_is_told_and_the_old_one_stays(
    run: Run, files: Files, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    async def check() -> None:
        files.put("one")
        certificate = files.certificate
        server, port = await listen(certificate.context)
        match broken:
            case "no certificate":
                files.cert.write_text("not PEM at all")
            case "another key":
                shutil.copy(files.made["two"][1], files.key)
            case _:
                files.cert.unlink()
        with caplog.at_level(logging.WARNING):
            assert [certificate.refresh() for _ in range(3)] == [False] * 3
        assert files.name_of(await shown(port)) == "one"
        assert "the old one stays" in caplog.text
        assert certificate.failures == len(caplog.records)
        files.put("two")
        assert certificate.refresh()
        assert files.name_of(await shown(port)) == "two"
        server.close()

    run(check())


def test_who_asks_for_it_gets_a_certificate_tried_again(files: Files) -> None:
    files.put("one")
    certificate = files.certificate
    shutil.copy(files.made["two"][1], files.key)
    assert [certificate.refresh(), certificate.refresh(), certificate.refresh(at_once=True)] == [False] * 3
    assert certificate.failures == 2


def test_the_files_are_looked_at_from_time_to_time(files: Files) -> None:
    files.put("one")
    certificate = files.certificate
    certificate.sweep(100.0)
    files.put("two")
    certificate.sweep(104.0)
    assert certificate.reloads == 0
    certificate.sweep(105.0)
    assert certificate.reloads == 1


def test_a_node_looks_at_its_certificate_as_time_passes_and_when_it_is_asked(files: Files) -> None:
    files.put("one")
    certificate = files.certificate
    watch = CertificateWatch(certificate, lambda: 100.0)
    watch.sweep()
    files.put("two")
    watch.sweep()
    assert certificate.reloads == 0
    watch.reload()
    assert certificate.reloads == 1


def test_a_node_without_a_certificate_has_nothing_to_look_at() -> None:
    watch = CertificateWatch(None, lambda: 0.0)
    watch.sweep()
    watch.reload()


def test_files_written_again_with_the_same_bytes_are_no_other_certificate(files: Files) -> None:
    files.put("one")
    certificate = files.certificate
    files.put("one")
    assert not certificate.refresh()
    assert certificate.reloads == 0


def test_half_a_certificate_does_not_load(files: Files) -> None:
    files.put("one")
    with pytest.raises((OSError, ssl.SSLError)):
        ServerCertificate(str(files.cert), str(files.key) + ".missing")
