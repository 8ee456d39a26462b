import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.codec.opus import MAX_PACKET_SAMPLES, OpusHead, packet_samples
from lalmesh.errors import RemoteProtocolError

# ffmpeg 9: -f lavfi -i sine=frequency=440:sample_rate=48000 -ac N -c:a libopus out.flv, the sequence header behind its 5 bytes
STEREO = bytes.fromhex("4f70757348656164 01 02 3801 80bb0000 0000 00")
FIVE_ONE = bytes.fromhex("4f70757348656164 01 06 3801 80bb0000 0000 01 04 02 000401020305")


@st.composite
def heads(draw: st.DrawFn) -> OpusHead:
    family = draw(st.sampled_from([0, 1, 2, 255]))
    channels = draw(st.integers(1, {0: 2, 1: 8}.get(family, 255)))
    streams, coupled, mapping = 1, channels - 1, b""
    if family:
        streams = draw(st.integers(1, 127))
        coupled = draw(st.integers(0, streams))
        index = st.integers(0, streams + coupled - 1) | st.just(255)
        mapping = bytes(draw(st.lists(index, min_size=channels, max_size=channels)))
    return OpusHead(
        channels=channels,
        version=draw(st.integers(0, 15)),
        pre_skip=draw(st.integers(0, 0xFFFF)),
        input_sample_rate_hz=draw(st.integers(0, 0xFFFFFFFF)),
        output_gain=draw(st.integers(-0x8000, 0x7FFF)),
        mapping_family=family,
        stream_count=streams,
        coupled_count=coupled,
        channel_mapping=mapping,
    )


def test_a_stereo_head_of_libopus_is_read() -> None:
    head = OpusHead.parse(STEREO)
    assert (head.channels, head.pre_skip, head.input_sample_rate_hz, head.mapping_family) == (2, 312, 48000, 0)
    assert (head.stream_count, head.coupled_count) == (1, 1)


def test_a_surround_head_of_libopus_is_read_with_its_mapping() -> None:
    head = OpusHead.parse(FIVE_ONE)
    assert (head.channels, head.stream_count, head.coupled_count) == (6, 4, 2)
    assert list(head.channel_mapping) == [0, 4, 1, 2, 3, 5]


@pytest.mark.parametrize("data", [STEREO, FIVE_ONE])
def test_every_truncated_head_is_refused(data: bytes) -> None:
    for end in range(len(data)):
        with pytest.raises(RemoteProtocolError):
            OpusHead.parse(data[:end])


@pytest.mark.parametrize(("at", "byte"), [(0, 0x6F), (8, 0x10), (9, 0), (9, 3)])
def test_a_broken_head_is_refused(at: int, byte: int) -> None:
    with pytest.raises(RemoteProtocolError):
        OpusHead.parse(STEREO[:at] + bytes((byte,)) + STEREO[at + 1 :])


@pytest.mark.parametrize(("at", "byte"), [(19, 0), (20, 5), (21, 6), (9, 9)])
def test_a_mapping_that_does_not_agree_is_refused(at: int, byte: int) -> None:
    with pytest.raises(RemoteProtocolError):
        OpusHead.parse(FIVE_ONE[:at] + bytes((byte,)) + FIVE_ONE[at + 1 :] + bytes(9))


@given(heads())
def test_a_head_survives_the_round_trip(head: OpusHead) -> None:
    assert OpusHead.parse(head.serialize()) == head


@given(st.binary(max_size=40))
def test_any_bytes_give_a_head_or_a_documented_error(data: bytes) -> None:
    try:
        head = OpusHead.parse(b"OpusHead" + data)
    except RemoteProtocolError:
        return
    assert OpusHead.parse(head.serialize()) == head


# ffmpeg 9: -f lavfi -i sine=sample_rate=48000 -c:a libopus [-application voip -b:a 12k] -frame_duration D out.flv, first bytes
@pytest.mark.parametrize(
    ("packet", "samples"),
    [
        ("e073f6", 120),
        ("e8b534", 240),
        ("f07336", 480),
        ("40825b", 480),
        ("f87249", 960),
        ("48822e", 960),
        ("7881a7", 960),
        ("f97249", 1920),
        ("50c117", 1920),
        ("fb0372", 2880),
        ("6b831d", 2880),
    ],
)
def test_the_duration_of_packets_of_libopus(packet: str, samples: int) -> None:
    assert packet_samples(bytes.fromhex(packet)) == samples


# RFC 6716 §3.2.1 and §3.2.5: an empty packet, code 3 without count, a count of 0, 7 times 20 ms
@pytest.mark.parametrize("packet", ["", "fb", "fb00", "fb07"])
def test_a_packet_of_impossible_duration_is_refused(packet: str) -> None:
    with pytest.raises(RemoteProtocolError):
        packet_samples(bytes.fromhex(packet))


@given(st.binary(max_size=4))
def test_any_packet_has_a_bounded_duration_or_a_documented_error(packet: bytes) -> None:
    try:
        samples = packet_samples(packet)
    except RemoteProtocolError:
        return
    assert 120 <= samples <= MAX_PACKET_SAMPLES
