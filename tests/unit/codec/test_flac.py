import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.codec.flac import StreamInfo
from lalmesh.errors import RemoteProtocolError

# ffmpeg 9: -f lavfi -i sine=frequency=440:sample_rate=48000 -ac 2 -c:a flac out.mp4, the payload of the dfLa box
INFO = bytes.fromhex("04000400 0000c8 000175 0bb802f000002580 dc449bb7b94ff3ff7c822776af4197d6")
DFLA = bytes(4) + bytes.fromhex("80000022") + INFO
# the same into out.flv: the sequence header behind its 5 bytes, without any block header
FLV = b"fLaC" + bytes.fromhex("04000400 000000 001098 0bb802f000000000") + bytes(16)


@pytest.mark.parametrize("data", [INFO, DFLA, DFLA[4:], b"fLaC" + DFLA[4:], b"fLaC\x00" + DFLA[5:] + b"\x84\x00\x00\x00", FLV])
def test_stream_info_is_found_wherever_it_stands(data: bytes) -> None:
    info = StreamInfo.parse(data)
    assert (info.sample_rate_hz, info.channels, info.bits_per_sample, info.max_block_samples) == (48000, 2, 16, 1024)


def test_all_fields_of_a_file_are_read() -> None:
    info = StreamInfo.parse(DFLA)
    assert (info.min_frame_bytes, info.max_frame_bytes, info.total_samples) == (200, 373, 9600)
    assert info.md5 == INFO[18:]


def test_every_truncated_configuration_is_refused() -> None:
    for data in (DFLA, b"fLaC" + DFLA[4:], FLV):
        for end in range(len(data)):
            with pytest.raises(RemoteProtocolError):
                StreamInfo.parse(data[:end])


# RFC 9639 §8.1, §8.2: another block first, a wrong length, 0 Hz, 1 bit a sample, blocks of 15 samples, least over most
@pytest.mark.parametrize(
    "data",
    [
        b"fLaC\x84" + DFLA[5:],
        b"fLaC\x80\x00\x00\x23" + INFO + b"\x00",
        INFO[:10] + b"\x00\x00\x02\xf0" + INFO[14:],
        INFO[:12] + b"\x02\x00" + INFO[14:],
        b"\x00\x0f" + INFO[2:],
        b"\x04\x01" + INFO[2:],
    ],
)
def test_a_broken_configuration_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        StreamInfo.parse(data)


@given(
    st.builds(
        StreamInfo,
        min_block_samples=st.integers(16, 4096),
        max_block_samples=st.integers(4096, 0xFFFF),
        min_frame_bytes=st.integers(0, 0xFFFFFF),
        max_frame_bytes=st.integers(0, 0xFFFFFF),
        sample_rate_hz=st.integers(1, (1 << 20) - 1),
        channels=st.integers(1, 8),
        bits_per_sample=st.integers(4, 32),
        total_samples=st.integers(0, (1 << 36) - 1),
        md5=st.binary(min_size=16, max_size=16),
    )
)
def test_stream_info_survives_the_round_trip(info: StreamInfo) -> None:
    assert StreamInfo.parse(info.serialize()) == info


@given(st.binary(max_size=50), st.sampled_from([b"", b"fLaC", b"fLaC\x80\x00\x00\x22"]))
def test_any_bytes_give_stream_info_or_a_documented_error(data: bytes, start: bytes) -> None:
    try:
        info = StreamInfo.parse(start + data)
    except RemoteProtocolError:
        return
    assert StreamInfo.parse(info.serialize()) == info
