"""What fMP4 carries of a stream, how it is named, and what only a first frame tells (RFC 6381; ISO/IEC 23000-19)."""

from __future__ import annotations

from dataclasses import replace

from lalmesh.codec import av1, build_track, codec_string, vp9
from lalmesh.container.fmp4._constants import SAMPLE_ENTRIES
from lalmesh.container.fmp4._dolby import Ac3Specific
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import AccessUnit, Codec, Kind, Track, TrackSet

_UNCONFIGURED = frozenset((Codec.MP3, Codec.AC3, Codec.EAC3))  #: their frames tell all, so a sample rate is enough to begin
_VIDEO, _AUDIO = "video/mp4", "audio/mp4"
_RFC6381 = {Codec.MP3: "mp4a.40.34"}  # by its MPEG-4 object type: what HLS and its players know, whatever `esds` says
_TOLD_BY_FRAMES = frozenset((Codec.AC3, Codec.EAC3, Codec.AV1, Codec.VP9))


def carries(codec: Codec) -> bool:
    """Whether fMP4 has room for `codec` here: not for G.711, MPEG layer II, script data and what is opaque."""
    return codec in SAMPLE_ENTRIES


def is_carried(track: Track) -> bool:
    """Whether the track goes out: its codec has a place here, and its configuration is there."""
    if track.codec not in SAMPLE_ENTRIES:
        return False
    return bool(track.configuration) or (track.codec in _UNCONFIGURED and track.sample_rate_hz > 0)


def carried_tracks(tracks: TrackSet) -> tuple[Track, ...]:
    """The tracks that go out, in their order."""
    return tuple(track for track in tracks.tracks if is_carried(track))


def codecs_parameter(tracks: TrackSet) -> str:
    """The CODECS of what goes out, such as ``avc1.64001f,mp4a.40.2``; empty where that is nothing (RFC 6381 §3.3)."""
    return ",".join(_RFC6381.get(track.codec) or codec_string(track) for track in carried_tracks(tracks))


def mime_type(tracks: TrackSet) -> str:
    """The type of the stream with its codecs, such as ``video/mp4; codecs="avc1.64001f,mp4a.40.2"``, as MSE and HTTP want it.

    ``audio/mp4`` where there is audio and no video; bare ``video/mp4`` where nothing goes out. MP3 is ``mp3`` here, the name by
    which browsers know it.
    """
    carried = carried_tracks(tracks)
    if not carried:
        return _VIDEO
    name = _AUDIO if all(track.kind is Kind.AUDIO for track in carried) else _VIDEO
    return f'{name}; codecs="{",".join(map(codec_string, carried))}"'


def complete_track(track: Track, frame: bytes) -> Track:
    """The track with what its first frame tells and its configuration does not; the same one where that is nothing.

    That is: of AC-3 and E-AC-3 the bodies of `dac3` and `dec3`; of VP9 the size of its pictures; of AV1 the sequence header.

    Args:
        track: as a demuxer gave it.
        frame: payload of one of its units; of video one where decoding can start.
    """
    try:
        return _complete(track, frame)
    except (RemoteProtocolError, UnsupportedError):
        return track  # a damaged frame: the next may tell


def _complete(track: Track, frame: bytes) -> Track:
    match track.codec:
        case Codec.AC3 | Codec.EAC3 if not track.configuration:
            return _complete_dolby(track, frame)
        case Codec.VP9 if not track.width:
            header = vp9.parse_key_frame(frame)
            return track if header is None else replace(track, width=header.width, height=header.height)
        case Codec.AV1 if not track.width and track.configuration:
            return _complete_av1(track, frame)
        case _:
            return track


def _complete_dolby(track: Track, frame: bytes) -> Track:
    found = Ac3Specific.of_frame(frame)
    if found.enhanced is not (track.codec is Codec.EAC3):
        return track
    rate, channels = found.sample_rate_hz or track.sample_rate_hz, found.channels
    return replace(track, configuration=found.serialize(), sample_rate_hz=rate, channels=track.channels or channels)


def _complete_av1(track: Track, frame: bytes) -> Track:
    header = next((obu for obu in av1.parse_obus(frame) if obu.obu_type == av1.OBU_SEQUENCE_HEADER), None)
    if header is None:
        return track
    record = replace(av1.AV1CodecConfigurationRecord.parse(track.configuration), config_obus=av1.serialize_obu(header))
    described = build_track(track.track_id, track.codec, record.serialize(), version=track.version)
    return replace(described, video_metadata=track.video_metadata)


class TrackCompleter:
    """Remember what the first frames of a stream told of its tracks, for init segments that are made later.

    Only VP9, AC-3, E-AC-3 and AV1 without a sequence header in its record need it: for all others nothing changes.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self._completed: dict[int, tuple[Track, Track]] = {}  # by track id: as it came, and completed

    def see(self, unit: AccessUnit, tracks: TrackSet) -> None:
        """Take note of a unit of `tracks`; cheap once its track is known."""
        track = tracks.get(unit.track_id)
        if track is None or track.codec not in _TOLD_BY_FRAMES or not unit.random_access:
            return
        known = self._completed.get(track.track_id)
        if known is None or known[0] is not track:
            completed = complete_track(track, unit.payload)
            if completed is not track:
                self._completed[track.track_id] = (track, completed)

    def complete(self, tracks: TrackSet) -> TrackSet:
        """The set with all that was told; the same one where that is nothing."""
        if not self._completed:
            return tracks
        return TrackSet(tuple(self._complete(track) for track in tracks.tracks), tracks.version)

    def _complete(self, track: Track) -> Track:
        before, completed = self._completed.get(track.track_id, (track, track))
        return completed if before == track else track
