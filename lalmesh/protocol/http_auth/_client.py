"""The client's side: which challenge to take, and how to answer it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from lalmesh.protocol.http_auth._digest import ALGORITHMS, DEFAULT_ALGORITHM, digest_response
from lalmesh.protocol.http_auth._header import Challenge, parse_challenges, quoted

RandomBytes: TypeAlias = Callable[[int], bytes]

_CLIENT_NONCE_BYTES: Final = 8


class ClientAuth:
    """One user's answers to one server. Digest is preferred to Basic, SHA-256 to MD5."""

    def __init__(self, user: str, password: str, random_bytes: RandomBytes) -> None:
        """Log in as `user`; `random_bytes` makes client nonces."""
        self._user = user
        self._password = password
        self._random_bytes = random_bytes
        self._challenge: Challenge | None = None
        self._answered = False
        self._was_accepted = False  # an answer to the challenge was, and no other challenge has come since
        self._nonce_count = 0

    def challenged(self, headers: Sequence[str]) -> bool:
        """Take the ``WWW-Authenticate`` headers of a 401.

        Interop: many cameras have nonces that are good for some minutes, and do not call those that were too old, or say ``FALSE``.
        So one challenge with another nonce is answered after each answer that was accepted.

        Returns:
            Whether to ask again with what `authorization` gives then. False: no scheme that is known here, or the server did not
            like the answer to its last challenge, and not because that was stale or has become so.
        Raises:
            LimitExceeded: a header that is longer than `MAX_HEADER_CHARS`.
        """
        best = min(parse_challenges(headers), key=_rank, default=None)
        if best is None or _rank(best) == _UNKNOWN:
            return False
        if self._answered and best.parameters.get("stale", "").lower() != "true" and not self._follows(best):
            return False
        self._challenge, self._answered, self._was_accepted, self._nonce_count = best, False, False, 0
        return True

    def _follows(self, challenge: Challenge) -> bool:
        """Whether it comes with another nonce after one that was good."""
        known = self._challenge
        return self._was_accepted and known is not None and challenge.parameters.get("nonce") != known.parameters.get("nonce")

    def authorization(self, method: str, uri: str) -> str | None:
        """The ``Authorization`` header of the next request; None until a server wants one."""
        if self._challenge is None:
            return None
        self._answered = True
        if self._challenge.scheme == "basic":
            shown = f"{self._user}:{self._password}".encode("utf-8", "surrogateescape")
            return f"Basic {base64.b64encode(shown).decode()}"
        return self._digest(self._challenge, method, uri)

    def accepted(self) -> None:
        """The server took the answer: a 401 from now on is about another request, and gets another answer."""
        self._was_accepted = self._was_accepted or self._answered
        self._answered = False

    def _digest(self, challenge: Challenge, method: str, uri: str) -> str:
        """Interop: cameras read these in the order of RFC 2069, and know no others where they asked for none."""
        algorithm = _algorithm(challenge)
        realm, nonce = challenge.parameters.get("realm", ""), challenge.parameters.get("nonce", "")
        qop, nonce_count, client_nonce = self._protection(challenge)
        response = digest_response(
            algorithm,
            user=self._user,
            realm=realm,
            password=self._password,
            method=method,
            uri=uri,
            nonce=nonce,
            qop=qop,
            nonce_count=nonce_count,
            client_nonce=client_nonce,
        )
        said = {"username": self._user, "realm": realm, "nonce": nonce, "uri": uri, "response": response}
        parts = [f"{name}={quoted(value)}" for name, value in said.items()]
        parts += [f"opaque={quoted(challenge.parameters['opaque'])}"] if "opaque" in challenge.parameters else []
        parts += [f"algorithm={algorithm}"] if "algorithm" in challenge.parameters else []
        parts += [f"qop={qop}", f"nc={nonce_count}", f"cnonce={quoted(client_nonce)}"] if qop else []
        return "Digest " + ", ".join(parts)

    def _protection(self, challenge: Challenge) -> tuple[str, str, str]:
        """``qop``, nonce count and client nonce: all empty where the server knows RFC 2069 only."""
        if "qop" not in challenge.parameters:
            return "", "", ""
        self._nonce_count += 1
        return "auth", f"{self._nonce_count:08x}", self._random_bytes(_CLIENT_NONCE_BYTES).hex()


_UNKNOWN: Final = 9


def _rank(challenge: Challenge) -> int:
    """How much a challenge is liked: the less, the more."""
    if challenge.scheme == "basic":
        return len(ALGORITHMS)
    qop = challenge.parameters.get("qop", "auth").lower().replace(" ", "").split(",")
    if challenge.scheme != "digest" or "auth" not in qop or _algorithm(challenge) not in ALGORITHMS:
        return _UNKNOWN
    return list(ALGORITHMS).index(_algorithm(challenge))


def _algorithm(challenge: Challenge) -> str:
    return challenge.parameters.get("algorithm", DEFAULT_ALGORITHM).upper()
