"""Who may write a stream, where it is, and who segments it: epochs, places, grants (docs/design.md §5)."""

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
        """Every field but addresses and the signature."""
        nodes = [self.edge, self.origin, *([self.heir] if self.heir else [])]
        return _fields(
            self.stream.app.encode(),
            self.stream.name.encode(),
            b"%d.%d" % self.epoch,
            self.publication,
            b"%d.%d.%d" % self.place,
            *(part for node in nodes for part in (node.node.name.encode(), node.node.incarnation)),
        )

    def signed(self, key: bytes) -> Grant:
        """The same grant with the signature that cluster key `key` gives."""
        return replace(self, signature=_signature(key, self._signed_bytes()))

    def verify(self, keys: tuple[bytes, ...]) -> None:
        """Check the signature against the accepted cluster keys (two while one is being replaced).

        Raises:
            NotAuthorized: no key gives this signature.
        """
        if not _is_signed(self._signed_bytes(), self.signature, keys):
            raise NotAuthorized(f"grant for {self.stream} carries no valid signature")


@dataclass(slots=True, frozen=True, kw_only=True)
class HlsOwner:
    """Who segments a stream under an epoch of its own, and from which media sequence number on."""

    stream: StreamKey
    epoch: Epoch  #: of `hls/APP/NAME`, compared with no epoch of the stream's publication
    worker: NodeAddress
    limit: int  #: media sequence numbers below it may have been used; 0 none is known
    exact: bool = False  #: `limit` is the very next number: the owner before handed over
    signature: bytes = b""

    def _signed_bytes(self) -> bytes:
        """Every field but the address and the signature; no application begins with a zero, so it is never taken for a grant."""
        return _fields(
            b"\0hls",
            self.stream.app.encode(),
            self.stream.name.encode(),
            b"%d.%d" % self.epoch,
            self.worker.node.name.encode(),
            self.worker.node.incarnation,
            b"%d.%d" % (self.limit, self.exact),
        )

    def signed(self, key: bytes) -> HlsOwner:
        """The same with the signature that cluster key `key` gives."""
        return replace(self, signature=_signature(key, self._signed_bytes()))

    def verify(self, keys: tuple[bytes, ...]) -> None:
        """Check the signature against the accepted cluster keys, as `Grant.verify`.

        Raises:
            NotAuthorized: no key gives this signature.
        """
        if not _is_signed(self._signed_bytes(), self.signature, keys):
            raise NotAuthorized(f"hls owner of {self.stream} carries no valid signature")


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


def _fields(*fields: bytes) -> bytes:
    """All of them, each preceded by its length, so that no two lists look alike."""
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def _signature(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def _is_signed(message: bytes, signature: bytes, keys: tuple[bytes, ...]) -> bool:
    return any(hmac.compare_digest(_signature(key, message), signature) for key in keys)
