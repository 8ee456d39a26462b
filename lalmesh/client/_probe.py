"""Look at a stream for a while, and tell what it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from lalmesh.client._errors import TimedOut
from lalmesh.client._open import open_player
from lalmesh.client._options import DEFAULT_OPTIONS, ClientOptions
from lalmesh.client._player import Player
from lalmesh.codec import codec_string
from lalmesh.container.flv import BodyDemuxer, Tag
from lalmesh.errors import RemoteProtocolError, StreamNotFound
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Codec, Kind, Track, TracksChanged, ticks_to_ms

DEFAULT_DURATION_S = 3.0  #: one GOP and a half of what most encoders are set to


@dataclass(slots=True, frozen=True, kw_only=True)
class TrackReport:
    """One track, and what came of it."""

    kind: str  #: ``video`` or ``audio``
    codec: str  #: such as ``h264``
    codec_string: str  #: such as ``avc1.640028``
    profile: str  #: empty where the codec does not tell
    width: int  #: pixels, 0 unknown or no video
    height: int
    frame_rate: float | None  #: pictures a second as the configuration claims
    measured_frame_rate: float | None  #: frames a second as they came
    sample_rate_hz: int  #: 0 unknown or no audio
    channels: int
    frames: int
    bitrate_bps: int | None
    dts_monotonic: bool  #: whether decoding time never fell


@dataclass(slots=True, frozen=True, kw_only=True)
class ProbeReport:
    """What a stream is. Times in ms are from the moment of dialling, unless they say otherwise."""

    url: str
    protocol: str  #: as `Player.protocol`
    first_byte_ms: float | None  #: the first byte that the server said, of handshake or head
    first_message_ms: float | None  #: the first message of the stream, of any kind
    first_keyframe_ms: float | None  #: the first picture that can be decoded alone
    duration_ms: int  #: of the media that came, by decoding time
    size_bytes: int  #: of all messages
    bitrate_bps: int | None
    tracks: tuple[TrackReport, ...]
    gop_frames: float | None  #: mean of the whole GOPs
    gop_ms: float | None
    av_start_offset_ms: int | None  #: decoding time of the first audio frame less that of the first picture
    av_interleave_ms: int | None  #: how far apart, at most, the newest frames of both are as they arrive
    dts_monotonic: bool  #: of all tracks
    passed_over: dict[str, int]  #: messages that could not be read, by reason
    ended: str  #: why the stream ended meanwhile; empty if it did not


@dataclass(slots=True)
class _Seen:
    """What came of one track."""

    track: Track
    frames: int = 0
    size_bytes: int = 0
    first_dts: int = 0
    last_dts: int = 0
    monotonic: bool = True

    def add(self, unit: AccessUnit) -> None:
        if not self.frames:
            self.first_dts = unit.dts
        elif unit.dts < self.last_dts:
            self.monotonic = False
        self.frames += 1
        self.size_bytes += len(unit.payload)
        self.last_dts = unit.dts

    def per_second(self, amount: int) -> float | None:
        """`amount`, which all frames but the last bring, a second."""
        span = self.last_dts - self.first_dts
        return amount * TICKS_PER_SECOND / span if span > 0 else None

    def report(self) -> TrackReport:
        track, rate = self.track, self.per_second(self.frames - 1)
        bitrate = self.per_second(self.size_bytes * 8 * (self.frames - 1) // self.frames) if self.frames else None
        return TrackReport(
            kind=track.kind.value,
            codec=track.codec.value,
            codec_string=codec_string(track),
            profile=track.profile,
            width=track.width,
            height=track.height,
            frame_rate=None if track.frame_rate is None else round(float(track.frame_rate), 3),
            measured_frame_rate=None if rate is None else round(rate, 3),
            sample_rate_hz=track.sample_rate_hz,
            channels=track.channels,
            frames=self.frames,
            bitrate_bps=None if bitrate is None else round(bitrate),
            dts_monotonic=self.monotonic,
        )


@dataclass(slots=True)
class _Gops:
    """The whole GOPs of a video track."""

    starts: list[tuple[int, int]] = field(default_factory=list)  #: picture number and decoding time of the first and the last start
    count: int = 0

    def add(self, picture: int, dts: int) -> None:
        if self.starts:
            self.count += 1
        self.starts = [*self.starts[:1], (picture, dts)]

    def means(self) -> tuple[float | None, float | None]:
        """Frames and ms of a GOP."""
        if not self.count:
            return None, None
        (first_picture, first_dts), (last_picture, last_dts) = self.starts
        frames, ticks = (last_picture - first_picture) / self.count, (last_dts - first_dts) / self.count
        return round(frames, 2), round(ticks * 1000 / TICKS_PER_SECOND, 1)


class ProbeAnalysis:
    """Takes the tags of a stream, and the moments at which they came; knows no clock."""

    def __init__(self, started_at: float) -> None:
        """Dialled at `started_at`, seconds of any clock that all moments here are of."""
        self._started_at = started_at
        self._demuxer = BodyDemuxer()
        self._seen: dict[int, _Seen] = {}
        self._gops = _Gops()
        self._size_bytes = 0
        self._interleave: int | None = None
        self._first_message_at: float | None = None
        self._first_keyframe_at: float | None = None

    @property
    def first_message_at(self) -> float | None:
        """When the first tag came."""
        return self._first_message_at

    def feed(self, tag: Tag, now: float) -> None:
        """Take one tag that came at `now`. What cannot be read is counted."""
        if self._first_message_at is None:
            self._first_message_at = now
        self._size_bytes += len(tag.body)
        try:
            events = self._demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body)
        except RemoteProtocolError as error:
            self._demuxer.counters.count(error.reason)
            return
        for event in events:
            if isinstance(event, TracksChanged):
                self._follow(event.tracks.tracks)
            elif isinstance(event, AccessUnit) and event.track_id in self._seen:
                self._unit(event, now)

    def _follow(self, tracks: tuple[Track, ...]) -> None:
        for track in tracks:
            if track.codec is not Codec.SCRIPT:
                self._seen.setdefault(track.track_id, _Seen(track)).track = track

    def _unit(self, unit: AccessUnit, now: float) -> None:
        seen = self._seen[unit.track_id]
        if seen.track.kind is Kind.VIDEO and unit.random_access:
            self._gops.add(seen.frames, unit.dts)
            if self._first_keyframe_at is None:
                self._first_keyframe_at = now
        seen.add(unit)
        if (pair := self._audio_and_video()) is not None:
            audio, video = pair
            self._interleave = max(self._interleave or 0, abs(audio.last_dts - video.last_dts))

    def _audio_and_video(self) -> tuple[_Seen, _Seen] | None:
        """The first track of each kind, once both have frames."""
        first = {seen.track.kind: seen for seen in reversed(list(self._seen.values())) if seen.frames}
        audio, video = first.get(Kind.AUDIO), first.get(Kind.VIDEO)
        return (audio, video) if audio is not None and video is not None else None

    def report(self, player: Player) -> ProbeReport:
        """What has been found out, and what `player` knows of itself."""
        seen = [one for one in self._seen.values() if one.frames]
        span = max((one.last_dts for one in seen), default=0) - min((one.first_dts for one in seen), default=0)
        pair = self._audio_and_video()
        gop_frames, gop_ms = self._gops.means()
        return ProbeReport(
            url=player.url,
            protocol=player.protocol,
            first_byte_ms=self._since_start(player.first_byte_at),
            first_message_ms=self._since_start(self._first_message_at),
            first_keyframe_ms=self._since_start(self._first_keyframe_at),
            duration_ms=ticks_to_ms(span),
            size_bytes=self._size_bytes,
            bitrate_bps=self._size_bytes * 8 * TICKS_PER_SECOND // span if span > 0 else None,
            tracks=tuple(one.report() for one in self._seen.values()),
            gop_frames=gop_frames,
            gop_ms=gop_ms,
            av_start_offset_ms=None if pair is None else ticks_to_ms(pair[0].first_dts - pair[1].first_dts),
            av_interleave_ms=None if self._interleave is None else ticks_to_ms(self._interleave),
            dts_monotonic=all(one.monotonic for one in seen),
            passed_over=dict(self._demuxer.counters.reasons),
            ended=player.end_reason,
        )

    def _since_start(self, moment: float | None) -> float | None:
        return None if moment is None else round((moment - self._started_at) * 1000, 1)


async def probe(url: str, *, duration_s: float = DEFAULT_DURATION_S, options: ClientOptions = DEFAULT_OPTIONS) -> ProbeReport:
    """Play `url` for `duration_s` seconds from its first message on, or until it ends, and tell what it is.

    Raises:
        StreamNotFound: the server let us in, and the stream ended before anything came.
        TimedOut: nothing came.
        LalmeshError: another of what a `lalmesh.client.Player` raises before the first message.
    """
    loop = asyncio.get_running_loop()
    analysis = ProbeAnalysis(loop.time())
    options = replace(options, stall_timeout_s=duration_s)
    async with open_player(url, options) as player:
        try:
            async with asyncio.timeout(None) as limit:
                async for tag in player:
                    now = loop.time()
                    if analysis.first_message_at is None:
                        limit.reschedule(now + duration_s)
                    analysis.feed(tag, now)
        except (TimedOut, TimeoutError):
            if analysis.first_message_at is None:
                raise
        if analysis.first_message_at is None:
            raise StreamNotFound(f"nothing came: {player.end_reason}")
        return analysis.report(player)
