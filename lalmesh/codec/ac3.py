"""AC-3 and Enhanced AC-3: the header of a sync frame (ETSI TS 102 366)."""

from __future__ import annotations

from dataclasses import dataclass

from lalmesh.bits import BitReader
from lalmesh.errors import RemoteProtocolError, UnsupportedError

SAMPLES_PER_BLOCK = 256
MAX_HEADER_BYTES = 8  #: all that is read of a frame

_SECTION = "ETSI TS 102 366 §4.4.1"
_ENHANCED_SECTION = "ETSI TS 102 366 §E.1.3.1"
_SYNCWORD = 0x0B77
_SAMPLE_RATES_HZ = (48000, 44100, 32000)  # by fscod; 3 is reserved, or leads to fscod2 in E-AC-3
_BITRATES_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)  # by frmsizecod >> 1
_CHANNELS = (2, 1, 2, 3, 3, 4, 4, 5)  # by acmod, without LFE; 0 is two independent ones
_BLOCKS = (1, 2, 3, 6)  # by numblkscod
_MAX_AC3_BSID, _MAX_BSID = 10, 16
_FULL_RATE_BSID = 8  # 9 and 10 halve and quarter the sample rate


@dataclass(slots=True, frozen=True, kw_only=True)
class SyncFrameHeader:
    """The header of one AC-3 or E-AC-3 sync frame."""

    enhanced: bool  #: E-AC-3
    sample_rate_hz: int
    channels: int  #: 1..6, LFE included; of this substream
    frame_bytes: int  #: size of the sync frame, header included
    samples: int  #: samples a channel: 1536, or in E-AC-3 256, 512, 768 or 1536

    @classmethod
    def parse(cls, buf: bytes) -> SyncFrameHeader:
        """Read the header that `buf` starts with.

        Raises:
            RemoteProtocolError: cut off, no syncword, a reserved sample rate or frame size.
            UnsupportedError: a bit stream version over 16.
        Source: ETSI TS 102 366 §4.3.1, §4.3.2, §E.1.2
        """
        if len(buf) < MAX_HEADER_BYTES or int.from_bytes(buf[:2], "big") != _SYNCWORD:
            raise RemoteProtocolError(f"no AC-3 sync frame: {buf[:MAX_HEADER_BYTES].hex()}", section=_SECTION)
        bsid = buf[5] >> 3  # at the same place in both
        if bsid > _MAX_BSID:
            raise UnsupportedError(f"AC-3 with bsid {bsid}")
        reader = BitReader(buf[2:MAX_HEADER_BYTES])
        return _parse_ac3(reader, bsid) if bsid <= _MAX_AC3_BSID else _parse_enhanced(reader)


def _parse_ac3(reader: BitReader, bsid: int) -> SyncFrameHeader:
    """Read syncinfo() and bsi() (§4.3.1, §4.3.2)."""
    reader.skip(16)  # crc1
    fscod, frmsizecod = reader.read(2), reader.read(6)
    if fscod == 3 or frmsizecod >> 1 >= len(_BITRATES_KBPS):
        raise RemoteProtocolError(f"reserved fscod {fscod} or frmsizecod {frmsizecod}", section=_SECTION)
    reader.skip(8)  # bsid, bsmod
    acmod = reader.read(3)
    reader.skip(2 * ((acmod & 1 and acmod != 1) + bool(acmod & 4) + (acmod == 2)))  # cmixlev, surmixlev, dsurmod
    return SyncFrameHeader(
        enhanced=False,
        sample_rate_hz=_SAMPLE_RATES_HZ[fscod] >> max(0, bsid - _FULL_RATE_BSID),
        channels=_CHANNELS[acmod] + reader.read(1),
        frame_bytes=_ac3_frame_bytes(_SAMPLE_RATES_HZ[fscod], frmsizecod),
        samples=6 * SAMPLES_PER_BLOCK,
    )


def _ac3_frame_bytes(sample_rate_hz: int, frmsizecod: int) -> int:
    """Size by Table 4.13: at 44.1 kHz the odd codes are one 16-bit word longer."""
    words = _BITRATES_KBPS[frmsizecod >> 1] * 1000 * 6 * SAMPLES_PER_BLOCK // (sample_rate_hz * 16)
    return 2 * (words + (frmsizecod & 1 if sample_rate_hz == 44100 else 0))


def _parse_enhanced(reader: BitReader) -> SyncFrameHeader:
    """Read bsi() of Annex E (§E.1.2.2)."""
    reader.skip(5)  # strmtyp, substreamid
    frame_bytes = 2 * (reader.read(11) + 1)
    fscod, code = reader.read(2), reader.read(2)
    if fscod == 3 and code == 3:
        raise RemoteProtocolError("reserved fscod2", section=_ENHANCED_SECTION)
    rate, blocks = (_SAMPLE_RATES_HZ[code] // 2, 6) if fscod == 3 else (_SAMPLE_RATES_HZ[fscod], _BLOCKS[code])
    return SyncFrameHeader(
        enhanced=True,
        sample_rate_hz=rate,
        channels=_CHANNELS[reader.read(3)] + reader.read(1),
        frame_bytes=frame_bytes,
        samples=blocks * SAMPLES_PER_BLOCK,
    )
