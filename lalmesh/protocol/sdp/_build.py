"""Descriptions that we write: for players, and for servers that we publish to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from lalmesh.errors import LocalProtocolError
from lalmesh.media import Kind
from lalmesh.protocol.sdp._formats import FIRST_DYNAMIC_PAYLOAD_TYPE, MAX_PAYLOAD_TYPE, STATIC_FORMATS
from lalmesh.protocol.sdp._model import Attribute, MediaDescription, SessionDescription


class RtpFormat(Protocol):
    """What is said of a format, such as `lalmesh.protocol.rtp.PayloadFormat`."""

    @property
    def encoding_name(self) -> str:
        """As in ``a=rtpmap``."""
        ...

    @property
    def clock_rate_hz(self) -> int:
        """Of RTP timestamps."""
        ...

    @property
    def channels(self) -> int:
        """1 and up."""
        ...

    @property
    def parameters(self) -> Mapping[str, str]:
        """As in ``a=fmtp``."""
        ...


def assign_payload_types(formats: Iterable[RtpFormat], taken: Iterable[int] = ()) -> list[int]:
    """A payload type for each format: the fixed one where it has one, else the next from 96 up.

    Interop: ffmpeg knows MPEG audio by its fixed type only, and old players G.711 too.

    Args:
        formats: in order.
        taken: payload types that belong to others, such as those of sections that are sent on as they came.

    Raises:
        LocalProtocolError: there are no more.
    """
    used, assigned = set(taken), []
    for media_format in formats:
        free = (number for number in range(FIRST_DYNAMIC_PAYLOAD_TYPE, MAX_PAYLOAD_TYPE + 1) if number not in used)
        payload_type = _static_type(media_format)
        if payload_type is None or payload_type in used:
            payload_type = next(free, None)
        if payload_type is None:
            raise LocalProtocolError("no payload type is left", section="RFC 3551 §6")
        used.add(payload_type)
        assigned.append(payload_type)
    return assigned


def _static_type(media_format: RtpFormat) -> int | None:
    wanted = (media_format.encoding_name.upper(), media_format.clock_rate_hz, media_format.channels)
    return next(
        (number for number, (name, rate, channels) in STATIC_FORMATS.items() if (name.upper(), rate, channels) == wanted), None
    )


def build_media(kind: Kind, media_format: RtpFormat, *, payload_type: int, control: str) -> MediaDescription:
    """The section of one track.

    Args:
        kind: of the track; data becomes ``application``.
        media_format: how it is carried.
        payload_type: 0..127.
        control: its control URL, relative to that of the description.
    """
    media = kind.value if kind is not Kind.DATA else "application"
    name, channels = media_format.encoding_name, media_format.channels
    mapped = f"{payload_type} {name}/{media_format.clock_rate_hz}"
    if kind is Kind.AUDIO and channels > 1:  # one may be left out, and pictures have none (RFC 8866 §6.6)
        mapped += f"/{channels}"
    attributes = [Attribute("rtpmap", mapped)]
    if media_format.parameters:
        said = "; ".join(f"{key}={value}" for key, value in media_format.parameters.items())
        attributes.append(Attribute("fmtp", f"{payload_type} {said}"))
    attributes.append(Attribute("control", control))
    return MediaDescription(media=media, payload_types=(str(payload_type),), attributes=tuple(attributes))


def build_session(
    media: Sequence[MediaDescription], *, session_id: int, version: int = 1, address: str = "0.0.0.0"
) -> SessionDescription:
    """The description of a live stream.

    Args:
        media: its sections.
        session_id: names this stream; the same for all its players.
        version: rises when the description of the same stream changes.
        address: of who sends, IPv4 or IPv6; where the media go is for SETUP to say, so the connection line has none.
    """
    family, anywhere = ("IP6", "::") if ":" in address else ("IP4", "0.0.0.0")
    return SessionDescription(
        origin=f"- {session_id} {version} IN {family} {address}",
        connection=f"IN {family} {anywhere}",
        attributes=(Attribute("range", "npt=now-"), Attribute("control", "*")),
        media=tuple(media),
    )
