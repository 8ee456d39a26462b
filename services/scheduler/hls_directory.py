"""Who segments which streams, as the registry told it last: the part of the directory that is about HLS. A pure core."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.registry import KeyValue
from services.scheduler.changes import HlsChanged
from services.scheduler.hls_records import HlsRecord, hls_key, parse_hls
from services.scheduler.records import DamagedRecordError

log = logging.getLogger(__name__)


class HlsDirectory:
    """Owners by stream, and streams by owner."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._records: dict[str, HlsRecord] = {}
        self._owned: dict[NodeId, set[StreamKey]] = {}

    def __len__(self) -> int:
        """How many streams have an owner."""
        return sum(map(len, self._owned.values()))

    def record(self, stream: StreamKey) -> HlsRecord | None:
        """What is known of the stream."""
        return self._records.get(hls_key(stream))

    def owners(self) -> Iterator[NodeId]:
        """Every node that segments something, alive or not."""
        return iter(self._owned)

    def owned(self, node: NodeId) -> Collection[StreamKey]:
        """The streams that a node segments."""
        return self._owned.get(node, ())

    def replace(self, listed: Collection[str]) -> list[HlsChanged]:
        """Forget what is not `listed`."""
        return [change for key in [key for key in self._records if key not in listed] for change in self._set(key, None)]

    def write(self, entry: KeyValue, *, listed: bool) -> list[HlsChanged]:
        """A key is as `entry` says, unless a later write of it is known; a `listed` entry is the truth even so."""
        known = self._records.get(entry.key)
        if not listed and known is not None and known.mod_revision >= entry.mod_revision:
            return []
        try:
            return self._set(entry.key, parse_hls(entry))
        except DamagedRecordError as exc:
            log.error("%s", exc)
            return []

    def remove(self, key: str, revision: int) -> list[HlsChanged]:
        """A key was removed at `revision`."""
        known = self._records.get(key)
        return [] if known is None or known.mod_revision > revision else self._set(key, None)

    def _set(self, key: str, record: HlsRecord | None) -> list[HlsChanged]:
        before = self._records.pop(key, None)
        if before is not None and before.owner is not None:
            self._disown(before.owner.node, before.stream)
        if record is not None:
            self._records[key] = record
            if record.owner is not None:
                self._owned.setdefault(record.owner.node, set()).add(record.stream)
        return [] if before == record else [HlsChanged(before, record)]

    def _disown(self, node: NodeId, stream: StreamKey) -> None:
        self._owned[node].discard(stream)
        if not self._owned[node]:
            del self._owned[node]
