"""Smaller headers of RTSP: ``Session``, ``RTP-Info``, ``Range`` (RFC 2326 §12.29, §12.33, §12.37)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

DEFAULT_SESSION_TIMEOUT_S: Final = 60  #: where a server says none (RFC 2326 §12.37)
MAX_SESSION_ID_CHARS: Final = 256  #: of a server's id, which is sent back with every request
MAX_RTP_INFO: Final = 16  #: as many as a description has media

_TIMEOUT = re.compile(r"timeout\s*=\s*\"?([0-9]{1,6})", re.IGNORECASE)
_NEXT_URL = re.compile(r",\s*(?=url\s*=)", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,10}")


@dataclass(slots=True, frozen=True)
class SessionId:
    """The ``Session`` header."""

    value: str
    timeout_s: int = DEFAULT_SESSION_TIMEOUT_S  #: of silence, after which the server ends the session

    def serialize(self) -> str:
        """As a server says it."""
        return f"{self.value};timeout={self.timeout_s}"


def parse_session_id(header: str) -> SessionId:
    """The id, empty where there is none; and its time-out, 60 s where none is said or it is 0."""
    value, _, rest = header.partition(";")
    found = _TIMEOUT.search(rest)
    timeout_s = int(found[1]) if found is not None else 0
    return SessionId(value.strip()[:MAX_SESSION_ID_CHARS], timeout_s or DEFAULT_SESSION_TIMEOUT_S)


@dataclass(slots=True, frozen=True)
class RtpInfo:
    """What ``RTP-Info`` tells of a track: where its packets begin."""

    url: str  #: of the track
    sequence_number: int | None = None  #: of the first packet, 16 bits
    rtp_time: int | None = None  #: RTP timestamp that goes with the beginning of the range, 32 bits


def parse_rtp_info(header: str) -> list[RtpInfo]:
    """What the header tells of each track, in order; numbers that are none count as not said."""
    return [_parse_info(part) for part in _NEXT_URL.split(header)[:MAX_RTP_INFO] if part.strip()]


def _parse_info(text: str) -> RtpInfo:
    """Interop: a URL may have a semicolon or an equals sign in it, so what follows is looked for from the end."""
    url, *words = re.split(r";\s*(?=(?:seq|rtptime|ssrc)\s*=)", text.strip(), flags=re.IGNORECASE)
    said = {name.strip().lower(): value.strip() for name, _, value in (word.partition("=") for word in words)}
    return RtpInfo(url.partition("=")[2].strip().strip('"'), _number(said.get("seq"), 16), _number(said.get("rtptime"), 32))


def serialize_rtp_info(infos: Iterable[RtpInfo]) -> str:
    """The header of several tracks."""
    return ",".join(_serialize_info(info) for info in infos)


def _serialize_info(info: RtpInfo) -> str:
    sequence_number = f";seq={info.sequence_number}" if info.sequence_number is not None else ""
    rtp_time = f";rtptime={info.rtp_time}" if info.rtp_time is not None else ""
    return f"url={info.url}{sequence_number}{rtp_time}"


def _number(text: str | None, bits: int) -> int | None:
    if text is None or _NUMBER.fullmatch(text) is None or int(text) >> bits:
        return None
    return int(text)


@dataclass(slots=True, frozen=True)
class MediaRange:
    """A ``Range``: what part of a presentation is meant. Live streams know ``now`` only; recordings of cameras know more."""

    unit: str  #: ``npt``, ``clock`` or ``smpte``, in lower case
    start: str = ""  #: as said, such as ``now``, ``12.5``, ``0:02:05``, ``20240101T120000Z``; empty: from where it is
    end: str = ""  #: the same; empty: open

    def serialize(self) -> str:
        """The header."""
        return f"{self.unit}={self.start}-{self.end}"


def parse_range(header: str) -> MediaRange | None:
    """The range; None where there is none, or of a form that is not known."""
    unit, equals, rest = header.partition(";")[0].partition("=")
    start, dash, end = rest.partition("-")
    name = unit.strip().lower()
    if not (equals and dash and name in ("npt", "clock", "smpte")):
        return None
    return MediaRange(name, start.strip(), end.strip())
