"""Credentials in the query of a URL."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote_plus

MAX_QUERY_CHARS = 16_384  #: a token of 8 KB, and what stands beside it; a longer query shows nothing
MAX_FIELDS = 100  #: as many as playlists may have

#: What never leaves the edge: neither to hls nodes, nor into playlists, sessions and events.
CREDENTIALS = frozenset(
    {"lal_secret", "sign", "expires", "key", "address", "token", "jwt", "user", "username", "pass", "password", "pwd"}
)


def fields_of(query: str) -> dict[str, str]:
    """The fields of `query`, the first of each name; none of one that is too long or has too many."""
    if len(query) > MAX_QUERY_CHARS:
        return {}
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return {}
    return dict(reversed(fields))


def without_credentials(query: str) -> str:
    """`query` without what it shows; the rest stays as it is."""
    return "&".join(item for item in query.split("&") if item and not _is_credential(item))


def without_field(query: str, name: str) -> str:
    """`query` without the field `name`; the rest stays as it is."""
    return "&".join(item for item in query.split("&") if item and unquote_plus(item.partition("=")[0]) != name)


def _is_credential(item: str) -> bool:
    return unquote_plus(item.partition("=")[0]).lower() in CREDENTIALS


def token_of(query: str, bearer: str, password: str) -> str:
    """The token that a client shows: in the query, as a bearer, or in place of a password; the first that there is."""
    fields = fields_of(query)
    return fields.get("token") or fields.get("jwt") or bearer or password
