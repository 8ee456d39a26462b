"""``lalmesh drain`` where the scheduler of the configuration speaks HTTPS."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.certificates import self_signed
from support.etcd import make_certificates
from support.members import Member
from typer.testing import CliRunner

from lalmesh.runtime.certificate import ServerCertificate
from lalmesh.runtime.scheduling import Drain, Role
from services.scheduler import SchedulerApp
from services.scheduler.registry import MemoryRegistry
from services.standalone.cli import app


def drained(port: int, cert_file: str, key_file: str) -> tuple[int, str]:
    """The exit status, and what was printed."""
    said = {"port": port, "tls.cert_file": cert_file, "tls.key_file": key_file}
    options = [part for name, value in said.items() for part in ("--set", f"scheduler.http.{name}={value}")]
    done = CliRunner().invoke(app, ["drain", "o1", *options])
    return done.exit_code, done.output


@pytest.mark.parametrize("is_signed", [True, False])
async def test_it_asks_whoever_has_the_certificate_of_the_configuration_and_nobody_else(tmp_path: Path, is_signed: bool) -> None:
    certificates = make_certificates(tmp_path)  # by an authority that this machine does not know
    own = self_signed(tmp_path, "another-name")
    files = (certificates.cert_file("server"), certificates.key_file("server")) if is_signed else (str(own), str(own))
    registry = MemoryRegistry(asyncio.get_running_loop().time)
    scheduler = SchedulerApp(registry, [b"key"], http_port=0, certificate=ServerCertificate(*files))
    await scheduler.start()
    try:
        assert scheduler.http_port is not None
        async with Member("o1", Role.ORIGIN, scheduler.service) as origin:
            assert await asyncio.to_thread(drained, scheduler.http_port, *files) == (0, "o1 drains\n")
            assert isinstance(await origin.told(Drain), Drain)
            other = str(self_signed(tmp_path, "other"))
            status, said = await asyncio.to_thread(drained, scheduler.http_port, other, other)
            assert status == 1
            assert "CERTIFICATE_VERIFY_FAILED" in said
    finally:
        await scheduler.stop()
