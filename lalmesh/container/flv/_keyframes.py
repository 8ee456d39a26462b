"""The keyframe index of an FLV file: where players may seek to."""

from __future__ import annotations

from lalmesh.amf import AmfValue

ENTRY_BYTES = 18  #: in AMF 0: a time and a position, each a marker and a double
MAX_INDEX_ENTRIES = 2000  #: 33 minutes with one each second; over it every second one goes, so 4.5 hours have one in 8 s or nearer
INDEX_EVERY_MS = 500  #: nothing nearer is entered: of audio alone every frame is a place to start at


class KeyframeIndex:
    """Times and positions of random access points, in bounded memory: when it is full, every second one goes from there on."""

    def __init__(self, capacity: int = MAX_INDEX_ENTRIES) -> None:
        """Keep at most `capacity` entries, at least 2."""
        self._capacity = capacity
        self._entries: list[tuple[int, int]] = []
        self._stride = 1  # of those that were offered, one is kept
        self._offered = 0

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._entries)

    def add(self, time_ms: int, position: int) -> None:
        """Enter the random access point at `time_ms` whose tag begins at byte `position`."""
        if self._entries and time_ms - self._entries[-1][0] < INDEX_EVERY_MS:
            return
        keeps = self._offered % self._stride == 0
        self._offered += 1
        if not keeps:
            return
        if len(self._entries) == self._capacity:
            del self._entries[1::2]
            self._stride *= 2
            if (self._offered - 1) % self._stride:
                return
        self._entries.append((time_ms, position))

    def value(self, configurations_at: int) -> dict[str, AmfValue]:
        """The ``keyframes`` member of onMetaData: ``times`` in seconds, ``filepositions`` in bytes.

        Interop: the first entry is where the configurations are: flv.js and mpegts.js pass over it, as other writers have it so.
        """
        entries = [(0, configurations_at), *self._entries]
        times: list[AmfValue] = [time_ms / 1000 for time_ms, _ in entries]
        positions: list[AmfValue] = [float(position) for _, position in entries]
        return {"times": times, "filepositions": positions}
