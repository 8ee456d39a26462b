"""H.264 parameter sets, `avcC`, random access, against what real encoders write and SPSs built by the tables of the standard."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.bits import BitWriter
from lalmesh.codec import h264
from lalmesh.codec.h264 import AvcDecoderConfigurationRecord, PicOrderCnt, Sps, is_random_access, nalu_type, parse_sps
from lalmesh.codec.nalu import MAX_PARAMETER_SET_BYTES, escape_rbsp, join_avcc
from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError

# The `avcC` of ffmpeg 9.0 -f lavfi -i testsrc2=size=SIZE:rate=RATE -frames:v 12 -c:v libx264 -pix_fmt yuv420p OPTIONS out.mp4
# 1920x1080, 30000/1001, -preset medium: B-frames, cropped
HIGH_1080P = "01640028ffe1001967640028acd940780227e5c04400000fa40003a9803c60c65801000668ebe3cb22c0fdf8f800"
# 1920x1080, 25, -flags +ildct+ilme -x264-params tff=1: interlaced, cropped
HIGH_1080I = "01640028ffe1001a67640028acd94078044fde0220000003002000000643e2c5b2c001000668fba3cb22c0fdf8f800"
# 640x360, 30, -profile:v baseline
BASELINE = "0142c01effe100196742c01ed900a02ff970110000030001000003003c0f162e4801000568cb83cb20"
# 640x360, 25, -tune zerolatency -profile:v main
MAIN_ZEROLATENCY = "014d401effe10019674d401ed900a02ff97011000003000100000300328f162e4801000568ebc3cb20"
# 640x360, 50, -profile:v high422 -pix_fmt yuv422p10le
HIGH_422 = "017a001fffe1001b677a001fb6cd940a02ff89c044000003000400000301903c60c65801000668ebe3cb22c0fefafa00"
# 640x360, 25, -g 1 -profile:v high10 -pix_fmt yuv420p10le
HIGH_10_INTRA = "016e101effe10017676e101ea6cb81405ff2e022000003000200000300640801000568ee0f2c8bfdfafa00"
# 640x360, 25, -profile:v high -x264-params cqm=jvt: scaling matrices
HIGH_CQM = "0164001effe1001a6764001eacd940a02ff97011000003000100000300320f162d9601000768ebe3cb3002c0fdf8f800"
# 640x360, 25, -c:v libopenh264: no VUI timing
OPENH264 = "0142c01effe100106742c01e8c680a02ff970101e1108d4001000468ce3c80"

RECORDS = [HIGH_1080P, HIGH_1080I, BASELINE, MAIN_ZEROLATENCY, HIGH_422, HIGH_10_INTRA, HIGH_CQM, OPENH264]


def record(wire: str) -> AvcDecoderConfigurationRecord:
    return AvcDecoderConfigurationRecord.parse(bytes.fromhex(wire))


def sps(wire: str) -> Sps:
    return parse_sps(record(wire).sps[0])


@dataclass
class SpsBuilder:
    """Write seq_parameter_set_data() field by field in the order of ISO/IEC 14496-10 §7.3.2.1.1."""

    profile: int = 77
    constraints: int = 0
    level: int = 30
    sps_id: int = 0
    log2_max_frame_num_minus4: int = 0
    poc_type: int = 0
    poc_cycle: int = 2
    num_ref_frames: int = 2
    width_mbs: int = 40
    map_units: int = 30
    frame_mbs_only: bool = True
    crop: tuple[int, int, int, int] | None = None
    chroma_format: int = 1
    separate_planes: bool = False
    scaling: bool = False
    vui: BitWriter | None = None

    def build(self) -> bytes:
        bits = BitWriter().write(self.profile, 8).write(self.constraints, 8).write(self.level, 8).ue(self.sps_id)
        if self.profile >= 100:
            self._chroma(bits)
        bits.ue(self.log2_max_frame_num_minus4)
        self._poc(bits)
        bits.ue(self.num_ref_frames).write(0, 1).ue(self.width_mbs - 1).ue(self.map_units - 1)
        bits.write(self.frame_mbs_only, 1).write(1, 1 if self.frame_mbs_only else 2)
        bits.write(self.crop is not None, 1)
        for offset in self.crop or ():
            bits.ue(offset)
        bits.write(self.vui is not None, 1)
        return escape_rbsp(b"\x67" + with_trailing_bits(bits, self.vui))

    def _chroma(self, bits: BitWriter) -> None:
        bits.ue(self.chroma_format)
        if self.chroma_format == 3:
            bits.write(self.separate_planes, 1)
        bits.ue(0).ue(0).write(0, 1).write(self.scaling, 1)
        if self.scaling:
            bits.write(1, 1).se(-8)  # list 0 is the default one: its first scale would be 0
            bits.write(1, 1)  # list 1 is written out
            for _ in range(16):
                bits.se(1)
            bits.write(0, 4).write(1, 1).se(2).se(-10)  # lists 2 to 5 fall back; list 6 ends at its second scale
            bits.write(0, 5 if self.chroma_format == 3 else 1)

    def _poc(self, bits: BitWriter) -> None:
        bits.ue(self.poc_type)
        if self.poc_type == 0:
            bits.ue(4)
        elif self.poc_type == 1:
            bits.write(1, 1).se(-3).se(7).ue(self.poc_cycle)
            for index in range(self.poc_cycle):
                bits.se(index + 1)


def with_trailing_bits(bits: BitWriter, rest: BitWriter | None) -> bytes:
    """The bytes of `bits`, then `rest`, then rbsp_trailing_bits()."""
    for writer in (rest, BitWriter().write(1, 1)):
        if writer is not None:
            bits.write(writer._value, writer._bits)
    return bits.to_bytes()


def full_vui(reorder: int = 3) -> BitWriter:
    """Every part of vui_parameters() (ISO/IEC 14496-10 §E.1.1)."""
    bits = BitWriter().write(1, 1).write(255, 8).write(4, 16).write(3, 16)  # Extended_SAR
    bits.write(0b11, 2)  # overscan
    bits.write(1, 1).write(5, 3).write(1, 1).write(1, 1).write(0x010101, 24)  # video signal type with colour description
    bits.write(1, 1).ue(1).ue(1)  # chroma location
    bits.write(1, 1).write(1001, 32).write(48_000, 32).write(1, 1)  # timing
    for cpb_count in (2, 1):  # NAL, VCL
        bits.write(1, 1).ue(cpb_count - 1).write(0x45, 8)
        for _ in range(cpb_count):
            bits.ue(15_624).ue(31_249).write(0, 1)
        bits.write(23, 5).write(15, 5).write(5, 5).write(24, 5)
    bits.write(1, 1).write(1, 1)  # low_delay_hrd_flag, pic_struct_present_flag
    return bits.write(1, 1).write(1, 1).ue(2).ue(1).ue(10).ue(10).ue(reorder).ue(4)


@pytest.mark.parametrize(
    ("wire", "profile", "size", "rate", "depth"),
    [
        (HIGH_1080P, "High", (1920, 1080), Fraction(30_000, 1001), 2),
        (HIGH_1080I, "High", (1920, 1080), Fraction(25), 2),
        (BASELINE, "Constrained Baseline", (640, 360), Fraction(30), 0),
        (MAIN_ZEROLATENCY, "Main", (640, 360), Fraction(25), 0),
        (HIGH_422, "High 4:2:2", (640, 360), Fraction(50), 2),
        (HIGH_10_INTRA, "High 10 Intra", (640, 360), Fraction(25), 0),
        (HIGH_CQM, "High", (640, 360), Fraction(25), 2),
        (OPENH264, "Constrained Baseline", (640, 360), None, 0),
    ],
)
def test_what_encoders_write_is_read(wire: str, profile: str, size: tuple[int, int], rate: Fraction | None, depth: int) -> None:
    found = sps(wire)
    assert (found.profile, (found.width, found.height), found.frame_rate, found.reorder_depth) == (profile, size, rate, depth)


def test_the_fields_that_slice_headers_need_are_kept() -> None:
    found = sps(HIGH_1080I)
    assert found.poc == PicOrderCnt(type=0, log2_max_lsb=6)
    assert (found.sps_id, found.log2_max_frame_num, found.frame_mbs_only, found.max_num_ref_frames) == (0, 4, False, 4)
    assert (sps(HIGH_422).chroma_format_idc, sps(HIGH_422).bit_depth_luma, sps(HIGH_422).bit_depth_chroma) == (2, 10, 10)
    assert (sps(OPENH264).log2_max_frame_num, sps(OPENH264).poc.type) == (15, 2)


def test_poc_type_1_keeps_its_cycle() -> None:
    found = parse_sps(SpsBuilder(poc_type=1, poc_cycle=3, sps_id=31, log2_max_frame_num_minus4=12).build())
    assert found.poc == PicOrderCnt(
        type=1,
        delta_always_zero=True,
        offset_for_non_ref_pic=-3,
        offset_for_top_to_bottom_field=7,
        offsets_for_ref_frame=(1, 2, 3),
    )
    assert (found.sps_id, found.log2_max_frame_num) == (31, 16)


@pytest.mark.parametrize(
    ("builder", "size"),
    [
        (SpsBuilder(crop=(1, 2, 3, 4)), (634, 466)),  # 4:2:0: two pixels each way
        (SpsBuilder(crop=(1, 2, 3, 4), frame_mbs_only=False), (634, 932)),  # fields: four lines, twice the height
        (SpsBuilder(profile=122, chroma_format=2, crop=(1, 2, 3, 4)), (634, 473)),
        (SpsBuilder(profile=244, chroma_format=3, crop=(1, 2, 3, 4)), (637, 473)),
        (SpsBuilder(profile=244, chroma_format=3, separate_planes=True, crop=(1, 2, 3, 4)), (637, 473)),
        (SpsBuilder(profile=100, chroma_format=0, crop=(1, 2, 3, 4)), (637, 473)),
    ],
)
def test_cropping_counts_in_chroma_samples(builder: SpsBuilder, size: tuple[int, int]) -> None:
    found = parse_sps(builder.build())
    assert (found.width, found.height) == size


@pytest.mark.parametrize("chroma_format", [1, 3])
def test_scaling_lists_and_a_full_vui_are_passed_over(chroma_format: int) -> None:
    found = parse_sps(SpsBuilder(profile=244, chroma_format=chroma_format, scaling=True, vui=full_vui()).build())
    assert (found.width, found.height, found.frame_rate, found.reorder_depth) == (640, 480, Fraction(24_000, 1001), 3)


@pytest.mark.parametrize(
    ("builder", "depth"),
    [  # ISO/IEC 14496-10 §E.2.1 and Table A-1: MaxDpbMbs over 40 * 30 macroblocks
        (SpsBuilder(level=30), 6),
        (SpsBuilder(level=31), 15),
        (SpsBuilder(level=40), 16),
        (SpsBuilder(level=99), 16),  # unknown: the most there can be
        (SpsBuilder(level=11, constraints=0x10, width_mbs=11, map_units=9), 4),  # level 1b
        (SpsBuilder(level=11, width_mbs=11, map_units=9), 9),
        (SpsBuilder(level=10, num_ref_frames=3), 3),  # a level too low for its frames
        (SpsBuilder(level=30, poc_type=2), 0),
        (SpsBuilder(profile=100, level=40, constraints=0x10), 0),  # intra only
        (SpsBuilder(profile=100, level=40), 16),
    ],
)
def test_without_a_bitstream_restriction_the_depth_is_inferred(builder: SpsBuilder, depth: int) -> None:
    assert parse_sps(builder.build()).reorder_depth == depth


@pytest.mark.parametrize(
    ("profile", "constraints", "name"),
    [
        (66, 0, "Baseline"),
        (100, 0x08, "Progressive High"),
        (100, 0x0C, "Constrained High"),
        (244, 0x10, "High 4:4:4 Intra"),
        (200, 0, "profile 200"),
    ],
)
def test_profiles_are_named(profile: int, constraints: int, name: str) -> None:
    assert replace(sps(HIGH_1080P), profile_idc=profile, constraint_flags=constraints).profile == name


@pytest.mark.parametrize(
    "builder",
    [
        SpsBuilder(sps_id=32),
        SpsBuilder(profile=100, chroma_format=4),
        SpsBuilder(log2_max_frame_num_minus4=13),
        SpsBuilder(poc_type=3),
        SpsBuilder(poc_type=1, poc_cycle=256),
        SpsBuilder(num_ref_frames=17),
        SpsBuilder(width_mbs=1056),
        SpsBuilder(width_mbs=1 << 31),
        SpsBuilder(map_units=1056),
        SpsBuilder(width_mbs=1000, map_units=1000),
        SpsBuilder(vui=full_vui(reorder=17)),
    ],
)
def test_values_outside_their_range_are_refused(builder: SpsBuilder) -> None:
    with pytest.raises(LimitExceeded):
        parse_sps(builder.build())


def test_a_frame_cropped_away_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="cropped to 0x480"):
        parse_sps(SpsBuilder(crop=(160, 160, 0, 0)).build())


@pytest.mark.parametrize("wire", ["", "68ce3c80", "67", "6764", "67" + "00" * 40, "67" + "ff" * (MAX_PARAMETER_SET_BYTES + 1)])
def test_what_is_no_whole_sps_is_refused(wire: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_sps(bytes.fromhex(wire))


def test_every_truncated_prefix_of_an_sps_is_refused() -> None:
    whole = SpsBuilder(profile=244, chroma_format=3, scaling=True, poc_type=1, vui=full_vui()).build()
    for size in range(len(whole) - 1):
        with pytest.raises(RemoteProtocolError):
            parse_sps(whole[:size])


@given(st.binary(max_size=80), st.sampled_from([66, 77, 100, 244]))
def test_any_bytes_give_an_sps_or_a_protocol_error(data: bytes, profile: int) -> None:
    try:
        found = parse_sps(bytes((0x67, profile)) + data)
    except RemoteProtocolError:
        return
    assert 0 < found.width <= 16 * h264.MAX_SIDE_MBS
    assert 0 <= found.reorder_depth <= h264.MAX_DPB_FRAMES


@given(st.sampled_from(RECORDS), st.data())
def test_a_damaged_sps_gives_an_sps_or_a_protocol_error(wire: str, data: st.DataObject) -> None:
    nalu = bytearray(record(wire).sps[0])
    nalu[data.draw(st.integers(1, len(nalu) - 1))] = data.draw(st.integers(0, 255))
    with suppress(RemoteProtocolError):
        assert parse_sps(bytes(nalu)).width > 0


@pytest.mark.parametrize("wire", RECORDS)
def test_the_records_of_encoders_come_back_byte_for_byte(wire: str) -> None:
    found = record(wire)
    assert found.serialize() == bytes.fromhex(wire)
    assert AvcDecoderConfigurationRecord.from_parameter_sets(found.sps, found.pps) == found


def test_the_codec_string_names_profile_and_level() -> None:
    assert record(HIGH_1080P).rfc6381 == "avc1.640028"
    assert record(BASELINE).rfc6381 == "avc1.42c01e"


def test_a_high_record_without_its_extension_is_read() -> None:
    # Interop: many writers end `avcC` with the PPS.
    found = record(HIGH_1080P[: -len("fdf8f800")])
    assert (found.profile, found.chroma_format, found.pps) == (100, None, record(HIGH_1080P).pps)
    assert found.serialize() == bytes.fromhex(HIGH_1080P[: -len("fdf8f800")])


@given(
    st.builds(
        AvcDecoderConfigurationRecord,
        profile=st.sampled_from([100, 122]),
        compatibility=st.integers(0, 255),
        level=st.integers(0, 255),
        length_size=st.integers(1, 4),
        sps=st.lists(st.binary(min_size=1, max_size=30), max_size=31).map(tuple),
        pps=st.lists(st.binary(min_size=1, max_size=30), max_size=5).map(tuple),
        chroma_format=st.integers(0, 3),
        bit_depth_luma=st.integers(8, 15),
        bit_depth_chroma=st.integers(8, 15),
        sps_ext=st.lists(st.binary(min_size=1, max_size=30), max_size=2).map(tuple),
    )
)
def test_any_record_comes_back(original: AvcDecoderConfigurationRecord) -> None:
    assert AvcDecoderConfigurationRecord.parse(original.serialize()) == original


def test_another_version_of_the_record_is_not_supported() -> None:
    with pytest.raises(UnsupportedError):
        record("02640028ffe0" + "00")


def test_every_truncated_prefix_of_a_record_is_refused_or_lacks_its_extension() -> None:
    whole = bytes.fromhex(HIGH_1080P)
    for size in range(len(whole) - 4):
        with pytest.raises(RemoteProtocolError):
            AvcDecoderConfigurationRecord.parse(whole[:size])


@given(st.binary(max_size=80))
def test_any_bytes_give_a_record_or_a_documented_error(data: bytes) -> None:
    try:
        found = AvcDecoderConfigurationRecord.parse(b"\x01" + data)
    except RemoteProtocolError:
        return
    assert AvcDecoderConfigurationRecord.parse(found.serialize()) == found


@pytest.mark.parametrize(("sps_count", "pps_count", "pps_size"), [(0, 1, 4), (32, 1, 4), (1, 256, 4), (1, 1, 0), (1, 1, 0x10000)])
def test_parameter_sets_that_fit_no_record_are_refused(sps_count: int, pps_count: int, pps_size: int) -> None:
    with pytest.raises(RemoteProtocolError):
        AvcDecoderConfigurationRecord.from_parameter_sets(list(record(BASELINE).sps) * sps_count, [b"\x68" * pps_size] * pps_count)


# SEI messages: payloadType, payloadSize, payload (ISO/IEC 14496-10 §7.3.2.3.1)
RECOVERY_POINT = bytes.fromhex("06 06 01 c4 80")  # recovery_frame_cnt 0, exact_match_flag 1
USER_DATA_THEN_RECOVERY_POINT = bytes.fromhex("06 05ff01") + b"\xaa" * 256 + bytes.fromhex("0601c4 80")
USER_DATA = bytes.fromhex("06 05 04 06010600 80")
AUD, SPS, PPS, IDR, SLICE = b"\x09\xf0", b"\x67\x64", b"\x68\xce", b"\x65\x88\x84", b"\x41\x9a\x24"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([IDR], True),
        ([AUD, SPS, PPS, USER_DATA, IDR, IDR], True),
        ([SLICE], False),
        ([AUD, SPS, PPS, SLICE], False),  # parameter sets alone do not make it so
        ([RECOVERY_POINT, SLICE, SLICE], True),
        ([USER_DATA_THEN_RECOVERY_POINT, SLICE], True),
        ([USER_DATA, SLICE], False),
        ([USER_DATA, RECOVERY_POINT, SLICE], True),
        ([SLICE, RECOVERY_POINT], False),
        ([RECOVERY_POINT[:3], SLICE], False),
        ([b"\x06\xff\xff", SLICE], False),
        ([SPS, PPS], False),
        ([], False),
    ],
)
def test_decoding_starts_at_idr_pictures_and_recovery_points(parts: list[bytes], expected: bool) -> None:
    assert is_random_access(join_avcc(parts)) is expected


def test_nothing_behind_the_first_slice_is_read() -> None:
    assert is_random_access(join_avcc([IDR]) + b"\xff")
    with pytest.raises(RemoteProtocolError):
        is_random_access(join_avcc([AUD]) + b"\xff")


def test_a_flood_of_sei_is_not_searched_to_its_end() -> None:
    late_message = b"\x06" + b"\x05\x00" * h264.MAX_SEI_MESSAGES + RECOVERY_POINT[1:]
    assert not is_random_access(join_avcc([late_message, SLICE]))
    assert not is_random_access(join_avcc([USER_DATA] * h264.MAX_SEI_NALUS + [RECOVERY_POINT, SLICE]))


@given(st.lists(st.binary(max_size=20).map(lambda body: b"\x06" + body), max_size=4))
def test_any_sei_gives_an_answer(seis: list[bytes]) -> None:
    assert is_random_access(join_avcc([*seis, IDR]))


def test_the_type_is_in_the_low_five_bits() -> None:
    assert nalu_type(IDR) == h264.NaluType.IDR_SLICE
    assert nalu_type(b"\x7c\x85") == 28  # FU-A of RFC 6184, which no Table 7-1 names
    with pytest.raises(RemoteProtocolError):
        nalu_type(b"")
