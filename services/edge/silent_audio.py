"""Silent AAC beside a publisher that sends only video, for players that wait for sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lalmesh.codec import aac, build_track
from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND, AccessUnit, Codec, Kind, MediaEvent, TracksChanged, TrackSet

SILENT_TRACK_ID = 1_000  #: no demuxer gives ids so high
SAMPLE_RATE_HZ = 48_000
FRAME_TICKS = 1024 * TICKS_PER_SECOND // SAMPLE_RATE_HZ
MAX_FRAMES_AT_ONCE = 500  #: 10 s: a longer jump of the video is left silent
STEP_BACK_TICKS = TICKS_PER_SECOND  #: where video falls back by more, its publisher's clock was reset, and silence goes with it


class SilentAudio:
    """Adds a silent AAC-LC track of 48 kHz stereo once video has run for `wait_ms` without any audio; real audio replaces it."""

    def __init__(self, wait_ms: int) -> None:
        """Wait for so much video time."""
        self._wait_ticks = wait_ms * TICKS_PER_MS
        config = aac.AudioSpecificConfig.parse(bytes.fromhex("1190"))
        self._frame = aac.silent_frame(config)
        self._track = build_track(SILENT_TRACK_ID, Codec.AAC, config.serialize())
        self._tracks = TrackSet()
        self._started_at: int | None = None
        self._next_dts: int | None = None  # of the next silent frame; None while there is no silent track

    def fill(self, events: Iterable[MediaEvent]) -> Iterator[MediaEvent]:
        """The same events with silence between them."""
        for event in events:
            if isinstance(event, TracksChanged):
                self._tracks = event.tracks
                if event.tracks.first(Kind.AUDIO) is not None:
                    self._next_dts = None
                yield self._announced()
            else:
                if isinstance(event, AccessUnit):
                    yield from self._before(event)
                yield event

    def _announced(self) -> TracksChanged:
        return TracksChanged(self._tracks if self._next_dts is None else self._tracks.with_track(self._track))

    def _before(self, unit: AccessUnit) -> Iterator[AccessUnit | TracksChanged]:
        video = self._tracks.first(Kind.VIDEO)
        if video is None or unit.track_id != video.track_id or self._tracks.first(Kind.AUDIO) is not None:
            return
        if self._started_at is None:
            self._started_at = unit.dts
        if self._next_dts is None:
            if unit.dts - self._started_at < self._wait_ticks:
                return
            self._next_dts = unit.dts
            yield self._announced()
        if not -STEP_BACK_TICKS <= unit.dts - self._next_dts <= MAX_FRAMES_AT_ONCE * FRAME_TICKS:
            self._next_dts = unit.dts
        while self._next_dts <= unit.dts:
            yield AccessUnit(SILENT_TRACK_ID, self._next_dts, 0, True, self._frame)
            self._next_dts += FRAME_TICKS
