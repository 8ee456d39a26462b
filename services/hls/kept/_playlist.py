"""The playlist of all kept segments of a stream: a pure core."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from lalmesh.protocol.hls import MediaPlaylist, Segment
from services.hls.kept._names import KeptName
from services.hls.kept._place import Place, place_after

MAX_LISTED = 30_000  #: segments of a playlist: a day of 3 s, 4.5 MB of text; the oldest are left out
ENDED_S = 60.0  #: without a new segment after which a recording counts as complete, though nobody has said that its stream is over


class RecordedListing:
    """Kept segments, as they are listed one after the other.

    Of two with one number the one of the higher epoch is listed: the other is of a worker that did not finish it for all. What is
    missing between two is a discontinuity, and no number of the playlist.
    """

    def __init__(self, begin: Place | None = None) -> None:
        """List what comes after `begin`; None: nothing was removed yet."""
        self._begin_number = begin.number if begin is not None else -1
        self._place = begin  # after the last of the segments
        self._segments: deque[Segment] = deque(maxlen=MAX_LISTED)
        self._newest: KeptName | None = None  # comes after them, unless there is another of its number

    def add(self, names: Iterable[KeptName]) -> None:
        """List `names`, which are sorted by number, none lower than those before."""
        for name in names:
            if name.number <= self._begin_number:
                continue
            if self._newest is None or self._newest.number != name.number:
                self._settle()
                self._newest = name
            elif self._newest.epoch < name.epoch:
                self._newest = name

    def _settle(self) -> None:
        """Nothing more comes of the newest number."""
        name = self._newest
        if name is None:
            return
        counted = self._place.discontinuities if self._place is not None else 0
        place = self._place = place_after(self._place, name)
        discontinuity = place.discontinuities > counted
        self._segments.append(Segment(place.sequence, str(name), name.duration, name.begun_ms * 1000, discontinuity=discontinuity))

    def playlist(self, now_s: float, *, over: bool = False) -> MediaPlaylist | None:
        """The playlist of all that was added, after which nothing more is; None where that is nothing.

        Args:
            now_s: Unix time: a recording to which nothing is added any more is complete.
            over: the stream has ended, so it is complete now; it goes on if the stream comes back.
        """
        if self._newest is None:
            return None
        self._settle()
        assert self._place is not None  # after the newest
        segments = tuple(self._segments)
        return MediaPlaylist(  # of no type, whose segments had to stay: rules let them go (RFC 8216 §4.3.3.5)
            target_duration_s=self._place.target_s,
            media_sequence=segments[0].number,
            segments=segments,
            discontinuity_sequence=self._place.discontinuities - sum(segment.discontinuity for segment in segments),
            ended=over or self._newest.end_ms / 1000 + ENDED_S < now_s,
        )


def recorded_playlist(
    names: Iterable[KeptName], now_s: float, *, over: bool = False, begin: Place | None = None
) -> MediaPlaylist | None:
    """The playlist of the kept segments `names`, sorted by number, that come after `begin`: see `RecordedListing`."""
    listing = RecordedListing(begin)
    listing.add(names)
    return listing.playlist(now_s, over=over)
