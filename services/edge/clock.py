"""Mending the clock of a publisher: jumps, steps back and shared stamps (docs/design.md §4)."""

from __future__ import annotations

from lalmesh.codec import aac, ac3, mp3, opus
from lalmesh.errors import LalmeshError
from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND, AccessUnit, Codec, Track, us_to_ticks

SEAM_TICKS = TICKS_PER_SECOND // 25  #: what is put between two units whose clock jumped: one picture at 25 a second
STEP_BACK_TICKS = TICKS_PER_SECOND  #: a track that falls back by more has been restarted; by less, it is only out of order
USUAL_TICKS = TICKS_PER_SECOND  #: from a unit to the next of its track, of which nothing has to be asked
APART_TICKS = 10 * TICKS_PER_SECOND  #: that one track of a publisher may be behind another, or more where larger jumps are none
TOGETHER_US = 5_000_000  #: in which the tracks of an encoder that starts again have all done so

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


class _TrackClock:
    """Where one track is."""

    __slots__ = ("last", "offset", "stamp", "wall_us")

    def __init__(self, offset: int) -> None:
        self.offset = offset  # from its stamps to mended times
        self.last = 0  # mended
        self.stamp = 0  # as it came
        self.wall_us = 0  # when it came


class PublisherClock:
    """Makes the decoding times of one publisher rise on every track.

    Times that the input carries are kept. Only where the stamps of a track jump against the wall clock is all of it that follows
    shifted, so that it goes on where the others are; tracks that jump together are shifted by the same, and stay together. A track
    alone may begin again, or be far from the others: that shifts it once, and leaves them as they are. A unit that shares the stamp
    of the one before it on its track is placed by its length. Data tracks follow: encoders stamp script data with zero at any
    time, so it says nothing about their clock. Opaque ones keep the stamps that packets share or that fall, since those tell which
    packets are of one frame.
    """

    def __init__(self, jump_ms: int) -> None:
        """A step of a track that differs by more than `jump_ms` from that of the wall clock is a jump."""
        self._jump_ticks = jump_ms * TICKS_PER_MS
        self._apart_ticks = max(self._jump_ticks, APART_TICKS)
        self._offset = 0  # of the track that jumped last: of all, while none jumps alone
        self._jumped_us = 0  # when that was
        self._tracks: dict[int, _TrackClock] = {}
        self._newest = 0
        self._newest_wall_us = 0
        self.jumps = 0

    def mend(self, unit: AccessUnit, track: Track | None, now_us: int) -> None:
        """Set the times of `unit`, received at `now_us` (Unix µs)."""
        stamp = unit.dts
        codec = track.codec if track is not None else None
        follows = codec is _SCRIPT or codec is _OPAQUE
        state = self._tracks.get(unit.track_id)
        is_first = state is None
        if state is None:
            state = self._tracks[unit.track_id] = _TrackClock(self._offset)
        last, newest = state.last, self._newest
        if follows:
            dts = stamp + self._offset
            if self._newest_wall_us and not -STEP_BACK_TICKS <= dts - newest <= STEP_BACK_TICKS:
                dts = newest
        else:
            dts = stamp + state.offset
            if is_first or not 0 < dts - last <= USUAL_TICKS or dts < newest - self._apart_ticks:
                dts = self._judged(state, stamp, now_us, is_first=is_first)
        if not is_first and dts <= last and codec is not _OPAQUE:
            shared = track is not None and stamp == state.stamp
            dts = last + max(frame_ticks(track, unit.payload) if track is not None and shared else 0, TICKS_PER_MS)
        unit.dts = state.last = dts
        state.stamp, state.wall_us = stamp, now_us
        if not follows and (dts >= newest or not self._newest_wall_us):
            self._newest, self._newest_wall_us = dts, now_us

    def _judged(self, state: _TrackClock, stamp: int, now_us: int, *, is_first: bool) -> int:
        """The time of a unit that does not just follow the one before it on its track."""
        dts, newest = stamp + state.offset, self._newest
        if not self._newest_wall_us:
            return dts
        if is_first:
            ahead = dts - newest - us_to_ticks(now_us - self._newest_wall_us)
            jumps = dts < newest - self._apart_ticks or ahead > self._apart_ticks
        else:
            due = state.last + us_to_ticks(now_us - state.wall_us)
            together = stamp + self._offset
            fits_better = together >= state.last - STEP_BACK_TICKS and abs(together - due) < abs(dts - due)
            if fits_better and now_us - self._jumped_us <= TOGETHER_US:  # another track has jumped, and this one jumps with it
                state.offset = self._offset
                dts = together
            jumps = dts < state.last - STEP_BACK_TICKS or dts - due > self._jump_ticks or dts < newest - self._apart_ticks
        if jumps:
            dts = newest + SEAM_TICKS
            self._offset = state.offset = dts - stamp
            self._jumped_us = now_us
            self.jumps += 1
        return dts
