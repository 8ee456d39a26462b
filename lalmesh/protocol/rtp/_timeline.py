"""RTP timestamps of several tracks on one time line, in ticks of 90 kHz (RFC 3550 §5.1, §6.4.1).

RTP clocks begin at random. The first packet of each track is placed where the wall clock of the sender puts it beside the other
tracks, as far as sender reports have come, else by the time of its arrival. When reports come later, tracks are shifted to where
they belong beside the one that leads (video, if there is any), which itself never is: pictures keep their distances exactly.

By arrival, a track that begins, or begins anew, is placed beside one that runs, and not where the time since the start would have
it: clocks of senders are off by some 50 ppm, four seconds a day.

The first shift of a track is exact, since arrival says little; after it, reports that differ by less than anybody sees or hears
are left alone. A shift forward is a hole in the sound, and is there at once. A shift back cannot be: what was given is given, and
nothing is dropped. Each unit then takes back at most half of its distance to the one before:

```
sound that belongs 30 ms earlier, 20 ms a packet     arrived   0  20  40  60  80 100
                                                     given     0  10  20  30  50  70
```
A report that moves a track which has been put right waits for the next report of another. The wall clock of a sender may have been
set: then that one moves too, and nothing has to be shifted. Shifted at once, sound would go there and back.

ffmpeg reports before the first packet of each track, so nothing of it is ever shifted. Who waits as the standard wants it, as
GStreamer does, reports after 1 to 3.1 s (§6.2): too long to hold a stream back for it, so its sound lies as it arrived until then.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND, rescale, us_to_ticks
from lalmesh.protocol.rtp._ntp import ntp_to_ticks
from lalmesh.protocol.rtp._reports import SenderReport

#: Nobody sees or hears less; reports of the same sender differ by some ms, since it makes them between its packets.
TOLERANCE_TICKS: Final = 20 * TICKS_PER_MS
#: reports that put tracks further apart come of clocks that have nothing to do with each other
MAX_SKEW_TICKS: Final = 10 * TICKS_PER_SECOND
#: where the first packet is placed: room for a track that reports put before it, and for DTS before its first PTS
START_TICKS: Final = MAX_SKEW_TICKS + TICKS_PER_SECOND
#: A step of timestamps that arrival does not explain is that of a sender that began anew; back, B-frames go less far.
JUMP_TICKS: Final = 10 * TICKS_PER_SECOND
JUMP_BACK_TICKS: Final = TICKS_PER_SECOND
#: A track that begins within as much of another is placed by how long after it that was: a server sends at once what it has cached.
#: Later, beside what that one sends now.
BURST_US: Final = 10_000_000
SEAM_TICKS: Final = TICKS_PER_SECOND // 25  #: at least so much later than all before goes on what began anew

_MASK = 0xFFFFFFFF
_HALF = 0x80000000


class Timeline:
    """What the tracks of one sender share. Times of arrival are µs of any clock that does not step."""

    def __init__(self) -> None:
        """Start without tracks."""
        self._start_us: int | None = None
        self._clocks: list[TrackClock] = []
        self.ignored_reports = 0  #: that put tracks further apart than `MAX_SKEW_TICKS`

    def add(self, clock_rate_hz: int, *, leads: bool = False) -> TrackClock:
        """The clock of another track; `leads`: the others follow it. Where none leads, the first one does."""
        clock = TrackClock(self, clock_rate_hz)
        self._clocks.insert(0 if leads else len(self._clocks), clock)
        return clock

    def arrival_ticks(self, clock: TrackClock, now_us: int) -> int:
        """Where on the line a first packet of `clock`, at `now_us`, is: beside another track, else by the time since the start."""
        for other in self._clocks:
            if other is not clock and (ticks := other.ticks_at(now_us)) is not None:
                return ticks
        if self._start_us is None:
            self._start_us = now_us
        return START_TICKS + us_to_ticks(now_us - self._start_us)

    def join(self, clock: TrackClock) -> None:
        """Place a track that begins beside the others, if both sides have reports."""
        other = next((other for other in self._clocks if other is not clock and other.skew is not None), None)
        if other is not None:
            self._move(clock, other, 0)

    def reported(self, clock: TrackClock, skew: int | None) -> None:
        """Take `skew`, measured by a report of `clock`, and what waited for that; or let it wait for a report of another track."""
        waiting = [other for other in self._clocks if other is not clock and other.pending is not None]
        step = skew - clock.skew if skew is not None and clock.skew is not None and clock.is_aligned else 0
        if abs(step) > TOLERANCE_TICKS and not waiting:
            clock.pending = skew
            return
        if abs(step) > TOLERANCE_TICKS and all(abs(other.step - step) <= TOLERANCE_TICKS for other in waiting):
            self._step(step, {clock, *waiting})
        for other in waiting:
            other.skew, other.pending = other.pending, None
        clock.skew, clock.pending = skew, None
        self.align()

    def _step(self, ticks: int, told: Set[TrackClock]) -> None:
        """The wall clock of the sender was set: reports of tracks other than those `told` are going to say so."""
        for clock in self._clocks:
            if clock not in told and clock.is_aligned and clock.skew is not None:
                clock.skew += ticks

    def align(self) -> None:
        """Shift the tracks that are not where they belong beside what leads."""
        lead, *others = self._clocks
        was_aligned = lead.is_aligned
        for clock in others:
            self._move(clock, lead, TOLERANCE_TICKS if was_aligned and clock.is_aligned else 0)

    def _move(self, clock: TrackClock, other: TrackClock, tolerance_ticks: int) -> None:
        """Shift `clock` to where reports put it beside `other`, if it is off by more than `tolerance_ticks`."""
        if clock.skew is None or other.skew is None:
            return
        ticks = other.skew - clock.skew
        if abs(ticks) > MAX_SKEW_TICKS:
            self.ignored_reports += 1
            return
        if abs(ticks) > tolerance_ticks:
            clock.shift(ticks)
        clock.is_aligned = other.is_aligned = True


class TrackClock:
    """Where the RTP timestamps of one track are on the time line."""

    __slots__ = (
        "_begun",
        "_begun_us",
        "_clock_rate_hz",
        "_first",
        "_last",
        "_last_us",
        "_late",
        "_newest",
        "_offset",
        "_report",
        "_timeline",
        "is_aligned",
        "jumps",
        "pending",
        "skew",
    )

    def __init__(self, timeline: Timeline, clock_rate_hz: int) -> None:
        """Begin with the next packet, on `timeline`."""
        self._timeline = timeline
        self._clock_rate_hz = clock_rate_hz
        self._first: int | None = None  # RTP timestamp that is at the offset
        self._last = 0  # the last one, unwrapped
        self._last_us = 0  # when that came
        self._begun = 0  # where the one at the offset was placed by arrival, ticks
        self._begun_us = 0  # when that came
        self._newest: int | None = None  # the latest time given, ticks
        self._offset = 0
        self._late = 0  # how much later than it belongs the next one is still given, ticks
        self._report: SenderReport | None = None
        self.skew: int | None = None  #: ticks of our line less ticks of the sender's wall clock; None: no report yet
        self.pending: int | None = None  #: the same by a report that waits for one of another track; None: none does
        self.is_aligned = False  #: whether reports have put it beside another track since it began
        self.jumps = 0  #: times that the sender began anew with other timestamps

    @property
    def step(self) -> int:
        """By how much the report that waits moves the track, ticks; 0 where none does."""
        return self.pending - self.skew if self.pending is not None and self.skew is not None else 0

    def ticks_at(self, now_us: int) -> int | None:
        """Where on the line the track is at `now_us`, by arrival; None where it does not run."""
        if self._first is None or self._newest is None:
            return None
        if now_us - self._begun_us <= BURST_US:
            return self._begun + us_to_ticks(now_us - self._begun_us)
        return self._newest + us_to_ticks(now_us - self._last_us)

    def ticks(self, timestamp: int, now_us: int) -> int:
        """The time of an RTP timestamp (32 bits, taken as the one nearest to the last); a first packet came at `now_us`."""
        if self._first is not None and self._jumps(timestamp, now_us):
            self.jumps += 1
            self.restart()
        if self._first is None:
            self._begin(timestamp, now_us)
        self._last, self._last_us = self._unwrap(timestamp), now_us
        ticks = self._place(self._last) + self._late
        if self._newest is None:
            self._newest = ticks
        elif ticks > self._newest:
            taken_back = min(self._late, (ticks - self._newest) // 2)
            self._late -= taken_back
            self._newest = ticks = ticks - taken_back
        return ticks

    def _jumps(self, timestamp: int, now_us: int) -> bool:
        step = rescale(self._unwrap(timestamp) - self._last, self._clock_rate_hz)
        if -JUMP_BACK_TICKS <= step <= JUMP_TICKS:
            return False
        return step < 0 or step - us_to_ticks(now_us - self._last_us) > JUMP_TICKS

    def _begin(self, timestamp: int, now_us: int) -> None:
        self._first = self._last = timestamp
        self._offset = self._timeline.arrival_ticks(self, now_us)
        if self._newest is not None:
            self._offset = max(self._offset, self._newest + SEAM_TICKS)
        self._begun, self._begun_us = self._offset, now_us
        self.skew = self._measured()
        if self._newest is None:
            self._timeline.join(self)
        else:
            self._timeline.align()

    def follow(self, ssrc: int) -> None:
        """The first packet is of the source `ssrc`: a report of another, which came before it, says nothing."""
        if self._report is not None and self._report.ssrc != ssrc:
            self._report = None

    def report(self, report: SenderReport) -> None:
        """Learn from a sender report which wall-clock time an RTP timestamp has; one without a wall clock says nothing."""
        if report.ntp_timestamp:
            self._report = report
            self._timeline.reported(self, self._measured())

    def restart(self) -> None:
        """The timestamps that follow have nothing to do with those so far: times go on by arrival."""
        self._first = self._report = self.skew = self.pending = None
        self._late = 0
        self.is_aligned = False

    def shift(self, ticks: int) -> None:
        """Let what follows be later by `ticks`; earlier only bit by bit, if anything has been given."""
        self._offset += ticks
        self._late = max(0, self._late - ticks) if self._newest is not None else 0
        if self.skew is not None:
            self.skew += ticks
        if self.pending is not None:
            self.pending += ticks

    def _measured(self) -> int | None:
        """The skew by the last report; None where there is none, or no packet yet."""
        if self._report is None or self._first is None:
            return None
        return self._place(self._unwrap(self._report.rtp_timestamp)) - ntp_to_ticks(self._report.ntp_timestamp)

    def _unwrap(self, timestamp: int) -> int:
        return self._last + (timestamp - self._last + _HALF & _MASK) - _HALF

    def _place(self, unwrapped: int) -> int:
        assert self._first is not None
        return rescale(unwrapped - self._first, self._clock_rate_hz) + self._offset
