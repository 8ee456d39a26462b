"""The clusters that a stream goes through, as relays between them say it, so that none of them gives a stream back to itself.

A relay of this project says it in a header of HTTP and RTSP, and in a member of the command object of RTMP's connect; other servers
pass over both. Who pulls names the clusters that it pulls for, who pushes those that the stream has come from, and itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

RELAY_HEADER: Final = "Lalmesh-Relay"
RELAY_MEMBER: Final = "lalmeshRelay"  #: of the command object of connect (RTMP 1.0 §7.2.1.1)
MAX_CLUSTERS: Final = 16  #: named; a chain of more is a loop, or as good as one
MAX_NAME_CHARS: Final = 64  #: of a cluster's name in its mark
MARK_BYTES: Final = 6  #: that tell clusters of one name apart

_MARK = re.compile(r"[A-Za-z0-9._~-]{1,128}")


def cluster_mark(name: str, key: bytes) -> str:
    """What a cluster is called in relay paths: its name, and something of the key that its nodes share and no other cluster has."""
    return f"{name[:MAX_NAME_CHARS]}~{blake2b(key, digest_size=MARK_BYTES, person=b'relay path').hexdigest()}"


def serialize_via(clusters: Iterable[str]) -> str:
    """Clusters as a relay says them."""
    return ", ".join(clusters)


def parse_via(text: str) -> tuple[str, ...]:
    """The clusters that a relay names, at most `MAX_CLUSTERS`, each once; what is no mark of a cluster is passed over."""
    found = (part.strip() for part in text.split(",", 4 * MAX_CLUSTERS))
    return tuple(dict.fromkeys(part for part in found if _MARK.fullmatch(part)))[:MAX_CLUSTERS]
