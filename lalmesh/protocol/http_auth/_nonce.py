"""Nonces that a server knows as its own without keeping them (RFC 7616 §3.3)."""

from __future__ import annotations

import hmac
from typing import Final

DEFAULT_NONCE_LIFETIME_S: Final = 300.0  #: a client asks with every request; a captured answer is of use for no longer
MAX_CLOCK_SKEW_S: Final = 10.0  #: between servers that share a secret

_TIME_DIGITS, _SIGNATURE_DIGITS = 12, 40  # hex: ms since 1970 until the year 10889; 160 bits of HMAC-SHA-256


class NonceMaker:
    """Makes nonces of a time and a signature over it and the client; whoever has the secret can tell whether one is good."""

    def __init__(self, secret: bytes, *, lifetime_s: float = DEFAULT_NONCE_LIFETIME_S) -> None:
        """Sign with `secret` (16 random bytes and up); a nonce is good for `lifetime_s`."""
        self._secret = secret
        self._lifetime_s = lifetime_s

    def make(self, now_s: float, client: str = "") -> str:
        """A nonce for `client`, such as its address, at `now_s` (Unix seconds)."""
        time = f"{int(now_s * 1000):0{_TIME_DIGITS}x}"
        return time + self._signature(time, client)

    def is_good(self, nonce: str, now_s: float, client: str = "") -> bool:
        """Whether we made `nonce` for `client`, not too long ago."""
        time, signature = nonce[:_TIME_DIGITS], nonce[_TIME_DIGITS:]
        if not hmac.compare_digest(signature.encode("utf-8", "surrogateescape"), self._signature(time, client).encode()):
            return False
        age_s = now_s - int(time, 16) / 1000
        return -MAX_CLOCK_SKEW_S <= age_s <= self._lifetime_s

    def _signature(self, time: str, client: str) -> str:
        signed = f"{time}:{client}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._secret, signed, "sha256").hex()[:_SIGNATURE_DIGITS]
