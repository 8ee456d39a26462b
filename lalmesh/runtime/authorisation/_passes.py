"""What one part of the cluster lets another part or itself know later: that a player was let in.

A player of HLS has no connection: what let it in to its first playlist has to be good for what follows. It gets a *pass*, for one
stream from one address and for some hours, which goes along in the URLs. Edges tell hls nodes in a header that they let a request
through, and whose it is. Both are signed with keys made of the cluster key, which all nodes have; nothing is stored.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lalmesh.names import StreamKey

PASS_PARAMETER: Final = "hls_pass"
EDGE_HEADER: Final = "Lalmesh-Edge"
#: beside it: that the edge counts the player. A header of its own, as nodes of before read the other in four words alone
COUNTED_HEADER: Final = "Lalmesh-Edge-Counts"
#: beside it: address and port of the client, for who is told of it. The address is taken from the other, which is signed
CLIENT_HEADER: Final = "Lalmesh-Edge-Client"
HEADER_LASTS_S: Final = 60  #: either way: clocks of nodes differ, and a request may wait for a connection
_PASS, _HEADER = b"lalmesh hls pass, version 1", b"lalmesh edge header, version 1"
_COUNTED: Final = "counted"
_SIGNATURE_BYTES: Final = 16
_MAX_TEXT_CHARS: Final = 200


def derived_keys(cluster_keys: Sequence[bytes], purpose: bytes) -> tuple[bytes, ...]:
    """A key for one purpose alone, of each key of the cluster."""
    return tuple(hmac.new(key, purpose, hashlib.sha256).digest() for key in cluster_keys)


class Passes:
    """Makes passes, and checks those that any node has made."""

    def __init__(self, cluster_keys: Sequence[bytes], lasts_s: int, *, binds_address: bool = True) -> None:
        """Sign with the first of `cluster_keys` and take those of all."""
        self._keys = derived_keys(cluster_keys, _PASS)
        self._lasts_s = lasts_s
        self._binds_address = binds_address

    def make(self, stream: StreamKey, address: str, now_s: float) -> str:
        """A pass for who plays `stream` from `address`."""
        until = f"{int(now_s) + self._lasts_s:x}"
        return f"{until}-{self._signature(self._keys[0], until, stream, address)}"

    def is_good(self, text: str, stream: StreamKey, address: str, now_s: float) -> bool:
        """Whether `text` is a pass for that."""
        until, dash, shown = text.partition("-")
        if not dash or len(text) > _MAX_TEXT_CHARS:
            return False
        made = [self._signature(key, until, stream, address) for key in self._keys]
        return any(_equal(shown, each) for each in made) and now_s < int(until, 16)

    def _signature(self, key: bytes, until: str, stream: StreamKey, address: str) -> str:
        return _signature(key, (until, stream.app, stream.name, address if self._binds_address else ""))


@dataclass(slots=True, frozen=True)
class FromEdge:
    """What an edge says of a request that it passes on."""

    address: str  #: of the client
    is_checked: bool  #: it may; otherwise the node has to decide itself
    is_counted: bool = False  #: the edge counts the player of HLS; otherwise the node does


class EdgeHeaders:
    """Makes the headers, and reads them."""

    def __init__(self, cluster_keys: Sequence[bytes]) -> None:
        """Sign with the first of `cluster_keys` and take those of all."""
        self._keys = derived_keys(cluster_keys, _HEADER)

    def make(self, target: str, said: FromEdge, now_s: float) -> str:
        """The header of a request for `target`, path and query."""
        at, checked = f"{int(now_s):x}", "1" if said.is_checked else "0"
        return f"{at} {checked} {said.address} {_signature(self._keys[0], (at, checked, said.address, target))}"

    def of(self, target: str, said: FromEdge, now_s: float) -> dict[str, str]:
        """All headers of a request for `target`, path and query."""
        made = self.make(target, said, now_s)
        return {EDGE_HEADER: made} | ({COUNTED_HEADER: _signature(self._keys[0], (_COUNTED, made))} if said.is_counted else {})

    def read_all(self, headers: Mapping[str, str], target: str, now_s: float) -> FromEdge | None:
        """What an edge said in `headers`; None as `read`."""
        text = headers.get(EDGE_HEADER, "")
        said = self.read(text, target, now_s) if text else None
        shown = headers.get(COUNTED_HEADER, "") if said is not None else ""
        if said is None or not shown or not any(_equal(shown, _signature(key, (_COUNTED, text))) for key in self._keys):
            return said
        return replace(said, is_counted=True)

    def read(self, text: str, target: str, now_s: float) -> FromEdge | None:
        """What an edge said; None where none did, or long ago, or of something else."""
        parts = text.split(" ")
        if len(parts) != 4 or len(text) > _MAX_TEXT_CHARS:
            return None
        at, checked, address, shown = parts
        if not any(_equal(shown, _signature(key, (at, checked, address, target))) for key in self._keys):
            return None
        return FromEdge(address, checked == "1") if abs(now_s - int(at, 16)) <= HEADER_LASTS_S else None


def _signature(key: bytes, parts: Sequence[str]) -> str:
    message = "\0".join(parts).encode("utf-8", "surrogatepass")
    digest = hmac.new(key, message, hashlib.sha256).digest()[:_SIGNATURE_BYTES]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _equal(shown: str, expected: str) -> bool:
    return hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), expected.encode())
