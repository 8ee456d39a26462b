from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lalmesh.codec import build_track
from lalmesh.media import AccessUnit, Codec, Track
from lalmesh.protocol.rtp import (
    Goodbye,
    HeaderExtension,
    RtpPacket,
    Run,
    SenderIdentity,
    SenderReport,
    TrackSender,
    WallClock,
    build_packetizer,
    join_runs,
    parse_compound,
    unix_us_to_ntp,
)

WALL_US = 1_700_000_000_000_000
PCMA = build_track(2, Codec.PCMA, channels=1)


def sender(track: Track = PCMA, wall_clock: WallClock | None = None, *, rate_hz: int = 8_000) -> TrackSender:
    identity = SenderIdentity(
        ssrc=0xABCD, payload_type=8, clock_rate_hz=rate_hz, first_sequence_number=0xFFFF, timestamp_offset=0xFFFFFF00
    )
    return TrackSender(build_packetizer(track, max_payload_bytes=100), identity, wall_clock or WallClock())


def unit(dts: int, payload: bytes = b"sound", *, cts: int = 0, wall_us: int = WALL_US) -> AccessUnit:
    return AccessUnit(2, dts, cts, True, payload, wall_us=wall_us)


def test_numbers_and_times_go_on_over_their_wraps() -> None:
    tested = sender()
    packets = [RtpPacket.parse(wire) for dts in (0, 90_000) for wire in tested.send(unit(dts, bytes(150)))]
    assert [packet.sequence_number for packet in packets] == [0xFFFF, 0, 1, 2]
    assert [packet.timestamp for packet in packets] == [0xFFFFFF00, 0xFFFFFF64, 7_744, 7_844]
    assert {(packet.ssrc, packet.payload_type) for packet in packets} == {(0xABCD, 8)}
    assert (tested.packet_count, tested.octet_count, tested.next_sequence_number) == (4, 300, 3)


def test_timestamps_tell_when_a_picture_is_shown() -> None:
    tested = sender(Track(track_id=1, codec=Codec.AV1), rate_hz=90_000)
    [wire] = tested.send(unit(1_000, b"\x32\x01\x10", cts=500))
    assert RtpPacket.parse(wire).timestamp == 1_500 - 0x100


def test_a_report_says_which_time_it_is() -> None:
    # RFC 3550 §6.4.1: the RTP timestamp of the same instant as the NTP time
    tested = sender()
    assert tested.report("cname", WALL_US) == tested.goodbye("cname", WALL_US) == b""
    tested.send(unit(90_000))
    compound = parse_compound(tested.report("cname", WALL_US + 2_000_000))
    assert compound.packets[0] == SenderReport(
        ssrc=0xABCD,
        ntp_timestamp=unix_us_to_ntp(WALL_US + 2_000_000),
        rtp_timestamp=24_000 - 0x100,
        packet_count=1,
        octet_count=5,
    )
    assert compound.packets[1:] == parse_compound(tested.goodbye("cname", WALL_US)).packets[1:2]


def test_a_goodbye_ends_a_source() -> None:
    tested = sender()
    tested.send(unit(0))
    assert parse_compound(tested.goodbye("cname", WALL_US, "moved")).packets[2] == Goodbye((0xABCD,), b"moved")


def test_tracks_of_a_stream_share_their_wall_clock() -> None:
    wall_clock = WallClock()
    first, second = sender(wall_clock=wall_clock), sender(wall_clock=wall_clock)
    first.send(unit(0))
    second.send(unit(4_500, wall_us=WALL_US + 90_000))  # jitters by 40 ms
    assert first.report("cname", WALL_US + 100_000) == second.report("cname", WALL_US + 100_000)


def test_a_wall_clock_follows_media_that_have_run_away() -> None:
    wall_clock = WallClock()
    assert wall_clock.ticks_at(WALL_US) is None
    wall_clock.see(unit(0))
    wall_clock.see(unit(9_000, wall_us=WALL_US + 250_000))
    assert wall_clock.ticks_at(WALL_US) == 0
    wall_clock.see(unit(9_000, wall_us=WALL_US + 350_000))
    assert wall_clock.ticks_at(WALL_US + 350_000) == 9_000


def test_header_extensions_of_opaque_packets_are_kept() -> None:
    came = RtpPacket(107, 5, 6, 7, True, b"<xml/>", extension=HeaderExtension(0xABAC, b"time"))
    tested = sender(Track(track_id=3, codec=Codec.OPAQUE))
    [wire] = tested.send(AccessUnit(3, 0, 0, True, came.serialize()))
    went = RtpPacket.parse(wire)
    assert (went.payload, went.marker, went.extension, went.ssrc) == (b"<xml/>", True, came.extension, 0xABCD)


def test_runs_are_of_one_size_but_for_the_last() -> None:
    packets = [b"a" * 10, b"b" * 10, b"c" * 3, b"d" * 10, b"e" * 12, b"f" * 12]
    assert join_runs(packets) == [
        Run(b"a" * 10 + b"b" * 10 + b"c" * 3, 10),
        Run(b"d" * 10, 10),
        Run(b"e" * 12 + b"f" * 12, 12),
    ]


def test_runs_are_bounded() -> None:
    assert [len(run.data) for run in join_runs([b"x"] * 130)] == [64, 64, 2]
    assert [len(run.data) for run in join_runs([bytes(30_000)] * 3)] == [60_000, 30_000]


@given(st.lists(st.binary(min_size=1, max_size=4), max_size=80))
def test_any_packets_are_cut_from_their_runs_again(packets: list[bytes]) -> None:
    cut = [run.data[at : at + run.segment_bytes] for run in join_runs(packets) for at in range(0, len(run.data), run.segment_bytes)]
    assert cut == packets
