"""URLs and their queries as they may be shown: without what lets somebody in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote, unquote_plus

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


def without_echo(text: str, url: str) -> str:
    """`text`, the word of whoever was dialled at `url`, without the password and the query of that, should it repeat them."""
    return without_parts(text, _secrets(url))


def without_parts(text: str, parts: Iterable[str]) -> str:
    """`text` with `HIDDEN` for each of `parts` that stands in it by itself, the longest first: it may hold others."""
    for part in sorted(filter(None, set(parts)), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", HIDDEN, text)
    return text


def _secrets(url: str) -> Iterator[str]:
    before, _, query = url.partition("://")[2].partition("?")
    login = before.partition("/")[0].rpartition("@")[0]
    values = (part.partition("=")[2] for part in query.split("&") if _name(part) in SECRETS)
    for secret in (login.partition(":")[2], query, *values):
        yield from (secret, unquote(secret))


def _shown(part: str) -> str:
    name, equals, _ = part.partition("=")
    return f"{name}={HIDDEN}" if equals and _name(part) in SECRETS else part


def _name(part: str) -> str:
    return unquote_plus(part.partition("=")[0]).lower()
