"""What a session description tells of the tracks of a stream that RTP can carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import Codec, Track, TrackSet
from lalmesh.protocol.rtp import PayloadFormat, format_of
from lalmesh.protocol.rtsp import MAX_TRACKS
from lalmesh.protocol.sdp import MediaDescription, assign_payload_types, build_media, build_session, parse_media

_CONTROL: Final = "streamid={}"  # of a track, as ffmpeg and lal call it

CarriedTrack: TypeAlias = tuple[Track, PayloadFormat]


def rtp_tracks(tracks: TrackSet) -> tuple[Track, ...]:
    """The tracks that RTP can carry, in the order of the description, at most `MAX_TRACKS`."""
    return tuple(track for track, _ in carried_tracks(tracks))


def rtp_session(tracks: TrackSet, *, session_id: int = 1) -> tuple[bytes, list[str]]:
    """The description of the tracks that RTP can carry, and the control URL of each.

    Args:
        tracks: of the stream.
        session_id: names the stream in its description.
    """
    lines = description_lines(carried_tracks(tracks))
    return session_description(lines, session_id), [line.media.control for line in lines]


@dataclass(slots=True, frozen=True)
class DescriptionLine:
    """One track in a description."""

    media: MediaDescription
    payload_type: int
    clock_rate_hz: int


def carried_tracks(tracks: TrackSet) -> list[CarriedTrack]:
    """The tracks that RTP can carry, each with how."""
    found = ((track, _format(track)) for track in tracks.tracks)
    return [(track, told) for track, told in found if told is not None][:MAX_TRACKS]


def _format(track: Track) -> PayloadFormat | None:
    """How a track goes out; None: not at all. Of an opaque one its section of a description tells."""
    try:
        if track.codec is not Codec.OPAQUE:
            return format_of(track)
        said = parse_media(track.configuration).passed_on
    except (UnsupportedError, RemoteProtocolError):
        return None
    return PayloadFormat(said.encoding_name, said.clock_rate_hz, said.channels, said.parameters) if said else None


def session_description(lines: Sequence[DescriptionLine], session_id: int) -> bytes:
    """The description of tracks."""
    return build_session([line.media for line in lines], session_id=session_id).serialize()


def told_of(carried: Sequence[CarriedTrack]) -> list[tuple[object, ...]]:
    """What a description fixes. Parameter sets are in band too, so that those in it are but a beginning."""
    return [
        (
            track.track_id,
            track.codec,
            (told.name, told.clock_rate_hz, told.channels),
            track.configuration if track.codec in (Codec.AAC, Codec.OPAQUE) else b"",
        )
        for track, told in carried
    ]


def description_lines(carried: Sequence[CarriedTrack]) -> list[DescriptionLine]:
    """The sections of a description; that of an opaque track as it came, but for its control URL."""
    opaque = {index: parse_media(track.configuration) for index, (track, _) in enumerate(carried) if track.codec is Codec.OPAQUE}
    taken = {index: said.payload_type for index, media in opaque.items() if (said := media.passed_on) is not None}
    ours = [told for index, (_, told) in enumerate(carried) if index not in opaque]
    free = iter(assign_payload_types(ours, taken.values()))
    lines = []
    for index, (track, told) in enumerate(carried):
        control, payload_type = _CONTROL.format(index), taken[index] if index in taken else next(free)
        if index in opaque:
            media = opaque[index].with_control(control)
        else:
            media = build_media(track.kind, told, payload_type=payload_type, control=control)
        lines.append(DescriptionLine(media, payload_type, told.clock_rate_hz))
    return lines
