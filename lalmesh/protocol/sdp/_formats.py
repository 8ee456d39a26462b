"""What a payload type stands for: ``a=rtpmap`` and ``a=fmtp``, what RFC 3551 fixes, and what cameras forget to say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from lalmesh.codec import aac
from lalmesh.errors import RemoteProtocolError, UnsupportedError

FIRST_DYNAMIC_PAYLOAD_TYPE: Final = 96  #: up to 127 (RFC 3551 §6)
MAX_PAYLOAD_TYPE: Final = 127
MAX_PARAMETERS: Final = 64  #: of one ``a=fmtp``

#: encoding name, clock rate in Hz and channels of the payload types that are fixed (RFC 3551 Tables 4 and 5)
STATIC_FORMATS: Final[Mapping[int, tuple[str, int, int]]] = {
    0: ("PCMU", 8_000, 1),
    3: ("GSM", 8_000, 1),
    4: ("G723", 8_000, 1),
    5: ("DVI4", 8_000, 1),
    6: ("DVI4", 16_000, 1),
    7: ("LPC", 8_000, 1),
    8: ("PCMA", 8_000, 1),
    9: ("G722", 8_000, 1),
    10: ("L16", 44_100, 2),
    11: ("L16", 44_100, 1),
    12: ("QCELP", 8_000, 1),
    13: ("CN", 8_000, 1),
    14: ("MPA", 90_000, 1),
    15: ("G728", 8_000, 1),
    16: ("DVI4", 11_025, 1),
    17: ("DVI4", 22_050, 1),
    18: ("G729", 8_000, 1),
    25: ("CelB", 90_000, 1),
    26: ("JPEG", 90_000, 1),
    28: ("nv", 90_000, 1),
    31: ("H261", 90_000, 1),
    32: ("MPV", 90_000, 1),
    33: ("MP2T", 90_000, 1),
    34: ("H263", 90_000, 1),
}

_RTPMAP = re.compile(r"([^/\s]+)\s*(?:/\s*([0-9]{1,9}))?\s*(?:/\s*([0-9]{1,3}))?")
VIDEO_CLOCK_RATE_HZ: Final = 90_000  #: also of what nobody tells of
_AUDIO_CLOCK_RATE_HZ: Final = 8_000
#: parameters that only one payload format has: what tells it where there is no ``a=rtpmap``
_TELLTALES: Final = {
    "sprop-parameter-sets": "H264",
    "packetization-mode": "H264",
    "sprop-vps": "H265",
    "sprop-sps": "H265",
    "sizelength": "mpeg4-generic",
    "level-idx": "AV1",
}


@dataclass(slots=True, frozen=True)
class MediaFormat:
    """How a track is carried in RTP. Its fields are those of `lalmesh.protocol.rtp.PayloadFormat`, and a number."""

    payload_type: int  #: 0..127
    encoding_name: str  #: as said; upper and lower case are the same
    clock_rate_hz: int  #: of RTP timestamps, 1 and up
    channels: int = 1  #: 1 and up
    parameters: Mapping[str, str] = field(default_factory=dict)  #: of ``a=fmtp``, names in lower case


def parse_format(media: str, number: str, rtpmaps: Mapping[int, str], fmtps: Mapping[int, str]) -> MediaFormat | None:
    """What a payload type stands for; None where nobody tells.

    Args:
        media: ``video``, ``audio`` or another word of the ``m=`` line.
        number: the payload type, as it stands there.
        rtpmaps: what the ``a=rtpmap`` lines of the section say, as `by_payload_type` gives it.
        fmtps: what its ``a=fmtp`` lines do.
    """
    payload_type = parse_payload_type(number)
    if payload_type is None:
        return None
    parameters = parse_parameters(fmtps.get(payload_type, ""))
    name, clock_rate_hz, channels = _parse_map(media, payload_type, rtpmaps.get(payload_type, ""), parameters)
    if not name or clock_rate_hz < 1 or channels < 1:
        return None
    return _completed(MediaFormat(payload_type, name, clock_rate_hz, channels, parameters))


def parse_parameters(text: str) -> dict[str, str]:
    """The parameters of an ``a=fmtp``: names in lower case, of two the first counts.

    Interop: base64 ends in ``=``, so only the first one parts name and value. Some put spaces around everything.
    """
    found: dict[str, str] = {}
    for part in text.split(";", MAX_PARAMETERS)[:MAX_PARAMETERS]:
        name, _, value = part.partition("=")
        if name.strip():
            found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def by_payload_type(values: Iterable[str]) -> dict[int, str]:
    """What lines say, by payload type; of two about the same, the first counts.

    The number comes first, and some put more than one space behind it.
    """
    found: dict[int, str] = {}
    for value in values:
        number, _, rest = value.strip().replace("\t", " ").partition(" ")
        payload_type = parse_payload_type(number)
        if payload_type is not None:
            found.setdefault(payload_type, rest.strip())
    return found


def parse_payload_type(text: str) -> int | None:
    """A payload type as it stands in a ``m=`` line; None where it is none."""
    is_number = text.isascii() and text.isdigit() and len(text) <= 3
    return int(text) if is_number and int(text) <= MAX_PAYLOAD_TYPE else None


def _parse_map(media: str, payload_type: int, rtpmap: str, parameters: Mapping[str, str]) -> tuple[str, int, int]:
    """Encoding name, clock rate and channels; an empty name where they are not known."""
    said = _RTPMAP.match(rtpmap)
    fixed = STATIC_FORMATS.get(payload_type, ("", 0, 1))
    if said is None:
        return fixed if fixed[0] else _guessed(parameters)
    default_hz = fixed[1] or (VIDEO_CLOCK_RATE_HZ if media == "video" else _AUDIO_CLOCK_RATE_HZ)
    return said[1], int(said[2]) if said[2] else default_hz, int(said[3]) if said[3] else 1


def _guessed(parameters: Mapping[str, str]) -> tuple[str, int, int]:
    """A dynamic payload type without ``a=rtpmap``, which some cameras leave out: its parameters tell (see `_TELLTALES`)."""
    name = next((_TELLTALES[parameter] for parameter in parameters if parameter in _TELLTALES), "")
    if name != "mpeg4-generic":
        return name, VIDEO_CLOCK_RATE_HZ, 1
    try:
        config = aac.AudioSpecificConfig.parse(bytes.fromhex(parameters.get("config", "")))
    except (ValueError, RemoteProtocolError, UnsupportedError):
        return "", 0, 0
    return name, config.sample_rate_hz, config.channels or 2


def _completed(said: MediaFormat) -> MediaFormat:
    """AAC without ``config``: what the clock rate and the channels tell, as AAC-LC, which is what such cameras send.

    Interop: RFC 3640 §4.1 wants it; cheap cameras leave it out, and what plays them guesses the same.
    """
    if said.encoding_name.lower() != "mpeg4-generic" or said.parameters.get("config"):
        return said
    channels = {count: number for number, count in reversed(aac.CHANNELS.items()) if count}
    if said.channels not in channels or said.clock_rate_hz >= 1 << 24:
        return said
    config = aac.AudioSpecificConfig(sample_rate_hz=said.clock_rate_hz, channel_configuration=channels[said.channels])
    parameters = {**said.parameters, "config": config.serialize().hex()}
    return MediaFormat(said.payload_type, said.encoding_name, said.clock_rate_hz, said.channels, parameters)
