"""What every packager offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lalmesh.media import AccessUnit, Codec, Track, TrackSet

Parts = list[bytes | memoryview]  #: pieces of wire bytes, to be joined once


class Packager(Protocol):
    """Muxes the units of a stream into one wire format, once for all players of it.

    What `start` gives, and after it everything that `change` and `package` add, is what a player reads, and what `end` adds comes
    last. Any message that `package` adds for a random access point may be a player's first after `start`, and any message may
    follow a skip. `start` and `change` are called for single players too, and leave what all of them share as it is.
    """

    def start(self, tracks: TrackSet, dts: int) -> bytes:
        """What a player gets first: headers and configurations, for units from `dts` (ticks) on."""
        ...

    def change(self, old: TrackSet, new: TrackSet, dts: int, parts: Parts) -> int:
        """Add to `parts` what tells a player of `old` about `new`, before the unit at `dts`. Gives the bytes added."""
        ...

    def end(self, tracks: TrackSet, dts: int, parts: Parts) -> int:
        """Add to `parts` what tells a player of `tracks` that they are over, after the unit at `dts`. Gives the bytes added."""
        ...

    def package(self, unit: AccessUnit, tracks: TrackSet, parts: Parts) -> int:
        """Add the message of one unit to `parts`. Gives the bytes added, 0 where the format cannot carry it."""
        ...

    def left_out(self, tracks: TrackSet) -> tuple[Track, ...]:
        """The tracks that the format cannot carry; script data, which only describes the others, is none of them."""
        ...

    def accepts(self, old: TrackSet, new: TrackSet) -> bool:
        """Whether players of `old` can go on with `new`, once `change` has told them."""
        ...


def not_carried(tracks: TrackSet, carries: Callable[[Codec], bool]) -> tuple[Track, ...]:
    """The tracks, but script data, whose codec a format does not carry."""
    return tuple(track for track in tracks.tracks if track.codec is not Codec.SCRIPT and not carries(track.codec))
