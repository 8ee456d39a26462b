"""H.264 of any bit rate, made without an encoder: pictures that decoders take, and whose bytes never come twice in a run.

A part of each picture is macroblocks of raw samples (I_PCM), 384 bytes each, so their number sets the bit rate. The rest of a key
frame is grey, in a slice of its own, so that no code depends on what is beside it; the rest of any other picture is as it was.
Where the bit rate leaves no room for raw samples, a picture is the same as the one at its place in another group.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Final

from lalmesh.bits import BitWriter
from lalmesh.codec.h264 import AvcDecoderConfigurationRecord
from lalmesh.codec.nalu import escape_rbsp, join_avcc

KEY_WEIGHT: Final = 8  #: bytes of a key frame against those of another picture: about what encoders make of a film
PCM_BYTES: Final = 384  #: samples of a macroblock, 4:2:0 of 8 bits
#: pixels, the smallest first; a picture has the first that its key frames fit
SIZES: Final = ((320, 180), (640, 360), (1280, 720), (1920, 1080), (3840, 2160))

#: level, macroblocks a second, macroblocks a picture, kbit/s (ISO/IEC 14496-10 Table A-1)
_LEVELS: Final = (
    (12, 6_000, 396, 384),
    (21, 19_800, 792, 4_000),
    (30, 40_500, 1_620, 10_000),
    (31, 108_000, 3_600, 14_000),
    (40, 245_760, 8_192, 20_000),
    (42, 522_240, 8_704, 50_000),
    (51, 983_040, 36_864, 240_000),
    (62, 16_711_680, 139_264, 800_000),
)
_BASELINE, _CONSTRAINTS = 66, 0xC0  # constrained baseline
_FRAME_NUM_BITS: Final = 16
_SLICE_HEAD_BYTES: Final = 9  # of a picture that is no key frame, its first macroblock header included
_PCM_HEADER_BYTES: Final = 2
_I_PCM_IN_I, _I_PCM_IN_P = 25, 30  # mb_type (Tables 7-11, 7-13)
#: I_16x16 predicted from the mean of its neighbours, nothing coded: mb_type 3, chroma mode, delta of QP, no coefficient (9-5)
_GREY: Final = 0b00100_1_1_1
_NOT_ZERO: Final = bytes((1, *range(1, 256)))  # no sample is 0, so that none has to be escaped


@dataclass(slots=True, frozen=True)
class Picture:
    """One picture."""

    is_key: bool
    payload: bytes  #: NALUs with 4-byte lengths


class MadeVideo:
    """A sequence of pictures of one bit rate."""

    def __init__(self, *, bitrate_bps: int, frame_rate: Fraction, gop_pictures: int, seed: int = 1) -> None:
        """Choose a size for pictures of `bitrate_bps` at `frame_rate`, a key frame every `gop_pictures`.

        Raises:
            ValueError: no size has room for so many bits.
        """
        self._random = Random(seed)
        self._gop_pictures = gop_pictures
        each = bitrate_bps / 8 / float(frame_rate)  # bytes of a picture on average
        self._other_bytes = each * gop_pictures / (gop_pictures - 1 + KEY_WEIGHT)
        self._key_bytes = self._other_bytes * KEY_WEIGHT
        self._owed_bytes = 0.0  # that were to be in pictures before
        self.width, self.height = self._size()
        self._columns, self._rows = -(-self.width // 16), -(-self.height // 16)
        self._number = 0
        level = self._level(frame_rate, bitrate_bps)
        self._sps, self._pps = _sps(self, level, frame_rate), _pps()
        record = AvcDecoderConfigurationRecord.from_parameter_sets([self._sps], [self._pps])
        self.configuration = record.serialize()  #: the `avcC` record

    @property
    def macroblocks(self) -> tuple[int, int]:
        """Columns and rows of a picture."""
        return self._columns, self._rows

    def _size(self) -> tuple[int, int]:
        wanted = self._key_bytes / PCM_BYTES
        for width, height in SIZES:
            if -(-width // 16) * -(-height // 16) > wanted:
                return width, height
        raise ValueError("no size of picture has room for so many bits")

    def _level(self, frame_rate: Fraction, bitrate_bps: int) -> int:
        blocks = self._columns * self._rows
        for level, rate, most, kbps in _LEVELS:
            if blocks * frame_rate <= rate and blocks <= most and bitrate_bps <= kbps * 1000:
                return level
        return _LEVELS[-1][0]

    def next_picture(self) -> Picture:
        """The next one; the first is a key frame."""
        place, gop = self._number % self._gop_pictures, self._number // self._gop_pictures
        self._number += 1
        wanted = (self._other_bytes if place else self._key_bytes) + self._owed_bytes
        blocks = max(round((wanted - _SLICE_HEAD_BYTES) / (PCM_BYTES + _PCM_HEADER_BYTES)), 0)
        blocks = min(blocks, self._columns * self._rows)
        payload = self._other(place, blocks) if place else self._key(gop, blocks)
        self._owed_bytes = wanted - len(payload)
        return Picture(not place, payload)

    def _key(self, gop: int, blocks: int) -> bytes:
        """A slice of raw blocks, one of grey ones (ISO/IEC 14496-10 §7.3.4)."""
        total = self._columns * self._rows
        nalus = [self._sps, self._pps]
        if blocks:
            nalus.append(_nalu(3, 5, _idr_head(0, gop).ue(_I_PCM_IN_I), self._raw(blocks, _between_i()), b"\x80"))
        if blocks < total:
            grey = int.from_bytes(bytes((_GREY,)) * (total - blocks), "big")
            data = _idr_head(blocks, gop).write(grey, 8 * (total - blocks)).write(1, 1)
            nalus.append(_nalu(3, 5, data, b"", b""))
        return join_avcc(nalus)

    def _other(self, place: int, blocks: int) -> bytes:
        """One slice: some blocks are left as they were, some are raw, the rest is left again; where the raw ones are goes round."""
        total = self._columns * self._rows
        before = min(self._number * blocks % total, total - blocks)
        after = total - before - blocks
        head = _p_head(place)
        if not blocks:
            return join_avcc([_nalu(2, 1, head.ue(total).write(1, 1), b"", b"")])
        tail = BitWriter().ue(after).write(1, 1) if after else BitWriter().write(1, 1)
        return join_avcc([_nalu(2, 1, head.ue(before).ue(_I_PCM_IN_P), self._raw(blocks, _between_p()), tail.to_bytes())])

    def _raw(self, blocks: int, between: bytes) -> bytes:
        samples = self._random.randbytes(blocks * PCM_BYTES).translate(_NOT_ZERO)
        return between.join(samples[at : at + PCM_BYTES] for at in range(0, len(samples), PCM_BYTES))


def _nalu(importance: int, kind: int, head: BitWriter, raw: bytes, tail: bytes) -> bytes:
    """A NALU: `head`, filled with zero bits, `raw` samples, `tail`."""
    return escape_rbsp(bytes((importance << 5 | kind,)) + head.to_bytes() + raw + tail)


def _idr_head(first_block: int, gop: int) -> BitWriter:
    """§7.3.3: I slices only; frame_num 0; two key frames in a row have different ids; nothing is filtered."""
    head = BitWriter().ue(first_block).ue(7).ue(0).write(0, _FRAME_NUM_BITS).ue(gop % 0x10000)
    return head.write(0, 2).se(0).ue(1)


def _p_head(place: int) -> BitWriter:
    """§7.3.3: P slices only, each picture refers to the one before."""
    head = BitWriter().ue(0).ue(5).ue(0).write(place % (1 << _FRAME_NUM_BITS), _FRAME_NUM_BITS)
    return head.write(0, 3).se(0).ue(1)


def _between_i() -> bytes:
    return BitWriter().ue(_I_PCM_IN_I).to_bytes()


def _between_p() -> bytes:
    """Nothing is skipped, and the type again."""
    return BitWriter().ue(0).ue(_I_PCM_IN_P).to_bytes()


def _sps(video: MadeVideo, level: int, frame_rate: Fraction) -> bytes:
    """§7.3.2.1.1: shown in the order in which they are decoded; the frame rate is in the VUI (§E.1.1)."""
    columns, rows = video.macroblocks
    bits = BitWriter().write(0x67, 8).write(_BASELINE, 8).write(_CONSTRAINTS, 8).write(level, 8)
    bits.ue(0).ue(_FRAME_NUM_BITS - 4).ue(2).ue(1).write(0, 1)
    bits.ue(columns - 1).ue(rows - 1).write(1, 1).write(1, 1)
    right, bottom = (16 * columns - video.width) // 2, (16 * rows - video.height) // 2
    bits.write(bool(right or bottom), 1)
    if right or bottom:
        bits.ue(0).ue(right).ue(0).ue(bottom)
    bits.write(1, 1)  # VUI
    bits.write(0, 4)  # neither aspect ratio, overscan, video signal type nor chroma location
    bits.write(1, 1).write(frame_rate.denominator, 32).write(2 * frame_rate.numerator, 32).write(1, 1)
    bits.write(0, 3)  # neither HRD nor picture structure
    bits.write(1, 1).write(1, 1).ue(0).ue(0).ue(16).ue(16).ue(0).ue(1)  # no picture waits for another
    return escape_rbsp(bits.write(1, 1).to_bytes())


def _pps() -> bytes:
    """§7.3.2.2: CAVLC, one slice group, one reference; slices say whether they are filtered."""
    bits = BitWriter().write(0x68, 8).ue(0).ue(0).write(0, 2).ue(0).ue(0).ue(0).write(0, 3).se(0).se(0).se(0)
    return bits.write(1, 1).write(0, 2).write(1, 1).to_bytes()
