"""Access units as transport streams hold them: Annex B, ADTS, the control header of Opus.

A `Framer` gives the pieces of one unit, the first of them empty: the place of the PES header.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from lalmesh.codec import aac, h264, h265
from lalmesh.codec.nalu import START_CODE, iter_avcc_headers, join_annexb
from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError
from lalmesh.media import AccessUnit, Codec, Track

Piece: TypeAlias = bytes | memoryview
Framer: TypeAlias = Callable[[AccessUnit], list[Piece]]

MAX_AUDIO_BYTES: Final = 64_000  #: an Opus packet has up to 61,298 bytes (RFC 6716 §3.4), all other audio frames far fewer

#: access unit delimiters that allow any kind of picture (ISO/IEC 14496-10 §7.4.2.4, ISO/IEC 23008-2 §7.4.3.5)
_H264_DELIMITER = START_CODE + bytes((h264.NaluType.ACCESS_UNIT_DELIMITER, 0xF0))
_H265_DELIMITER = START_CODE + bytes((h265.NaluType.ACCESS_UNIT_DELIMITER << 1, 1, 0x50))
_OPUS_CONTROL = b"\x7f\xe0"  # control_header_prefix of 11 bits, then no trims and no extension
_ADTS_LENGTH_SHIFT = 13  # bits of an ADTS header behind aac_frame_length (ISO/IEC 14496-3 Table 1.A.7)


def framer(track: Track) -> Framer:
    """What frames the units of `track`.

    Raises:
        RemoteProtocolError: its configuration does not parse.
        UnsupportedError: a transport stream cannot carry it, or not without its configuration.
    """
    make = _FRAMERS.get(track.codec)
    if make is None:
        raise UnsupportedError(f"{track.codec.value} in MPEG-TS")
    return make(track)


class AnnexB:
    """Frames pictures: one delimiter first, the parameter sets before each random access picture that lacks its own.

    H.222.0 wants the delimiter (ISO/IEC 13818-1 §2.14.1, §2.17.1); those of the publisher are dropped, so that there is one.
    """

    __slots__ = ("_delimiter", "_delimiter_type", "_mask", "_sets", "_shift", "_sps_type")

    def __init__(self, delimiter: bytes, sets: bytes, types: type[h264.NaluType] | type[h265.NaluType]) -> None:
        """Frame with `delimiter` and the parameter sets `sets`, both with start codes; `types` are the codec's."""
        self._delimiter = delimiter
        self._sets = sets
        self._shift, self._mask = (0, 0x1F) if types is h264.NaluType else (1, 0x3F)
        self._delimiter_type = int(types.ACCESS_UNIT_DELIMITER)
        self._sps_type = int(types.SPS)

    def __call__(self, unit: AccessUnit) -> list[Piece]:
        """Give the pieces of one picture.

        Raises:
            RemoteProtocolError: its NALUs are broken, or there are none.
        """
        payload, shift, mask = unit.payload, self._shift, self._mask
        delimiter_type, sps_type = self._delimiter_type, self._sps_type
        view, has_sets = memoryview(payload), False
        pieces: list[Piece] = [b"", self._delimiter, b""]
        for at, length in iter_avcc_headers(payload):
            kind = payload[at] >> shift & mask
            if kind == delimiter_type:
                continue
            has_sets = has_sets or kind == sps_type
            pieces += (START_CODE, view[at : at + length])
        if len(pieces) == 3:
            raise RemoteProtocolError("picture without a NALU")
        if unit.random_access and not has_sets:
            pieces[2] = self._sets
        return pieces


def _h264(track: Track) -> Framer:
    sets: tuple[bytes, ...] = ()
    if track.configuration:
        record = h264.AvcDecoderConfigurationRecord.parse(track.configuration)
        sets = (*record.sps, *record.sps_ext, *record.pps)
    return AnnexB(_H264_DELIMITER, join_annexb(sets), h264.NaluType)


def _h265(track: Track) -> Framer:
    nalus: tuple[bytes, ...] = ()
    if track.configuration:
        sets = h265.HevcDecoderConfigurationRecord.parse(track.configuration).parameter_sets
        nalus = (*sets.vps, *sets.sps, *sets.pps)
    return AnnexB(_H265_DELIMITER, join_annexb(nalus), h265.NaluType)


def _aac(track: Track) -> Framer:
    """ADTS: all headers of a track are the same but for the length, which is added to that of an empty frame."""
    if not track.configuration:
        raise UnsupportedError("AAC without its configuration in MPEG-TS")
    config = aac.AudioSpecificConfig.parse(track.configuration)
    if config.frame_length != 1024:
        raise UnsupportedError(f"ADTS for frames of {config.frame_length} samples")
    empty = int.from_bytes(aac.adts_header(config, 0), "big")

    def frame(unit: AccessUnit) -> list[Piece]:
        size = _checked_size(unit)
        if size > aac.MAX_AU_BYTES:
            raise LimitExceeded("AAC frame bytes", size, aac.MAX_AU_BYTES)
        header = empty + (size << _ADTS_LENGTH_SHIFT)
        return [b"", header.to_bytes(aac.ADTS_HEADER_BYTES, "big"), unit.payload]

    return frame


def _opus(track: Track) -> Framer:
    """The control header of each packet: its size in bytes of 255 and a smaller one (Opus in MPEG-TS, opus_control_header).

    What to leave out at the start of the stream (the pre-skip) is not said: whoever joins later does not begin there.
    """

    def frame(unit: AccessUnit) -> list[Piece]:
        full, rest = divmod(_checked_size(unit), 255)
        return [b"", _OPUS_CONTROL + b"\xff" * full + bytes((rest,)), unit.payload]

    return frame


def _as_it_is(track: Track) -> Framer:
    def frame(unit: AccessUnit) -> list[Piece]:
        _checked_size(unit)
        return [b"", unit.payload]

    return frame


def _checked_size(unit: AccessUnit) -> int:
    """Bytes of an audio frame: at least one, and few enough for a PES packet, which must say its length (§2.4.3.7)."""
    size = len(unit.payload)
    if not 0 < size <= MAX_AUDIO_BYTES:
        raise LimitExceeded("audio frame bytes", size, MAX_AUDIO_BYTES)
    return size


_FRAMERS: dict[Codec, Callable[[Track], Framer]] = {
    Codec.H264: _h264,
    Codec.H265: _h265,
    Codec.AAC: _aac,
    Codec.MP2: _as_it_is,
    Codec.MP3: _as_it_is,
    Codec.AC3: _as_it_is,
    Codec.EAC3: _as_it_is,
    Codec.OPUS: _opus,
}


def carries(codec: Codec) -> bool:
    """Whether a transport stream can carry tracks of `codec`, as far as the codec goes: `carries_track` knows better."""
    return codec in _FRAMERS


def carries_track(track: Track) -> bool:
    """Whether a transport stream can carry `track`: AAC only with a configuration that ADTS has words for."""
    try:
        framer(track)
    except (RemoteProtocolError, UnsupportedError):
        return False
    return True
