"""Keys that tokens are checked with. Each is for one algorithm, whatever a token says of itself."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

MAX_KEYS: Final = 100  #: of one set
MAX_SET_BYTES: Final = 256 << 10  #: of a JWKS document: some 100 RSA keys with their certificates
MIN_RSA_BITS: Final = 2048
MIN_SECRET_BYTES: Final = 32  #: as many as the hash has (RFC 7518 §3.2)
_PEM_END: Final = b"-----END PUBLIC KEY-----"


@dataclass(slots=True, frozen=True)
class VerifyKey:
    """One key."""

    key_id: str  #: empty: a key without a name
    algorithm: str  #: ``HS256``, ``RS256``, ``ES256``
    key: Any  #: as PyJWT takes it


def secret_key(secret: bytes) -> VerifyKey:
    """A secret shared with whoever makes tokens.

    Raises:
        ValueError: it is too short.
    """
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"a secret of {len(secret)} bytes, at least {MIN_SECRET_BYTES} are needed")
    return VerifyKey("", "HS256", secret)


def pem_keys(data: bytes) -> tuple[VerifyKey, ...]:
    """The public keys of a PEM file.

    Raises:
        ValueError: there are none, or one is of a kind that is not taken.
    """
    blocks = [block + _PEM_END for block in data.split(_PEM_END)[:-1]]
    if not blocks or len(blocks) > MAX_KEYS:
        raise ValueError(f"{len(blocks)} public keys, from 1 to {MAX_KEYS} are needed")
    return tuple(_public_key("", block.strip()) for block in blocks)


def _public_key(key_id: str, pem: bytes) -> VerifyKey:
    try:
        key = load_pem_public_key(pem)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from None
    algorithm = _algorithm_of(key)
    if algorithm is None:
        raise ValueError(f"a key is needed of RSA with {MIN_RSA_BITS} bits or more, or of the curve P-256")
    return VerifyKey(key_id, algorithm, key)


def jwks_keys(data: bytes) -> tuple[VerifyKey, ...]:
    """The public keys of a JWKS document (RFC 7517 §5); those of other kinds and uses are left out, and secrets always.

    Raises:
        ValueError: it is none, or has none that can be used.
    """
    if len(data) > MAX_SET_BYTES:
        raise ValueError(f"a key set of over {MAX_SET_BYTES} bytes")
    try:
        keys = json.loads(data)["keys"]
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"no key set: {type(error).__name__}") from None
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise ValueError(f"a key set has at most {MAX_KEYS} keys")
    found = tuple(_usable(keys))
    if not found:
        raise ValueError("a key set without a key that can be used")
    return found


def _usable(keys: Iterable[object]) -> Iterable[VerifyKey]:
    for described in keys:
        if not isinstance(described, dict) or described.get("use", "sig") != "sig" or described.get("kty") not in ("RSA", "EC"):
            continue
        public = {name: value for name, value in described.items() if name not in ("d", "p", "q", "dp", "dq", "qi", "oth")}
        try:
            key = jwt.PyJWK.from_dict(public, algorithm="RS256" if described["kty"] == "RSA" else "ES256").key
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            continue
        algorithm = _algorithm_of(key)
        if algorithm is not None and described.get("alg", algorithm) == algorithm:
            key_id = described.get("kid", "")
            yield VerifyKey(key_id if isinstance(key_id, str) else "", algorithm, key)


def _algorithm_of(key: object) -> str | None:
    if isinstance(key, RSAPublicKey):
        return "RS256" if key.key_size >= MIN_RSA_BITS else None
    return "ES256" if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1) else None
