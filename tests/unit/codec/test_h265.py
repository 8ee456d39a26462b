"""H.265 parameter sets, `hvcC`, random access, against what real encoders write and SPSs built by the tables of the standard."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.bits import BitWriter
from lalmesh.codec import h265
from lalmesh.codec.h265 import (
    HevcDecoderConfigurationRecord,
    NaluArray,
    ParameterSets,
    ProfileTierLevel,
    is_random_access,
    nalu_type,
    parse_sps,
)
from lalmesh.codec.nalu import MAX_PARAMETER_SET_BYTES, escape_rbsp, join_avcc
from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError

# The parameter sets in the `hvcC` of ffmpeg 9.0 -f lavfi -i testsrc2=size=SIZE:rate=RATE -frames:v 12 -c:v libx265 -pix_fmt FORMAT
# -x265-params log-level=error:OPTIONS out.mp4
VPS_1080P = "40010c01ffff016000000300900000030000030078959409"
PPS_1080P = "4401c073c189"
# 1920x1080, 30000/1001, -preset ultrafast, yuv420p, bframes=3: coded as 1920x1088
MAIN_1080P = "420101016000000300900000030000030078a003c0801107cb965654a4c2f01680800001f480003a9804"
# 640x360, 50, yuv420p10le
MAIN_10 = "42010102200000030090000003000003005aa005020169365959a4932bc05a020000030002000003006410"
# 640x360, 25, yuv420p, scaling-list=default:hrd=1:vbv-maxrate=2000:vbv-bufsize=2000:bitrate=1000:temporal-layers=2
MAIN_HRD_TWO_LAYERS = (
    "42010201600000030090000003000003003f0000a005020169659598acd249caf0168080000003008000000cb04e4b2f0007a12000f425c001e848003d0910"
)
# 640x360, 25, yuv422p12le, overscan=crop
REXT_422_12 = "420101040800000300990800000300003fb00502016914a5959a4932bc07d0100000030010000003019080"
# 640x360, 25, yuv420p, display-window=4,4,4,4:interlace=tff:bframes=0
MAIN_FIELDS = "42010101600000030040000003000003003fa0050201696592a4932bc05a1ca5296000000300200000030321"
# 640x360, 25, -c:v libkvazaar: ordering of the highest of two sub-layers only
KVAZAAR = "4201020160000003008000000300000300ba0000a0050201696c100864932ac04040000003004000000642"

ALL_SPS = [MAIN_1080P, MAIN_10, MAIN_HRD_TWO_LAYERS, REXT_422_12, MAIN_FIELDS, KVAZAAR]

# The whole `hvcC` of KVAZAAR; ffmpeg marks its arrays as not complete
RECORD = (
    "010160000000800000000000baf000fcfdf8f8000013032000" + "01001b40010c02ffff0160000003008000000300000300ba000004021024"
    "210001002b" + KVAZAAR + "22000100084401c062460a6480"
)

PTL = ProfileTierLevel(
    profile_space=0, high_tier=False, profile_idc=1, compatibility_flags=0x60000000, constraint_flags=0xB00000000000, level_idc=93
)


@dataclass
class SpsBuilder:
    """Write seq_parameter_set_rbsp() field by field in the order of ISO/IEC 23008-2 §7.3.2.2.1."""

    sub_layers: int = 1
    layer_id: int = 0
    sps_id: int = 0
    chroma_format: int = 1
    width: int = 640
    height: int = 480
    window: tuple[int, int, int, int] | None = None
    bit_depth_minus8: int = 0
    log2_max_poc_lsb_minus4: int = 4
    reorder: tuple[int, ...] = (2,)  #: one a sub-layer, or the highest one's alone
    scaling: bool = False
    ref_pic_sets: list[BitWriter] = field(default_factory=list)
    ref_pic_set_count: int | None = None  #: told where it differs from the true one
    long_term: int = 0
    vui: BitWriter | None = None

    def build(self) -> bytes:
        bits = BitWriter().write(33, 7).write(self.layer_id, 6).write(1, 3)  # NALU header
        bits.write(5, 4).write(self.sub_layers - 1, 3).write(1, 1)
        self._profile_tier_level(bits)
        bits.ue(self.sps_id).ue(self.chroma_format)
        if self.chroma_format == 3:
            bits.write(0, 1)
        bits.ue(self.width).ue(self.height).write(self.window is not None, 1)
        for offset in self.window or ():
            bits.ue(offset)
        bits.ue(self.bit_depth_minus8).ue(self.bit_depth_minus8).ue(self.log2_max_poc_lsb_minus4)
        bits.write(len(self.reorder) > 1, 1)
        for depth in self.reorder:
            bits.ue(6).ue(depth).ue(0)
        self._coding_tools(bits)
        bits.ue(len(self.ref_pic_sets) if self.ref_pic_set_count is None else self.ref_pic_set_count)
        for ref_pic_set in self.ref_pic_sets:
            append(bits, ref_pic_set)
        bits.write(self.long_term > 0, 1)
        if self.long_term:
            bits.ue(self.long_term).write(0, self.long_term * (self.log2_max_poc_lsb_minus4 + 5))
        bits.write(0b11, 2).write(self.vui is not None, 1)
        append(bits, self.vui or BitWriter())
        return escape_rbsp(bits.write(0, 1).write(1, 1).to_bytes())  # no extension, then rbsp_trailing_bits()

    def _profile_tier_level(self, bits: BitWriter) -> None:
        append(bits, BitWriter().write(int.from_bytes(PTL.serialize(), "big"), 96))
        if self.sub_layers > 1:
            bits.write(0b11_01_10_00_11_00 >> 2 * (7 - self.sub_layers), 2 * (self.sub_layers - 1)).write(
                0, 2 * (9 - self.sub_layers)
            )
            present = [(1, 1), (0, 1), (1, 0), (0, 0), (1, 1), (0, 0)][: self.sub_layers - 1]
            bits.write(0, sum(88 * profile + 8 * level for profile, level in present))

    def _coding_tools(self, bits: BitWriter) -> None:
        bits.ue(0).ue(3).ue(0).ue(3).ue(1).ue(1).write(self.scaling, 1)
        if self.scaling:
            bits.write(1, 1)
            scaling_lists(bits)
        bits.write(0b11, 2).write(1, 1).write(0x77, 8).ue(0).ue(2).write(1, 1)  # amp, sao, pcm


def append(bits: BitWriter, more: BitWriter) -> None:
    bits.write(more._value, more._bits)


def scaling_lists(bits: BitWriter) -> None:
    """scaling_list_data() (§7.3.4) in which every second list is written out."""
    for size_id in range(4):
        for matrix in range(2 if size_id == 3 else 6):
            bits.write(matrix % 2, 1)
            if matrix % 2 == 0:
                bits.ue(0)
                continue
            for coefficient in range(min(64, 1 << (4 + (size_id << 1))) + (1 if size_id > 1 else 0)):
                bits.se(coefficient % 5 - 2)


def explicit_set(negative: tuple[int, ...], positive: tuple[int, ...] = (), *, first: bool = False) -> BitWriter:
    """st_ref_pic_set() with its own steps from picture to picture (§7.3.7); all but the first say that they are not predicted."""
    bits = BitWriter() if first else BitWriter().write(0, 1)
    bits.ue(len(negative)).ue(len(positive))
    for step in (*negative, *positive):
        bits.ue(step - 1).write(1, 1)
    return bits


def predicted_set(delta_rps: int, flags: str) -> BitWriter:
    """st_ref_pic_set() predicted from the one before; `flags` of each of its pictures and one more: 1 used, 01 kept, 00 dropped."""
    bits = BitWriter().write(1, 1).write(delta_rps < 0, 1).ue(abs(delta_rps) - 1)
    return bits.write(int(flags, 2), len(flags))


def full_vui(*, sub_pictures: bool = True, segmentation: int = 7) -> BitWriter:
    """Every part of vui_parameters() (§E.2.1), for two sub-layers."""
    bits = BitWriter().write(1, 1).write(255, 8).write(4, 16).write(3, 16).write(0b11, 2)  # Extended_SAR, overscan
    bits.write(1, 1).write(5, 3).write(0, 1).write(1, 1).write(0x090909, 24).write(1, 1).ue(2).ue(2)  # signal type, chroma location
    bits.write(0b010, 3).write(1, 1).ue(1).ue(1).ue(0).ue(0)  # field_seq_flag, default display window
    bits.write(1, 1).write(1001, 32).write(60_000, 32).write(1, 1).ue(0)  # timing, vui_num_ticks_poc_diff_one_minus1
    bits.write(1, 1)
    hrd_parameters(bits, sub_pictures)
    return bits.write(1, 1).write(0b010, 3).ue(segmentation).ue(2).ue(1).ue(15).ue(15)  # bitstream restriction


def hrd_parameters(bits: BitWriter, sub_pictures: bool) -> None:
    """hrd_parameters(1, 1) (§E.2.2): a fixed rate with two buffers, then low delay with one; NAL and VCL."""
    bits.write(0b11, 2).write(sub_pictures, 1)
    if sub_pictures:
        bits.write(98, 8).write(7, 5).write(1, 1).write(9, 5)
    bits.write(0x12, 8)
    if sub_pictures:
        bits.write(3, 4)
    bits.write(23, 5).write(15, 5).write(5, 5)
    bits.write(1, 1).ue(0).ue(1)  # fixed_pic_rate_general_flag, elemental_duration_in_tc_minus1, cpb_cnt_minus1
    sub_layer_hrd(bits, sub_pictures, count=4)
    bits.write(0b00, 2).write(1, 1)  # no fixed rate, low_delay_hrd_flag
    sub_layer_hrd(bits, sub_pictures, count=2)


def sub_layer_hrd(bits: BitWriter, sub_pictures: bool, count: int) -> None:
    for _ in range(count):
        bits.ue(15_624).ue(31_249)
        if sub_pictures:
            bits.ue(100).ue(200)
        bits.write(0, 1)


@pytest.mark.parametrize(
    ("wire", "profile", "size", "rate", "depth"),
    [
        (MAIN_1080P, "Main", (1920, 1080), Fraction(30_000, 1001), 2),
        (MAIN_10, "Main 10", (640, 360), Fraction(50), 2),
        (MAIN_HRD_TWO_LAYERS, "Main", (640, 360), Fraction(25), 2),
        (REXT_422_12, "Format Range Extensions", (640, 360), Fraction(25), 2),
        (MAIN_FIELDS, "Main", (640, 360), Fraction(25), 0),
        (KVAZAAR, "Main", (640, 360), Fraction(25), 15),
    ],
)
def test_what_encoders_write_is_read(wire: str, profile: str, size: tuple[int, int], rate: Fraction, depth: int) -> None:
    found = parse_sps(bytes.fromhex(wire))
    assert (found.profile, (found.width, found.height), found.frame_rate, found.reorder_depth) == (profile, size, rate, depth)


def test_depths_layers_and_poc_bits_are_kept() -> None:
    rext, layers = parse_sps(bytes.fromhex(REXT_422_12)), parse_sps(bytes.fromhex(MAIN_HRD_TWO_LAYERS))
    assert (rext.chroma_format_idc, rext.bit_depth_luma, rext.bit_depth_chroma, rext.log2_max_poc_lsb) == (2, 12, 12, 8)
    assert (layers.max_sub_layers, layers.temporal_id_nesting, layers.ptl.level_idc) == (2, False, 63)
    assert parse_sps(bytes.fromhex(MAIN_FIELDS)).field_seq


@pytest.mark.parametrize("sub_pictures", [False, True])
def test_everything_before_and_in_the_vui_is_passed_over(sub_pictures: bool) -> None:
    builder = SpsBuilder(sub_layers=2, reorder=(1, 3), scaling=True, long_term=2, vui=full_vui(sub_pictures=sub_pictures))
    builder.ref_pic_sets = [explicit_set((1, 2, 3), (1,), first=True), explicit_set((2,))]
    found = parse_sps(builder.build())
    assert (found.vps_id, found.max_sub_layers, found.reorder_depth) == (5, 2, 3)
    assert (found.frame_rate, found.field_seq, found.min_spatial_segmentation_idc) == (Fraction(60_000, 1001), True, 7)


@pytest.mark.parametrize("sub_layers", range(1, 8))
def test_the_levels_of_sub_layers_are_passed_over(sub_layers: int) -> None:
    found = parse_sps(SpsBuilder(sub_layers=sub_layers, sps_id=9, reorder=tuple(range(sub_layers))).build())
    assert (found.ptl, found.max_sub_layers, found.sps_id, found.reorder_depth) == (PTL, sub_layers, 9, sub_layers - 1)


def test_predicted_reference_sets_are_as_long_as_what_they_predict_from() -> None:
    # §7.3.7: -1 -3 -6 +2, by -2: -2 -3 -5 -8 (0 is the picture itself), by +1 with one dropped: -1 -2 -7 +1, by +5: 4 3 -2 6 5
    sets = [
        explicit_set((1, 2, 3), (2,), first=True),
        predicted_set(-2, "11111"),
        predicted_set(1, "1010011"),
        predicted_set(5, "11111"),
    ]
    sets.append(predicted_set(-1, "111111"))
    found = parse_sps(SpsBuilder(sub_layers=2, ref_pic_sets=sets, long_term=1, vui=full_vui()).build())
    assert (found.frame_rate, found.min_spatial_segmentation_idc) == (Fraction(60_000, 1001), 7)


def test_eight_sub_layers_are_refused() -> None:
    with pytest.raises(LimitExceeded, match="sps_max_sub_layers_minus1 of 7"):
        parse_sps(bytes.fromhex(KVAZAAR.replace("420102", "42010e", 1)))


@pytest.mark.parametrize(
    ("builder", "size"),
    [
        (SpsBuilder(window=(1, 2, 3, 4)), (634, 466)),
        (SpsBuilder(chroma_format=2, window=(1, 2, 3, 4)), (634, 473)),
        (SpsBuilder(chroma_format=3, window=(1, 2, 3, 4)), (637, 473)),
        (SpsBuilder(chroma_format=0, window=(1, 2, 3, 4)), (637, 473)),
    ],
)
def test_the_conformance_window_counts_in_chroma_samples(builder: SpsBuilder, size: tuple[int, int]) -> None:
    found = parse_sps(builder.build())
    assert (found.width, found.height) == size


@pytest.mark.parametrize(
    "builder",
    [
        SpsBuilder(sps_id=16),
        SpsBuilder(chroma_format=4),
        SpsBuilder(width=h265.MAX_SIDE + 1),
        SpsBuilder(height=(1 << 32) - 2),
        SpsBuilder(bit_depth_minus8=9),
        SpsBuilder(log2_max_poc_lsb_minus4=13),
        SpsBuilder(reorder=(16,)),
        SpsBuilder(ref_pic_set_count=65),
        SpsBuilder(ref_pic_sets=[explicit_set((1,) * 17, first=True)]),
        SpsBuilder(ref_pic_sets=[explicit_set((1,) * 9, (1,) * 8, first=True)]),
        SpsBuilder(ref_pic_sets=[explicit_set((1 << 16,), first=True)]),
        SpsBuilder(long_term=33),
        SpsBuilder(sub_layers=2, vui=full_vui(segmentation=4096)),
    ],
)
def test_values_outside_their_range_are_refused(builder: SpsBuilder) -> None:
    with pytest.raises(LimitExceeded):
        parse_sps(builder.build())


def test_reference_sets_cannot_grow_without_end() -> None:
    grown = [explicit_set((1,) * 16, first=True)]
    grown += [predicted_set(-1 - 16 * index, "1" * (17 + index)) for index in range(4)]
    with pytest.raises(LimitExceeded, match="NumDeltaPocs"):
        parse_sps(SpsBuilder(ref_pic_sets=grown).build())


def test_a_picture_cropped_away_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="cropped to 0x480"):
        parse_sps(SpsBuilder(window=(160, 160, 0, 0)).build())


def test_another_layer_is_not_supported() -> None:
    with pytest.raises(UnsupportedError, match="layer 33"):
        parse_sps(SpsBuilder(layer_id=33).build())


@pytest.mark.parametrize(
    "wire", ["", "42", "4401c073c189", "4201", "420101" + "00" * 40, "4201" + "ff" * (MAX_PARAMETER_SET_BYTES + 1)]
)
def test_what_is_no_whole_sps_is_refused(wire: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_sps(bytes.fromhex(wire))


def test_every_truncated_prefix_of_an_sps_is_refused() -> None:
    whole = bytes.fromhex(MAIN_HRD_TWO_LAYERS)
    for size in range(len(whole) - 1):
        with pytest.raises(RemoteProtocolError):
            parse_sps(whole[:size])


@given(st.binary(max_size=120))
def test_any_bytes_give_an_sps_or_a_protocol_error(data: bytes) -> None:
    with suppress(RemoteProtocolError):
        found = parse_sps(bytes.fromhex(MAIN_10)[:18] + data)
        assert 0 < found.width <= h265.MAX_SIDE
        assert 0 <= found.reorder_depth < h265.MAX_DPB_PICTURES


@given(st.sampled_from(ALL_SPS), st.data())
def test_a_damaged_sps_gives_an_sps_or_a_documented_error(wire: str, data: st.DataObject) -> None:
    nalu = bytearray.fromhex(wire)
    nalu[data.draw(st.integers(0, len(nalu) - 1))] = data.draw(st.integers(0, 255))
    with suppress(RemoteProtocolError, UnsupportedError):
        assert parse_sps(bytes(nalu)).width > 0


def test_the_record_of_an_encoder_comes_back_byte_for_byte() -> None:
    found = HevcDecoderConfigurationRecord.parse(bytes.fromhex(RECORD))
    assert found.serialize() == bytes.fromhex(RECORD)
    assert found.parameter_sets.sps == (bytes.fromhex(KVAZAAR),)
    assert [(array.nalu_type, array.complete) for array in found.arrays] == [(32, False), (33, False), (34, False)]
    assert (found.temporal_layers, found.temporal_id_nested, found.length_size) == (2, False, 4)


def test_a_record_is_made_of_parameter_sets() -> None:
    sets = ParameterSets(vps=(bytes.fromhex(VPS_1080P),), sps=(bytes.fromhex(MAIN_1080P),), pps=(bytes.fromhex(PPS_1080P),))
    made = HevcDecoderConfigurationRecord.from_parameter_sets(sets)
    # the header is what ffmpeg wrote for the same sets; its arrays have array_completeness set
    assert made.serialize()[:23].hex() == "01016000000090000000000078f000fcfdf8f800000f03"
    assert made.serialize()[23:28].hex() == "a000010018"
    assert made.parameter_sets == sets
    assert HevcDecoderConfigurationRecord.parse(made.serialize()) == made


@pytest.mark.parametrize(
    ("wire", "codec"),
    [
        (MAIN_1080P, "hvc1.1.6.L120.90"),
        (MAIN_10, "hvc1.2.4.L90.90"),
        (REXT_422_12, "hvc1.4.10.L63.99.8"),
        (KVAZAAR, "hvc1.1.6.L186.80"),
    ],
)
def test_the_codec_string_names_profile_tier_and_level(wire: str, codec: str) -> None:
    assert HevcDecoderConfigurationRecord.from_parameter_sets(ParameterSets(sps=(bytes.fromhex(wire),))).rfc6381 == codec


def test_the_codec_string_of_the_standard_is_met() -> None:
    # ISO/IEC 14496-15 §E.3: profile space A, high tier; Main at level 3.1 with progressive, frame-only constraints
    high = ProfileTierLevel(
        profile_space=1, high_tier=True, profile_idc=1, compatibility_flags=0x60000000, constraint_flags=0, level_idc=93
    )
    assert record_of(PTL).rfc6381 == "hvc1.1.6.L93.B0"
    assert record_of(high).rfc6381 == "hvc1.A1.6.H93"


def record_of(ptl: ProfileTierLevel) -> HevcDecoderConfigurationRecord:
    return HevcDecoderConfigurationRecord(ptl=ptl, chroma_format=1, bit_depth_luma=8, bit_depth_chroma=8, arrays=())


profiles = st.builds(
    ProfileTierLevel,
    profile_space=st.integers(0, 3),
    high_tier=st.booleans(),
    profile_idc=st.integers(0, 31),
    compatibility_flags=st.integers(0, (1 << 32) - 1),
    constraint_flags=st.integers(0, (1 << 48) - 1),
    level_idc=st.integers(0, 255),
)
arrays = st.builds(
    NaluArray,
    nalu_type=st.integers(0, 63),
    nalus=st.lists(st.binary(min_size=1, max_size=20), max_size=3).map(tuple),
    complete=st.booleans(),
)
records = st.builds(
    HevcDecoderConfigurationRecord,
    ptl=profiles,
    chroma_format=st.integers(0, 3),
    bit_depth_luma=st.integers(8, 15),
    bit_depth_chroma=st.integers(8, 15),
    arrays=st.lists(arrays, max_size=4).map(tuple),
    min_spatial_segmentation_idc=st.integers(0, 4095),
    parallelism_type=st.integers(0, 3),
    average_frame_rate=st.integers(0, 0xFFFF),
    constant_frame_rate=st.integers(0, 3),
    temporal_layers=st.integers(0, 7),
    temporal_id_nested=st.booleans(),
    length_size=st.integers(1, 4),
)


@given(records)
def test_any_record_comes_back(original: HevcDecoderConfigurationRecord) -> None:
    assert HevcDecoderConfigurationRecord.parse(original.serialize()) == original


def test_versions_of_the_record_after_1_are_not_supported() -> None:
    assert HevcDecoderConfigurationRecord.parse(b"\x00" + bytes.fromhex(RECORD)[1:]).serialize() == bytes.fromhex(RECORD)
    with pytest.raises(UnsupportedError):
        HevcDecoderConfigurationRecord.parse(b"\x02" + bytes.fromhex(RECORD)[1:])


def test_every_truncated_prefix_of_a_record_is_refused() -> None:
    whole = bytes.fromhex(RECORD)
    for size in range(len(whole)):
        with pytest.raises(RemoteProtocolError):
            HevcDecoderConfigurationRecord.parse(whole[:size])


@given(st.binary(max_size=80))
def test_any_bytes_give_a_record_or_a_documented_error(data: bytes) -> None:
    with suppress(RemoteProtocolError):
        found = HevcDecoderConfigurationRecord.parse(b"\x01" + data)
        assert HevcDecoderConfigurationRecord.parse(found.serialize()) == found


@pytest.mark.parametrize(
    "sets",
    [
        ParameterSets(),
        ParameterSets(vps=(b"",), sps=(bytes.fromhex(MAIN_10),)),
        ParameterSets(sps=(bytes.fromhex(MAIN_10),), pps=(bytes(0x10000),)),
        ParameterSets(sps=(bytes.fromhex(MAIN_10),), pps=(b"\x44",) * 0x10000),
        ParameterSets(sps=(b"\x42\x01",)),
    ],
    ids=["no SPS", "empty VPS", "long PPS", "many PPS", "broken SPS"],
)
def test_parameter_sets_that_fit_no_record_are_refused(sets: ParameterSets) -> None:
    with pytest.raises(RemoteProtocolError):
        HevcDecoderConfigurationRecord.from_parameter_sets(sets)


def test_sixteen_bits_a_sample_fit_no_record() -> None:
    sets = ParameterSets(sps=(SpsBuilder(bit_depth_minus8=8).build(),))
    with pytest.raises(UnsupportedError):
        HevcDecoderConfigurationRecord.from_parameter_sets(sets)


def nalu(kind: int) -> bytes:
    return bytes((kind << 1, 1, 0x80))


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [([kind], 16 <= kind <= 23) for kind in (0, 1, 8, 9, 15, 16, 19, 20, 21, 23, 24, 31)]
    + [([35, 32, 33, 34, 39, 19, 19], True), ([32, 33, 34, 1], False), ([1, 19], False), ([32, 33, 34], False), ([], False)],
)
def test_decoding_starts_at_irap_pictures(kinds: list[int], expected: bool) -> None:
    assert is_random_access(join_avcc([nalu(kind) for kind in kinds])) is expected


def test_nothing_behind_the_first_slice_is_read() -> None:
    assert is_random_access(join_avcc([nalu(19)]) + b"\xff")
    with pytest.raises(RemoteProtocolError):
        is_random_access(join_avcc([nalu(35)]) + b"\xff")


def test_the_type_is_in_six_bits_of_the_header() -> None:
    assert nalu_type(bytes.fromhex(MAIN_10)) == h265.NaluType.SPS
    assert nalu_type(b"\x62\x01") == 49  # a fragmentation unit of RFC 7798, which no Table 7-1 names
    with pytest.raises(RemoteProtocolError):
        nalu_type(b"\x42")
