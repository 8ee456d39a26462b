"""What of a playlist's query stays on the lines of the playlist."""

from __future__ import annotations

from urllib.parse import quote, unquote_plus

DIRECTIVE_PREFIX = "_HLS_"  #: reserved for what the client asks of the server (rfc8216bis §6.2.5)

_KEPT_AS_IT_IS = "!$%&'()*+,-./:;=?@_~"  # what a query may hold (RFC 3986 §3.4), and the percent sign of what is encoded already


def kept_query(query: str) -> str:
    """The `query` of a playlist's URL without its delivery directives, safe in a quoted string of a playlist.

    A proxy that checks a token of the playlist's URL then finds it in the URL of every file too.

    Args:
        query: as it was received, without the question mark, percent-encoded or not.
    """
    return "&".join(
        quote(item, safe=_KEPT_AS_IT_IS, errors="replace") for item in query.split("&") if item and not _is_directive(item)
    )


def _is_directive(item: str) -> bool:
    return unquote_plus(item.partition("=")[0]).startswith(DIRECTIVE_PREFIX)
