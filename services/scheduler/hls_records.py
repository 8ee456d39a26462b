"""The key ``hls/APP/NAME``: who segments a stream, and which media sequence numbers may have been used.

A key whose owner is null keeps the numbers of a stream that nobody segments now. It is under a lease of its own (`hls_remember_s`),
so a stream that nobody asks for again vanishes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, HlsOwner, NodeAddress
from lalmesh.runtime.registry import KeyValue
from services.scheduler.records import dump, dump_address, parse_address, parse_record

HLS = "hls/"


@dataclass(slots=True, frozen=True, kw_only=True)
class HlsRecord:
    """Who segments a stream."""

    stream: StreamKey
    owner: NodeAddress | None
    epoch: Epoch  #: of the owner, or of the last one
    limit: int = 0  #: numbers below it may have been used; 0 none is known
    exact: bool = False  #: `limit` is the very next number: it was handed over
    lease_id: int = 0
    mod_revision: int = 0

    def answer(self) -> HlsOwner | None:
        """What hls nodes are told, not yet signed; None where nobody segments the stream."""
        if self.owner is None:
            return None
        return HlsOwner(stream=self.stream, epoch=self.epoch, worker=self.owner, limit=self.limit, exact=self.exact)


def hls_key(stream: StreamKey) -> str:
    """The key that says who segments the stream."""
    return HLS + stream.quoted()


def serialize_hls(record: HlsRecord) -> bytes:
    """The value of a stream's key.

    An epoch of revision 0 stands for that of the transaction which writes it: so it was named. Whoever writes on under the same
    owner writes its revision, and the epoch stays.
    """
    return dump(
        {
            "owner": dump_address(record.owner) if record.owner else None,
            "epoch": record.epoch._asdict(),
            "limit": record.limit,
            "exact": record.exact,
        }
    )


def parse_hls(entry: KeyValue) -> HlsRecord:
    """The record in a stream's key; raises `DamagedRecordError`."""
    return parse_record(entry, _hls)


def _hls(entry: KeyValue, value: dict[str, Any]) -> HlsRecord:
    return HlsRecord(
        stream=StreamKey.from_quoted(entry.key.removeprefix(HLS)),
        owner=parse_address(value["owner"]) if value["owner"] else None,
        epoch=Epoch(int(value["epoch"]["term"]), int(value["epoch"]["revision"]) or entry.mod_revision),
        limit=int(value["limit"]),
        exact=bool(value["exact"]),
        lease_id=entry.lease_id,
        mod_revision=entry.mod_revision,
    )
