from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.bits import BitWriter
from lalmesh.codec import build_track
from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError
from lalmesh.media import AccessUnit, Codec
from lalmesh.protocol.rtp import (
    Depacketized,
    Depacketizer,
    PayloadFormat,
    RtpPacket,
    TimedUnit,
    build_depacketizer,
    build_packetizer,
    format_of,
)

CONFIG = bytes.fromhex("1210")  # LC, 44.1 kHz, stereo
TRACK = build_track(2, Codec.AAC, CONFIG)
HBR = {"mode": "AAC-hbr", "sizelength": "13", "indexlength": "3", "indexdeltalength": "3", "config": "1210"}


def receiver(**parameters: str) -> Depacketizer:
    return build_depacketizer(2, PayloadFormat("MPEG4-GENERIC", 44_100, 2, HBR | parameters))


def packet(payload: bytes, *, at: int = 0, marker: bool = True) -> RtpPacket:
    return RtpPacket(97, 0, at, 1, marker, payload)


def hbr(*frames: bytes, sizes: tuple[int, ...] = ()) -> bytes:
    """AU-headers-length, a header of size and index 0 for each frame, the frames (RFC 3640 §3.2.1, §3.3.6)."""
    headers = b"".join((size << 3).to_bytes(2, "big") for size in sizes or map(len, frames))
    return (8 * len(headers)).to_bytes(2, "big") + headers + b"".join(frames)


def test_one_frame_is_that_of_the_standard() -> None:
    # §3.2.1: 16 bits of headers; §3.3.6: size 5 in 13 bits, index 0 in 3
    wire = bytes.fromhex("0010 0028") + b"frame"
    assert hbr(b"frame") == wire
    assert receiver().feed(packet(wire, at=7)) == [TimedUnit(7, b"frame")]
    [payload] = build_packetizer(TRACK).packetize(AccessUnit(2, 0, 0, True, b"frame"))
    assert (b"".join(payload.parts), payload.marker) == (wire, True)


def test_the_track_is_known_at_once() -> None:
    assert receiver().track == TRACK
    assert format_of(TRACK) == PayloadFormat("mpeg4-generic", 44_100, 2, HBR | {"streamtype": "5", "profile-level-id": "1"})


def test_frames_of_a_packet_follow_each_other() -> None:
    given_back = receiver().feed(packet(hbr(b"one", b"two", b"three"), at=0xFFFFFF00))
    assert given_back == [TimedUnit(0xFFFFFF00, b"one"), TimedUnit(0x300, b"two"), TimedUnit(0x700, b"three")]


def test_a_clock_at_twice_the_rate_of_the_core_counts_twice_the_samples() -> None:
    tested = build_depacketizer(2, PayloadFormat("mpeg4-generic", 44_100, 2, HBR | {"config": "1390"}))  # core at 22.05 kHz
    assert [item.timestamp for item in tested.feed(packet(hbr(b"a", b"b"))) if isinstance(item, TimedUnit)] == [0, 2048]


def test_low_bit_rate_headers_are_known_by_their_mode() -> None:
    tested = build_depacketizer(2, PayloadFormat("mpeg4-generic", 44_100, 2, {"mode": "AAC-lbr", "config": "1210"}))
    assert tested.feed(packet(bytes.fromhex("0008 0c") + b"abc")) == [TimedUnit(0, b"abc")]  # §3.3.5: 6 and 2 bits


def test_all_fields_of_a_header_are_passed_over() -> None:
    # §3.2.1.1: size 8, index 2, CTS-flag and delta 4, DTS-flag, RAP, stream state 3; then size 8, delta 2, ...
    tested = receiver(
        sizelength="8", indexlength="2", indexdeltalength="2", ctsdeltalength="4", dtsdeltalength="4",
        randomaccessindication="1", streamstateindication="3", auxiliarydatasizelength="4",
    )  # fmt: skip
    bits = BitWriter().write(3, 8).write(0, 2).write(0b1_0101, 5).write(0, 1).write(1, 1).write(5, 3)
    bits.write(2, 8).write(0, 2).write(0, 1).write(0b1_0011, 5).write(0, 1).write(5, 3)
    auxiliary = BitWriter().write(7, 4).write(0x55, 7)  # §3.2.2
    wire = (40).to_bytes(2, "big") + bits.to_bytes() + auxiliary.to_bytes() + b"abcde"
    assert tested.feed(packet(wire)) == [TimedUnit(0, b"abc"), TimedUnit(1024, b"de")]


def test_without_headers_each_packet_is_a_frame() -> None:
    tested = receiver(sizelength="0", indexlength="0", indexdeltalength="0")
    assert tested.feed(packet(b"frame")) == [TimedUnit(0, b"frame")]


def test_a_fragment_of_nothing_is_refused() -> None:
    # RFC 3640 §3.2.3: the header says 100 bytes, none are there
    with pytest.raises(RemoteProtocolError):
        receiver().feed(packet(bytes.fromhex("0010 0320"), marker=False))


def test_a_frame_may_come_in_fragments() -> None:
    tested = receiver()
    assert tested.feed(packet(hbr(b"abc", sizes=(7,)), at=5, marker=False)) == []
    assert tested.feed(packet(hbr(b"defg", sizes=(7,)), at=5)) == [TimedUnit(5, b"abcdefg")]


def test_a_frame_whose_end_is_missing_without_a_loss_is_dropped() -> None:
    tested = receiver()
    tested.feed(packet(hbr(b"abc", sizes=(7,)), at=5, marker=False))
    assert tested.feed(packet(hbr(b"abcd", sizes=(8,)), at=6, marker=False)) == []
    assert tested.feed(packet(hbr(b"efgh", sizes=(8,)), at=6)) == [TimedUnit(6, b"abcdefgh", after_loss=True)]
    assert tested.feed(packet(hbr(b"abc", sizes=(7,)), at=7, marker=False)) == []
    assert tested.feed(packet(hbr(b"de", sizes=(7,)), at=7)) == []
    assert tested.counters.broken_units == 2


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_loss_of_a_fragment_drops_its_frame_alone(lost: int) -> None:
    tested, given_back = receiver(), list[Depacketized]()
    for index, part in enumerate((b"ab", b"cd", b"ef")):
        if index == lost:
            tested.lost()
        else:
            given_back += tested.feed(packet(hbr(part, sizes=(6,)), at=5, marker=index == 2))
    assert given_back + tested.feed(packet(hbr(b"next"), at=6)) == [TimedUnit(6, b"next", after_loss=True)]
    assert tested.counters.broken_units == 1


def test_loss_between_frames_is_told() -> None:
    tested = receiver()
    tested.lost()
    given_back = tested.feed(packet(hbr(b"a", b"b")))
    assert [item.after_loss for item in given_back if isinstance(item, TimedUnit)] == [True, False]


def test_interleaving_is_refused() -> None:
    with pytest.raises(UnsupportedError):
        receiver().feed(packet(bytes.fromhex("0010 0029") + b"frame"))


@pytest.mark.parametrize(
    "wire",
    ["", "00", "0010", "0010 00", "0011 0028 00 6162", "0020 0010 0020 6162", "ffff" + "00" * 9000],
)
def test_broken_payloads_are_refused(wire: str) -> None:
    with pytest.raises(RemoteProtocolError):
        receiver().feed(packet(bytes.fromhex(wire)))


def test_an_auxiliary_section_that_is_cut_off_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        receiver(auxiliarydatasizelength="8").feed(packet(bytes.fromhex("0010 0028 ff") + b"frame"))


def test_a_header_of_no_bits_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        receiver(sizelength="0", indexlength="3", indexdeltalength="0").feed(packet(bytes.fromhex("0010 0000") + b"x"))


def test_a_frame_over_the_bound_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        receiver(sizelength="32", indexlength="0", indexdeltalength="0").feed(packet(bytes.fromhex("0020 7fffffff") + b"x"))


@pytest.mark.parametrize(
    ("parameters", "header", "data_bytes"),
    [
        ({"sizelength": "1"}, b"\x00", 0),  # 8192 frames of nothing
        ({"sizelength": "1"}, b"\xff", 8_192),  # 8192 frames of a byte
        ({"sizelength": "6", "indexlength": "2"}, b"\x04", 1_024),  # 1024 frames of AAC-lbr
        ({"sizelength": "1"}, b"\x00", 40_000),
    ],
)
def test_frames_of_next_to_nothing_are_refused(parameters: dict[str, str], header: bytes, data_bytes: int) -> None:
    tested = receiver(**{"indexlength": "0", "indexdeltalength": parameters.get("indexlength", "0")} | parameters)
    with pytest.raises(LimitExceeded):
        tested.feed(packet((8_192).to_bytes(2, "big") + header * 1_024 + bytes(data_bytes)))


@pytest.mark.parametrize("count", [1, 2, 32, 128, 512])
def test_silence_may_share_a_packet(count: int) -> None:
    frames = [bytes.fromhex("00c80080")] * count
    assert len(receiver().feed(packet(hbr(*frames)))) == count


def test_a_frame_alone_may_be_of_a_byte() -> None:
    assert receiver().feed(packet(hbr(b"x"))) == [TimedUnit(0, b"x")]
    short = receiver(sizelength="1", indexlength="0", indexdeltalength="0")
    assert short.feed(packet(bytes.fromhex("0001 80 07"))) == [TimedUnit(0, b"\x07")]


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"mode": "CELP-vbr"}, UnsupportedError),
        ({"config": ""}, UnsupportedError),
        ({"config": "xyz"}, UnsupportedError),
        ({"config": "12"}, RemoteProtocolError),
        ({"constantsize": "96"}, UnsupportedError),
        ({"sizelength": "99"}, RemoteProtocolError),
        ({"sizelength": "-1"}, RemoteProtocolError),
    ],
)
def test_formats_that_cannot_be_read_are_refused(parameters: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        receiver(**parameters)


@given(st.lists(st.binary(min_size=1, max_size=700), max_size=6), st.integers(8, 300))
def test_any_frames_come_back(frames: list[bytes], max_payload_bytes: int) -> None:
    tested, packetizer = receiver(), build_packetizer(TRACK, max_payload_bytes=max_payload_bytes)
    for index, frame in enumerate(frames):
        given_back: list[Depacketized] = []
        for payload in packetizer.packetize(AccessUnit(2, 0, 0, True, frame)):
            wire = b"".join(payload.parts)
            assert len(wire) <= max_payload_bytes
            given_back += tested.feed(packet(wire, at=index, marker=payload.marker))
        assert given_back == [TimedUnit(index, frame)]


def test_a_frame_that_the_format_cannot_carry_is_left_out() -> None:
    packetizer = build_packetizer(TRACK)
    assert packetizer.packetize(AccessUnit(2, 0, 0, True, bytes(8192))) == []
    assert packetizer.packetize(AccessUnit(2, 0, 0, True, b"")) == []


bit_counts = st.integers(0, 32).map(str)


@given(
    st.fixed_dictionaries(dict.fromkeys(("sizelength", "indexlength", "indexdeltalength", "ctsdeltalength"), bit_counts)),
    st.lists(st.tuples(st.binary(max_size=40), st.booleans()), max_size=6),
)
def test_any_packets_give_frames_or_are_refused(parameters: dict[str, str], packets: list[tuple[bytes, bool]]) -> None:
    tested = receiver(**parameters)
    for payload, marker in packets:
        with suppress(RemoteProtocolError, UnsupportedError):
            tested.feed(packet(payload, marker=marker))
