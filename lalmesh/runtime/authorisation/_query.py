"""Credentials in the query of a URL."""

from __future__ import annotations

from urllib.parse import parse_qsl

MAX_QUERY_CHARS = 16_384  #: a token of 8 KB, and what stands beside it; a longer query shows nothing
MAX_FIELDS = 100  #: as many as playlists may have


def fields_of(query: str) -> dict[str, str]:
    """The fields of `query`, the first of each name; none of one that is too long or has too many."""
    if len(query) > MAX_QUERY_CHARS:
        return {}
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return {}
    return dict(reversed(fields))


def token_of(query: str, bearer: str, password: str) -> str:
    """The token that a client shows: in the query, as a bearer, or in place of a password; the first that there is."""
    fields = fields_of(query)
    return fields.get("token") or fields.get("jwt") or bearer or password
