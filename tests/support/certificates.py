"""Certificates for tests."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path


def self_signed(folder: Path, name: str = "edge", days: int = 2) -> Path:
    """A self-signed certificate of this machine, with its key in one file, which takes the place of another; it ends in `days`."""
    path, half, key = (folder / f"{name}{suffix}" for suffix in (".pem", ".half", ".key.pem"))
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(days)]
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    files = [*names, "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(half)]
    subprocess.run([*command, *files], check=True, capture_output=True, timeout=30)
    half.write_bytes(half.read_bytes() + key.read_bytes())
    return half.rename(path)


def served_with(certificate: Path) -> ssl.SSLContext:
    """What a server shows it by."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def trusting(certificate: Path) -> ssl.SSLContext:
    """What a client of that server takes."""
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    return context
