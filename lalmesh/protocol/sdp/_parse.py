"""A description out of its text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from lalmesh.errors import LimitExceeded, RemoteProtocolError
from lalmesh.protocol.sdp._lines import Line, split_lines
from lalmesh.protocol.sdp._model import Attribute, MediaDescription, SessionDescription

MAX_MEDIA: Final = 16  #: sections; a camera has a picture, a sound, a sound back and metadata

_MAX_PORT = 65_535


def parse_session(data: bytes) -> SessionDescription:
    """Read a description.

    What RTSP can do without may be missing, even ``v=``, ``o=``, ``s=`` and ``t=``; lines that are not known are passed over.

    Raises:
        RemoteProtocolError: no media in it, or a ``m=`` line without media and protocol.
        LimitExceeded: too long, too many lines, or more than `MAX_MEDIA` sections.
    Source: RFC 8866 §5, §9
    """
    lines = split_lines(data)
    starts = [index for index, line in enumerate(lines) if line.type == "m"]
    if not starts:
        raise RemoteProtocolError("session description without media", section="RFC 8866 §5.14")
    if len(starts) > MAX_MEDIA:
        raise LimitExceeded("media of a session description", len(starts), MAX_MEDIA, section="RFC 8866 §5.14")
    session, ends = lines[: starts[0]], (*starts[1:], len(lines))
    default = SessionDescription()
    return SessionDescription(
        origin=_first(session, "o") or default.origin,
        name=_first(session, "s") or default.name,
        connection=_first(session, "c"),
        attributes=_attributes(session),
        media=tuple(_parse_section(lines[start:end]) for start, end in zip(starts, ends, strict=True)),
    )


def parse_media(data: bytes) -> MediaDescription:
    """Read one section, as `MediaDescription.serialize` gives it.

    Raises:
        RemoteProtocolError: as `parse_session`, or not exactly one section.
    """
    description = parse_session(data)
    if len(description.media) != 1:
        raise RemoteProtocolError(f"{len(description.media)} media, one wanted", section="RFC 8866 §5.14")
    return description.media[0]


def _parse_section(lines: Sequence[Line]) -> MediaDescription:
    words = lines[0].value.split()
    if len(words) < 3:
        raise RemoteProtocolError(f"media line of {len(words)} words", section="RFC 8866 §5.14")
    media, port, protocol, *payload_types = words
    return MediaDescription(
        media=media.lower(),
        port=_parse_port(port),
        protocol=protocol,
        payload_types=tuple(payload_types),
        connection=_first(lines, "c"),
        bandwidth=tuple(line.value for line in lines if line.type == "b"),
        attributes=_attributes(lines),
    )


def _parse_port(text: str) -> int:
    """The port, without the number of ports that may follow it; 0 for what is none, since SETUP says it anyway."""
    port = text.partition("/")[0]
    return int(port) if port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= _MAX_PORT else 0


def _attributes(lines: Iterable[Line]) -> tuple[Attribute, ...]:
    """The ``a=`` lines. Spaces around the first colon are of some cameras."""
    split = (line.value.partition(":") for line in lines if line.type == "a")
    return tuple(Attribute(name.strip().lower(), value.strip()) for name, _, value in split if name.strip())


def _first(lines: Iterable[Line], kind: str) -> str:
    return next((line.value for line in lines if line.type == kind), "")
