"""The server's side: what it offers, and whether what a client shows is right.

It keeps nothing per client: a nonce says itself when it was made and for whom. So it does not notice a nonce count that comes twice
(RFC 7616 §3.4.5); a captured answer is good for the same method and resource, from the same client, until its nonce is too old.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from enum import Enum
from typing import Final
from urllib.parse import unquote

from lalmesh.protocol.http_auth._credentials import BasicCredentials, Credentials, DigestCredentials
from lalmesh.protocol.http_auth._digest import digest_response
from lalmesh.protocol.http_auth._header import quoted
from lalmesh.protocol.http_auth._nonce import DEFAULT_NONCE_LIFETIME_S, NonceMaker


class Scheme(Enum):
    """How a client may show that it knows a password."""

    BASIC = "Basic"
    DIGEST_MD5 = "MD5"
    DIGEST_SHA256 = "SHA-256"


class Verdict(Enum):
    """What credentials are worth."""

    ACCEPTED = "accepted"
    STALE = "stale"  #: right, but for a nonce that is too old or not ours: challenge again, and say so
    REFUSED = "refused"


#: Interop: of several Digest challenges ffmpeg and live555 take the last, and live555 takes any for MD5
DEFAULT_SCHEMES: Final = (Scheme.DIGEST_SHA256, Scheme.DIGEST_MD5)

_TRACK_METHOD: Final = "SETUP"  #: of RTSP: the one whose URI is that of a track


class ServerAuth:
    """Offers challenges and checks what comes back."""

    def __init__(
        self,
        realm: str,
        secret: bytes,
        *,
        schemes: Sequence[Scheme] = DEFAULT_SCHEMES,
        nonce_lifetime_s: float = DEFAULT_NONCE_LIFETIME_S,
    ) -> None:
        """Guard `realm`.

        Args:
            realm: what clients are told that they log in to.
            secret: signs nonces, 16 random bytes and up; servers that share it take each other's nonces.
            schemes: what to offer and to take, in this order.
            nonce_lifetime_s: how long a nonce is good.
        """
        self._realm = realm
        self._schemes = tuple(schemes)
        self._nonces = NonceMaker(secret, lifetime_s=nonce_lifetime_s)

    def challenges(self, now_s: float, client: str = "", *, stale: bool = False) -> list[str]:
        """The ``WWW-Authenticate`` headers of a 401.

        Args:
            now_s: Unix seconds.
            client: whom the nonce is for, such as an address; the same text has to be given to `check`.
            stale: the credentials were right (`Verdict.STALE`): the client asks again without asking its user.
        """
        return [self._challenge(scheme, self._nonces.make(now_s, client), stale=stale) for scheme in self._schemes]

    def _challenge(self, scheme: Scheme, nonce: str, *, stale: bool) -> str:
        if scheme is Scheme.BASIC:
            return f"Basic realm={quoted(self._realm)}"
        # Interop: live555 reads realm and nonce in this order, with one space between, and nothing else.
        said = f'Digest realm={quoted(self._realm)}, nonce="{nonce}", algorithm={scheme.value}, qop="auth"'
        return f"{said}, stale=true" if stale else said

    def check(
        self, credentials: Credentials, password: str | None, *, method: str, uri: str, now_s: float, client: str = ""
    ) -> Verdict:
        """Tell what `credentials` are worth for a request.

        Args:
            credentials: what the client shows.
            password: of `credentials.user`; None: there is no such user, which takes as long to find out.
            method: of the request.
            uri: of the request; that of the credentials may differ as `is_same_resource` allows.
            now_s: Unix seconds.
            client: as given to `challenges`.
        """
        known, password = password is not None, password or ""
        match credentials:
            case BasicCredentials():
                is_right = Scheme.BASIC in self._schemes and _equal(credentials.password, password)
                return Verdict.ACCEPTED if is_right and known else Verdict.REFUSED
            case DigestCredentials():
                is_right = self._is_right(credentials, password, method)
                if not (known and is_right and is_same_resource(credentials.uri, uri, method)):
                    return Verdict.REFUSED
                return Verdict.ACCEPTED if self._nonces.is_good(credentials.nonce, now_s, client) else Verdict.STALE

    def _is_right(self, credentials: DigestCredentials, password: str, method: str) -> bool:
        expected = digest_response(
            credentials.algorithm,
            user=credentials.user,
            realm=self._realm,
            password=password,
            method=method,
            uri=credentials.uri,
            nonce=credentials.nonce,
            qop=credentials.qop,
            nonce_count=credentials.nonce_count,
            client_nonce=credentials.client_nonce,
        )
        is_offered = Scheme(credentials.algorithm) in self._schemes
        return _equal(credentials.response, expected) and is_offered and credentials.realm == self._realm


def is_same_resource(said: str, requested: str, method: str) -> bool:
    """Whether the URI in Digest credentials is that of the request, as clients write it.

    Interop: some leave out scheme and host, write another host than they asked, escape other characters, or lose a slash at the
    end; VLC signs the URL of the whole presentation when it sets up a track of it, which is its last part. What is below a URL
    otherwise is another presentation.
    """
    inner, outer = _resource(requested), _resource(said)
    return inner == outer or (method == _TRACK_METHOD and inner.rpartition("/")[0] == outer)


def _resource(uri: str) -> str:
    _, scheme, rest = uri.partition("://")
    path = rest.partition("/")[2] if scheme else uri
    return unquote(path, errors="surrogateescape").strip("/")


def _equal(shown: str, expected: str) -> bool:
    return hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), expected.encode("utf-8", "surrogateescape"))
