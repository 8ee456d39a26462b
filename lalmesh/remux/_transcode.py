"""G.711 made AAC, for the formats that cannot carry it. Needs PyAV, the extra ``transcode``.

A frame of AAC has the time of the PCM that it was made of: the samples are counted from an *anchor*, the time of a unit. Where the
units' own times and the count drift apart by more than `MAX_DRIFT_TICKS`, the unit at hand becomes the next anchor.

```
PCM units   |--dts--|-------|-------|        |-------|      a hole: the times tell, the samples do not
samples     0      160     320     480      480     640
anchor      ^ (0, dts)                       ^ (480, dts)
AAC frames  |----------1024----------|-------...
```
"""

from __future__ import annotations

import functools
import importlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from lalmesh.codec import aac, build_track, g711
from lalmesh.errors import UnsupportedError
from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND, AccessUnit, Codec, Track, TrackSet

if TYPE_CHECKING:
    from av import AudioCodecContext, AudioFrame

#: Frames of AAC hold 1024 samples: at 8 kHz that is 128 ms, by which sound would come later than at 48 kHz, where it is 21.
RATE_HZ = 48_000
FRAME_SAMPLES = 1024
BITRATE_BPS = 48_000  #: of one channel; 4 kHz of sound need less
MAX_DRIFT_TICKS = 50 * TICKS_PER_MS  #: publishers stamp in milliseconds and unevenly; eyes see what is further off the lips
MAX_ANCHORS = 64  #: those that frames not made yet may need; an encoder holds back two frames
CODECS = frozenset((Codec.PCMA, Codec.PCMU))

_DECODERS = {Codec.PCMA: "pcm_alaw", Codec.PCMU: "pcm_mulaw"}
_LAYOUTS = {1: "mono", 2: "stereo"}


@functools.cache  # an import that fails is tried anew each time, and this is asked with every run of units
def can_transcode() -> bool:
    """Whether the extra is there. The first call loads PyAV, which takes some 0.1 s: ask when there is something to transcode."""
    try:
        importlib.import_module("av")
    except ImportError:
        return False
    return True


def needs_transcoding(tracks: TrackSet) -> bool:
    """Whether there is a track that is made AAC."""
    return any(_is_taken(track) for track in tracks.tracks)


def transcoded_tracks(tracks: TrackSet) -> TrackSet:
    """The tracks as they come out: each of G.711 is one of AAC with the same id."""
    made = tuple(_aac_track(track) if _is_taken(track) else track for track in tracks.tracks)
    return TrackSet(made, tracks.version)


def _is_taken(track: Track) -> bool:
    return track.codec in CODECS and _channels(track) in _LAYOUTS


def _channels(track: Track) -> int:
    return track.channels or 1


def _aac_track(track: Track) -> Track:
    config = aac.AudioSpecificConfig(sample_rate_hz=RATE_HZ, channel_configuration=_channels(track))
    return replace(build_track(track.track_id, Codec.AAC, config.serialize()), version=track.version)


class Transcoder:
    """One stream on its way from G.711 to AAC; what is not G.711 goes through as it is."""

    def __init__(self) -> None:
        """Start; `can_transcode` has to be true."""
        self._from = TrackSet()
        self._to = TrackSet()
        self._encoders: dict[int, _Encoder] = {}

    def transcode(self, tracks: TrackSet, units: Iterable[AccessUnit]) -> tuple[TrackSet, list[AccessUnit]]:
        """The tracks and the units that come of `units`, which belong to `tracks`; the same tracks give the same object.

        Raises:
            UnsupportedError: the codecs refuse the track; this transcoder is of no more use.
        """
        from av import FFmpegError

        try:
            if tracks is not self._from:
                self._change(tracks)
            return self._to, list(self._made_of(units))
        except (FFmpegError, ValueError) as error:
            raise UnsupportedError(f"AAC of this G.711: {error}") from error

    def _made_of(self, units: Iterable[AccessUnit]) -> Iterator[AccessUnit]:
        for unit in units:
            encoder = self._encoders.get(unit.track_id)
            if encoder is None:
                yield unit
            else:
                yield from encoder.encode(unit)

    def _change(self, tracks: TrackSet) -> None:
        self._from, self._to = tracks, transcoded_tracks(tracks)
        wanted = {track.track_id: track for track in tracks.tracks if _is_taken(track)}
        kept = {track_id: old for track_id, old in self._encoders.items() if old.fits(wanted.get(track_id))}
        self._encoders = {track_id: kept.get(track_id) or _Encoder(track) for track_id, track in wanted.items()}


@dataclass(slots=True, frozen=True)
class _Anchor:
    """From this sample on, times count from this one."""

    sample: int  #: of the PCM, from 0
    dts: int  #: ticks


class _Encoder:
    """One track: decode, resample, encode."""

    def __init__(self, track: Track) -> None:
        from av import AudioResampler, CodecContext

        self._track = track
        self._rate_hz = track.sample_rate_hz or g711.SAMPLE_RATE_HZ
        layout = _LAYOUTS[_channels(track)]
        self._decoder: AudioCodecContext = _audio(CodecContext.create(_DECODERS[track.codec], "r"))
        self._decoder.sample_rate, self._decoder.layout = self._rate_hz, layout
        self._resampler = AudioResampler(format="fltp", layout=layout, rate=RATE_HZ, frame_size=FRAME_SAMPLES)
        self._encoder: AudioCodecContext = _audio(CodecContext.create("aac", "w"))
        self._encoder.sample_rate, self._encoder.layout, self._encoder.format = RATE_HZ, layout, "fltp"
        self._encoder.bit_rate = BITRATE_BPS * _channels(track)
        self._encoder.time_base = Fraction(1, RATE_HZ)
        self._samples = 0  # of the PCM so far
        self._anchors: deque[_Anchor] = deque(maxlen=MAX_ANCHORS)
        self._last_dts: int | None = None

    def fits(self, track: Track | None) -> bool:
        """Whether it can go on with `track`."""
        mine = self._track
        return track is not None and (track.codec, track.sample_rate_hz, track.channels) == (
            mine.codec,
            mine.sample_rate_hz,
            mine.channels,
        )

    def encode(self, unit: AccessUnit) -> Iterator[AccessUnit]:
        """The frames that are complete with `unit`; the encoder keeps the last one or two back."""
        self._anchor(unit.dts)
        for frame in self._decoded(unit.payload):
            for resampled in self._resampler.resample(frame):
                for packet in self._encoder.encode(resampled):
                    dts = self._dts(packet.pts or 0)
                    if dts is not None:
                        yield AccessUnit(unit.track_id, dts, 0, True, bytes(packet), wall_us=unit.wall_us)

    def _anchor(self, dts: int) -> None:
        """Count from `dts` where the count has drifted from it."""
        if not self._anchors or abs(self._expected(self._samples) - dts) > MAX_DRIFT_TICKS:
            self._anchors.append(_Anchor(self._samples, dts))

    def _expected(self, sample: int) -> int:
        anchor = self._anchors[-1]
        return anchor.dts + (sample - anchor.sample) * TICKS_PER_SECOND // self._rate_hz

    def _decoded(self, payload: bytes) -> Iterator[AudioFrame]:
        from av import Packet

        whole = len(payload) - len(payload) % _channels(self._track)
        if not whole:
            return
        for frame in self._decoder.decode(Packet(payload[:whole])):
            frame.pts, frame.time_base = self._samples, Fraction(1, self._rate_hz)
            self._samples += frame.samples
            yield frame

    def _dts(self, pts: int) -> int | None:
        """The time of the frame that begins at sample `pts` of the encoder's rate.

        None for what comes before the first sample, with which an encoder fills its window, and for what a step back of the times
        would put before a frame that is out.
        """
        if pts < 0:
            return None
        anchors = self._anchors
        while len(anchors) > 1 and anchors[1].sample * RATE_HZ <= pts * self._rate_hz:
            anchors.popleft()
        first = anchors[0].sample * RATE_HZ // self._rate_hz
        dts = anchors[0].dts + (pts - first) * TICKS_PER_SECOND // RATE_HZ
        if self._last_dts is not None and dts <= self._last_dts:
            return None
        self._last_dts = dts
        return dts


def _audio(context: object) -> AudioCodecContext:
    from av import AudioCodecContext

    if not isinstance(context, AudioCodecContext):
        raise TypeError(f"{context!r} is no audio codec")
    return context
