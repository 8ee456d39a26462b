"""What a Digest answer is computed from (RFC 7616 §3.4.1; without ``qop`` RFC 2069 §2.1.2)."""

from __future__ import annotations

import hashlib
from typing import Final

#: hash functions by the name that a challenge has for them, in upper case, the strongest first (RFC 7616 §6.1)
ALGORITHMS: Final = {"SHA-256": "sha256", "MD5": "md5"}
DEFAULT_ALGORITHM: Final = "MD5"  #: of a challenge that names none (RFC 7616 §3.3)


def digest_response(
    algorithm: str,
    *,
    user: str,
    realm: str,
    password: str,
    method: str,
    uri: str,
    nonce: str,
    qop: str = "",
    nonce_count: str = "",
    client_nonce: str = "",
) -> str:
    """The ``response`` parameter, in lower case hex.

    Args:
        algorithm: a key of `ALGORITHMS`.
        user: name of the user.
        realm: as the server said it.
        password: of the user.
        method: of the request.
        uri: as it is said in the same header.
        nonce: the server's.
        qop: ``auth``; empty: as RFC 2069 has it, without the two that follow.
        nonce_count: eight hex digits.
        client_nonce: the client's.
    """
    secret = _hash(algorithm, f"{user}:{realm}:{password}")
    request = _hash(algorithm, f"{method}:{uri}")
    between = f"{nonce_count}:{client_nonce}:{qop}:" if qop else ""
    return _hash(algorithm, f"{secret}:{nonce}:{between}{request}")


def _hash(algorithm: str, text: str) -> str:
    return hashlib.new(ALGORITHMS[algorithm], text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
