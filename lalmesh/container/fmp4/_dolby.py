"""What a decoder of AC-3 and E-AC-3 is told: the `dac3` and `dec3` boxes (ETSI TS 102 366 annex F)."""

from __future__ import annotations

from dataclasses import dataclass

from lalmesh.bits import BitReader, BitWriter
from lalmesh.codec.ac3 import SyncFrameHeader

_SAMPLE_RATES_HZ = (48_000, 44_100, 32_000)  # by fscod; 3 stands for half a rate, which the frames tell
_CHANNELS = (2, 1, 2, 3, 3, 4, 4, 5)  # by acmod, without LFE
_ACMODS = {1: (1, 0), 2: (2, 0), 3: (3, 0), 4: (6, 0), 5: (7, 0), 6: (7, 1)}  # by channels: the usual acmod, and lfeon
_STEREO = (2, 0)
_REDUCED_RATE = 3
_AC3_BSID, _EAC3_BSID = 8, 16
_USUAL_BIT_RATE_CODE = 14  # 384 kbit/s; players take it for a hint, if they look at all
_USUAL_RATE_KBPS = 384
_MAX_RATE_KBPS = (1 << 13) - 1
_HEADER_BYTES = 8  # all that is read of a frame


@dataclass(slots=True, frozen=True, kw_only=True)
class Ac3Specific:
    """The body of a `dac3` box, or of a `dec3` box with one independent substream and none that depend on it."""

    enhanced: bool  #: `dec3`
    fscod: int  #: 0 48 kHz, 1 44.1 kHz, 2 32 kHz; 3 in E-AC-3: half of one of them
    bsid: int  #: bit stream version, 5 bits
    acmod: int  #: which channels, 3 bits
    lfeon: int  #: 1: with low frequency effects
    bsmod: int = 0  #: kind of service, 3 bits; 0 is the main one
    rate: int  #: of AC-3 bit_rate_code, 5 bits; of E-AC-3 kbit/s, 13 bits

    @classmethod
    def parse(cls, data: bytes, *, enhanced: bool) -> Ac3Specific:
        """Read the body of the box; further substreams of E-AC-3 are ignored.

        Raises:
            RemoteProtocolError: cut off.
        Source: ETSI TS 102 366 §F.4.1, §F.6.1
        """
        reader = BitReader(data[:_HEADER_BYTES])
        if not enhanced:
            fscod, bsid, bsmod, acmod, lfeon, rate = (reader.read(bits) for bits in (2, 5, 3, 3, 1, 5))
            return cls(enhanced=False, fscod=fscod, bsid=bsid, bsmod=bsmod, acmod=acmod, lfeon=lfeon, rate=rate)
        rate, _, fscod, bsid, _, _, bsmod, acmod, lfeon = (reader.read(bits) for bits in (13, 3, 2, 5, 1, 1, 3, 3, 1))
        return cls(enhanced=True, fscod=fscod, bsid=bsid, bsmod=bsmod, acmod=acmod, lfeon=lfeon, rate=rate)

    @classmethod
    def of_frame(cls, frame: bytes) -> Ac3Specific:
        """What the sync frame that `frame` starts with tells.

        Raises:
            RemoteProtocolError: no sync frame.
            UnsupportedError: a bit stream version over 16.
        Source: ETSI TS 102 366 §4.3, §E.1.2.2
        """
        header = SyncFrameHeader.parse(frame)
        return _of_enhanced(header, frame) if header.enhanced else _of_plain(frame)

    @classmethod
    def of_sound(cls, sample_rate_hz: int, channels: int, *, enhanced: bool) -> Ac3Specific:
        """The likeliest one of a stream of which only rate and number of channels are known."""
        acmod, lfeon = _ACMODS.get(channels, _STEREO)
        known = sample_rate_hz in _SAMPLE_RATES_HZ
        fscod = _SAMPLE_RATES_HZ.index(sample_rate_hz) if known else _REDUCED_RATE if enhanced else 0
        return cls(
            enhanced=enhanced,
            fscod=fscod,
            bsid=_EAC3_BSID if enhanced else _AC3_BSID,
            acmod=acmod,
            lfeon=lfeon,
            rate=_USUAL_RATE_KBPS if enhanced else _USUAL_BIT_RATE_CODE,
        )

    def serialize(self) -> bytes:
        """Give the body of the box (ETSI TS 102 366 §F.4.1, §F.6.1)."""
        writer = BitWriter()
        if not self.enhanced:
            writer.write(self.fscod, 2).write(self.bsid, 5).write(self.bsmod, 3).write(self.acmod, 3)
            return writer.write(self.lfeon, 1).write(self.rate, 5).write(0, 5).to_bytes()
        writer.write(min(self.rate, _MAX_RATE_KBPS), 13).write(0, 3)  # num_ind_sub: less one
        writer.write(self.fscod, 2).write(self.bsid, 5).write(0, 2).write(self.bsmod, 3).write(self.acmod, 3).write(self.lfeon, 1)
        return writer.write(0, 3).write(0, 4).write(0, 1).to_bytes()  # reserved, num_dep_sub, reserved

    @property
    def sample_rate_hz(self) -> int:
        """The sample rate, 0 where only the frames tell."""
        return 0 if self.fscod == _REDUCED_RATE else _SAMPLE_RATES_HZ[self.fscod]

    @property
    def channels(self) -> int:
        """How many channels, LFE included."""
        return _CHANNELS[self.acmod] + self.lfeon


def _of_plain(frame: bytes) -> Ac3Specific:
    """Read syncinfo() and bsi() up to lfeon (§4.3.1, §4.3.2)."""
    reader = BitReader(frame[4:_HEADER_BYTES])
    fscod, frmsizecod, bsid, bsmod, acmod = (reader.read(bits) for bits in (2, 6, 5, 3, 3))
    reader.skip(2 * ((acmod & 1 and acmod != 1) + bool(acmod & 4) + (acmod == 2)))  # cmixlev, surmixlev, dsurmod
    lfeon = reader.read(1)
    return Ac3Specific(enhanced=False, fscod=fscod, bsid=bsid, bsmod=bsmod, acmod=acmod, lfeon=lfeon, rate=frmsizecod >> 1)


def _of_enhanced(header: SyncFrameHeader, frame: bytes) -> Ac3Specific:
    """Read bsi() up to bsid (§E.1.2.2)."""
    reader = BitReader(frame[4:_HEADER_BYTES])
    fscod, _, acmod, lfeon, bsid = (reader.read(bits) for bits in (2, 2, 3, 1, 5))
    rate_kbps = header.frame_bytes * 8 * header.sample_rate_hz // (header.samples * 1000)
    return Ac3Specific(enhanced=True, fscod=fscod, bsid=bsid, acmod=acmod, lfeon=lfeon, rate=rate_kbps)
