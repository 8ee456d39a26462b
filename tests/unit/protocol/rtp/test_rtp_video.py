"""H.264 and H.265, packets to access units and back."""

from __future__ import annotations

import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.codec import build_track, h264, h265
from lalmesh.codec.nalu import join_avcc, split_avcc
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import AccessUnit, Codec, Track
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
from lalmesh.protocol.rtp._video_in import VideoDepacketizer

# parameter sets of ffmpeg 9.0 with libx264 and libx265, 320x180
SPS, PPS = bytes.fromhex("6764000dacd941419f9f011000000300100000030320f1429960"), bytes.fromhex("68efbcb0")
VPS_265 = bytes.fromhex("40010c01ffff016000000300900000030000030078959409")
SPS_265 = bytes.fromhex("42010101600000030090000003000003003ca00a080c1f3e595952930bc05a020000030002000003003210")
PPS_265 = bytes.fromhex("4401c073c189")
OTHER_SPS = bytes.fromhex("6742c01ed900a02ff970110000030001000003003c0f162e48")

AVCC = h264.AvcDecoderConfigurationRecord.from_parameter_sets([SPS], [PPS]).serialize()
HVCC = h265.HevcDecoderConfigurationRecord.from_parameter_sets(
    h265.ParameterSets(vps=(VPS_265,), sps=(SPS_265,), pps=(PPS_265,))
).serialize()
H264_TRACK, H265_TRACK = build_track(1, Codec.H264, AVCC), build_track(1, Codec.H265, HVCC)
H264_FORMAT, H265_FORMAT = PayloadFormat("H264", 90_000), PayloadFormat("h265", 90_000)

IDR, SECOND_SLICE, P = b"\x65\x88idr", b"\x65\x40idr", b"\x41\x9apicture"
SEI, AUD = b"\x06\x05\x01\x00\x80", b"\x09\x10"


class Sent:
    """Packets of one sender, numbered."""

    def __init__(self, depacketizer: Depacketizer) -> None:
        self.depacketizer = depacketizer
        self.number = 0

    def __call__(self, payload: bytes, *, at: int = 0, marker: bool = False) -> list[Depacketized]:
        self.number += 1
        return self.depacketizer.feed(RtpPacket(96, self.number, at, 1, marker, payload))


def h264_receiver(*, sets: bool = True) -> Sent:
    return Sent(build_depacketizer(1, format_of(H264_TRACK) if sets else H264_FORMAT))


def payloads(items: list[Depacketized]) -> list[list[bytes]]:
    return [split_avcc(item.payload) for item in items if isinstance(item, TimedUnit)]


def test_the_marker_ends_a_picture() -> None:
    send = h264_receiver()
    assert send(IDR, at=9) == []
    [unit] = send(SECOND_SLICE, at=9, marker=True)
    assert unit == TimedUnit(9, join_avcc([IDR, SECOND_SLICE]), random_access=True)
    assert payloads(send(P, at=10, marker=True)) == [[P]]


def test_without_markers_the_next_timestamp_does() -> None:
    send = h264_receiver()
    assert send(IDR, at=1) + send(P, at=2) == [TimedUnit(1, join_avcc([IDR]))]
    assert send.depacketizer.flush() == [TimedUnit(2, join_avcc([P]), random_access=False)]


def test_the_track_is_known_from_the_session_description() -> None:
    assert h264_receiver().depacketizer.track == H264_TRACK
    assert build_depacketizer(1, format_of(H265_TRACK)).track == H265_TRACK


def test_the_track_is_known_from_parameter_sets_in_the_stream() -> None:
    send = h264_receiver(sets=False)
    assert send.depacketizer.track is None
    assert send(P, at=1, marker=True) == []
    assert send.depacketizer.counters.unconfigured_units == 1
    assert send(SPS, at=2) + send(PPS, at=2) + send(AUD, at=2) + send(SEI, at=2) == []
    assert send(IDR, at=2, marker=True) == [H264_TRACK, TimedUnit(2, join_avcc([SEI, IDR]))]


def test_parameter_sets_may_have_markers_and_a_time_of_their_own() -> None:
    send = h264_receiver(sets=False)
    assert send(SPS, at=1, marker=True) + send(PPS, at=1, marker=True) == []
    assert send(IDR, at=5, marker=True) == [H264_TRACK, TimedUnit(5, join_avcc([IDR]))]


def test_other_parameter_sets_make_another_track() -> None:
    send = h264_receiver()
    assert payloads(send(SPS, at=1) + send(PPS, at=1) + send(IDR, at=1, marker=True)) == [[IDR]]
    changed = send(OTHER_SPS, at=2) + send(PPS, at=2) + send(IDR, at=2, marker=True)
    assert isinstance(changed[0], Track)
    assert changed[0].width == 640


def test_broken_parameter_sets_end_the_track() -> None:
    send = h264_receiver()
    assert send(SPS[:6], at=1) + send(PPS, at=1) + send(IDR, at=1, marker=True) == []
    assert send(SPS, at=2) + send(PPS, at=2) + send(IDR, at=2, marker=True) != []


def test_fragments_and_aggregates_are_put_together() -> None:
    send = h264_receiver(sets=False)
    aggregate = b"\x78" + b"".join(len(nalu).to_bytes(2, "big") + nalu for nalu in (SPS, PPS, SEI))
    assert send(aggregate, at=1) + send(b"\x7c\x85\x88id", at=1) + send(b"\x7c\x05r", at=1) == []
    assert send(b"\x7c\x45!", at=1, marker=True) == [H264_TRACK, TimedUnit(1, join_avcc([SEI, IDR + b"!"]))]


def test_an_aggregate_of_parameter_sets_begins_a_random_access_point_of_h265() -> None:
    send = Sent(build_depacketizer(1, H265_FORMAT))
    aggregate = b"\x60\x01" + b"".join(len(nalu).to_bytes(2, "big") + nalu for nalu in (VPS_265, SPS_265, PPS_265))
    assert send(aggregate, at=1) + send(b"\x62\x01\x93\xacid", at=1) == []
    assert send(b"\x62\x01\x53r", at=1, marker=True) == [H265_TRACK, TimedUnit(1, join_avcc([b"\x26\x01\xacidr"]))]


def test_an_intra_picture_with_parameter_sets_is_a_random_access_point() -> None:
    send = h264_receiver()
    send(SPS, at=1)
    intra = b"\x41\x88\x80"  # first_mb_in_slice 0, slice_type 7
    [unit] = send(PPS, at=1) + send(intra, at=1, marker=True)
    assert unit == TimedUnit(1, join_avcc([intra]), random_access=True)
    [unit] = send(intra, at=2, marker=True)
    assert unit == TimedUnit(2, join_avcc([intra]), random_access=False)


def test_loss_inside_a_picture_drops_it() -> None:
    send = h264_receiver()
    send(IDR, at=1)
    send.depacketizer.lost()
    assert send(SECOND_SLICE, at=1, marker=True) == []
    assert send(P, at=2, marker=True) == [TimedUnit(2, join_avcc([P]), random_access=False, after_loss=True)]
    assert send(P, at=3, marker=True) == [TimedUnit(3, join_avcc([P]), random_access=False)]
    assert send.depacketizer.counters.broken_units == 1


def test_loss_of_the_end_drops_a_picture_and_not_the_next() -> None:
    send = h264_receiver()
    send(IDR, at=1)
    send.depacketizer.lost()
    assert payloads(send(P, at=2, marker=True)) == [[P]]
    assert send.depacketizer.counters.broken_units == 1


def test_loss_of_the_begin_drops_a_picture() -> None:
    send = h264_receiver()
    assert payloads(send(IDR, at=1, marker=True)) == [[IDR]]
    send.depacketizer.lost()
    assert send(SECOND_SLICE, at=2, marker=True) == []
    assert payloads(send(P, at=3, marker=True)) == [[P]]


def test_loss_between_pictures_drops_none() -> None:
    send = h264_receiver()
    send(IDR, at=1, marker=True)
    send.depacketizer.lost()
    assert send(P, at=3, marker=True) == [TimedUnit(3, join_avcc([P]), random_access=False, after_loss=True)]
    assert send.depacketizer.counters.broken_units == 0


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_loss_of_any_fragment_drops_the_picture(lost: int) -> None:
    send = h264_receiver()
    fragments = [b"\x7c\x85\x88id", b"\x7c\x05r", b"\x7c\x45!"]
    given_back = []
    for index, fragment in enumerate(fragments):
        if index == lost:
            send.depacketizer.lost()
        else:
            given_back += send(fragment, at=1, marker=index == 2)
    assert payloads(given_back + send(P, at=2, marker=True)) == [[P]]
    assert send.depacketizer.counters.broken_units == 1


def test_small_fragments_take_little_more_than_their_bytes() -> None:
    send = h264_receiver()
    send(b"\x7c\x85\x88", at=1)
    fragments = [bytes((0x7C, 0x05, at % 251, at % 241)) for at in range(100_000)]
    for fragment in fragments:
        send(fragment, at=1)
    assert isinstance(send.depacketizer, VideoDepacketizer)
    held = send.depacketizer._fragments
    assert sys.getsizeof(held) + sum(map(sys.getsizeof, held)) < 500_000  # 200 kB of payload; one by one, 4 MB
    nalu = b"\x65\x88" + b"".join(fragment[2:] for fragment in fragments) + b"!"
    assert payloads(send(b"\x7c\x45!", at=1, marker=True)) == [[nalu]]


def test_a_stream_may_be_joined_in_the_middle_of_a_picture() -> None:
    send = h264_receiver()
    assert send(b"\x7c\x05r", at=1) + send(b"\x7c\x45!", at=1, marker=True) == []
    assert payloads(send(P, at=2, marker=True)) == [[P]]


def test_an_encoder_that_marks_each_slice_is_found_out() -> None:
    send = h264_receiver()
    assert payloads(send(IDR, at=1, marker=True)) == [[IDR]]  # half a picture, as nobody can tell
    assert send(SECOND_SLICE, at=1, marker=True) == []
    assert send(P, at=2, marker=True) == []
    assert payloads(send(P, at=3, marker=True)) == [[P]]
    assert send.depacketizer.counters.unmarked_ends == 1


def test_interleaved_nalus_are_put_in_decoding_order() -> None:
    # RFC 6184 §8.1: packetization-mode 2; the P picture is sent between the slices of the IDR picture
    parameters = {**format_of(H264_TRACK).parameters, "packetization-mode": "2", "sprop-interleaving-depth": "2"}
    send = Sent(build_depacketizer(1, PayloadFormat("H264", 90_000, parameters=parameters)))
    for don, nalu, at in ((0, IDR, 1), (2, P, 2), (1, SECOND_SLICE, 1), (3, P, 3)):
        assert send(b"\x79" + don.to_bytes(2, "big") + len(nalu).to_bytes(2, "big") + nalu, at=at, marker=True) == []
    assert payloads(send.depacketizer.flush()) == [[IDR, SECOND_SLICE], [P], [P]]


def test_what_comes_before_a_picture_is_bounded() -> None:
    send = h264_receiver()
    for _ in range(70):
        send(SEI, at=1)
    assert [len(nalus) for nalus in payloads(send(IDR, at=1, marker=True))] == [65]
    assert send.depacketizer.counters.ignored == 6


def test_a_picture_over_the_bounds_is_dropped() -> None:
    send = h264_receiver()
    aggregate = b"\x78" + (b"\x00\x02" + IDR[:2]) * 1024
    for _ in range(9):
        send(aggregate, at=1)
    assert send(IDR, at=1, marker=True) == []
    send(b"\x7c\x85\x88", at=2)
    for _ in range(130):
        send(b"\x7c\x05" + bytes(65_000), at=2)
    assert send(b"\x7c\x45!", at=2, marker=True) == []
    assert send.depacketizer.counters.broken_units == 2
    assert payloads(send(P, at=3, marker=True)) == [[P]]


def test_a_slice_that_is_cut_off_is_no_random_access_point() -> None:
    send = h264_receiver()
    [one] = send(SPS, at=1) + send(PPS, at=1) + send(b"\x41\x80", at=1, marker=True)
    assert isinstance(one, TimedUnit)
    assert not one.random_access


def test_a_nalu_shorter_than_its_header_is_counted() -> None:
    send = Sent(build_depacketizer(1, format_of(H265_TRACK)))
    assert send(b"\x60\x01\x00\x01\x02\x00\x03\x02\x01\x80", at=1, marker=True) != []
    assert send.depacketizer.counters.ignored == 1


def test_reserved_payloads_are_counted() -> None:
    send = h264_receiver()
    assert send(b"\x7e\x00") == []
    assert send.depacketizer.counters.ignored == 1


def unit(*nalus: bytes, random_access: bool = False) -> AccessUnit:
    return AccessUnit(1, 0, 0, random_access, join_avcc(nalus))


def cut(track: Track, one: AccessUnit, max_payload_bytes: int = 1388) -> list[tuple[bytes, bool]]:
    made = build_packetizer(track, max_payload_bytes=max_payload_bytes).packetize(one)
    return [(b"".join(payload.parts), payload.marker) for payload in made]


def test_a_small_picture_is_one_packet() -> None:
    assert cut(H264_TRACK, unit(P)) == [(P, True)]


def test_small_nalus_share_a_packet() -> None:
    # RFC 6184 §5.7.1: the header has the highest NRI
    wire = b"\x58" + len(SEI).to_bytes(2, "big") + SEI + len(P).to_bytes(2, "big") + P
    assert cut(H264_TRACK, unit(SEI, P)) == [(wire, True)]
    # RFC 7798 §4.4.2: the lowest layer and temporal id
    assert cut(H265_TRACK, unit(b"\x02\x03a", b"\x02\x02b")) == [(b"\x60\x02\x00\x03\x02\x03a\x00\x03\x02\x02b", True)]


def test_parameter_sets_go_before_a_random_access_point() -> None:
    [(wire, _)] = cut(H264_TRACK, unit(AUD, IDR, random_access=True))
    assert [nalu in wire for nalu in (AUD, SPS, PPS, IDR)] == [True] * 4
    assert wire.index(AUD) < wire.index(SPS) < wire.index(PPS) < wire.index(IDR)
    [(wire, _)] = cut(H264_TRACK, unit(OTHER_SPS, PPS, IDR, random_access=True))
    assert SPS not in wire


def test_fragments_are_of_one_size() -> None:
    nalu = b"\x65\x88" + bytes(range(250))
    wires = cut(H264_TRACK, unit(nalu), 102)
    assert [len(wire) for wire, _ in wires] == [102, 102, 2 + 51]
    assert [(wire[:2].hex(), marker) for wire, marker in wires] == [("7c85", False), ("7c05", False), ("7c45", True)]
    wires = cut(H265_TRACK, unit(b"\x26\x01" + bytes(250)), 103)
    assert [wire[:3].hex() for wire, _ in wires] == ["620193", "620113", "620153"]


def test_what_is_small_goes_before_fragments() -> None:
    wires = cut(H264_TRACK, unit(SEI, b"\x41\x80" + bytes(200), P), 150)
    assert [wire[:2].hex() for wire, _ in wires] == ["0605", "5c81", "5c41", "419a"]


def test_nalus_that_would_be_taken_for_aggregates_or_fragments_are_left_out() -> None:
    # RFC 6184 §5.2, RFC 7798 §4.4; what they hold is a whole NALU
    for kind in (24, 28, 31):
        assert cut(H264_TRACK, unit(bytes((kind,)) + b"\x00\x02\x41\x9a", P)) == [(P, True)]
    for kind in (48, 49, 50):
        assert cut(H265_TRACK, unit(bytes((kind << 1, 1)) + b"\x93\xaa", b"\x02\x01\x80")) == [(b"\x02\x01\x80", True)]


def test_an_end_of_sequence_behind_a_large_slice_comes_back() -> None:
    sent = unit(b"\x02\x01\x80" + bytes(5000), b"\x4a\x01")
    send = Sent(build_depacketizer(1, format_of(H265_TRACK)))
    given_back = [item for wire, marker in cut(H265_TRACK, sent) for item in send(wire, marker=marker)]
    assert given_back == [TimedUnit(0, sent.payload, random_access=False)]


def test_a_unit_that_does_not_parse_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        cut(H264_TRACK, AccessUnit(1, 0, 0, False, b"\x00\x00\x00\x09abc"))


@pytest.mark.parametrize("track", [H264_TRACK, H265_TRACK], ids=["h264", "h265"])
@given(
    pictures=st.lists(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=300)), min_size=1, max_size=5), max_size=5),
    max_payload_bytes=st.integers(40, 200),
)
def test_any_pictures_come_back(track: Track, pictures: list[list[tuple[bool, bytes]]], max_payload_bytes: int) -> None:
    """The first NALU of each is a slice that begins a picture; others are slices or SEI."""
    is_h264 = track.codec is Codec.H264
    first, slice_head, sei = (b"\x41\x80", b"\x41\x40", b"\x06") if is_h264 else (b"\x02\x01\x80", b"\x02\x01\x40", b"\x4e\x01")
    depacketizer = build_depacketizer(1, format_of(track))
    packetizer = build_packetizer(track, max_payload_bytes=max_payload_bytes)
    number = 0
    for index, parts in enumerate(pictures):
        heads = [first, *(slice_head if is_slice else sei for is_slice, _ in parts[1:])]
        sent = unit(*(head + body for head, (_, body) in zip(heads, parts, strict=True)))
        given_back: list[Depacketized] = []
        for payload in packetizer.packetize(sent):
            wire = b"".join(payload.parts)
            assert len(wire) <= max_payload_bytes
            given_back += depacketizer.feed(RtpPacket(96, number, index, 1, payload.marker, wire))
            number += 1
        assert [item.payload for item in given_back if isinstance(item, TimedUnit)] == [sent.payload]


@given(st.sampled_from([H264_TRACK, H265_TRACK]), st.sets(st.integers(0, 30)), st.integers(30, 90))
def test_any_loss_gives_whole_pictures_only(track: Track, lost: set[int], max_payload_bytes: int) -> None:
    begin = b"\x41\x80" if track.codec is Codec.H264 else b"\x02\x01\x80"
    sent = [unit(begin + bytes((1, index)) * 40, begin[:-1] + b"\x40" + bytes((2, index)) * 9) for index in range(6)]
    depacketizer = build_depacketizer(1, format_of(track))
    packetizer = build_packetizer(track, max_payload_bytes=max_payload_bytes)
    number, touched = 0, set()
    given_back: list[Depacketized] = []
    for index, one in enumerate(sent):
        for payload in packetizer.packetize(one):
            if number in lost:
                depacketizer.lost()
                touched.add(index)
            else:
                packet = RtpPacket(96, number, index, 1, payload.marker, b"".join(payload.parts))
                given_back += depacketizer.feed(packet)
            number += 1
    expected = [one.payload for index, one in enumerate(sent) if index not in touched]
    assert [item.payload for item in given_back if isinstance(item, TimedUnit)] == expected


@given(
    st.sampled_from(["H264", "H265"]), st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 2), st.booleans()), max_size=12)
)
def test_any_packets_give_units_or_are_refused(name: str, packets: list[tuple[bytes, int, bool]]) -> None:
    depacketizer = build_depacketizer(1, PayloadFormat(name, 90_000, parameters=format_of(H264_TRACK).parameters))
    for number, (payload, at, marker) in enumerate(packets):
        with suppress(RemoteProtocolError):
            depacketizer.feed(RtpPacket(96, number, at, 1, marker, payload))
    depacketizer.flush()
