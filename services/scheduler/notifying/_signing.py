"""Signatures of webhooks as Standard Webhooks 1.0 has them, which libraries of most languages check.

The signature is HMAC-SHA256 over ``ID.TIMESTAMP.BODY``. A receiver compares it in constant time, refuses a time stamp that is not
of the last minutes, and an id that it has had: so nobody who has listened can send it again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

PREFIX = "whsec_"  #: of a secret that is base64, as Standard Webhooks writes them
VERSION = "v1"


def key_of(secret: str) -> bytes:
    """The bytes of a secret: those that ``whsec_`` and base64 stand for, otherwise the text itself."""
    if secret.startswith(PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def signature_of(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """What stands in the header ``webhook-signature`` (Standard Webhooks, Signature scheme)."""
    signed = b".".join((message_id.encode(), str(timestamp_s).encode(), body))
    digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
    return f"{VERSION},{base64.b64encode(digest).decode()}"
