"""The Digest of cameras, written by hand: as RFC 2069 has it, without ``qop``, by MD5 or SHA-256."""

from __future__ import annotations

import hashlib
import re

from support.camera_ways import CameraSettings

_PARAMETER = re.compile(r'(\w+)="?([^",]*)"?')


def parameters(header: str) -> dict[str, str]:
    """Those of a challenge, or of the answer to one."""
    return dict(_PARAMETER.findall(header.partition(" ")[2]))


def digest(settings: CameraSettings, realm: str, nonce: str, method: str, uri: str) -> str:
    """The ``response`` of who knows the password."""
    name = {"": "md5", "MD5": "md5", "SHA-256": "sha256"}[settings.algorithm]

    def hashed(text: str) -> str:
        return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

    return hashed(f"{hashed(f'{settings.user}:{realm}:{settings.password}')}:{nonce}:{hashed(f'{method}:{uri}')}")
