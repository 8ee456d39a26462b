import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.codec.vp9 import VPCodecConfigurationRecord, is_random_access, parse_key_frame
from lalmesh.errors import RemoteProtocolError, UnsupportedError

# ffmpeg 9: -f lavfi -i testsrc=size=64x48:rate=25 -frames:v 3 -pix_fmt yuv420p -c:v libvpx-vp9 out.flv, behind its 5 bytes
RECORD = bytes.fromhex("01000000 00 0a 82 02 02 02 0000")
# the same into out.ivf: the start of the key frame and of the second frame; then with -pix_fmt yuv444p10le
KEY_FRAME = bytes.fromhex("824983420003f002f6063824")
INTER_FRAME = bytes.fromhex("860040929c0c500000036000")
KEY_FRAME_444_10BIT = bytes.fromhex("b124c1a100001f8017b041c1")
INTER_FRAME_444_10BIT = bytes.fromhex("b30020494e20280000018060")


def test_the_record_of_ffmpeg_is_read() -> None:
    record = VPCodecConfigurationRecord.parse(RECORD)
    assert (record.profile, record.level, record.bit_depth, record.chroma_subsampling) == (0, 10, 8, 1)
    assert (record.rfc6381, record.serialize()) == ("vp09.00.10.08", RECORD)


def test_every_truncated_record_is_refused() -> None:
    for end in range(len(RECORD)):
        with pytest.raises(RemoteProtocolError):
            VPCodecConfigurationRecord.parse(RECORD[:end])


def test_initialization_data_that_is_cut_off_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        VPCodecConfigurationRecord.parse(RECORD[:-1] + b"\x01")


def test_another_version_of_the_record_is_not_supported() -> None:
    with pytest.raises(UnsupportedError):
        VPCodecConfigurationRecord.parse(b"\x00" + RECORD[1:])


@given(
    st.builds(
        VPCodecConfigurationRecord,
        profile=st.integers(0, 3),
        level=st.integers(0, 62),
        bit_depth=st.sampled_from([8, 10, 12]),
        chroma_subsampling=st.integers(0, 3),
        full_range=st.booleans(),
        colour_primaries=st.integers(0, 255),
        transfer_characteristics=st.integers(0, 255),
        matrix_coefficients=st.integers(0, 255),
        codec_initialization_data=st.binary(max_size=8),
    )
)
def test_a_record_survives_the_round_trip(record: VPCodecConfigurationRecord) -> None:
    assert VPCodecConfigurationRecord.parse(record.serialize()) == record


@given(st.binary(max_size=20))
def test_any_bytes_give_a_record_or_a_documented_error(data: bytes) -> None:
    try:
        record = VPCodecConfigurationRecord.parse(b"\x01" + data)
    except RemoteProtocolError:
        return
    assert VPCodecConfigurationRecord.parse(record.serialize()) == record


@pytest.mark.parametrize(("frame", "profile", "depth"), [(KEY_FRAME, 0, 8), (KEY_FRAME_444_10BIT, 3, 10)])
def test_key_frames_of_libvpx_tell_their_size(frame: bytes, profile: int, depth: int) -> None:
    header = parse_key_frame(frame)
    assert header is not None
    assert (header.profile, header.bit_depth, header.width, header.height, header.show_frame) == (profile, depth, 64, 48, True)


def test_decoding_starts_at_key_frames_only() -> None:
    assert is_random_access(KEY_FRAME)
    assert is_random_access(KEY_FRAME_444_10BIT)
    assert not is_random_access(INTER_FRAME)
    assert not is_random_access(INTER_FRAME_444_10BIT)
    assert parse_key_frame(INTER_FRAME) is None


# VP9 §6.2: frame_marker 2, profile 0, show_existing_frame 1
def test_a_frame_that_is_only_shown_again_is_no_start() -> None:
    assert not is_random_access(b"\x88")
    assert parse_key_frame(b"\x88") is None


# VP9 §6.2, §7.2: nothing, no marker, profile over 3, no sync code, RGB in profile 0, cut off in the frame size
@pytest.mark.parametrize("frame", ["", "42", "b8", "8249834300 03f002f6", "82498342e003f002f6", "824983420003f0"])
def test_a_broken_key_frame_is_refused(frame: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_key_frame(bytes.fromhex(frame))


# VP9 §6.2.2: profile 1, color_space CS_RGB has no subsampling, one reserved bit
def test_rgb_in_profile_one_is_read() -> None:
    header = parse_key_frame(bytes.fromhex("a2498342e003f002f0"))
    assert header is not None
    assert (header.profile, header.width, header.height) == (1, 64, 48)


@given(st.binary(max_size=16), st.sampled_from([b"", b"\x82\x49\x83\x42", b"\xb1\x24\xc1\xa1"]))
def test_any_bytes_are_a_key_frame_or_not_or_a_documented_error(data: bytes, start: bytes) -> None:
    try:
        header = parse_key_frame(start + data)
    except RemoteProtocolError:
        return
    assert is_random_access(start + data) == (header is not None)
