"""The tokens of the API: random, kept as hashes, each with a role and perhaps an end.

A token is 256 random bits, which nobody can try out, so one round of SHA-256 hides it as well as a slow hash would: that is for
what people think up, and would let whoever sends wrong tokens keep the scheduler busy.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from services.scheduler.api._operation import ApiRole

PREFIX = "lalmesh_"  #: that programs which look for leaked secrets know it by
TOKEN_BYTES = 32
HASH_PREFIX = "sha256:"
MAX_TOKENS = 100  #: each is compared with every token that is given
MAX_TOKEN_CHARS = 4096  #: of one that is given: as much as the configuration takes


@dataclass(slots=True, frozen=True, kw_only=True)
class ApiToken:
    """Who has the token may what its role may."""

    name: str  #: for logs and lists
    role: ApiRole
    hash: str  #: as `hash_token` gives it
    expires_s: float | None = None  #: Unix time from which it is worth nothing; None: never

    def is_over(self, now_s: float) -> bool:
        """Whether it is worth nothing any more."""
        return self.expires_s is not None and now_s >= self.expires_s


class Tokens:
    """Those that are configured."""

    def __init__(self, tokens: Sequence[ApiToken] = ()) -> None:
        """Know `tokens`; none: whoever is on this machine may everything."""
        self.known = tuple(tokens)

    def __bool__(self) -> bool:
        """Whether there are any, be they over."""
        return bool(self.known)

    def find(self, given: str, now_s: float) -> ApiToken | None:
        """The token that was given, None where it is none or over. Takes as long for any."""
        digest, found = hash_token(given[:MAX_TOKEN_CHARS]), None
        for token in self.known:
            if hmac.compare_digest(token.hash, digest):
                found = token
        return found if found is not None and not found.is_over(now_s) else None


def make_token() -> str:
    """A new one."""
    return PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def hash_token(token: str) -> str:
    """What is kept of a token."""
    return HASH_PREFIX + hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()
