"""Which depacketizer takes a payload format, and which packetizer a track: one line a codec."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lalmesh.codec import build_track, g711
from lalmesh.codec.nalu_codecs import H264, H265
from lalmesh.codec.opus import OpusHead
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import Codec, Track
from lalmesh.protocol.rtp._aac_in import AacDepacketizer, AuHeaderFormat
from lalmesh.protocol.rtp._av1_in import Av1Depacketizer
from lalmesh.protocol.rtp._av1_out import Av1Packetizer
from lalmesh.protocol.rtp._depacketizer import Depacketizer
from lalmesh.protocol.rtp._formats import PayloadFormat, decode_parameter_sets
from lalmesh.protocol.rtp._nalus import h265_parser, parse_h264
from lalmesh.protocol.rtp._packetizer import MAX_PAYLOAD_BYTES, Packetizer
from lalmesh.protocol.rtp._sounds_in import MpegAudioDepacketizer, WholeDepacketizer
from lalmesh.protocol.rtp._sounds_out import (
    AacPacketizer,
    G711Packetizer,
    MpegAudioPacketizer,
    OpaquePacketizer,
    WholePacketizer,
)
from lalmesh.protocol.rtp._video_in import VideoDepacketizer
from lalmesh.protocol.rtp._video_out import VideoPacketizer

_INTERLEAVED_MODE = 2


def build_depacketizer(track_id: int, payload_format: PayloadFormat) -> Depacketizer:
    """What takes the packets of a payload format.

    Args:
        track_id: of the track that comes out.
        payload_format: as the session description has it.

    Raises:
        UnsupportedError: no format that is known here, such as MP4A-LATM: `build_opaque_depacketizer` passes it on.
        RemoteProtocolError: its parameters do not parse.
    """
    if payload_format.clock_rate_hz < 1 or payload_format.channels < 1:
        raise RemoteProtocolError(f"clock rate {payload_format.clock_rate_hz}, {payload_format.channels} channels")
    build = _DEPACKETIZERS.get(payload_format.name)
    if build is None:
        raise UnsupportedError(f"RTP payload format {payload_format.encoding_name[:40]}")
    return build(track_id, payload_format)


def build_opaque_depacketizer(track_id: int, configuration: bytes) -> Depacketizer:
    """What passes packets on as they are: one unit a packet, header included.

    Args:
        track_id: of the track that comes out.
        configuration: of that track: the section of the session description.
    """
    track = Track(track_id=track_id, codec=Codec.OPAQUE, configuration=configuration)
    return WholeDepacketizer(track, lambda packet: packet.serialize())


def build_packetizer(track: Track, *, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> Packetizer:
    """What cuts the units of `track` into payloads of `max_payload_bytes` at most.

    Raises:
        UnsupportedError: a codec that has no payload format here.
        RemoteProtocolError: the configuration does not parse; never of a track that `build_track` made.
    """
    match track.codec:
        case Codec.H264:
            return VideoPacketizer(H264, track.configuration, max_payload_bytes=max_payload_bytes)
        case Codec.H265:
            return VideoPacketizer(H265, track.configuration, max_payload_bytes=max_payload_bytes)
        case Codec.AV1:
            return Av1Packetizer(max_payload_bytes=max_payload_bytes)
        case Codec.AAC:
            return AacPacketizer(max_payload_bytes=max_payload_bytes)
        case Codec.OPUS:
            return WholePacketizer()
        case Codec.PCMA | Codec.PCMU:
            return G711Packetizer(track.channels or 1, max_payload_bytes=max_payload_bytes)
        case Codec.MP2 | Codec.MP3:
            return MpegAudioPacketizer(max_payload_bytes=max_payload_bytes)
        case Codec.OPAQUE:
            return OpaquePacketizer()
        case _:
            raise UnsupportedError(f"{track.codec.value} in RTP")


def _h264(track_id: int, payload_format: PayloadFormat) -> Depacketizer:
    """RFC 6184 §8.1."""
    sets = decode_parameter_sets(payload_format.parameters.get("sprop-parameter-sets", ""))
    is_interleaved = payload_format.number("packetization-mode") == _INTERLEAVED_MODE
    depth = payload_format.number("sprop-interleaving-depth") if is_interleaved else 0
    return VideoDepacketizer(track_id, H264, parse_h264, parameter_sets=sets, interleaving_depth=depth)


def _h265(track_id: int, payload_format: PayloadFormat) -> Depacketizer:
    """RFC 7798 §7.1."""
    texts = [payload_format.parameters.get(name, "") for name in ("sprop-vps", "sprop-sps", "sprop-pps")]
    sets = [nalu for text in texts for nalu in decode_parameter_sets(text)]
    has_don = payload_format.number("sprop-max-don-diff") > 0
    depth = payload_format.number("sprop-depack-buf-nalus") if has_don else 0
    return VideoDepacketizer(track_id, H265, h265_parser(has_don=has_don), parameter_sets=sets, interleaving_depth=depth)


def _aac(track_id: int, payload_format: PayloadFormat) -> Depacketizer:
    """RFC 3640 §4.1."""
    mode = payload_format.parameters.get("mode", "AAC-hbr").lower()
    if mode not in ("aac-hbr", "aac-lbr", "generic") or "constantsize" in payload_format.parameters:
        raise UnsupportedError(f"mpeg4-generic of mode {mode[:40]}, or frames of constant size")
    try:
        config = bytes.fromhex(payload_format.parameters.get("config", ""))
    except ValueError:
        config = b""
    if not config:
        raise UnsupportedError("mpeg4-generic without config")
    return AacDepacketizer(track_id, config, payload_format.clock_rate_hz, AuHeaderFormat.parse(payload_format.parameters))


def _opus(track_id: int, payload_format: PayloadFormat) -> Depacketizer:
    """RFC 7587 §7; what does not say that it is mono may be stereo at any time, and a head of two channels plays both."""
    channels = 1 if payload_format.parameters.get("sprop-stereo") == "0" else 2
    return WholeDepacketizer(build_track(track_id, Codec.OPUS, OpusHead(channels=channels).serialize()))


def _g711(track_id: int, payload_format: PayloadFormat) -> Depacketizer:
    codec = next(codec for codec, name in g711.NAMES.items() if name == payload_format.name)
    rate_hz, channels = payload_format.clock_rate_hz, payload_format.channels
    return WholeDepacketizer(build_track(track_id, codec, sample_rate_hz=rate_hz, channels=channels))


_DEPACKETIZERS: Final[dict[str, Callable[[int, PayloadFormat], Depacketizer]]] = {
    "H264": _h264,
    "H265": _h265,
    "AV1": lambda track_id, payload_format: Av1Depacketizer(track_id),
    "MPEG4-GENERIC": _aac,
    "OPUS": _opus,
    "PCMA": _g711,
    "PCMU": _g711,
    "MPA": lambda track_id, payload_format: MpegAudioDepacketizer(track_id, payload_format.clock_rate_hz),
}
