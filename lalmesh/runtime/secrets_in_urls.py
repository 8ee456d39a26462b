"""URLs and their queries as they may be shown: without what lets somebody in."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_plus

#: parameters whose values are nobody's business: what lal, this server, and servers and players of others carry secrets in
SECRETS: Final = frozenset(
    {
        "access_token", "api_key", "apikey", "auth", "auth_key", "authorization", "bearer", "hls_pass", "jwt", "key", "lal_secret",
        "nonce", "pass", "passwd", "password", "psk", "pwd", "response", "secret", "sig", "sign", "signature", "streamkey", "token",
        "txsecret", "wssecret",
    }
)  # fmt: skip
#: parameters that let somebody in, or say who that is: they never leave an edge for hls nodes and playlists
CREDENTIALS: Final = SECRETS | {"address", "expires", "user", "username"}
HIDDEN: Final = "***"


def without_secrets(query: str) -> str:
    """The query with `HIDDEN` for the values of parameters that are `SECRETS`, whatever their case."""
    if not query:
        return ""
    return "&".join(map(_shown, query.split("&")))


def without_credentials(query: str) -> str:
    """The query without parameters that are `CREDENTIALS`, whatever their case; the rest stays as it is."""
    return "&".join(part for part in query.split("&") if part and _name(part) not in CREDENTIALS)


def without_login(url: str) -> str:
    """`url`, which has no query, without user and password."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def _shown(part: str) -> str:
    name, equals, _ = part.partition("=")
    return f"{name}={HIDDEN}" if equals and _name(part) in SECRETS else part


def _name(part: str) -> str:
    return unquote_plus(part.partition("=")[0]).lower()
