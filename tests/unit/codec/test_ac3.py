import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.codec.ac3 import SyncFrameHeader
from lalmesh.errors import RemoteProtocolError, UnsupportedError

AC3_STEREO = bytes.fromhex("0b7738900c4043e1")


# ffmpeg 9: -f lavfi -i sine=frequency=440:sample_rate=48000 -ac C -c:a ac3|eac3 [-b:a 96k] out, the first 8 bytes
@pytest.mark.parametrize(
    ("data", "enhanced", "channels", "frame_bytes"),
    [
        ("0b7738900c4043e1", False, 2, 384),
        ("0b77b50b1e40ebf8", False, 6, 1792),
        ("0b7700bf3487c000", True, 2, 384),
        ("0b77037f3f87c000", True, 6, 1792),
    ],
)
def test_sync_frames_of_ffmpeg_are_read(data: str, enhanced: bool, channels: int, frame_bytes: int) -> None:
    header = SyncFrameHeader.parse(bytes.fromhex(data))
    assert (header.enhanced, header.channels, header.frame_bytes) == (enhanced, channels, frame_bytes)
    assert (header.sample_rate_hz, header.samples) == (48000, 1536)


# TS 102 366 Table 4.13: frmsizecod 0 is 69 words at 44.1 kHz, 1 is 70, and 96 words at 32 kHz
@pytest.mark.parametrize(("byte", "rate", "frame_bytes"), [(0x40, 44100, 138), (0x41, 44100, 140), (0x80, 32000, 192)])
def test_the_size_follows_sample_rate_and_code(byte: int, rate: int, frame_bytes: int) -> None:
    header = SyncFrameHeader.parse(AC3_STEREO[:4] + bytes((byte,)) + AC3_STEREO[5:])
    assert (header.sample_rate_hz, header.frame_bytes) == (rate, frame_bytes)


def test_bsid_nine_halves_the_sample_rate() -> None:
    assert SyncFrameHeader.parse(AC3_STEREO[:5] + b"\x48" + AC3_STEREO[6:]).sample_rate_hz == 24000


# TS 102 366 §E.1.3.1: fscod 3 and fscod2 0 are 24 kHz; numblkscod 0 with fscod 0 is one block
def test_enhanced_frames_may_be_short_or_of_reduced_rate() -> None:
    reduced = SyncFrameHeader.parse(bytes.fromhex("0b7700bfc487c000"))
    assert (reduced.sample_rate_hz, reduced.samples) == (24000, 1536)
    assert SyncFrameHeader.parse(bytes.fromhex("0b7700bf0487c000")).samples == 256


@pytest.mark.parametrize(
    "data", ["", "0b7738900c4043", "0b7638900c4043e1", "0b773890cc4043e1", "0b7738902640 43e1", "0b7700bff487c000"]
)
def test_a_broken_header_is_refused(data: str) -> None:
    with pytest.raises(RemoteProtocolError):
        SyncFrameHeader.parse(bytes.fromhex(data))


def test_a_later_bit_stream_version_is_not_supported() -> None:
    with pytest.raises(UnsupportedError):
        SyncFrameHeader.parse(bytes.fromhex("0b7738900c8843e1"))


@given(st.binary(max_size=8))
def test_any_bytes_give_a_header_or_a_documented_error(data: bytes) -> None:
    try:
        header = SyncFrameHeader.parse(b"\x0b\x77" + data)
    except (RemoteProtocolError, UnsupportedError):
        return
    assert 1 <= header.channels <= 6
    assert 2 <= header.frame_bytes <= 4096
