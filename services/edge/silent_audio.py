"""Silent AAC beside a publisher that sends only video, for players that wait for sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lalmesh.codec import aac, build_track
from lalmesh.codec.silence import SilenceCredit
from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND, AccessUnit, Codec, Kind, MediaEvent, TracksChanged, TrackSet

SILENT_TRACK_ID = 1_000  #: no demuxer gives ids so high
SAMPLE_RATE_HZ = 48_000
FRAME_TICKS = 1024 * TICKS_PER_SECOND // SAMPLE_RATE_HZ
MAX_FRAMES_AT_ONCE = 500  #: 10 s: a longer jump of the video is left silent
#: of the video, which are always filled: five frames cost no more than a picture, and a film that is sent faster than it plays has
#: sound all along. Of longer steps no more is than time passes, see `SilenceCredit`
USUAL_STEP_TICKS = TICKS_PER_SECOND // 10
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
        self._credit = SilenceCredit()

    def fill(self, events: Iterable[MediaEvent], now_us: int) -> Iterator[MediaEvent]:
        """The same events, which came at `now_us` (Unix µs), with silence between them.

        Of silence there is a frame a picture at least, and beyond `USUAL_STEP_TICKS` a picture no more than time passes.
        """
        for event in events:
            if isinstance(event, TracksChanged):
                self._tracks = event.tracks
                if event.tracks.first(Kind.AUDIO) is not None:
                    self._next_dts = None
                yield self._announced()
            else:
                if isinstance(event, AccessUnit):
                    yield from self._before(event, now_us)
                yield event

    def _announced(self) -> TracksChanged:
        return TracksChanged(self._tracks if self._next_dts is None else self._tracks.with_track(self._track))

    def _before(self, unit: AccessUnit, now_us: int) -> Iterator[AccessUnit | TracksChanged]:
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
        step = unit.dts - self._next_dts
        if step < -STEP_BACK_TICKS or (step > USUAL_STEP_TICKS and not self._may_fill(step, now_us)):
            self._next_dts = unit.dts
        while self._next_dts <= unit.dts:
            yield AccessUnit(SILENT_TRACK_ID, self._next_dts, 0, True, self._frame)
            self._next_dts += FRAME_TICKS

    def _may_fill(self, step: int, now_us: int) -> bool:
        """Whether a step that is longer than usual is filled."""
        if step > MAX_FRAMES_AT_ONCE * FRAME_TICKS or not self._credit.covers(step, now_us):
            return False
        self._credit.spend(step)
        return True
