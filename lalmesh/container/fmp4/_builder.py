"""Samples from units: each lasts until the next of its track.

A packager that adds no delay takes each unit as soon as it comes: how long it lasts is a guess then, and the `tfdt` of the next
fragment puts right what was wrong. A segmenter takes many at once: all but the last of each track are known, and that one too where
the unit that follows is.
"""

from __future__ import annotations

from lalmesh.container.fmp4._carried import is_carried
from lalmesh.container.fmp4._durations import first_duration
from lalmesh.container.fmp4._fragments import MAX_FRAGMENT_BYTES, MAX_FRAGMENT_SAMPLES, Sample
from lalmesh.errors import LocalProtocolError
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Track, TrackSet

#: longest time that one sample is given; beyond, the times stepped or units are missing, and the next `tfdt` says so
MAX_SAMPLE_TICKS = 10 * TICKS_PER_SECOND


class FragmentBuilder:
    """Gather the units of a stream and give them as samples. All that is pending belongs to one `TrackSet`."""

    def __init__(self) -> None:
        """Start with nothing pending."""
        self._clocks: dict[int, _Clock] = {}  # by track id
        self._samples: list[Sample] = []
        self._bytes = 0

    @property
    def pending_samples(self) -> int:
        """How many samples `take` would give."""
        return len(self._samples)

    @property
    def pending_bytes(self) -> int:
        """Their payloads together."""
        return self._bytes

    @property
    def pending_ticks(self) -> int:
        """How long they last together: from the first decode time to the end of the last sample, over all tracks."""
        waiting = [clock for clock in self._clocks.values() if clock.last is not None]
        return max((clock.end for clock in waiting), default=0) - min((clock.start for clock in waiting), default=0)

    def add(self, unit: AccessUnit, tracks: TrackSet) -> bool:
        """Let `unit` be pending, and the one before it of its track last until it begins.

        Returns:
            Whether its track is carried; else it is left out.
        Raises:
            LocalProtocolError: more is pending than one fragment holds: it should have been taken long ago.
        """
        track = tracks.get(unit.track_id)
        if track is None:
            return False
        clock = self._clocks.get(unit.track_id)
        if clock is None or clock.track is not track:
            if not is_carried(track):
                return False
            clock = self._clocks[unit.track_id] = _Clock(track, first_duration(track, unit.payload))
        if len(self._samples) >= MAX_FRAGMENT_SAMPLES or self._bytes + len(unit.payload) > MAX_FRAGMENT_BYTES:
            raise LocalProtocolError(f"{len(self._samples)} samples of {self._bytes} bytes are pending and there is one more")
        self._samples.append(clock.begin(unit))
        self._bytes += len(unit.payload)
        return True

    def take(self, following: AccessUnit | None = None) -> list[Sample]:
        """Give what is pending, in the order in which it came; nothing is pending then.

        Args:
            following: the unit that will be added next, where it is known: the last sample of its track lasts until then. Any
                other last sample lasts as long as the one before it of its track, or as codec and configuration say.
        """
        if following is not None and (clock := self._clocks.get(following.track_id)) is not None:
            clock.end_at(following.dts)
        for clock in self._clocks.values():
            clock.last = None
        samples, self._samples, self._bytes = self._samples, [], 0
        return samples


class _Clock:
    """How long the samples of one track last."""

    __slots__ = ("_dts", "_usual", "last", "start", "track")

    def __init__(self, track: Track, usual: int) -> None:
        self.track = track
        self.last: Sample | None = None  # pending still
        self.start = 0  # decode time of the first that is pending
        self._dts: int | None = None  # of the last, pending or not
        self._usual = usual

    @property
    def end(self) -> int:
        """Where the last one that is pending ends."""
        return self.start if self.last is None else self.last.unit.dts + self.last.duration

    def begin(self, unit: AccessUnit) -> Sample:
        """The sample of `unit`, which ends the one before."""
        self.end_at(unit.dts)
        if self.last is None:
            self.start = unit.dts
        self.last = Sample(unit, self._usual)
        self._dts = unit.dts
        return self.last

    def end_at(self, dts: int) -> None:
        """The next sample begins at `dts`: how long the last one lasts, and the next ones, until they are known, too."""
        if self._dts is None or not 0 <= dts - self._dts <= MAX_SAMPLE_TICKS:
            return
        distance = dts - self._dts
        if distance:
            self._usual = distance
        if self.last is not None:
            self.last.duration = distance
