"""AAC: the AudioSpecificConfig, ADTS framing, and a frame of silence (ISO/IEC 14496-3)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lalmesh.bits import BitReader, BitWriter
from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError

AAC_LC = 2  #: the audio object type that nearly everyone sends (Table 1.17)

#: by samplingFrequencyIndex, Hz (Table 1.18); 13 and 14 are reserved, 15 announces an explicit rate
SAMPLE_RATES_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
#: by channelConfiguration (Table 1.19); 0 is spelled out in a program_config_element, what is missing is reserved
CHANNELS = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 13: 24, 14: 8}

ADTS_HEADER_BYTES = 7  #: without CRC, which adds 2
MAX_AU_BYTES = (1 << 13) - 1 - ADTS_HEADER_BYTES  #: the 13-bit aac_frame_length counts the header too

_SECTION = "ISO/IEC 14496-3 §1.6.2.1"
_ADTS_SECTION = "ISO/IEC 14496-3 Table 1.A.5"
_SBR, _ER_BSAC, _PS = 5, 22, 29
_ESCAPE_TYPE = 31
_ESCAPE_RATE = 15
_SYNC_SBR, _SYNC_PS = 0x2B7, 0x548
_PLAIN_TYPES = (1, 2, 3, 4)  # Main, LC, SSR, LTP: GASpecificConfig without any extension
_FRAME_LENGTHS = dict.fromkeys((*_PLAIN_TYPES, 6, 17, 19, 20), (1024, 960)) | dict.fromkeys((23, 39), (512, 480))
_PROFILES = {
    1: "Main",
    2: "LC",
    3: "SSR",
    4: "LTP",
    6: "Scalable",
    17: "ER LC",
    19: "ER LTP",
    20: "ER Scalable",
    23: "LD",
    39: "ELD",
}

# Silence, byte for byte what ffmpeg 9 makes of it: max_sfb is 0, so neither sample rate nor frame length has a say.
# The fields follow each other as: element id (3 bits), tag 0 (4), [pair: common_window 1], per channel global_gain 140 (8) and
# no pulse, TNS or gain control (3), one ics_info (reserved 0, long window, KBD shape 1, max_sfb 0, no prediction), END 7 (3).
_SILENT_MONO = bytes.fromhex("01182007")  # single_channel_element: global_gain comes before its ics_info
_SILENT_STEREO = bytes.fromhex("21100460 8c1c")  # channel_pair_element: the shared ics_info and ms_mask_present 0 come first

_Fields = list[tuple[int, int]]  # (value, bits) in the order of the wire


class Sbr(Enum):
    """How the configuration speaks of spectral band replication (§1.6.5)."""

    NOT_SIGNALLED = "not signalled"  #: nothing said; a decoder may still find some in the frames
    ABSENT = "absent"  #: said, in the extension at the end, that there is none
    HIERARCHICAL = "hierarchical"  #: said first: object type 5, or 29 with parametric stereo
    BACKWARD_COMPATIBLE = "backward compatible"  #: said in the extension at the end, unseen by old decoders


@dataclass(slots=True, frozen=True, kw_only=True)
class ProgramConfigElement:
    """Which channels there are where channelConfiguration is 0 (§4.4.1.1, Table 4.2)."""

    elements: int  #: all fields up to the byte alignment, as one number
    element_bits: int  #: how many bits those fields take
    channels: int  #: channels that the front, side, back and LFE elements add up to
    comment: bytes = b""  #: at most 255 bytes


@dataclass(slots=True, frozen=True, kw_only=True)
class AudioSpecificConfig:
    """What a decoder of AAC must know before the first frame (§1.6.2.1)."""

    object_type: int = AAC_LC  #: of the core coder: 1 Main, 2 LC, 3 SSR, 4 LTP, 23 LD, 39 ELD ...; never 5 or 29
    sample_rate_hz: int  #: of the core coder, 1 to 2**24 - 1
    channel_configuration: int  #: a key of `CHANNELS`
    frame_length: int = 1024  #: samples a frame of the core coder: 1024 or 960; 512 or 480 for LD and ELD
    core_coder_delay: int | None = None  #: samples, 14 bits; None: depends on no core coder
    program_config: ProgramConfigElement | None = None  #: where channelConfiguration is 0
    sbr: Sbr = Sbr.NOT_SIGNALLED
    ps: bool = False  #: parametric stereo is announced
    extension_sample_rate_hz: int = 0  #: rate after SBR; 0 where no SBR is announced
    specific: tuple[int, int] = (0, 0)  #: object types above 4: the bits of their own part, unread, and how many

    @classmethod
    def parse(cls, data: bytes) -> AudioSpecificConfig:
        """Read a configuration; what follows it is ignored.

        Raises:
            RemoteProtocolError: cut off, or a reserved sample rate or channel configuration.
            UnsupportedError: an object type that is not AAC, or xHE-AAC.
        Source: ISO/IEC 14496-3 §1.6.2.1
        """
        return _parse_config(BitReader(data))

    def serialize(self) -> bytes:
        """Give the bytes of the configuration, filled up with zero bits (§1.6.2.1)."""
        fields = _header_fields(self)
        if self.object_type in _PLAIN_TYPES:
            fields += _general_fields(self)
            if self.program_config is not None:
                _append_program_config(fields, self.program_config)
            fields += _extension_fields(self)
        else:
            fields.append(self.specific)
        writer = BitWriter()
        for value, bits in fields:
            writer.write(value, bits)
        return writer.to_bytes()

    @property
    def channels(self) -> int:
        """Coded channels; 0 where only the frames tell."""
        return self.program_config.channels if self.program_config is not None else CHANNELS[self.channel_configuration]

    @property
    def output_sample_rate_hz(self) -> int:
        """Rate of what comes out of a decoder that does all that is announced."""
        return self.extension_sample_rate_hz or self.sample_rate_hz

    @property
    def output_channels(self) -> int:
        """Channels of what comes out of a decoder that does all that is announced."""
        return 2 if self.ps and self.channels == 1 else self.channels

    @property
    def samples_per_frame(self) -> int:
        """Samples a channel that one frame gives at `output_sample_rate_hz`."""
        return self.frame_length * self.output_sample_rate_hz // self.sample_rate_hz

    @property
    def signalled_object_type(self) -> int:
        """The object type that names the whole, as in ``mp4a.40.5``: 29 with PS, 5 with SBR, else that of the core."""
        if self.ps:
            return _PS
        return _SBR if self.extension_sample_rate_hz else self.object_type

    @property
    def profile(self) -> str:
        """``LC``, ``HE-AAC``, ``HE-AACv2``, ``LD`` and the like."""
        if self.object_type == AAC_LC and self.extension_sample_rate_hz:
            return "HE-AACv2" if self.ps else "HE-AAC"
        return _PROFILES[self.object_type]


def _parse_config(reader: BitReader) -> AudioSpecificConfig:
    announced, rate, channel_configuration = _read_object_type(reader), _read_rate(reader), reader.read(4)
    if channel_configuration not in CHANNELS:
        raise RemoteProtocolError(f"channelConfiguration {channel_configuration} is reserved", section=_SECTION)
    if announced not in (_SBR, _PS):
        return _parse_specific(reader, announced, rate, channel_configuration)
    extension_rate, core = _read_rate(reader), _read_object_type(reader)
    ps = announced == _PS
    return _parse_specific(reader, core, rate, channel_configuration, Sbr.HIERARCHICAL, ps=ps, extension_rate=extension_rate)


def _parse_specific(
    reader: BitReader,
    object_type: int,
    rate: int,
    channel_configuration: int,
    sbr: Sbr = Sbr.NOT_SIGNALLED,
    *,
    ps: bool = False,
    extension_rate: int = 0,
) -> AudioSpecificConfig:
    if object_type not in _FRAME_LENGTHS:
        raise UnsupportedError(f"MPEG-4 audio object type {object_type}")
    program_config, delay, specific = None, None, (0, 0)
    if object_type in _PLAIN_TYPES:
        frame_length, delay = _read_general(reader, object_type)
        program_config = _read_program_config(reader) if channel_configuration == 0 else None
        if sbr is Sbr.NOT_SIGNALLED:
            sbr, ps, extension_rate = _read_extension(reader)
    else:
        bits = reader.bits_left
        specific = (reader.read(bits), bits)
        frame_length = _FRAME_LENGTHS[object_type][specific[0] >> max(0, bits - 1)]
    return AudioSpecificConfig(
        object_type=object_type,
        sample_rate_hz=rate,
        channel_configuration=channel_configuration,
        frame_length=frame_length,
        core_coder_delay=delay,
        program_config=program_config,
        sbr=sbr,
        ps=ps,
        extension_sample_rate_hz=extension_rate,
        specific=specific,
    )


def _read_object_type(reader: BitReader) -> int:
    """GetAudioObjectType() (Table 1.16)."""
    object_type = reader.read(5)
    return 32 + reader.read(6) if object_type == _ESCAPE_TYPE else object_type


def _read_rate(reader: BitReader) -> int:
    index = reader.read(4)
    if index == _ESCAPE_RATE:
        return _explicit_rate(reader.read(24))
    return _rate_of(index, _SECTION)


def _explicit_rate(rate: int) -> int:
    if rate == 0:
        raise RemoteProtocolError("explicit sample rate of 0 Hz", section=_SECTION)
    return rate


def _rate_of(index: int, section: str) -> int:
    if index >= len(SAMPLE_RATES_HZ):
        raise RemoteProtocolError(f"samplingFrequencyIndex {index} is reserved", section=section)
    return SAMPLE_RATES_HZ[index]


def _read_general(reader: BitReader, object_type: int) -> tuple[int, int | None]:
    """GASpecificConfig() up to the program_config_element: frame length and coreCoderDelay (Table 4.1)."""
    frame_length = _FRAME_LENGTHS[object_type][reader.flag()]
    delay = reader.read(14) if reader.flag() else None
    if reader.flag():
        raise RemoteProtocolError(f"extensionFlag set for object type {object_type}", section="ISO/IEC 14496-3 §4.5.1.1")
    return frame_length, delay


def _read_program_config(reader: BitReader) -> ProgramConfigElement:
    """program_config_element() (Table 4.2); its alignment counts from the start of the configuration."""
    fields: _Fields = []

    def take(bits: int) -> int:
        fields.append((reader.read(bits), bits))
        return fields[-1][0]

    take(10)  # element_instance_tag, object_type, sampling_frequency_index: said already
    front, side, back, lfe, data, coupling = (take(bits) for bits in (4, 4, 4, 2, 3, 4))
    for mixdown_bits in (4, 4, 3):  # mono, stereo, matrix: each behind its flag
        if take(1):
            take(mixdown_bits)
    pairs = sum(take(5) >> 4 for _ in range(front + side + back))
    for _ in range(lfe + data):
        take(4)
    for _ in range(coupling):
        take(5)
    reader.skip(reader.bits_left % 8)
    comment = bytes(reader.read(8) for _ in range(reader.read(8)))
    elements, element_bits = _join(fields)
    channels = front + side + back + pairs + lfe
    return ProgramConfigElement(elements=elements, element_bits=element_bits, channels=channels, comment=comment)


def _join(fields: _Fields) -> tuple[int, int]:
    value = total = 0
    for part, bits in fields:
        value, total = value << bits | part, total + bits
    return value, total


def _read_extension(reader: BitReader) -> tuple[Sbr, bool, int]:
    """The backward compatible extension: SBR, PS and rate; whatever else follows is left alone."""
    if reader.bits_left < 16 or reader.read(11) != _SYNC_SBR or _read_object_type(reader) != _SBR:
        return Sbr.NOT_SIGNALLED, False, 0
    if reader.bits_left == 0 or not reader.flag():
        return Sbr.ABSENT, False, 0
    rate = _read_rate(reader)
    ps = reader.bits_left >= 12 and reader.read(11) == _SYNC_PS and reader.flag()
    return Sbr.BACKWARD_COMPATIBLE, ps, rate


def _type_fields(object_type: int) -> _Fields:
    return [(object_type, 5)] if object_type < _ESCAPE_TYPE else [(_ESCAPE_TYPE, 5), (object_type - 32, 6)]


def _rate_fields(rate: int) -> _Fields:
    return [(SAMPLE_RATES_HZ.index(rate), 4)] if rate in SAMPLE_RATES_HZ else [(_ESCAPE_RATE, 4), (rate, 24)]


def _header_fields(config: AudioSpecificConfig) -> _Fields:
    rate = _rate_fields(config.sample_rate_hz)
    channels = [(config.channel_configuration, 4)]
    core = _type_fields(config.object_type)
    if config.sbr is not Sbr.HIERARCHICAL:
        return core + rate + channels
    announced = _type_fields(_PS if config.ps else _SBR)
    return announced + rate + channels + _rate_fields(config.extension_sample_rate_hz) + core


def _general_fields(config: AudioSpecificConfig) -> _Fields:
    short = _FRAME_LENGTHS[config.object_type].index(config.frame_length)
    delay = [(0, 1)] if config.core_coder_delay is None else [(1, 1), (config.core_coder_delay, 14)]
    return [(short, 1), *delay, (0, 1)]


def _append_program_config(fields: _Fields, program: ProgramConfigElement) -> None:
    fields.append((program.elements, program.element_bits))
    fields.append((0, -sum(bits for _, bits in fields) % 8))
    fields.append((len(program.comment), 8))
    fields += [(byte, 8) for byte in program.comment]


def _extension_fields(config: AudioSpecificConfig) -> _Fields:
    sync = [(_SYNC_SBR, 11), (_SBR, 5)]
    if config.sbr is Sbr.ABSENT:
        return [*sync, (0, 1)]
    if config.sbr is not Sbr.BACKWARD_COMPATIBLE:
        return []
    ps = [(_SYNC_PS, 11), (1, 1)] if config.ps else []
    return [*sync, (1, 1), *_rate_fields(config.extension_sample_rate_hz), *ps]


@dataclass(slots=True, frozen=True, kw_only=True)
class AdtsHeader:
    """The header before each frame of an ADTS stream (Tables 1.A.6 to 1.A.8)."""

    object_type: int  #: 1 Main, 2 LC, 3 SSR, 4 LTP
    sample_rate_hz: int
    channel_configuration: int  #: 0..7; 0 is spelled out in the frame
    frame_bytes: int  #: header and payload
    header_bytes: int  #: 7, or 9 with a CRC
    raw_data_blocks: int  #: 1..4

    @classmethod
    def parse(cls, buf: bytes) -> AdtsHeader:
        """Read the header that `buf` starts with.

        Raises:
            RemoteProtocolError: cut off, bad syncword, reserved sample rate index, a length shorter than the header.
        Source: ISO/IEC 14496-3 Table 1.A.6
        """
        reader = BitReader(buf[:ADTS_HEADER_BYTES])
        if reader.read(12) != 0xFFF:
            raise RemoteProtocolError(f"ADTS syncword missing: {buf[:2].hex()}", section=_ADTS_SECTION)
        reader.skip(1)  # ID, MPEG-4 or MPEG-2: the frames are the same
        if reader.read(2) != 0:
            raise RemoteProtocolError("ADTS layer is not 0", section=_ADTS_SECTION)
        header_bytes = ADTS_HEADER_BYTES if reader.flag() else ADTS_HEADER_BYTES + 2
        object_type = reader.read(2) + 1
        sample_rate_hz = _rate_of(reader.read(4), _ADTS_SECTION)
        reader.skip(1)  # private_bit
        channel_configuration = reader.read(3)
        reader.skip(4)  # original_copy, home, copyright
        frame_bytes = reader.read(13)
        reader.skip(11)  # adts_buffer_fullness
        if frame_bytes < header_bytes:
            raise RemoteProtocolError(f"aac_frame_length {frame_bytes} is shorter than its header", section=_ADTS_SECTION)
        return cls(
            object_type=object_type,
            sample_rate_hz=sample_rate_hz,
            channel_configuration=channel_configuration,
            frame_bytes=frame_bytes,
            header_bytes=header_bytes,
            raw_data_blocks=reader.read(2) + 1,
        )

    @property
    def config(self) -> AudioSpecificConfig:
        """The same as an AudioSpecificConfig.

        Raises:
            UnsupportedError: channels that only the frame itself tells.
        """
        if self.channel_configuration == 0:
            raise UnsupportedError("ADTS with channel_configuration 0")
        return AudioSpecificConfig(
            object_type=self.object_type,
            sample_rate_hz=self.sample_rate_hz,
            channel_configuration=self.channel_configuration,
        )


@dataclass(slots=True)
class AdtsFrame:
    """One frame of an ADTS stream. Treated as immutable."""

    header: AdtsHeader
    payload: bytes  #: the raw AAC frame


def parse_adts(buf: bytes, *, max_au_bytes: int = MAX_AU_BYTES) -> list[AdtsFrame]:
    """Split a whole ADTS stream into raw AAC frames.

    Args:
        buf: one or more complete ADTS frames, starting at a syncword (bytes).
        max_au_bytes: largest frame accepted, header excluded.

    Returns:
        Frames in stream order; each lasts 1024 samples at its header's `sample_rate_hz`.

    Raises:
        RemoteProtocolError: bad syncword, reserved sample rate index, truncated frame; LimitExceeded over `max_au_bytes`.
        UnsupportedError: more than one raw data block per frame.
    Source: ISO/IEC 14496-3 Table 1.A.5
    """
    frames, at = [], 0
    while at < len(buf):
        header = AdtsHeader.parse(buf[at : at + ADTS_HEADER_BYTES])
        _check_adts(header, len(buf) - at, max_au_bytes, at)
        frames.append(AdtsFrame(header, buf[at + header.header_bytes : at + header.frame_bytes]))
        at += header.frame_bytes
    return frames


def _check_adts(header: AdtsHeader, bytes_left: int, max_au_bytes: int, at: int) -> None:
    if header.raw_data_blocks != 1:
        raise UnsupportedError(f"ADTS with {header.raw_data_blocks} raw data blocks a frame")
    if header.frame_bytes > bytes_left:
        raise RemoteProtocolError(f"ADTS frame of {header.frame_bytes} bytes, {bytes_left} there", section=_ADTS_SECTION, at=at)
    payload_bytes = header.frame_bytes - header.header_bytes
    if payload_bytes > max_au_bytes:
        raise LimitExceeded("AAC frame bytes", payload_bytes, max_au_bytes, section=_ADTS_SECTION, at=at)


def adts_header(config: AudioSpecificConfig, payload_bytes: int) -> bytes:
    """The 7-byte header, without CRC, for a raw frame of `payload_bytes` bytes (0 to `MAX_AU_BYTES`).

    SBR and PS are not announced: ADTS has no word for them, decoders find them in the frames.

    Raises:
        UnsupportedError: an object type, sample rate or channel layout that ADTS cannot carry.
        LimitExceeded: `payload_bytes` over `MAX_AU_BYTES`.
    Source: ISO/IEC 14496-3 Table 1.A.6
    """
    if payload_bytes > MAX_AU_BYTES:
        raise LimitExceeded("AAC frame bytes", payload_bytes, MAX_AU_BYTES, section=_ADTS_SECTION)
    if config.object_type not in _PLAIN_TYPES or config.sample_rate_hz not in SAMPLE_RATES_HZ:
        raise UnsupportedError(f"ADTS for object type {config.object_type} at {config.sample_rate_hz} Hz")
    if not 1 <= config.channel_configuration <= 7:
        raise UnsupportedError(f"ADTS with channel_configuration {config.channel_configuration}")
    writer = BitWriter().write(0xFFF1, 16).write(config.object_type - 1, 2)
    writer.write(SAMPLE_RATES_HZ.index(config.sample_rate_hz), 4).write(0, 1).write(config.channel_configuration, 3).write(0, 4)
    writer.write(ADTS_HEADER_BYTES + payload_bytes, 13).write(0x7FF, 11).write(0, 2)  # 0x7FF: variable bit rate
    return writer.to_bytes()


def silent_frame(config: AudioSpecificConfig) -> bytes:
    """A raw frame of silence that fits `config`, `samples_per_frame` long.

    Raises:
        UnsupportedError: not LC at its core, or neither mono nor stereo.
    Source: ISO/IEC 14496-3 §4.4.2.1
    """
    silence = {1: _SILENT_MONO, 2: _SILENT_STEREO}.get(config.channel_configuration)
    if config.object_type != AAC_LC or silence is None:
        raise UnsupportedError(f"silence for AAC {config.profile} of {config.channels} channels")
    return silence
