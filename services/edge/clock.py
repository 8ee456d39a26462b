"""Mending the clock of a publisher: jumps, steps back and shared stamps (DESIGN.md section 4)."""

from __future__ import annotations

from lalmesh.codec import aac, opus
from lalmesh.errors import LalmeshError
from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND, AccessUnit, Codec, Kind, Track

SEAM_TICKS = TICKS_PER_SECOND // 25  #: what is put between two units whose clock jumped: one picture at 25 a second
STEP_BACK_TICKS = TICKS_PER_SECOND  #: a track that falls back by more has been restarted; by less, it is only out of order
DEFAULT_SAMPLES = {Codec.AAC: 1024, Codec.MP3: 1152, Codec.AC3: 1536, Codec.EAC3: 1536}


def frame_ticks(track: Track, payload: bytes) -> int:
    """How long an audio frame lasts, in ticks; 0 where that is not known (video: always)."""
    try:
        if track.codec is Codec.OPUS:
            return opus.packet_samples(payload) * TICKS_PER_SECOND // 48_000
        if track.codec is Codec.AAC and track.configuration:
            config = aac.AudioSpecificConfig.parse(track.configuration)
            return config.samples_per_frame * TICKS_PER_SECOND // config.sample_rate_hz
    except LalmeshError:
        return 0
    if track.sample_rate_hz:
        return DEFAULT_SAMPLES.get(track.codec, 0) * TICKS_PER_SECOND // track.sample_rate_hz
    return 0


class PublisherClock:
    """Makes the decoding times of one publisher rise on every track.

    Times that the input carries are kept. Only where its clock jumps against the wall clock is everything after shifted, all
    tracks by the same, so that it goes on; a unit that shares the stamp of the one before it on its track is placed by its length.
    Data tracks follow: encoders stamp script data with zero at any time, so it says nothing about their clock.
    """

    def __init__(self, jump_ms: int) -> None:
        """A difference of more than `jump_ms` between both clocks is a jump."""
        self._jump_ticks = jump_ms * TICKS_PER_MS
        self._offset = 0
        self._last: dict[int, int] = {}  # by track, mended
        self._last_stamp: dict[int, int] = {}  # by track, as they came
        self._newest = 0
        self._newest_wall_us = 0
        self.jumps = 0

    def mend(self, unit: AccessUnit, track: Track | None, now_us: int) -> None:
        """Set the times of `unit`, received at `now_us` (Unix µs)."""
        stamp, last = unit.dts, self._last.get(unit.track_id)
        follows = track is not None and track.kind is Kind.DATA
        dts = self._follow(stamp) if follows else self._lead(stamp, last, now_us)
        if last is not None and dts <= last:
            shared = track is not None and stamp == self._last_stamp[unit.track_id]
            dts = last + max(frame_ticks(track, unit.payload) if track is not None and shared else 0, TICKS_PER_MS)
        unit.dts = dts
        self._last[unit.track_id], self._last_stamp[unit.track_id] = dts, stamp
        if not follows and (dts >= self._newest or not self._newest_wall_us):
            self._newest, self._newest_wall_us = dts, now_us

    def _lead(self, stamp: int, last: int | None, now_us: int) -> int:
        """The time of a unit whose stamps are the clock: a jump shifts everything from here on."""
        dts = stamp + self._offset
        if not self._newest_wall_us:
            return dts
        drift = dts - self._newest
        elapsed = (now_us - self._newest_wall_us) * 9 // 100
        back = last is not None and dts < last - STEP_BACK_TICKS
        if back or drift < -self._jump_ticks or drift - elapsed > self._jump_ticks:
            self._offset += self._newest + SEAM_TICKS - dts
            self.jumps += 1
            dts = stamp + self._offset
        return dts

    def _follow(self, stamp: int) -> int:
        """The time of a unit of a data track: its own where that is near the newest of the others, else theirs."""
        dts = stamp + self._offset
        return dts if not self._newest_wall_us or abs(dts - self._newest) <= STEP_BACK_TICKS else self._newest
