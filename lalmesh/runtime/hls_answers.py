"""What hls nodes say to edges in the headers of their answers."""

from __future__ import annotations

#: of a 503: this node cannot tell who segments the stream, since no scheduler answers; another may know, or be the one
OWNER_HEADER = "X-Lalmesh-Owner"
OWNER_UNKNOWN = "unknown"
#: of a playlist for a player that an edge counts: what its stream is coded with, separated by commas
CODECS_HEADER = "X-Lalmesh-Codecs"


def codecs_in(text: str) -> tuple[str, ...]:
    """What the header `CODECS_HEADER` says; empty where there is none."""
    return tuple(text.split(",")) if text else ()
