"""What hls nodes say to edges in the headers of their answers."""

from __future__ import annotations

#: of a 503: this node cannot tell who segments the stream, since no scheduler answers; another may know, or be the one
OWNER_HEADER = "X-Lalmesh-Owner"
OWNER_UNKNOWN = "unknown"
