import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.codec.mp3 import FrameHeader
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import Codec


# ffmpeg 9: -f lavfi -i sine=frequency=440:sample_rate=48000 -ac C -ar R -c:a libmp3lame -b:a B -write_xing 0 -id3v2_version 0 x.mp3
@pytest.mark.parametrize(
    ("header", "version", "rate", "channels", "bitrate", "frame_bytes", "samples"),
    [
        ("fffb5464", "1", 48000, 2, 64000, 192, 1152),
        ("fff340c4", "2", 22050, 1, 32000, 104, 576),
        ("ffe328c4", "2.5", 8000, 1, 16000, 144, 576),
    ],
)
def test_layer_three_headers_of_lame_are_read(
    header: str, version: str, rate: int, channels: int, bitrate: int, frame_bytes: int, samples: int
) -> None:
    frame = FrameHeader.parse(bytes.fromhex(header))
    assert (frame.version, frame.layer, frame.sample_rate_hz, frame.channels) == (version, 3, rate, channels)
    assert (frame.bitrate_bps, frame.frame_bytes, frame.samples_per_frame) == (bitrate, frame_bytes, samples)


# ISO/IEC 11172-3 §2.4.3.1: layer II, 192 kbit/s at 44.1 kHz takes 626 bytes, with padding 627
def test_padding_adds_one_byte_in_layer_two() -> None:
    assert FrameHeader.parse(bytes.fromhex("fffda000")).frame_bytes == 626
    assert FrameHeader.parse(bytes.fromhex("fffda200")).frame_bytes == 627


# ISO/IEC 11172-3 §2.4.3.1: layer I counts slots of 4 bytes, (12 * 384000 / 44100 + 1) * 4
def test_layer_one_counts_in_slots_of_four_bytes() -> None:
    frame = FrameHeader.parse(bytes.fromhex("ffffc200"))
    assert (frame.layer, frame.bitrate_bps, frame.samples_per_frame, frame.frame_bytes) == (1, 384000, 384, 420)


@pytest.mark.parametrize(("header", "codec"), [("ffffc200", Codec.MP2), ("fffda000", Codec.MP2), ("fffb5464", Codec.MP3)])
def test_the_layer_tells_the_codec(header: str, codec: Codec) -> None:
    assert FrameHeader.parse(bytes.fromhex(header)).codec is codec


@pytest.mark.parametrize("header", ["", "fffb54", "fefb5464", "ffdb5464", "ffeb5464", "fff95464", "fffbf464", "fffb5c64"])
def test_a_broken_header_is_refused(header: str) -> None:
    with pytest.raises(RemoteProtocolError):
        FrameHeader.parse(bytes.fromhex(header))


def test_free_format_is_not_supported() -> None:
    with pytest.raises(UnsupportedError):
        FrameHeader.parse(bytes.fromhex("fffb0464"))


@given(st.binary(max_size=4))
def test_any_bytes_give_a_header_or_a_documented_error(data: bytes) -> None:
    try:
        frame = FrameHeader.parse(b"\xff" + data)
    except (RemoteProtocolError, UnsupportedError):
        return
    assert frame.frame_bytes >= 24
    assert frame.samples_per_frame in (384, 576, 1152)
