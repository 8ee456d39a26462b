from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.codec.av1 import Obu, serialize_obu
from lalmesh.errors import LimitExceeded, RemoteProtocolError
from lalmesh.media import AccessUnit, Codec, Track
from lalmesh.protocol.rtp import (
    Depacketized,
    Depacketizer,
    PayloadFormat,
    RtpPacket,
    TimedUnit,
    build_depacketizer,
    build_packetizer,
)
from lalmesh.protocol.rtp._av1_in import MAX_ELEMENTS

# what ffmpeg 9.0 -c:v libsvtav1 -preset 11 makes of 320x180
SEQUENCE_HEADER = bytes.fromhex("0200000521e7f66257c802")
SEQUENCE, KEY, FRAME = Obu(1, SEQUENCE_HEADER), Obu(6, b"\x10key"), Obu(6, b"\x30inter")
TRACK = Track(track_id=1, codec=Codec.AV1)


def receiver() -> Depacketizer:
    return build_depacketizer(1, PayloadFormat("AV1", 90_000))


def packet(payload: bytes, *, at: int = 0, marker: bool = False) -> RtpPacket:
    return RtpPacket(96, 0, at, 1, marker, payload)


def unit(*obus: Obu) -> bytes:
    return b"".join(map(serialize_obu, obus))


def units(items: list[Depacketized]) -> list[TimedUnit]:
    return [item for item in items if isinstance(item, TimedUnit)]


def test_elements_are_counted_or_have_lengths() -> None:
    # AV1 RTP §4.4: W 2 and N: the last has no length; W 0: each has one
    first, second = b"\x08" + SEQUENCE_HEADER, b"\x30" + KEY.payload
    for wire in (
        b"\x28" + bytes((len(first),)) + first + second,
        b"\x08" + bytes((len(first),)) + first + bytes((len(second),)) + second,
    ):
        track, one = receiver().feed(packet(wire, at=9, marker=True))
        assert isinstance(track, Track)
        assert (track.codec, track.width, track.height) == (Codec.AV1, 320, 180)
        assert one == TimedUnit(9, unit(SEQUENCE, KEY), random_access=True)


def test_an_obu_may_come_in_fragments() -> None:
    tested = receiver()
    # Y of the first, Z and Y of the second, Z of the third (§4.4)
    assert tested.feed(packet(b"\x68\x0c\x08" + SEQUENCE_HEADER + b"\x30\x10", at=1)) == []
    assert tested.feed(packet(b"\xd0k", at=1)) == []
    assert units(tested.feed(packet(b"\x90ey", at=1, marker=True))) == [TimedUnit(1, unit(SEQUENCE, KEY))]


def test_sizes_and_delimiters_that_should_not_be_there_are_taken_out() -> None:
    wire = b"\x30\x02\x12\x00\x0d\x0a\x0b" + SEQUENCE_HEADER + b"\x32\x04\x10key"
    assert units(receiver().feed(packet(wire, marker=True))) == [TimedUnit(0, unit(SEQUENCE, KEY))]


def known() -> Depacketizer:
    tested = receiver()
    tested.feed(packet(b"\x28\x0c\x08" + SEQUENCE_HEADER + b"\x30\x10key", marker=True))
    return tested


def test_units_before_the_sequence_header_are_counted() -> None:
    tested = receiver()
    assert tested.feed(packet(b"\x10\x30\x30inter", marker=True)) == []
    assert tested.counters.unconfigured_units == 1
    assert known().track is not None


def test_without_marker_the_next_timestamp_ends_a_unit() -> None:
    tested = known()
    assert tested.feed(packet(b"\x10\x30\x30inter", at=1)) == []
    assert units(tested.feed(packet(b"\x10\x30\x30inter", at=2))) == [TimedUnit(1, unit(FRAME), random_access=False)]
    assert units(tested.flush()) == [TimedUnit(2, unit(FRAME), random_access=False)]


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_loss_of_any_packet_drops_its_unit(lost: int) -> None:
    tested, given_back = known(), list[Depacketized]()
    for index, wire in enumerate((b"\x50\x30\x30", b"\xd0int", b"\x90er")):
        if index == lost:
            tested.lost()
        else:
            given_back += tested.feed(packet(wire, at=1, marker=index == 2))
    given_back += tested.feed(packet(b"\x10\x30\x30inter", at=2, marker=True))
    assert given_back == [TimedUnit(2, unit(FRAME), random_access=False, after_loss=True)]
    assert tested.counters.broken_units == 1


def test_tiles_without_the_header_of_their_frame_are_dropped() -> None:
    tested = known()
    tested.lost()
    assert tested.feed(packet(b"\x10\x20tiles", at=1, marker=True)) == []
    assert tested.counters.broken_units == 1


def test_what_holds_no_picture_is_no_unit() -> None:
    assert known().feed(packet(b"\x10\x12\x00", marker=True)) == []  # a temporal delimiter
    assert known().feed(packet(b"\x10\x80", marker=True)) == []  # no OBU: the forbidden bit


def test_a_sequence_header_that_does_not_parse_ends_the_track() -> None:
    tested = known()
    assert tested.feed(packet(b"\x28\x02\x08\xff\x30\x10key", at=1, marker=True)) == []
    assert tested.track is None


def test_a_unit_of_too_many_obus_is_dropped() -> None:
    tested = known()
    for _ in range(40):
        assert tested.feed(packet(b"\x00" + b"\x02\x30\x30" * 30, at=1)) == []
    assert tested.feed(packet(b"\x10\x30\x30", at=1, marker=True)) == []
    assert tested.counters.broken_units == 1


@pytest.mark.parametrize("wire", ["", "10", "20 05 08", "30 00 00", "00 ff", "00 05 08"])
def test_broken_payloads_are_refused(wire: str) -> None:
    with pytest.raises(RemoteProtocolError):
        receiver().feed(packet(bytes.fromhex(wire)))


def test_a_packet_of_too_many_elements_is_refused_before_all_are_made() -> None:
    with pytest.raises(LimitExceeded) as caught:
        receiver().feed(packet(bytes(60_000)))
    assert caught.value.value == MAX_ELEMENTS + 1
    assert receiver().feed(packet(b"\x00" + b"\x01\x30" * MAX_ELEMENTS)) == []


def test_packets_are_those_of_the_standard() -> None:
    # §4.4: N of the first packet of a coded video sequence, W 2; the delimiter is left out
    payloads = build_packetizer(TRACK).packetize(AccessUnit(1, 0, 0, True, unit(Obu(2, b""), SEQUENCE, KEY)))
    assert [(b"".join(payload.parts), payload.marker) for payload in payloads] == [
        (b"\x28\x0c\x08" + SEQUENCE_HEADER + b"\x30\x10key", True)
    ]
    payloads = build_packetizer(TRACK, max_payload_bytes=6).packetize(AccessUnit(1, 0, 0, False, unit(FRAME)))
    assert [b"".join(payload.parts) for payload in payloads] == [b"\x50\x30\x30int", b"\x90er"]


obus = st.builds(
    Obu, st.sampled_from([3, 4, 5, 6, 7]), st.binary(max_size=300), temporal_id=st.integers(0, 7), spatial_id=st.integers(0, 3)
)


@given(st.lists(st.lists(obus, min_size=1, max_size=6), max_size=4), st.integers(8, 200))
def test_any_units_come_back(sent: list[list[Obu]], max_payload_bytes: int) -> None:
    tested, packetizer = known(), build_packetizer(TRACK, max_payload_bytes=max_payload_bytes)
    for index, one in enumerate(sent):
        given_back: list[Depacketized] = []
        for payload in packetizer.packetize(AccessUnit(1, 0, 0, False, unit(*one))):
            wire = b"".join(payload.parts)
            assert len(wire) <= max_payload_bytes
            given_back += tested.feed(packet(wire, at=index, marker=payload.marker))
        assert [item.payload for item in units(given_back)] == [unit(*one)]


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 2), st.booleans()), max_size=12))
def test_any_packets_give_units_or_are_refused(packets: list[tuple[bytes, int, bool]]) -> None:
    for tested in (receiver(), known()):
        for payload, at, marker in packets:
            with suppress(RemoteProtocolError):
                tested.feed(packet(payload, at=at, marker=marker))
        tested.flush()
