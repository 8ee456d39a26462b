"""Basic and Digest authentication as HTTP and RTSP have it, both sides (RFC 7616, RFC 7617, RFC 2069). Sans-I/O."""

from __future__ import annotations

from lalmesh.protocol.http_auth._client import ClientAuth
from lalmesh.protocol.http_auth._credentials import BasicCredentials, Credentials, DigestCredentials, parse_credentials
from lalmesh.protocol.http_auth._digest import ALGORITHMS, digest_response
from lalmesh.protocol.http_auth._header import MAX_HEADER_CHARS, Challenge, parse_challenges
from lalmesh.protocol.http_auth._nonce import DEFAULT_NONCE_LIFETIME_S, NonceMaker
from lalmesh.protocol.http_auth._server import Scheme, ServerAuth, Verdict

__all__ = [
    "ALGORITHMS",
    "DEFAULT_NONCE_LIFETIME_S",
    "MAX_HEADER_CHARS",
    "BasicCredentials",
    "Challenge",
    "ClientAuth",
    "Credentials",
    "DigestCredentials",
    "NonceMaker",
    "Scheme",
    "ServerAuth",
    "Verdict",
    "digest_response",
    "parse_challenges",
    "parse_credentials",
]
