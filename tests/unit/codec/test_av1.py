from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.codec.av1 import (
    OBU_SEQUENCE_HEADER,
    AV1CodecConfigurationRecord,
    Obu,
    is_random_access,
    parse_obus,
    parse_sequence_header,
    read_leb128,
    serialize_obu,
    write_leb128,
)
from lalmesh.errors import RemoteProtocolError

# ffmpeg 9: -f lavfi -i testsrc=size=64x48:rate=25 -frames:v 3 -pix_fmt yuv420p -c:v libsvtav1 out.mp4, the av1C box
SVT_RECORD = bytes.fromhex("81000c00 0a0b02000005557fbc02f80040")
# ffmpeg 9: -f lavfi -i color=size=16x16:rate=25 -frames:v 2 -pix_fmt yuv420p10le -c:v libaom-av1 -cpu-used 8 out.mp4, the av1C box
AOM_10BIT_RECORD = bytes.fromhex("81004c00 0a0a000000019ff9b5f28080")
# testsrc as above with -c:v libaom-av1 -cpu-used 8 out.ivf: the start of the key frame, and the second temporal unit
AOM_SEQUENCE = bytes.fromhex("0a0a00000002aff79b5f2008")
AOM_KEY_FRAME = bytes.fromhex("32071400 2ae00820 02")  # OBU_FRAME, cut to 7 bytes
AOM_INTER_UNIT = bytes.fromhex("120032123201e0400000235a80104004120001009910")
# the same with -aom-params timing-info=1, and one 16x16 picture with -still-picture 1
AOM_TIMED_SEQUENCE = bytes.fromhex("040000000400000067400000baaff79b5f2008")
AOM_STILL_SEQUENCE = bytes.fromhex("180cffda0080")
# ffmpeg 9: testsrc as above with -c:v librav1e out.ivf
RAV1E_SEQUENCE = bytes.fromhex("000000f957fbc4215902020214")


def test_the_record_of_svt_is_read_with_its_sequence_header() -> None:
    record = AV1CodecConfigurationRecord.parse(SVT_RECORD)
    header = record.sequence_header
    assert header is not None
    assert (header.profile, header.max_frame_width, header.max_frame_height, header.frame_rate) == (0, 64, 48, None)
    assert (record.bit_depth, record.rfc6381) == (8, "av01.0.00M.08")


@pytest.mark.parametrize("data", [SVT_RECORD, AOM_10BIT_RECORD, bytes.fromhex("81040c13"), bytes.fromhex("8144fe1f")])
def test_records_come_out_as_they_went_in(data: bytes) -> None:
    assert AV1CodecConfigurationRecord.parse(data).serialize() == data


# AV1-ISOBMFF §5: its own example, level 3.0 of Main at 8 bits; and High tier at 10 bits
def test_the_codec_string_names_profile_level_tier_and_depth() -> None:
    assert AV1CodecConfigurationRecord(profile=0, level_idx=4).rfc6381 == "av01.0.04M.08"
    assert AV1CodecConfigurationRecord(profile=1, level_idx=19, tier=1, high_bitdepth=True).rfc6381 == "av01.1.19H.10"
    assert AV1CodecConfigurationRecord(profile=2, level_idx=8, high_bitdepth=True, twelve_bit=True).bit_depth == 12


def test_a_record_without_obus_has_no_sequence_header() -> None:
    assert AV1CodecConfigurationRecord.parse(SVT_RECORD[:4]).sequence_header is None


@pytest.mark.parametrize("data", ["", "81000c", "01000c00", "82000c00"])
def test_a_broken_record_is_refused(data: str) -> None:
    with pytest.raises(RemoteProtocolError):
        AV1CodecConfigurationRecord.parse(bytes.fromhex(data))


def test_equal_picture_intervals_give_the_frame_rate() -> None:
    header = parse_sequence_header(AOM_TIMED_SEQUENCE)
    assert (header.frame_rate, header.max_frame_width, header.max_frame_height) == (Fraction(25), 64, 48)


def test_a_still_picture_has_a_reduced_header() -> None:
    header = parse_sequence_header(AOM_STILL_SEQUENCE)
    assert (header.reduced_still_picture_header, header.max_frame_width, header.max_frame_height) == (True, 16, 16)


def test_a_sequence_header_of_rav1e_is_read() -> None:
    header = parse_sequence_header(RAV1E_SEQUENCE)
    assert (header.level_idx, header.tier, header.max_frame_width, header.max_frame_height) == (31, 0, 64, 48)


def test_every_sequence_header_cut_before_the_frame_size_is_refused() -> None:
    for data, needed in ((AOM_TIMED_SEQUENCE, 14), (AOM_STILL_SEQUENCE, 3), (RAV1E_SEQUENCE, 6)):
        for end in range(needed):
            with pytest.raises(RemoteProtocolError):
                parse_sequence_header(data[:end])


def test_a_reserved_profile_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        parse_sequence_header(b"\x60" + AOM_TIMED_SEQUENCE[1:])


def test_decoding_starts_at_a_sequence_header_with_a_shown_key_frame() -> None:
    assert is_random_access(bytes.fromhex("1200") + AOM_SEQUENCE + AOM_KEY_FRAME)
    assert is_random_access(AOM_SEQUENCE + AOM_KEY_FRAME)


def test_decoding_does_not_start_without_either() -> None:
    assert not is_random_access(AOM_KEY_FRAME)
    assert not is_random_access(AOM_SEQUENCE)
    assert not is_random_access(AOM_INTER_UNIT)
    assert not is_random_access(AOM_SEQUENCE + AOM_INTER_UNIT[2:])
    assert not is_random_access(b"")


# AV1 §5.9.2: show_existing_frame 1; a key frame with show_frame 0; an intra-only frame that is shown
@pytest.mark.parametrize("first", [0x80, 0x00, 0x50])
def test_decoding_does_not_start_at_another_kind_of_frame(first: int) -> None:
    assert not is_random_access(AOM_SEQUENCE + bytes((0x32, 1, first)))


def test_a_reduced_still_picture_is_a_key_frame_without_saying_so() -> None:
    assert is_random_access(bytes.fromhex("0a06") + AOM_STILL_SEQUENCE + bytes.fromhex("320101"))


def test_the_last_obu_may_go_without_a_size() -> None:
    obus = list(parse_obus(AOM_SEQUENCE + bytes.fromhex("30140102")))
    assert obus[-1] == Obu(6, bytes.fromhex("140102"))


# AV1 §5.3.2, §5.3.3: extension_flag, temporal_id 2, spatial_id 1
def test_the_extension_tells_the_layers() -> None:
    wire = bytes.fromhex("36480114")
    assert list(parse_obus(wire)) == [Obu(6, b"\x14", temporal_id=2, spatial_id=1)]
    assert serialize_obu(Obu(6, b"\x14", temporal_id=2, spatial_id=1)) == wire


@pytest.mark.parametrize("data", ["8a00", "0a", "0a05aabb", "34", "0a80", "0affffffff7f", "0a808080808080808000"])
def test_broken_obus_are_refused(data: str) -> None:
    with pytest.raises(RemoteProtocolError):
        list(parse_obus(bytes.fromhex(data)))


@given(st.integers(0, (1 << 32) - 1))
def test_leb128_survives_the_round_trip(value: int) -> None:
    wire = write_leb128(value)
    assert read_leb128(b"\x00" + wire, 1) == (value, 1 + len(wire))


OBUS = st.builds(Obu, st.integers(1, 15), st.binary(max_size=200), st.integers(0, 7), st.integers(0, 3))


@given(st.lists(OBUS, max_size=5))
def test_obus_survive_the_round_trip(obus: list[Obu]) -> None:
    assert list(parse_obus(b"".join(map(serialize_obu, obus)))) == obus


@given(
    st.builds(
        AV1CodecConfigurationRecord,
        profile=st.integers(0, 7),
        level_idx=st.integers(0, 31),
        tier=st.integers(0, 1),
        high_bitdepth=st.booleans(),
        twelve_bit=st.booleans(),
        monochrome=st.booleans(),
        chroma_subsampling_x=st.booleans(),
        chroma_subsampling_y=st.booleans(),
        chroma_sample_position=st.integers(0, 3),
        initial_presentation_delay=st.none() | st.integers(1, 16),
        config_obus=st.binary(max_size=20),
    )
)
def test_a_record_survives_the_round_trip(record: AV1CodecConfigurationRecord) -> None:
    assert AV1CodecConfigurationRecord.parse(record.serialize()) == record


@given(st.binary(max_size=60))
def test_any_bytes_give_a_record_or_a_documented_error(data: bytes) -> None:
    obus = serialize_obu(Obu(OBU_SEQUENCE_HEADER, data))
    for record in (data, b"\x81\x00\x0c\x00" + data, b"\x81\x00\x0c\x00" + obus):
        try:
            header = AV1CodecConfigurationRecord.parse(record).sequence_header
        except RemoteProtocolError:
            continue
        assert header is None or 1 <= header.max_frame_width <= 65536


@given(st.binary(max_size=60))
def test_any_bytes_are_random_access_or_not_or_a_documented_error(data: bytes) -> None:
    try:
        starts = is_random_access(AOM_SEQUENCE + data)
    except RemoteProtocolError:
        return
    assert starts in (True, False)
