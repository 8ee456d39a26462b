"""Where an edge read streams last: where it begins with one that nobody can tell of (docs/ownership.md §5)."""

from __future__ import annotations

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Location

PLACES_KEPT = 10_000  #: streams of one edge that are remembered, those that were read last: some 10 MB


class LastPlaces:
    """What relays of one edge that have gone knew. It decides nothing: whoever begins there sees what is outdated by its fence."""

    def __init__(self, kept: int = PLACES_KEPT) -> None:
        """Remember `kept` streams at most, and no more than `PLACES_KEPT`."""
        self._kept = min(kept, PLACES_KEPT)
        self._places: dict[StreamKey, Location] = {}

    def __len__(self) -> int:
        """How many streams are remembered."""
        return len(self._places)

    def of(self, stream: StreamKey) -> Location | None:
        """Where `stream` was; None: that is not remembered."""
        return self._places.get(stream)

    def see(self, location: Location) -> None:
        """A stream was there last."""
        self._places.pop(location.stream, None)
        self._places[location.stream] = location
        if len(self._places) > self._kept:
            del self._places[next(iter(self._places))]

    def moved(self, location: Location) -> None:
        """The scheduler says that a stream is somewhere else now; of one that is not remembered nothing is."""
        before = self._places.get(location.stream)
        if before is not None and before.place < location.place:
            self._places[location.stream] = location

    def forget(self, stream: StreamKey) -> None:
        """The stream has ended, or whoever knows says that it is nowhere."""
        self._places.pop(stream, None)
