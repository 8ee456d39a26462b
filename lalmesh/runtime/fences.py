"""The highest epoch that a node has seen of each stream: what it refuses everything below of (docs/design.md §5, Fencing)."""

from __future__ import annotations

from typing import NamedTuple

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NO_EPOCH, Epoch

FENCES_KEPT = 100_000  #: streams that are remembered, those that were seen last


class Fence(NamedTuple):
    """The highest epoch seen of a stream, and who writes under it."""

    epoch: Epoch
    publication: bytes = b""  #: empty: not known


NO_FENCE = Fence(NO_EPOCH)


class Fences:
    """What one node has seen. It outlives whatever had to do with a stream there."""

    def __init__(self, kept: int = FENCES_KEPT) -> None:
        """Remember `kept` streams at most."""
        self._kept = kept
        self._seen: dict[StreamKey, Fence] = {}

    def __len__(self) -> int:
        """How many streams are remembered."""
        return len(self._seen)

    def of(self, stream: StreamKey) -> Fence:
        """What was seen of `stream`."""
        return self._seen.get(stream, NO_FENCE)

    def see(self, stream: StreamKey, epoch: Epoch, publication: bytes = b"") -> None:
        """An epoch of `stream` has been seen; a lower one than before changes nothing."""
        before = self._seen.pop(stream, NO_FENCE)
        if epoch == before.epoch:
            publication = before.publication or publication
        self._seen[stream] = before if epoch < before.epoch else Fence(epoch, publication)
        if len(self._seen) > self._kept:
            del self._seen[next(iter(self._seen))]

    def refuses(self, stream: StreamKey, epoch: Epoch, publication: bytes) -> bool:
        """Whether what `publication` writes under `epoch` is outdated: a lower epoch, or the same with another publication."""
        seen = self.of(stream)
        return epoch < seen.epoch or (epoch == seen.epoch and seen.publication not in (b"", publication))
