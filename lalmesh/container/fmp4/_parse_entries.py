"""Sample entries in: the codec and the configuration of a track (ISO/IEC 14496-12 §8.5.2; the bindings of codecs)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

from lalmesh.codec import build_track
from lalmesh.codec.flac import StreamInfo
from lalmesh.codec.h264 import AvcDecoderConfigurationRecord
from lalmesh.codec.h265 import HevcDecoderConfigurationRecord
from lalmesh.codec.nalu import LENGTH_SIZE
from lalmesh.codec.opus import OpusHead
from lalmesh.container.fmp4._boxes import child
from lalmesh.container.fmp4._constants import OTI_AAC, OTI_AC3, OTI_EAC3, OTI_MPEG1_AUDIO, OTI_MPEG2_AAC, OTI_MPEG2_AUDIO
from lalmesh.container.fmp4._descriptors import parse_esds
from lalmesh.container.fmp4._dolby import Ac3Specific
from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError
from lalmesh.media import Codec, Kind, Track

MAX_CONFIGURATION_BYTES = 64 << 10  #: of one codec; with every parameter set and SEI that encoders write it is below 4 KiB

_SECTION = "ISO/IEC 14496-12 §8.5.2"
_VISUAL = struct.Struct(">24xHH50x")
_AUDIO = struct.Struct(">8xH6xH6xHxx")  # version of QuickTime, channels, the whole Hz of the rate
_QUICKTIME_BYTES = {0: 0, 1: 16, 2: 36}  # what a sound description of that version has more (QuickTime File Format)
_DOPS = struct.Struct(">BBHIhB")


class Entry:
    """What a sample entry tells: how the track is coded, and how long the NALU lengths of its samples are."""

    __slots__ = ("length_size", "track")

    def __init__(self, track: Track, length_size: int = LENGTH_SIZE) -> None:
        """Keep the `track`, whose configuration announces 4 bytes, and the `length_size` that the file has."""
        self.track = track
        self.length_size = length_size


def parse_entry(track_id: int, kind: bytes, body: bytes) -> Entry:
    """Read the sample entry `kind`.

    Raises:
        RemoteProtocolError: cut off, or its configuration is missing or malformed.
        LimitExceeded: the configuration is over `MAX_CONFIGURATION_BYTES`.
        UnsupportedError: of a codec, or a kind of its configuration, that is not implemented.
    """
    if kind in _VIDEO:
        return _parse_visual(track_id, kind, body)
    if kind in _SOUND:
        return Entry(_parse_audio(track_id, kind, body))
    raise UnsupportedError(f"sample entry {kind!r}")


def _parse_visual(track_id: int, kind: bytes, body: bytes) -> Entry:
    """VisualSampleEntry (§12.1.3)."""
    if len(body) < _VISUAL.size:
        raise RemoteProtocolError(f"visual sample entry of {len(body)} bytes", section=_SECTION)
    width, height = _VISUAL.unpack_from(body)
    codec, box_kind = _VIDEO[kind]
    configuration, length_size = _with_whole_lengths(codec, _configuration(body, _VISUAL.size, box_kind))
    track = build_track(track_id, codec, configuration)
    if not track.width:
        track = replace(track, width=width, height=height)
    return Entry(track, length_size)


def _parse_audio(track_id: int, kind: bytes, body: bytes) -> Track:
    """AudioSampleEntry (§12.2.3)."""
    if len(body) < _AUDIO.size:
        raise RemoteProtocolError(f"audio sample entry of {len(body)} bytes", section=_SECTION)
    version, channels, rate = _AUDIO.unpack_from(body)
    if version not in _QUICKTIME_BYTES:
        raise UnsupportedError(f"sound description version {version}")
    start = _AUDIO.size + _QUICKTIME_BYTES[version]
    codec, configuration = _SOUND[kind](body, start)
    track = build_track(track_id, codec, configuration, sample_rate_hz=rate, channels=channels)
    if codec not in (Codec.AC3, Codec.EAC3):
        return track
    # Interop: ffmpeg says 2 channels of any stream
    specific = Ac3Specific.parse(configuration, enhanced=codec is Codec.EAC3)
    return replace(track, channels=specific.channels, sample_rate_hz=specific.sample_rate_hz or rate)


def _configuration(body: bytes, start: int, kind: bytes) -> bytes:
    found = child(body, kind, start=start)
    if found is None:
        raise RemoteProtocolError(f"sample entry without {kind!r}", section=_SECTION)
    if len(found) > MAX_CONFIGURATION_BYTES:
        raise LimitExceeded(f"{kind!r} bytes", len(found), MAX_CONFIGURATION_BYTES, section=_SECTION)
    return found


def _with_whole_lengths(codec: Codec, configuration: bytes) -> tuple[bytes, int]:
    """The record that announces 4-byte lengths, and the size that the file announces."""
    match codec:
        case Codec.H264:
            avc = AvcDecoderConfigurationRecord.parse(configuration)
            if avc.length_size != LENGTH_SIZE:
                return replace(avc, length_size=LENGTH_SIZE).serialize(), avc.length_size
        case Codec.H265:
            hevc = HevcDecoderConfigurationRecord.parse(configuration)
            if hevc.length_size != LENGTH_SIZE:
                return replace(hevc, length_size=LENGTH_SIZE).serialize(), hevc.length_size
        case _:
            pass
    return configuration, LENGTH_SIZE


def _mp4a(body: bytes, start: int) -> tuple[Codec, bytes]:
    object_type, specific = parse_esds(_configuration(body, start, b"esds"))
    if object_type == OTI_AAC or object_type in OTI_MPEG2_AAC:
        if not specific:
            raise RemoteProtocolError("AAC without AudioSpecificConfig", section="ISO/IEC 14496-14 §5.6")
        return Codec.AAC, specific
    codec = {OTI_MPEG1_AUDIO: Codec.MP3, OTI_MPEG2_AUDIO: Codec.MP3, OTI_AC3: Codec.AC3, OTI_EAC3: Codec.EAC3}.get(object_type)
    if codec is not Codec.MP3:
        raise UnsupportedError(f"objectTypeIndication {object_type:#x}")
    return codec, b""


def _bare_mp3(body: bytes, start: int) -> tuple[Codec, bytes]:
    return Codec.MP3, b""


def _opus(body: bytes, start: int) -> tuple[Codec, bytes]:
    """OpusSpecificBox (Opus in ISOBMFF §4.3.2)."""
    found = _configuration(body, start, b"dOps")
    if len(found) < _DOPS.size:
        raise RemoteProtocolError(f"dOps of {len(found)} bytes", section="Opus in ISOBMFF §4.3.2")
    version, channels, pre_skip, rate, gain, family = _DOPS.unpack_from(found)
    if version:
        raise UnsupportedError(f"dOps version {version}")
    head = OpusHead(
        channels=channels,
        pre_skip=pre_skip,
        input_sample_rate_hz=rate,
        output_gain=gain,
        mapping_family=family,
        stream_count=found[_DOPS.size] if len(found) > _DOPS.size else 0,
        coupled_count=found[_DOPS.size + 1] if len(found) > _DOPS.size + 1 else 0,
        channel_mapping=found[_DOPS.size + 2 :],
    )
    return Codec.OPUS, head.serialize()  # which `build_track` checks


def _flac(body: bytes, start: int) -> tuple[Codec, bytes]:
    return Codec.FLAC, StreamInfo.parse(_configuration(body, start, b"dfLa")).serialize()


def _ac3(body: bytes, start: int) -> tuple[Codec, bytes]:
    return Codec.AC3, _configuration(body, start, b"dac3")


def _eac3(body: bytes, start: int) -> tuple[Codec, bytes]:
    return Codec.EAC3, _configuration(body, start, b"dec3")


_VIDEO = {
    b"avc1": (Codec.H264, b"avcC"),
    b"avc3": (Codec.H264, b"avcC"),  # parameter sets in band too
    b"hvc1": (Codec.H265, b"hvcC"),
    b"hev1": (Codec.H265, b"hvcC"),
    b"av01": (Codec.AV1, b"av1C"),
    b"vp09": (Codec.VP9, b"vpcC"),
}
_SOUND: dict[bytes, Callable[[bytes, int], tuple[Codec, bytes]]] = {
    b"mp4a": _mp4a,
    b".mp3": _bare_mp3,
    b"Opus": _opus,
    b"fLaC": _flac,
    b"ac-3": _ac3,
    b"ec-3": _eac3,
}
KINDS = {b"vide": Kind.VIDEO, b"soun": Kind.AUDIO}  #: by handler_type: tracks of others are left alone
