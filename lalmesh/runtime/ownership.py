"""Who may write a stream and where it is: epochs, places, grants (docs/design.md §5)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from typing import NamedTuple

from lalmesh.errors import NotAuthorized
from lalmesh.names import StreamKey

PUBLICATION_BYTES = 16  #: a publication id: random, made by the publishing edge
INCARNATION_BYTES = 8  #: random, made at each start of a node


class Epoch(NamedTuple):
    """The fencing number of an ownership; a higher one outdates every lower one for ever."""

    term: int  #: `cluster/term`, Unix seconds
    revision: int  #: revision of the transaction that granted it


class Place(NamedTuple):
    """Where a group is, and since when; nobody follows a lower one."""

    term: int
    revision: int  #: mod revision of the group's key
    heir: bool = False  #: the heir took over without the scheduler's word


NO_EPOCH = Epoch(0, 0)  #: below every real one
NO_PLACE = Place(0, 0)  #: below every real one


class UnitName(NamedTuple):
    """The name of an access unit, the same everywhere in the cluster."""

    publication: bytes  #: `PUBLICATION_BYTES` bytes
    seq: int


class NodeId(NamedTuple):
    """A node under one of its incarnations."""

    name: str
    incarnation: bytes  #: `INCARNATION_BYTES` bytes


class NodeAddress(NamedTuple):
    """A node and the ``host:port`` of its gRPC listener."""

    node: NodeId
    address: str


@dataclass(slots=True, frozen=True, kw_only=True)
class Grant:
    """The right to write a stream under an epoch, and where its group was placed."""

    stream: StreamKey
    epoch: Epoch
    publication: bytes
    edge: NodeAddress
    origin: NodeAddress
    heir: NodeAddress | None
    place: Place
    signature: bytes = b""

    def _signed_bytes(self) -> bytes:
        """Every field but addresses and the signature, each preceded by its length, so that no two grants look alike."""
        nodes = [self.edge, self.origin, *([self.heir] if self.heir else [])]
        fields = [
            self.stream.app.encode(),
            self.stream.name.encode(),
            b"%d.%d" % self.epoch,
            self.publication,
            b"%d.%d.%d" % self.place,
            *(part for node in nodes for part in (node.node.name.encode(), node.node.incarnation)),
        ]
        return b"".join(len(field).to_bytes(4, "big") + field for field in fields)

    def signed(self, key: bytes) -> Grant:
        """The same grant with the signature that cluster key `key` gives."""
        return replace(self, signature=hmac.new(key, self._signed_bytes(), hashlib.sha256).digest())

    def verify(self, keys: tuple[bytes, ...]) -> None:
        """Check the signature against the accepted cluster keys (two while one is being replaced).

        Raises:
            NotAuthorized: no key gives this signature.
        """
        message = self._signed_bytes()
        if not any(hmac.compare_digest(hmac.new(key, message, hashlib.sha256).digest(), self.signature) for key in keys):
            raise NotAuthorized(f"grant for {self.stream} carries no valid signature")


@dataclass(slots=True, frozen=True, kw_only=True)
class Location:
    """Where a stream can be read."""

    stream: StreamKey
    place: Place
    origin: NodeAddress
    heir: NodeAddress | None = None


def new_publication() -> bytes:
    """A fresh publication id."""
    return secrets.token_bytes(PUBLICATION_BYTES)


def new_incarnation() -> bytes:
    """A fresh incarnation."""
    return secrets.token_bytes(INCARNATION_BYTES)
