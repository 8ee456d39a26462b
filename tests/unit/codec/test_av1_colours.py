"""Colours of AV1 sequence headers, and the records made of these."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.bits import BitWriter
from lalmesh.codec.av1 import AV1CodecConfigurationRecord
from lalmesh.errors import RemoteProtocolError


@dataclass
class SequenceHeaderBuilder:
    """Write sequence_header_obu() field by field (AV1 §5.5.1, §5.5.2)."""

    profile: int = 0
    reduced: bool = False
    timing: bool = False
    order_hint: bool = True
    colour: str = ""  #: color_config() in bits, after high_bitdepth

    def build(self) -> bytes:
        bits = BitWriter().write(self.profile, 3).write(0, 1).write(self.reduced, 1)
        if self.reduced:
            bits.write(4, 5)
        else:
            self._operating_points(bits)
        bits.write(7, 4).write(7, 4).write(199, 8).write(99, 8)
        if not self.reduced:
            bits.write(1, 1).write(0x2A, 7)
        bits.write(0, 3)
        if not self.reduced:
            bits.write(0b1010, 4).write(self.order_hint, 1).write(0, 2 if self.order_hint else 0)
            bits.write(0b0_1_0_1, 4)  # screen content tools not chosen but forced; integer motion vectors not chosen but forced
            bits.write(6 if self.order_hint else 0, 3 if self.order_hint else 0)
        bits.write(0b101, 3)
        for bit in self.colour.replace(" ", ""):
            bits.write(int(bit), 1)
        return bits.write(0, 3).to_bytes()

    def _operating_points(self, bits: BitWriter) -> None:
        bits.write(self.timing, 1)
        if self.timing:
            bits.write(1, 32).write(25, 32).write(1, 1).write(0b010, 3)  # equal_picture_interval, uvlc of 1
            bits.write(1, 1).write(9, 5).write(1, 32).write(4, 5).write(4, 5)  # decoder model, delays of 10 bits
        bits.write(1, 1).write(0, 5).write(0, 12).write(9, 5).write(1, 1)  # display delay, one point of level 9, tier 1
        if self.timing:
            bits.write(1, 1).write(0, 21)
        bits.write(1, 1).write(3, 4)


@pytest.mark.parametrize(
    ("builder", "expected"),
    [
        # high_bitdepth, mono_chrome, no description, color_range, sample position 2
        (SequenceHeaderBuilder(colour="1 0 0 1 10"), (True, False, False, True, True, 2)),
        (SequenceHeaderBuilder(timing=True, order_hint=False, colour="0 1 0 1"), (False, False, True, True, True, 0)),
        (SequenceHeaderBuilder(reduced=True, colour="0 0 0 0 01"), (False, False, False, True, True, 1)),
        (SequenceHeaderBuilder(profile=1, colour="0 0 1"), (False, False, False, False, False, 0)),
        # profile 2: twelve_bit, then 4:2:2 or what two bits say; sRGB has no subsampling
        (SequenceHeaderBuilder(profile=2, colour="0 0 0 1"), (False, False, False, True, False, 0)),
        (SequenceHeaderBuilder(profile=2, colour="1 1 0 0 1 1 0 11"), (True, True, False, True, False, 0)),
        (SequenceHeaderBuilder(profile=2, colour="1 1 0 0 1 1 1 11"), (True, True, False, True, True, 3)),
        (SequenceHeaderBuilder(profile=2, colour="0 0 1 00000001 00001101 00000000"), (False, False, False, False, False, 0)),
    ],
)
def test_the_record_tells_the_colours(builder: SequenceHeaderBuilder, expected: tuple[object, ...]) -> None:
    made = AV1CodecConfigurationRecord.from_sequence_header(builder.build())
    record = AV1CodecConfigurationRecord.parse(made.serialize())
    assert record == made
    assert record.sequence_header is not None
    assert (record.sequence_header.max_frame_width, record.sequence_header.max_frame_height) == (200, 100)
    seen = (record.high_bitdepth, record.twelve_bit, record.monochrome, record.chroma_subsampling_x, record.chroma_subsampling_y)
    assert (*seen, record.chroma_sample_position) == expected


@given(st.binary(max_size=40))
def test_any_sequence_header_makes_a_record_or_is_refused(data: bytes) -> None:
    with suppress(RemoteProtocolError):
        AV1CodecConfigurationRecord.parse(AV1CodecConfigurationRecord.from_sequence_header(data).serialize())
