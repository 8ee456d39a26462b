"""From the description of a publisher to what takes its packets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import TICKS_PER_SECOND
from lalmesh.protocol.rtp import Depacketizer, PayloadFormat, build_depacketizer, build_opaque_depacketizer
from lalmesh.protocol.rtsp import resolve_control
from lalmesh.protocol.sdp import MediaDescription, MediaFormat, SessionDescription


@dataclass(slots=True, frozen=True, kw_only=True)
class IncomingTrack:
    """One of the media that a publisher announces."""

    control: str  #: control URL, as it stands in the description
    depacketizer: Depacketizer | None  #: None: it is not carried by RTP, and nothing of it is taken
    payload_type: int = 0
    clock_rate_hz: int = TICKS_PER_SECOND
    is_video: bool = False


def incoming_tracks(description: SessionDescription, uri: str) -> list[IncomingTrack]:
    """What takes each of the media, in their order; their tracks are numbered from 1.

    The first picture and the first sound whose format is known are understood; all else is passed on as it is, as opaque tracks.

    Args:
        description: of the publisher.
        uri: of its request.
    """
    taken: set[str] = set()
    tracks: list[IncomingTrack] = []
    for index, media in enumerate(description.media):
        track = None if media.media in taken else _understood(index + 1, media)
        if track is None:
            track = _opaque(index + 1, media)
        else:
            taken.add(media.media)
        tracks.append(track)
    if description.control in ("", "*"):
        return tracks
    return [_below(resolve_control(uri, description.control), track) for track in tracks]


def _understood(track_id: int, media: MediaDescription) -> IncomingTrack | None:
    """The track in the first of its formats that is known here; None where none is."""
    for offered, depacketizer in _known(track_id, media):
        return IncomingTrack(
            control=media.control,
            depacketizer=depacketizer,
            payload_type=offered.payload_type,
            clock_rate_hz=offered.clock_rate_hz,
            is_video=media.media == "video",
        )
    return None


def _known(track_id: int, media: MediaDescription) -> Iterator[tuple[MediaFormat, Depacketizer]]:
    for offered in media.formats:
        said = PayloadFormat(offered.encoding_name, offered.clock_rate_hz, offered.channels, offered.parameters)
        try:
            yield offered, build_depacketizer(track_id, said)
        except (RemoteProtocolError, UnsupportedError):
            continue


def _opaque(track_id: int, media: MediaDescription) -> IncomingTrack:
    """Packets as they are; with the section that describes them, without the publisher's addresses."""
    said = media.passed_on
    if said is None:
        return IncomingTrack(control=media.control, depacketizer=None)
    return IncomingTrack(
        control=media.control,
        depacketizer=build_opaque_depacketizer(track_id, media.with_control(media.control).serialize()),
        payload_type=said.payload_type,
        clock_rate_hz=said.clock_rate_hz,
    )


def _below(base: str, track: IncomingTrack) -> IncomingTrack:
    """The track under its whole URL: a description that has a URL of its own counts from there (RFC 2326 §C.1.1)."""
    return IncomingTrack(
        control=resolve_control(base, track.control),
        depacketizer=track.depacketizer,
        payload_type=track.payload_type,
        clock_rate_hz=track.clock_rate_hz,
        is_video=track.is_video,
    )
