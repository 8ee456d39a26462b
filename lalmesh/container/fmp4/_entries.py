"""Sample entries: how a decoder of each codec is configured (ISO/IEC 14496-12 §8.5.2, §12.1.3, §12.2.3; the bindings of codecs)."""

from __future__ import annotations

import struct
from collections.abc import Callable

from lalmesh.codec.flac import SIGNATURE, StreamInfo
from lalmesh.codec.opus import SAMPLE_RATE_HZ as OPUS_SAMPLE_RATE_HZ
from lalmesh.codec.opus import OpusHead
from lalmesh.container.fmp4._boxes import box, full_box
from lalmesh.container.fmp4._colour import colr
from lalmesh.container.fmp4._constants import OTI_AAC, OTI_MPEG1_AUDIO, OTI_MPEG2_AUDIO, SAMPLE_ENTRIES
from lalmesh.container.fmp4._descriptors import esds
from lalmesh.container.fmp4._dolby import Ac3Specific
from lalmesh.media import Codec, Kind, Track

MAX_SIDE = 0xFFFF  #: pixels, and channels: fields of 16 bits

_VISUAL = struct.Struct(">6xH16xHHIIIH32sHh")
_AUDIO = struct.Struct(">6xH8xHHHHI")
_DOPS = struct.Struct(">BBHIhB")
_FIRST_DATA_REFERENCE = 1
_DPI_72 = 0x0048_0000
_DEPTH_24 = 0x18
_STEREO = 2  # where nobody tells
_SIXTEEN_BITS = 16
_MAX_RATE_HZ = 0xFFFF
_LOWEST_MPEG1_RATE_HZ = 32_000


def sample_entry(track: Track) -> bytes:
    """The sample entry of a track that `is_carried`: `avc1`, `hvc1`, `av01`, `vp09`, `mp4a`, `Opus`, `ac-3`, `ec-3` or `fLaC`.

    Raises:
        RemoteProtocolError: the configuration does not parse; never of a track that `build_track` made.
    """
    return _visual_entry(track) if track.kind is Kind.VIDEO else _audio_entry(track)


def _visual_entry(track: Track) -> bytes:
    """VisualSampleEntry (§12.1.3); `pasp` is left out, since no track knows the shape of its pixels."""
    width, height = min(track.width, MAX_SIDE), min(track.height, MAX_SIDE)
    fields = _VISUAL.pack(
        _FIRST_DATA_REFERENCE, width, height, _DPI_72, _DPI_72, 0, 1, b"", _DEPTH_24, -1
    )  # one frame a sample, no compressor name, no colour table
    # Interop: `hvcC` goes out as the publisher made it, though `hvc1` asks for array_completeness 1: nobody minds, and sets may
    # really come in band too.
    record = box(_RECORDS[track.codec], track.configuration)
    return box(SAMPLE_ENTRIES[track.codec], fields, record, colr(track))


def _audio_entry(track: Track) -> bytes:
    """AudioSampleEntry (§12.2.3); a rate over 16 bits is left at 0: the configuration tells."""
    channels, bits = min(track.channels or _STEREO, MAX_SIDE), _SIXTEEN_BITS
    rate = track.sample_rate_hz if track.sample_rate_hz <= _MAX_RATE_HZ else 0
    if track.codec is Codec.FLAC:
        bits, rate = StreamInfo.parse(track.configuration).bits_per_sample, _divided(track.sample_rate_hz)
    elif track.codec is Codec.OPUS:
        rate = OPUS_SAMPLE_RATE_HZ
    fields = _AUDIO.pack(_FIRST_DATA_REFERENCE, channels, bits, 0, 0, rate << 16)
    return box(SAMPLE_ENTRIES[track.codec], fields, _AUDIO_CONFIGURATIONS[track.codec](track))


def _divided(rate_hz: int) -> int:
    """The greatest regular division of a rate that 16 bits hold, else the most that they hold (FLAC in ISOBMFF §3.3.1)."""
    while rate_hz > _MAX_RATE_HZ:
        if rate_hz % 2:
            return _MAX_RATE_HZ
        rate_hz //= 2
    return rate_hz


def _aac(track: Track) -> bytes:
    return esds(OTI_AAC, track.configuration)


def _mp3(track: Track) -> bytes:
    """Layer III under the objectTypeIndication of its sample rate; there is nothing more to tell (ISO/IEC 14496-1 Table 5)."""
    return esds(OTI_MPEG1_AUDIO if track.sample_rate_hz >= _LOWEST_MPEG1_RATE_HZ else OTI_MPEG2_AUDIO, b"")


def _opus(track: Track) -> bytes:
    """OpusSpecificBox: `OpusHead` in the other byte order, without its magic and of version 0 (Opus in ISOBMFF §4.3.2)."""
    head = OpusHead.parse(track.configuration)
    fixed = _DOPS.pack(0, head.channels, head.pre_skip, head.input_sample_rate_hz, head.output_gain, head.mapping_family)
    mapping = bytes((head.stream_count, head.coupled_count)) + head.channel_mapping if head.mapping_family else b""
    return box(b"dOps", fixed + mapping)


def _flac(track: Track) -> bytes:
    """FLACSpecificBox: version, flags and metadata blocks, of which STREAMINFO is enough (FLAC in ISOBMFF §3.3.2)."""
    return full_box(b"dfLa", 0, 0, StreamInfo.parse(track.configuration).serialize().removeprefix(SIGNATURE))


def _ac3(track: Track) -> bytes:
    return box(b"dac3", track.configuration or _likely_dolby(track))


def _eac3(track: Track) -> bytes:
    return box(b"dec3", track.configuration or _likely_dolby(track))


def _likely_dolby(track: Track) -> bytes:
    return Ac3Specific.of_sound(track.sample_rate_hz, track.channels, enhanced=track.codec is Codec.EAC3).serialize()


_RECORDS = {Codec.H264: b"avcC", Codec.H265: b"hvcC", Codec.AV1: b"av1C", Codec.VP9: b"vpcC"}
_AUDIO_CONFIGURATIONS: dict[Codec, Callable[[Track], bytes]] = {
    Codec.AAC: _aac,
    Codec.MP3: _mp3,
    Codec.OPUS: _opus,
    Codec.FLAC: _flac,
    Codec.AC3: _ac3,
    Codec.EAC3: _eac3,
}
