"""Tokens of the API: random, kept as hashes, each with a role and perhaps an end.

A token is 256 random bits, which nobody can try out, so one round of SHA-256 hides it as well as a slow hash would: that is for
what people think up, and would let whoever sends wrong tokens keep the scheduler busy.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

PREFIX = "lalmesh_"  #: that programs which look for leaked secrets know it by
TOKEN_BYTES = 32
HASH_PREFIX = "sha256:"
MAX_TOKENS = 100  #: each is compared with every token that is given
MAX_TOKEN_CHARS = 4096  #: of one that is given: as much as the configuration takes

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")


class ApiRole(IntEnum):
    """Who may ask for something; each may what those before it may."""

    ANYBODY = 0
    VIEWER = 1  #: looks
    OPERATOR = 2  #: kicks, records, relays, drains
    ADMIN = 3  #: settings, tokens, profiles


_ROLES = {role.name.lower(): role for role in ApiRole if role is not ApiRole.ANYBODY}


@dataclass(slots=True, frozen=True, kw_only=True)
class ApiToken:
    """Who has the token may what its role may."""

    name: str  #: for logs and lists
    role: ApiRole
    hash: str  #: as `hash_token` gives it
    expires_s: int | None = None  #: Unix time from which it is worth nothing; None: never

    def is_over(self, now_s: float) -> bool:
        """Whether it is worth nothing any more."""
        return self.expires_s is not None and now_s >= self.expires_s

    def __str__(self) -> str:
        """As `parse_token` takes it."""
        text = f"{self.name} {self.role.name.lower()} {self.hash}"
        if self.expires_s is None:
            return text
        return f"{text} expires={datetime.fromtimestamp(self.expires_s, UTC).isoformat().replace('+00:00', 'Z')}"


class Tokens:
    """Those that are configured."""

    def __init__(self, tokens: Sequence[ApiToken] = ()) -> None:
        """Know `tokens`; none: whoever is on this machine may everything."""
        self.known = tuple(tokens)

    def __bool__(self) -> bool:
        """Whether there are any, be they over."""
        return bool(self.known)

    def find(self, given: str) -> ApiToken | None:
        """The token that was given, be it over; None where it is none. Takes as long for any."""
        digest, found = hash_token(given[:MAX_TOKEN_CHARS]), None
        for token in self.known:
            if hmac.compare_digest(token.hash, digest):
                found = token
        return found


def make_token() -> str:
    """A new one."""
    return PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def hash_token(token: str) -> str:
    """What is kept of a token."""
    return HASH_PREFIX + hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


def parse_token(text: str) -> ApiToken:
    """A token as the configuration has it: ``NAME ROLE sha256:HEX [expires=2030-01-31T12:00:00Z]``.

    Raises:
        ValueError: it is none; its text is not in the message.
    """
    name, role, digest, *rest = text.split() + [""] * 3
    if not _NAME.fullmatch(name):
        raise ValueError("a token needs a name of 1 to 64 letters, digits and . _ -")
    if role not in _ROLES:
        raise ValueError(f"the role of {name} has to be one of {', '.join(_ROLES)}")
    if not _HASH.fullmatch(digest):
        raise ValueError(f"the hash of {name} has to be sha256: and 64 hexadecimal digits, as `lalmesh token` prints it")
    more = [word for word in rest if word]
    if len(more) > 1 or any(not word.startswith("expires=") for word in more):
        raise ValueError(f"after the hash of {name} there may be expires=TIME only")
    return ApiToken(name=name, role=_ROLES[role], hash=digest, expires_s=parse_time(more[0][8:]) if more else None)


def parse_time(text: str) -> int:
    """Unix seconds of a time such as ``2030-01-31T12:00:00Z``; without a zone it is UTC.

    Raises:
        ValueError: it is none.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:50]!r} is no time such as 2030-01-31T12:00:00Z") from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())
