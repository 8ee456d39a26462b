"""What a client shows: the ``Authorization`` header (RFC 7617 §2, RFC 7616 §3.4)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Final

from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.protocol.http_auth._digest import ALGORITHMS, DEFAULT_ALGORITHM
from lalmesh.protocol.http_auth._header import check_length, parse_parameters

_NEEDED: Final = ("username", "realm", "nonce", "uri", "response")


@dataclass(slots=True, frozen=True)
class BasicCredentials:
    """Name and password as they are."""

    user: str
    password: str = field(repr=False)


@dataclass(slots=True, frozen=True, kw_only=True)
class DigestCredentials:
    """Name, and a hash that only who knows the password can make."""

    user: str
    realm: str
    nonce: str
    uri: str  #: as the client hashed it, which is not always the URI of the request
    response: str = field(repr=False)
    algorithm: str  #: a key of `ALGORITHMS`
    qop: str = ""  #: ``auth``; empty: RFC 2069
    nonce_count: str = ""
    client_nonce: str = ""


Credentials = BasicCredentials | DigestCredentials


def parse_credentials(header: str) -> Credentials:
    """Take an ``Authorization`` header apart.

    Raises:
        RemoteProtocolError: not base64 with a colon inside (Basic); a parameter is missing (Digest).
        UnsupportedError: another scheme, algorithm or ``qop``.
        LimitExceeded: longer than `MAX_HEADER_CHARS`.
    """
    check_length(header)
    scheme, _, rest = header.strip().partition(" ")
    match scheme.lower():
        case "basic":
            return _parse_basic(rest)
        case "digest":
            return _parse_digest(rest)
        case _:
            raise UnsupportedError(f"authentication scheme {scheme[:40]!r}")


def _parse_basic(token: str) -> BasicCredentials:
    try:
        decoded = base64.b64decode(token.strip(), validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        raise RemoteProtocolError("Basic credentials that are no base64", section="RFC 7617 §2") from None
    user, colon, password = decoded.partition(":")
    if not colon:
        raise RemoteProtocolError("Basic credentials without a colon", section="RFC 7617 §2")
    return BasicCredentials(user, password)


def _parse_digest(text: str) -> DigestCredentials:
    said = parse_parameters(text)
    missing = [name for name in _NEEDED if name not in said]
    if missing:
        raise RemoteProtocolError(f"Digest credentials without {', '.join(missing)}", section="RFC 7616 §3.4")
    algorithm, qop = said.get("algorithm", DEFAULT_ALGORITHM).upper(), said.get("qop", "").lower()
    if algorithm not in ALGORITHMS or qop not in ("", "auth"):
        raise UnsupportedError(f"Digest of algorithm {algorithm[:40]!r}, qop {qop[:40]!r}")
    return DigestCredentials(
        user=said["username"],
        realm=said["realm"],
        nonce=said["nonce"],
        uri=said["uri"],
        response=said["response"].lower(),
        algorithm=algorithm,
        qop=qop,
        nonce_count=said.get("nc", ""),
        client_nonce=said.get("cnonce", ""),
    )
