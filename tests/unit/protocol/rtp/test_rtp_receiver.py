"""Whole tracks, sender and receiver back to back."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lalmesh.bits import BitWriter
from lalmesh.codec import build_track, h264, h265
from lalmesh.codec.nalu import escape_rbsp, join_avcc
from lalmesh.media import AccessUnit, Codec, Track
from lalmesh.protocol.rtp import (
    ReceiverReport,
    ReceiverSettings,
    RtpPacket,
    SenderIdentity,
    Timeline,
    TrackEvent,
    TrackReceiver,
    TrackSender,
    WallClock,
    build_depacketizer,
    build_packetizer,
    format_of,
    parse_compound,
)

# parameter sets of ffmpeg 9.0 with libx264: four bits of frame_num, six of pic_order_cnt_lsb, reorder depth 2
SPS, PPS = bytes.fromhex("6764000dacd941419f9f011000000300100000030320f1429960"), bytes.fromhex("68efbcb0")
AVCC = h264.AvcDecoderConfigurationRecord.from_parameter_sets([SPS], [PPS]).serialize()
VIDEO, SOUND = build_track(1, Codec.H264, AVCC), build_track(2, Codec.PCMA, channels=1)
VPS_265 = bytes.fromhex("40010c01ffff016000000300900000030000030078959409")
SPS_265 = bytes.fromhex("42010101600000030090000003000003003ca00a080c1f3e595952930bc05a020000030002000003003210")
SETS_265 = h265.ParameterSets(vps=(VPS_265,), sps=(SPS_265,), pps=(bytes.fromhex("4401c073c189"),))
H265_TRACK = build_track(1, Codec.H265, h265.HevcDecoderConfigurationRecord.from_parameter_sets(SETS_265).serialize())
START = 11 * 90_000
T = 3600


def picture(shown_at: int, *, count: int = 0, idr: bool = False, size: int = 3000) -> AccessUnit:
    """A picture of one slice, `count` pictures after the IDR picture in output order, in about `size` bytes."""
    bits = BitWriter().write(0x65 if idr else 0x41, 8).ue(0).ue(7 if idr else 5).ue(0).write(0, 4)
    if idr:
        bits.ue(0)
    nalu = bits.write(2 * count % 64, 6).to_bytes() + bytes((1 + shown_at % 250,)) * size
    return AccessUnit(1, shown_at * T, 0, idr, join_avcc([escape_rbsp(nalu)]))


class Link:
    """A sender and a receiver of one track."""

    def __init__(self, track: Track = VIDEO, *, timeline: Timeline | None = None, ssrc: int = 1, **settings: int) -> None:
        told = format_of(track)
        identity = SenderIdentity(
            ssrc=ssrc, payload_type=96, clock_rate_hz=told.clock_rate_hz, first_sequence_number=65_530, timestamp_offset=0xFFFFF000
        )
        self.sender = TrackSender(build_packetizer(track), identity, WallClock())
        self.receiver = TrackReceiver(
            build_depacketizer(track.track_id, told),
            (timeline or Timeline()).add(told.clock_rate_hz, leads=track is VIDEO),
            payload_type=96,
            clock_rate_hz=told.clock_rate_hz,
            settings=ReceiverSettings(**settings),  # type: ignore[arg-type]
        )

    def send(self, unit: AccessUnit, *, lost: int | None = None, now_us: int | None = None) -> list[TrackEvent]:
        """What the receiver gives of a unit of which packet number `lost` does not arrive."""
        wires = self.sender.send(unit)
        now_us = unit.dts * 100 // 9 if now_us is None else now_us
        return [event for index, wire in enumerate(wires) if index != lost for event in self.receiver.receive(wire, now_us)]


def times(events: list[TrackEvent]) -> list[tuple[int, int]]:
    """DTS and PTS in pictures after the start."""
    return [((unit.dts - START) // T, (unit.pts - START) // T) for unit in events if isinstance(unit, AccessUnit)]


def test_pictures_arrive_as_they_were_sent() -> None:
    link = Link()
    sent = [picture(0, idr=True), *(picture(at, count=at) for at in range(1, 5))]
    events = [event for unit in sent for event in link.send(unit)]
    assert [(unit.payload, unit.random_access) for unit in events if isinstance(unit, AccessUnit)] == [
        (unit.payload, unit.random_access) for unit in sent
    ]
    assert times(events) == [(at, at) for at in range(5)]
    assert link.receiver.track == VIDEO


def test_b_frames_get_decoding_times() -> None:
    link = Link()
    sent = [picture(at, count=at, idr=at == 0) for at in (0, 4, 2, 1, 3, 8, 6, 5, 7)]
    events = [event for unit in sent for event in link.send(unit)]
    assert times(events)[3:] == [(1, 1), (2, 3), (3, 8), (4, 6), (5, 5), (6, 7)]


def test_nothing_is_given_before_a_random_access_point_nor_its_leading_pictures() -> None:
    link = Link()
    assert link.send(picture(1)) == []
    events = [event for at in (5, 3, 7, 6) for event in link.send(picture(at, count=at, idr=at == 5))]
    assert [pts for _, pts in times([*events, *link.receiver.flush(0)])] == [5 - 1, 7 - 1, 6 - 1]
    assert link.receiver.gate.dropped == 2


def test_a_broken_picture_is_dropped_and_the_next_given() -> None:
    link = Link(reorder_ms=0)
    link.send(picture(0, idr=True))
    assert link.send(picture(1, count=1), lost=1) == []
    assert times(link.send(picture(2, count=2)) + link.send(picture(3, count=3)))[-1] == (3, 3)
    assert link.receiver.depacketizer_counters.broken_units == 1


def test_a_broken_gop_is_dropped_if_asked_for() -> None:
    link = Link(reorder_ms=0, drop_broken_gop=True)
    link.send(picture(0, idr=True))
    assert link.send(picture(1, count=1), lost=0) + link.send(picture(2, count=2)) + link.send(picture(3, count=3)) == []
    assert times(link.send(picture(4, idr=True))) == [(4, 4)]
    assert times(link.send(picture(5, count=1))) == [(5, 5)]


def test_a_lost_packet_delays_what_follows_by_no_more_than_it_may() -> None:
    link = Link(reorder_ms=100)
    link.send(picture(0, idr=True), now_us=0)
    assert link.send(picture(1, count=1), lost=1, now_us=40_000) == []
    assert link.send(picture(2, count=2), now_us=80_000) == []
    assert link.receiver.next_timer == 140_000
    assert [pts for _, pts in times(link.receiver.handle_timer(140_000) + link.receiver.flush(140_000))] == [2]


def test_other_parameter_sets_are_another_version_of_the_track() -> None:
    link = Link()
    link.send(picture(0, idr=True))
    other = bytes.fromhex("6742c01ed900a02ff970110000030001000003003c0f162e48")
    changed = AccessUnit(1, T, 0, True, join_avcc([other, PPS, b"\x65\x88\x84\x00\x10"]))
    track, unit = link.send(changed)
    assert isinstance(track, Track)
    assert (track.version, track.width) == (1, 640)
    assert times([unit]) == [(1, 1)]
    assert link.receiver.track == track


def test_parameter_sets_that_are_mended_are_no_change() -> None:
    link = Link()
    link.send(picture(0, idr=True))
    broken = AccessUnit(1, T, 0, True, join_avcc([SPS[:6], PPS, b"\x65\x88\x84\x00\x10"]))
    assert link.send(broken) == []
    assert times(link.send(picture(2, idr=True))) == [(2, 2)]


def test_pictures_of_h265_get_decoding_times() -> None:
    link = Link(H265_TRACK)
    sent = [
        AccessUnit(1, shown_at * T, 0, wire.startswith("28"), join_avcc([bytes.fromhex(wire)]))
        for shown_at, wire in (
            (0, "2801ac74c2ea7bca6029a52740a0"),
            (4, "0201d02149883a61504b6241a88b"),
            (2, "0201e0449560812184c2d1c3891a"),
            (1, "0001e024fd7a240a4c22e88008d2"),
            (3, "0001e066b5e08141844a3018a1c6"),
        )
    ]
    events = [event for unit in sent for event in link.send(unit)]
    assert times(events)[3:] == [(1, 1), (2, 3)]
    assert link.receiver.times.depth == 2


def test_pictures_of_parameter_sets_that_tell_no_order_get_times_all_the_same() -> None:
    record = h264.AvcDecoderConfigurationRecord.from_parameter_sets([SPS], [b"\x68"])
    link = Link(build_track(1, Codec.H264, record.serialize()))
    events = [event for at in (0, 1, 2) for event in link.send(picture(at, count=at, idr=at == 0))]
    assert times(events) == [(at, at) for at in range(3)]


def test_what_nothing_has_ended_is_given_at_the_end() -> None:
    link = Link()
    wires = [RtpPacket.parse(wire) for wire in link.sender.send(picture(0, idr=True))]
    wires[-1].marker = False
    assert [event for wire in wires for event in link.receiver.receive(wire.serialize(), 0)] == []
    assert times(link.receiver.flush(0)) == [(0, 0)]
    assert link.receiver.statistics.received == len(wires)


def test_sound_that_is_lost_is_missing_and_nothing_else() -> None:
    link = Link(SOUND, reorder_ms=0)
    sent = [AccessUnit(2, 1_800 * index, 0, True, b"%d" % index) for index in range(4)]
    events = [event for index, unit in enumerate(sent) for event in link.send(unit, lost=0 if index == 1 else None)]
    assert [(event.dts - START, event.payload) for event in events if isinstance(event, AccessUnit)] == [
        (0, b"0"), (3_600, b"2"), (5_400, b"3")
    ]  # fmt: skip
    assert link.receiver.reorder_counters.lost == 1


def test_sound_that_reports_put_back_is_all_given_and_rises() -> None:
    timeline = Timeline()
    video, sound = Link(timeline=timeline), Link(SOUND, timeline=timeline)
    video.send(picture(0, idr=True), now_us=0)
    sound.send(AccessUnit(2, 0, 0, True, b"0"), now_us=100_000)
    for link in (video, sound):
        assert not link.receiver.receive_rtcp(link.sender.report("cname", 0), 0)
    events = [event for at in range(1, 14) for event in sound.send(AccessUnit(2, at * 1_800, 0, True, b"%d" % at), now_us=0)]
    given = [event.dts - START for event in events if isinstance(event, AccessUnit)]
    assert given[:3] + given[-3:] == [9_900, 10_800, 11_700, 19_800, 21_600, 23_400]
    assert (len(given), sound.receiver.counters.not_rising) == (13, 0)


def test_a_report_of_another_source_than_the_first_packet_says_nothing() -> None:
    timeline = Timeline()
    video, sound, other = Link(timeline=timeline), Link(SOUND, timeline=timeline), Link(SOUND, ssrc=9)
    video.send(picture(0, idr=True), now_us=0)
    other.send(AccessUnit(2, 90_000, 0, True, b"x"))
    video.receiver.receive_rtcp(video.sender.report("cname", 0), 0)
    sound.receiver.receive_rtcp(other.sender.report("cname", 0), 0)
    (unit,) = sound.send(AccessUnit(2, 0, 0, True, b"0"), now_us=20_000)
    assert isinstance(unit, AccessUnit)
    assert unit.dts == START + 1_800


def test_a_report_tells_the_source_how_it_is_received() -> None:
    link = Link(reorder_ms=0)
    link.send(picture(0, idr=True), lost=1)
    link.receiver.receive_rtcp(link.sender.report("cname", 1_000_000), 0)
    report, names = parse_compound(link.receiver.report(77, "us", 1_000_000)).packets
    assert isinstance(report, ReceiverReport)
    assert (report.ssrc, report.blocks[0].ssrc, report.blocks[0].cumulative_lost) == (77, 1, 1)
    assert report.blocks[0].delay_since_last_sr == 65_536
    assert parse_compound(Link().receiver.report(77, "us", 0)).packets == (ReceiverReport(ssrc=77), names)


def test_a_goodbye_of_the_source_ends_it() -> None:
    link = Link()
    link.send(picture(0, idr=True))
    goodbye = link.sender.goodbye("cname", 0)
    assert link.receiver.receive_rtcp(goodbye, 0)
    assert not Link(ssrc=9).receiver.receive_rtcp(goodbye, 0)
    assert not link.receiver.receive_rtcp(b"no rtcp", 0)
    assert link.receiver.counters.malformed == 1


def test_one_packet_of_another_source_is_passed_over_and_two_replace_it() -> None:
    link, other = Link(), Link(ssrc=2)
    assert times(link.send(picture(0, idr=True))) == [(0, 0)]
    stray = RtpPacket(96, 5, 0, 99, True, b"\x41\x9a").serialize()
    assert link.receiver.receive(stray, 0) == []
    assert times(link.send(picture(1, count=1))) == [(1, 1)]
    wires = other.sender.send(picture(100, idr=True)) + other.sender.send(picture(101, count=1))
    events = [event for wire in wires for event in link.receiver.receive(wire, 2_000_000)]
    assert times(events) == [(50, 50), (51, 51)]  # its first packet came 2 s after the start
    assert (link.receiver.ssrc, link.receiver.counters.restarts, link.receiver.counters.other_sources) == (2, 1, 1)


def test_what_was_lost_of_a_source_is_counted_on_behind_another() -> None:
    link, other = Link(SOUND, reorder_ms=0), Link(SOUND, reorder_ms=0, ssrc=2)
    other.receiver = link.receiver
    for sender, first in ((link, 0), (other, 10)):
        for at in range(first, first + 6):
            sender.send(AccessUnit(2, at * 1_800, 0, True, b"%d" % at), lost=0 if at == first + 4 else None)
    assert (link.receiver.ssrc, link.receiver.reorder_counters.lost) == (2, 2)
    assert link.receiver.statistics.received == 5


def test_a_source_that_begins_anew_goes_on() -> None:
    link = Link()
    link.send(picture(1_000, idr=True), now_us=0)
    link.sender.next_sequence_number = 30_000
    events = [event for at in (0, 1, 2) for event in link.send(picture(at, count=at, idr=at == 0), now_us=2_000_000 + at * 40_000)]
    assert times([*events, *link.receiver.flush(0)]) == [(50, 50), (51, 51), (52, 52)]
    assert link.receiver.reorder_counters.restarts == 1


def test_packets_without_payload_disturb_nothing() -> None:
    link = Link()
    wires = link.sender.send(picture(0, idr=True))
    padding = RtpPacket.parse(wires[1])
    for index, wire in enumerate(wires[1:], 1):
        packet = RtpPacket.parse(wire)
        packet.sequence_number = packet.sequence_number + 1 & 0xFFFF
        wires[index] = packet.serialize()
    padding.payload, padding.marker = b"", False
    wires.insert(1, padding.serialize(padding_bytes=200))
    assert times([event for wire in wires for event in link.receiver.receive(wire, 0)]) == [(0, 0)]
    assert link.receiver.counters.malformed == 0


def test_what_is_not_ours_is_counted() -> None:
    link = Link()
    assert link.receiver.receive(b"no packet", 0) == []
    assert link.receiver.receive(RtpPacket(97, 0, 0, 1, True, b"").serialize(), 0) == []
    assert link.receiver.receive(RtpPacket(96, 0, 0, 1, True, b"").serialize(), 0) == []
    assert (link.receiver.counters.malformed, link.receiver.counters.other_payload_types) == (1, 1)


@given(st.sets(st.integers(0, 60)), st.lists(st.integers(0, 3), min_size=64, max_size=64), st.booleans())
def test_any_loss_and_reordering_gives_whole_pictures_at_their_times(
    lost: set[int], late: list[int], drop_broken_gop: bool
) -> None:
    """Packets come up to three places later than they were sent, which is within the window."""
    link = Link(drop_broken_gop=drop_broken_gop)
    order = [at + 8 * gop for gop in range(3) for at in (0, 4, 2, 1, 3, 6, 5)]
    sent = {at: picture(at, count=at % 8, idr=at % 8 == 0, size=3_000) for at in order}
    wires = [wire for at in order for wire in link.sender.send(sent[at])]
    arriving = sorted(
        (index + (late[index % 64] if index > 2 else 0), index) for index in range(len(wires)) if index not in lost or not index
    )
    events = [event for place, index in arriving for event in link.receiver.receive(wires[index], place * 13_000)]
    units = [event for event in [*events, *link.receiver.flush(10**7)] if isinstance(event, AccessUnit)]
    payloads = {unit.payload: at * T for at, unit in sent.items()}
    offsets = {unit.pts - payloads[unit.payload] for unit in units}
    assert len(offsets) <= 1
    assert all(one.dts < two.dts <= two.pts for one, two in pairwise(units))
    assert lost or len(units) == len(order)


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 3)), max_size=30))
def test_any_datagrams_are_counted_or_taken(datagrams: list[tuple[bytes, int]]) -> None:
    link = Link()
    for number, (data, kind) in enumerate(datagrams):
        if kind == 0:
            link.receiver.receive(data, number)
        elif kind == 1:
            link.receiver.receive_rtcp(data, number)
        else:
            link.receiver.receive(RtpPacket(96, number, kind, 1, bool(number % 2), data).serialize(), number)
    link.receiver.flush(0)
