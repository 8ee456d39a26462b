"""RTP timestamps of several tracks on one time line, in ticks of 90 kHz (RFC 3550 §5.1, §6.4.1).

RTP clocks begin at random. The first packet of each track is placed where the wall clock of the sender puts it beside the other
tracks, as far as sender reports have come, else by the time of its arrival. When reports come later, tracks are shifted to where
they belong beside the one that leads (video, if there is any), which itself never is: pictures keep their distances exactly.
"""

from __future__ import annotations

from typing import Final

from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND, rescale
from lalmesh.protocol.rtp._ntp import ntp_to_ticks
from lalmesh.protocol.rtp._reports import SenderReport

#: where the first packet is placed: room for a track that reports put before it
START_TICKS: Final = TICKS_PER_SECOND
#: Nobody sees or hears less; reports of the same sender differ by some ms, since it makes them between its packets.
TOLERANCE_TICKS: Final = 20 * TICKS_PER_MS
#: reports that put tracks further apart come of clocks that have nothing to do with each other
MAX_SKEW_TICKS: Final = 10 * TICKS_PER_SECOND
#: A step of timestamps that arrival does not explain is that of a sender that began anew; back, B-frames go less far.
JUMP_TICKS: Final = 10 * TICKS_PER_SECOND
JUMP_BACK_TICKS: Final = TICKS_PER_SECOND
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

    def arrival_ticks(self, now_us: int) -> int:
        """Where on the line `now_us` is."""
        if self._start_us is None:
            self._start_us = now_us
        return START_TICKS + (now_us - self._start_us) * TICKS_PER_MS // 1000

    def join(self, clock: TrackClock) -> None:
        """Place a track that begins beside the others, if both sides have reports."""
        other = next((other for other in self._clocks if other is not clock and other.skew is not None), None)
        if other is not None and other.skew is not None and clock.skew is not None:
            self._move(clock, other.skew - clock.skew)

    def align(self) -> None:
        """Shift the tracks that are off what leads by more than `TOLERANCE_TICKS`."""
        lead, *others = self._clocks
        if lead.skew is None:
            return
        for clock in others:
            if clock.skew is not None and abs(clock.skew - lead.skew) > TOLERANCE_TICKS:
                self._move(clock, lead.skew - clock.skew)

    def _move(self, clock: TrackClock, ticks: int) -> None:
        if abs(ticks) > MAX_SKEW_TICKS:
            self.ignored_reports += 1
        else:
            clock.shift(ticks)


class TrackClock:
    """Where the RTP timestamps of one track are on the time line."""

    __slots__ = (
        "_clock_rate_hz",
        "_first",
        "_last",
        "_last_us",
        "_newest",
        "_offset",
        "_report",
        "_timeline",
        "jumps",
        "skew",
    )

    def __init__(self, timeline: Timeline, clock_rate_hz: int) -> None:
        """Begin with the next packet, on `timeline`."""
        self._timeline = timeline
        self._clock_rate_hz = clock_rate_hz
        self._first: int | None = None  # RTP timestamp that is at the offset
        self._last = 0  # the last one, unwrapped
        self._last_us = 0  # when that came
        self._newest: int | None = None  # the latest time given, ticks
        self._offset = 0
        self._report: SenderReport | None = None
        self.skew: int | None = None  #: ticks of our line less ticks of the sender's wall clock; None: no report yet
        self.jumps = 0  #: times that the sender began anew with other timestamps

    def ticks(self, timestamp: int, now_us: int) -> int:
        """The time of an RTP timestamp (32 bits, taken as the one nearest to the last); a first packet came at `now_us`."""
        if self._first is not None and self._jumps(timestamp, now_us):
            self.jumps += 1
            self.restart()
        if self._first is None:
            self._begin(timestamp, now_us)
        self._last, self._last_us = self._unwrap(timestamp), now_us
        ticks = self._place(self._last)
        if self._newest is None or ticks > self._newest:
            self._newest = ticks
        return ticks

    def _jumps(self, timestamp: int, now_us: int) -> bool:
        step = rescale(self._unwrap(timestamp) - self._last, self._clock_rate_hz)
        if -JUMP_BACK_TICKS <= step <= JUMP_TICKS:
            return False
        return step < 0 or step - (now_us - self._last_us) * TICKS_PER_MS // 1000 > JUMP_TICKS

    def _begin(self, timestamp: int, now_us: int) -> None:
        self._first = self._last = timestamp
        self._offset = self._timeline.arrival_ticks(now_us)
        if self._newest is not None:
            self._offset = max(self._offset, self._newest + SEAM_TICKS)
        self._measure()
        self._timeline.join(self)

    def report(self, report: SenderReport) -> None:
        """Learn from a sender report which wall-clock time an RTP timestamp has; one without a wall clock says nothing."""
        if report.ntp_timestamp:
            self._report = report
            self._measure()
            self._timeline.align()

    def restart(self) -> None:
        """The timestamps that follow have nothing to do with those so far: times go on by arrival."""
        self._first = self._report = self.skew = None

    def shift(self, ticks: int) -> None:
        """Let all that follows be later by `ticks`."""
        self._offset += ticks
        if self.skew is not None:
            self.skew += ticks

    def _measure(self) -> None:
        if self._report is not None and self._first is not None:
            at_report = self._place(self._unwrap(self._report.rtp_timestamp))
            self.skew = at_report - ntp_to_ticks(self._report.ntp_timestamp)

    def _unwrap(self, timestamp: int) -> int:
        return self._last + (timestamp - self._last + _HALF & _MASK) - _HALF

    def _place(self, unwrapped: int) -> int:
        assert self._first is not None
        return rescale(unwrapped - self._first, self._clock_rate_hz) + self._offset
