"""What publishers send: one run of units, made once, which begins again when it is over, its times going on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil
from typing import Final

from lalmesh.client.load._made_audio import FRAME_SAMPLES, SAMPLE_RATE_HZ, MadeAudio
from lalmesh.client.load._made_video import MadeVideo
from lalmesh.codec import build_track
from lalmesh.container.flv import AUDIO_TRACK_ID, VIDEO_TRACK_ID, BodyDemuxer, Tag
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Codec, Kind, TracksChanged, TrackSet

#: of made-up media: longer than the newest of what comes at once is on its way, and over twice as long as what is lost at once, so
#: that `_matching` takes no unit for one of another run
MIN_RUN_S: Final = 30.0
MAX_RUN_GOPS: Final = 64  #: looked through for a run that sound fits whole
MAX_RUN_BYTES: Final = 512 << 20  #: made up or of a file: it is held as a whole
MAX_SOUGHT_BYTES: Final = 128 << 20  #: of a made-up run that is longer than it has to be, so that sound fits it whole
MOST_OVER: Final = 1.1  #: times the bit rate that was asked for; more is another stream
DEFAULT_FRAME_TICKS: Final = TICKS_PER_SECOND // 25  #: of a track with one frame only


@dataclass(slots=True, frozen=True)
class Media:
    """One run. Units are in the order in which they leave; the first decoding time is 0."""

    tracks: TrackSet
    units: tuple[AccessUnit, ...]
    run_ticks: int  #: from the beginning of one run to that of the next
    size_bytes: int = field(init=False, default=0)  #: payload of one run
    longest_gap_s: float = field(init=False, default=0.0)  #: between two units of whichever track

    def __post_init__(self) -> None:
        times = [unit.dts for unit in self.units]
        gaps = [after - before for before, after in zip(times, [*times[1:], self.run_ticks], strict=True)]
        object.__setattr__(self, "size_bytes", sum(len(unit.payload) for unit in self.units))
        object.__setattr__(self, "longest_gap_s", max(gaps) / TICKS_PER_SECOND)

    @property
    def bitrate_bps(self) -> float:
        """Of payloads."""
        return self.size_bytes * 8 * TICKS_PER_SECOND / self.run_ticks

    def due_s(self, number: int) -> float:
        """When unit `number`, from 0, leaves: seconds after the first."""
        run, place = divmod(number, len(self.units))
        return (run * self.run_ticks + self.units[place].dts) / TICKS_PER_SECOND

    def unit(self, number: int) -> AccessUnit:
        """Unit `number` of all runs, at its time."""
        run, place = divmod(number, len(self.units))
        unit = self.units[place]
        return replace(unit, dts=unit.dts + run * self.run_ticks) if run else unit


def made_media(*, bitrate_bps: int, frame_rate: Fraction, key_s: float, audio_bps: int) -> Media:
    """Media of `bitrate_bps` in all, made up: H.264 with a key frame every `key_s` seconds, and AAC; 0 bit/s: none.

    Raises:
        ValueError: sound alone is more, or pictures with nothing in them; or no picture has room for so many bits; or the shortest
            run is over `MAX_RUN_BYTES`.
    """
    audio = MadeAudio(bitrate_bps=audio_bps) if audio_bps else None
    if bitrate_bps <= audio_bps:
        raise ValueError(f"{bitrate_bps} bit/s, of which sound has {audio_bps}")
    gop_pictures = max(round(key_s * frame_rate), 1)
    video = MadeVideo(bitrate_bps=bitrate_bps - audio_bps, frame_rate=frame_rate, gop_pictures=gop_pictures)
    picture_ticks = TICKS_PER_SECOND / frame_rate
    frame_ticks = Fraction(FRAME_SAMPLES * TICKS_PER_SECOND, SAMPLE_RATE_HZ)
    gops = _whole_gops(gop_pictures * picture_ticks, frame_ticks, bitrate_bps // 8)
    run_ticks = round(gops * gop_pictures * picture_ticks)
    tracks = TrackSet().with_track(build_track(VIDEO_TRACK_ID, Codec.H264, video.configuration))
    units = []
    for number in range(gops * gop_pictures):
        picture = video.next_picture()
        units.append(AccessUnit(VIDEO_TRACK_ID, round(number * picture_ticks), 0, picture.is_key, picture.payload))
    if audio is not None:
        tracks = tracks.with_track(build_track(AUDIO_TRACK_ID, Codec.AAC, audio.configuration))
        frames = range(round(run_ticks / frame_ticks))
        units += [AccessUnit(AUDIO_TRACK_ID, round(number * frame_ticks), 0, True, audio.next_frame()) for number in frames]
    media = Media(tracks, _in_order(units), run_ticks)
    if media.bitrate_bps > MOST_OVER * bitrate_bps:
        raise ValueError(f"{bitrate_bps} bit/s, where a key frame every {key_s:g} s alone makes {media.bitrate_bps:.0f}")
    return media


def _whole_gops(gop_ticks: Fraction, frame_ticks: Fraction, bytes_per_s: int) -> int:
    """How many groups of pictures make a run: of those that are long enough, the one that ends nearest to the end of a frame."""
    least = max(ceil(MIN_RUN_S * TICKS_PER_SECOND / gop_ticks), 2)  # two key frames in a row must differ
    gop_bytes = bytes_per_s * gop_ticks / TICKS_PER_SECOND
    if least * gop_bytes > MAX_RUN_BYTES:
        least_s = float(least * gop_ticks / TICKS_PER_SECOND)
        raise ValueError(f"{8 * bytes_per_s} bit/s: {ceil(least * gop_bytes)} bytes in {least_s:g} s, limit {MAX_RUN_BYTES}")
    most = max(min(least + MAX_RUN_GOPS, int(MAX_SOUGHT_BYTES / gop_bytes)), least + 1)
    return min(range(least, most), key=lambda gops: _from_whole(gops * gop_ticks / frame_ticks))


def _from_whole(number: Fraction) -> Fraction:
    return abs(number - round(number))


def media_of_tags(tags: Iterable[Tag]) -> Media:
    """The media of a FLV file: its first video and its first audio track, each under its first configuration.

    Raises:
        RemoteProtocolError: there is no frame in it, its configuration changes, or it is over `MAX_RUN_BYTES`.
    """
    demuxer, units, size_bytes, tracks = BodyDemuxer(), list[AccessUnit](), 0, TrackSet()
    for tag in tags:
        for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body):
            if isinstance(event, TracksChanged):
                tracks = _joined(tracks, event.tracks)
            elif isinstance(event, AccessUnit) and tracks.get(event.track_id) is not None:
                units.append(event)
                size_bytes += len(event.payload)
        if size_bytes > MAX_RUN_BYTES:
            raise RemoteProtocolError(f"file of over {MAX_RUN_BYTES} bytes, which are held as a whole")
    if not units:
        raise RemoteProtocolError("file without a frame")
    ordered = _in_order(units)
    first = ordered[0].dts
    moved = tuple(replace(unit, dts=unit.dts - first) for unit in ordered)
    return Media(tracks, moved, _run_ticks(moved))


def _joined(known: TrackSet, now: TrackSet) -> TrackSet:
    for track in now.tracks:
        if track.kind is Kind.DATA:
            continue
        before = known.get(track.track_id)
        if before is not None and before.configuration and before.configuration != track.configuration:
            raise RemoteProtocolError(f"{track.codec.value} whose configuration changes cannot be sent in a loop")
        known = known.with_track(track)
    return known


def _in_order(units: list[AccessUnit]) -> tuple[AccessUnit, ...]:
    return tuple(sorted(units, key=lambda unit: unit.dts))  # of one time in the order in which they came


def _run_ticks(units: Iterable[AccessUnit]) -> int:
    """Up to where the last frame of each track has had its time."""
    last: dict[int, int] = {}
    step: dict[int, int] = {}
    for unit in units:
        if unit.dts > last.get(unit.track_id, unit.dts):
            step[unit.track_id] = unit.dts - last[unit.track_id]
        last[unit.track_id] = unit.dts
    return max(dts + step.get(track_id, DEFAULT_FRAME_TICKS) for track_id, dts in last.items())
