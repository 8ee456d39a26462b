"""Samples from units: each lasts until the next of its track.

A packager that adds no delay takes each unit as soon as it comes: how long it lasts is a guess then, and the `tfdt` of the next
fragment puts right what was wrong. A segmenter takes many at once: all but the last of each track are known, and that one too where
the unit that follows is.
"""

from __future__ import annotations

from collections.abc import Iterator

from lalmesh.codec.silence import SilenceCredit
from lalmesh.container.fmp4._carried import is_carried
from lalmesh.container.fmp4._durations import first_duration
from lalmesh.container.fmp4._fragments import MAX_FRAGMENT_BYTES, MAX_FRAGMENT_SAMPLES, TIME_OFFSET, Sample
from lalmesh.container.fmp4._gaps import MAX_SAMPLE_TICKS, decoded_early, hole_ticks, silence
from lalmesh.errors import LocalProtocolError
from lalmesh.media import AccessUnit, Codec, Kind, Track, TrackSet

_EARLIEST = -TIME_OFFSET  # the decode time that a fragment says as 0


class FragmentBuilder:
    """Gather the units of a stream and give them as samples. All that is pending belongs to one `TrackSet`."""

    def __init__(self, *, longest_hole: int = 0) -> None:
        """Start with nothing pending.

        Args:
            longest_hole: ticks. For players of Media Source Extensions, who lose pictures on a hole in the time of any track, holes
                up to this are closed: pictures that come late are decoded earlier, and where sound is missing there is silence,
                no more of it than their wall clock says that it can have been missing (`SilenceCredit`). 0: units stay as they are.
        """
        self._longest_hole = longest_hole
        self._credit = SilenceCredit()  # of all tracks: another configuration brings no more
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
        waiting = [clock for clock in self._clocks.values() if clock.is_pending]
        return max((clock.end for clock in waiting), default=0) - min((clock.start for clock in waiting), default=0)

    def add(self, unit: AccessUnit, tracks: TrackSet) -> bool:
        """Let `unit` be pending, and the one before it of its track last until it begins.

        Returns:
            Whether its track is carried, and its time one that a fragment can say (see `TIME_OFFSET`); else it is left out.
        Raises:
            LocalProtocolError: more is pending than one fragment holds: it should have been taken long ago.
        """
        track = tracks.get(unit.track_id)
        if track is None or unit.dts < _EARLIEST:
            return False
        clock = self._clocks.get(unit.track_id)
        if clock is None or clock.track is not track:
            if not is_carried(track):
                return False
            if clock is None or not clock.goes_on(track):
                clock = self._clocks[unit.track_id] = _Clock(track, unit)
        clock.learn(unit)
        if 0 < clock.hole_before(unit) <= self._longest_hole:
            end = clock.end
            for filling in clock.missing(unit, self._credit):
                self._append(clock.begin(filling))
            self._credit.spend(clock.end - end)
            self._append(clock.begin_in_time(unit))
        else:
            self._append(clock.begin(unit))
        return True

    def _append(self, sample: Sample) -> None:
        size = len(sample.unit.payload)
        if len(self._samples) >= MAX_FRAGMENT_SAMPLES or self._bytes + size > MAX_FRAGMENT_BYTES:
            raise LocalProtocolError(f"{len(self._samples)} samples of {self._bytes} bytes are pending and there is one more")
        self._samples.append(sample)
        self._bytes += size

    def take(self, following: AccessUnit | None = None, *, until: int | None = None) -> list[Sample]:
        """Give what is pending, in the order in which it came; nothing is pending then.

        Args:
            following: the unit that will be added next, where it is known: the last sample of its track lasts until then. Any
                other last sample lasts as long as pictures usually do, or as the codec of the sound says.
            until: the time to which all pictures have come, where it is known: the last one lasts at least until then.
        """
        if following is not None:
            self._end_at(following)
        for clock in self._clocks.values():
            if until is not None:
                clock.lasts_at_least_until(until)
            clock.is_pending = False
        samples, self._samples, self._bytes = self._samples, [], 0
        return samples

    def _end_at(self, following: AccessUnit) -> None:
        clock = self._clocks.get(following.track_id)
        if clock is None:
            return
        if 0 < clock.hole_before(following) <= self._longest_hole and any(clock.missing(following, self._credit)):
            return  # silence follows
        clock.end_at(following.dts)


class _Clock:
    """How long the samples of one track last."""

    __slots__ = ("_advance", "_is_video", "_last", "_paused", "_usual", "is_pending", "start", "track")

    def __init__(self, track: Track, unit: AccessUnit) -> None:
        self.track = track
        self.is_pending = False  # whether the last sample can still be changed
        self.start = 0  # decode time of the first that is pending
        self._is_video = track.kind is Kind.VIDEO
        self._usual = first_duration(track, unit.payload)
        self._paused = False  # whether the last unit came after much longer than usual
        self._last: Sample | None = None
        self._advance = 0  # how much earlier the last is decoded than it came

    def goes_on(self, track: Track) -> bool:
        """Whether it goes on with `track`, whose units last as long: metadata of a stream may be told anew at any time."""
        old = self.track
        is_same = (track.codec, track.configuration, track.sample_rate_hz) == (old.codec, old.configuration, old.sample_rate_hz)
        self.track = track if is_same else old
        return is_same

    @property
    def end(self) -> int:
        """Where the last sample ends."""
        return self.start if self._last is None else self._last.unit.dts + self._last.duration

    def learn(self, unit: AccessUnit) -> None:
        """Take note of how long units last: of sound as its codec says, of pictures as the distance was; one long pause is none."""
        if self._is_video:
            distance = self._distance_to(unit.dts)
            if distance:
                is_pause = hole_ticks(distance, self._usual) > 0
                if self._paused or not is_pause:
                    self._usual = distance
                self._paused = is_pause
        elif self.track.codec is Codec.OPUS:  # whose packets may each have another length
            self._usual = first_duration(self.track, unit.payload)

    def _distance_to(self, dts: int) -> int | None:
        """How long after the last unit came one that came at `dts`; None where there is none or the times stepped."""
        if self._last is None:
            return None
        distance = dts - self._last.unit.dts - self._advance
        return distance if 0 <= distance <= MAX_SAMPLE_TICKS else None

    def begin(self, unit: AccessUnit) -> Sample:
        """The sample of `unit`, which ends the one before."""
        self.end_at(unit.dts)
        return self._append(unit)

    def _append(self, unit: AccessUnit, advance: int = 0) -> Sample:
        if not self.is_pending:
            self.start = unit.dts
        self._last, self._advance, self.is_pending = Sample(unit, self._usual), advance, True
        return self._last

    def end_at(self, dts: int) -> None:
        """The next sample begins at `dts`: how long the last one lasts, if it is pending still."""
        if self.is_pending and self._last is not None and self._distance_to(dts) is not None:
            self._last.duration = dts - self._last.unit.dts

    def lasts_at_least_until(self, time: int) -> None:
        """No picture comes before `time`."""
        if self._is_video and self.end < time:
            self.end_at(time)

    def hole_before(self, unit: AccessUnit) -> int:
        """The ticks of the hole before `unit`, if the last sample stays as it is; not above 0: none."""
        if self._last is None or self._distance_to(unit.dts) is None:
            return 0
        return hole_ticks(unit.dts - self._last.unit.dts, self._last.duration)

    def missing(self, late: AccessUnit, credit: SilenceCredit) -> Iterator[AccessUnit]:
        """The silence that is missing before a unit that is late; none where the credit does not cover all of it."""
        if self._last is not None and not self._is_video and credit.covers(late.dts - self.end, late.wall_us):
            yield from silence(self.track, self._last.unit, self._last.duration, late.dts)

    def begin_in_time(self, late: AccessUnit) -> Sample:
        """The sample of a unit that is late: of a picture such that it is not, where the one before cannot be changed any more."""
        if self._last is None or self.is_pending or not self._is_video:
            return self.begin(late)
        unit = decoded_early(late, self._last.unit, self._last.duration)
        return self._append(unit, late.dts - unit.dts)
