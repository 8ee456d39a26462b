"""The onMetaData that players get (FLV 10.1 §E.5; Enhanced RTMP v2, Enhancing onMetaData)."""

from __future__ import annotations

from collections.abc import Callable

from lalmesh.amf import AmfValue, EcmaArray, parse_amf0, serialize_amf0
from lalmesh.container.flv._constants import ON_METADATA
from lalmesh.media import Codec, Kind, Track, TrackSet

_CODEC_IDS = {"videocodecid": Kind.VIDEO, "audiocodecid": Kind.AUDIO}


def metadata_body(tracks: TrackSet, codec_number: Callable[[Track], float]) -> bytes:
    """The body of an onMetaData message for `tracks`, with codec ids by `codec_number`."""
    given = next((track.configuration for track in tracks.tracks if track.codec is Codec.SCRIPT), b"")
    if not given:
        return serialize_amf0(ON_METADATA, _made(tracks, codec_number))
    values = parse_amf0(given)
    changed = [_agree(value, tracks, codec_number) for value in values if isinstance(value, dict)]
    return serialize_amf0(*values) if any(changed) else given


def _agree(members: dict[str, AmfValue], tracks: TrackSet, codec_number: Callable[[Track], float]) -> bool:
    """Set the codec ids that are numbers to those of the present tracks; tell whether one was another."""
    changed = False
    for key, kind in _CODEC_IDS.items():
        track = tracks.first(kind)
        if track is not None and isinstance(members.get(key), float) and members[key] != codec_number(track):
            members[key] = codec_number(track)
            changed = True
    return changed


def _made(tracks: TrackSet, codec_number: Callable[[Track], float]) -> EcmaArray:
    members = EcmaArray()
    if (video := tracks.first(Kind.VIDEO)) is not None:
        members.update(_video_members(video))
        members["videocodecid"] = codec_number(video)
    if (audio := tracks.first(Kind.AUDIO)) is not None:
        members.update(_audio_members(audio))
        members["audiocodecid"] = codec_number(audio)
    return members


def _video_members(video: Track) -> dict[str, AmfValue]:
    members: dict[str, AmfValue] = {}
    if video.width and video.height:
        members.update(width=float(video.width), height=float(video.height))
    if video.frame_rate is not None:
        members["framerate"] = float(video.frame_rate)
    return members


def _audio_members(audio: Track) -> dict[str, AmfValue]:
    members: dict[str, AmfValue] = {}
    if audio.sample_rate_hz:
        members["audiosamplerate"] = float(audio.sample_rate_hz)
    if audio.channels:
        members["stereo"] = audio.channels > 1
    return {**members, "audiosamplesize": 16.0}
