"""Mending the clock of a publisher: jumps, steps back and shared stamps (docs/design.md §4)."""

from __future__ import annotations

from lalmesh.codec import aac, ac3, mp3, opus
from lalmesh.errors import LalmeshError
from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND, AccessUnit, Codec, Track

SEAM_TICKS = TICKS_PER_SECOND // 25  #: what is put between two units whose clock jumped: one picture at 25 a second
STEP_BACK_TICKS = TICKS_PER_SECOND  #: a track that falls back by more has been restarted; by less, it is only out of order

_SCRIPT, _OPAQUE = Codec.SCRIPT, Codec.OPAQUE  # a global is found faster than a member of an Enum


def frame_ticks(track: Track, payload: bytes) -> int:
    """How long an audio frame lasts, in ticks; 0 where that is not known (video: always)."""
    try:
        samples, rate_hz = _samples_of(track, payload)
    except LalmeshError:
        return 0
    return samples * TICKS_PER_SECOND // rate_hz


def _samples_of(track: Track, payload: bytes) -> tuple[int, int]:
    """The samples a channel of a frame, 0 where neither track nor frame tell, and how many of them make a second."""
    match track.codec:
        case Codec.OPUS:
            return opus.packet_samples(payload), opus.SAMPLE_RATE_HZ
        case Codec.AAC:
            config = aac.AudioSpecificConfig.parse(track.configuration)
            return config.samples_per_frame, config.sample_rate_hz
        case Codec.MP2 | Codec.MP3:
            header = mp3.FrameHeader.parse(payload)
            return header.samples_per_frame, header.sample_rate_hz
        case Codec.AC3 | Codec.EAC3:
            frame = ac3.SyncFrameHeader.parse(payload)
            return frame.samples, frame.sample_rate_hz
        case _:
            return 0, 1


class PublisherClock:
    """Makes the decoding times of one publisher rise on every track.

    Times that the input carries are kept. Only where its clock jumps against the wall clock is everything after shifted, all
    tracks by the same, so that it goes on; a unit that shares the stamp of the one before it on its track is placed by its length.
    Data tracks follow: encoders stamp script data with zero at any time, so it says nothing about their clock. Opaque ones keep the
    stamps that packets share or that fall, since those tell which packets are of one frame.
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
        stamp, track_id = unit.dts, unit.track_id
        dts, last, newest = stamp + self._offset, self._last.get(track_id), self._newest
        codec = track.codec if track is not None else None
        follows = codec is _SCRIPT or codec is _OPAQUE
        if self._newest_wall_us:
            drift = dts - newest
            if follows:
                dts = dts if abs(drift) <= STEP_BACK_TICKS else newest
            elif (
                (last is not None and dts < last - STEP_BACK_TICKS)
                or drift < -self._jump_ticks
                or drift - (now_us - self._newest_wall_us) * 9 // 100 > self._jump_ticks
            ):
                dts = newest + SEAM_TICKS
                self._offset = dts - stamp
                self.jumps += 1
        if last is not None and dts <= last and codec is not _OPAQUE:
            shared = track is not None and stamp == self._last_stamp[track_id]
            dts = last + max(frame_ticks(track, unit.payload) if track is not None and shared else 0, TICKS_PER_MS)
        unit.dts = self._last[track_id] = dts
        self._last_stamp[track_id] = stamp
        if not follows and (dts >= newest or not self._newest_wall_us):
            self._newest, self._newest_wall_us = dts, now_us
