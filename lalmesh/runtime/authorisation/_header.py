"""What an Authorization header of HTTP shows in the clear."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from lalmesh.runtime.authorisation._password import PlainLogin

MAX_HEADER_CHARS: Final = 16_384


def basic_login(header: str) -> PlainLogin | None:
    """Name and password (RFC 7617 §2); None where it has none."""
    scheme, _, shown = header.partition(" ")
    if scheme.lower() != "basic" or len(header) > MAX_HEADER_CHARS:
        return None
    try:
        user, colon, password = base64.b64decode(shown.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return PlainLogin(user, password) if colon else None


def bearer_of(header: str) -> str:
    """The token (RFC 6750 §2.1); empty where it has none."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
