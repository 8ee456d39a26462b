"""RTP to players: packets that are numbered once, what is in band, sender reports, and what a description holds for."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import replace
from random import Random

import pytest
from support.edge_fakes import AUDIO, VIDEO
from support.packaging import BOTH, H264

from lalmesh.codec import build_track
from lalmesh.codec.h265 import HevcDecoderConfigurationRecord, ParameterSets
from lalmesh.errors import UnsupportedError
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Codec, Track, TrackSet
from lalmesh.protocol.rtp import Goodbye, RtpPacket, SenderReport, ntp_to_unix_us, parse_compound
from lalmesh.protocol.sdp import MediaDescription, parse_media, parse_session
from lalmesh.remux import RtpBurst, RtpStream, _rtp_description, rtp_session, rtp_tracks

SPS, PPS = bytes.fromhex("67640009acd94626c044000003000400000300783c489658"), bytes.fromhex("68efbcb0")
OTHER_PPS = bytes.fromhex("68efbcb1")
STAP_A, FU_A = 24, 28  # RFC 6184 §5.2
# of ffmpeg's libx265, 320 x 180
H265_VPS = bytes.fromhex("40010c01ffff016000000300900000030000030078959409")
H265_SPS = bytes.fromhex("42010101600000030090000003000003003ca00a080c1f3e595952930bc05a020000030002000003003210")
H265_PPS = bytes.fromhex("4401c073c189")
H265_IDR, H265_TRAIL = bytes.fromhex("000000042601af00"), bytes.fromhex("000000040201d000")  # each behind its length
H265_AP = 48  # RFC 7798 §4.4.2
WALL_US = 1_700_000_000_000_000
OPAQUE = b"m=application 0 RTP/AVP 98\r\na=rtpmap:98 vnd.onvif.metadata/90000\r\na=control:track3\r\n"


def stream(tracks: TrackSet = BOTH) -> RtpStream:
    return RtpStream(tracks, Random(1).randbytes)


def picture(number: int, *, key: bool = False, size: int = 100) -> AccessUnit:
    """25 a second."""
    nalu = (b"\x65" if key else b"\x41") + bytes((number & 0xFF,)) * size
    return AccessUnit(1, number * 3600, 0, key, len(nalu).to_bytes(4, "big") + nalu, number, WALL_US + number * 40_000)


def sound(number: int) -> AccessUnit:
    return AccessUnit(2, number * 3600, 0, True, b"\x21" + bytes((number & 0xFF,)) * 20, number, WALL_US + number * 40_000)


def bursts(stream: RtpStream, units: Iterable[AccessUnit], tracks: TrackSet = BOTH) -> list[RtpBurst]:
    return [burst for unit in units if (burst := stream.package(unit, tracks)) is not None]


def packets(bursts: Iterable[RtpBurst]) -> list[RtpPacket]:
    return [RtpPacket.parse(packet) for burst in bursts for packet in burst.packets]


def test_numbers_of_a_track_go_on_whatever_is_between() -> None:
    sent = bursts(stream(), [picture(0, key=True, size=5000), sound(0), picture(1), sound(1), picture(2, size=3000)])
    video = packets(burst for burst in sent if burst.track_index == 0)
    first = video[0].sequence_number
    assert [packet.sequence_number for packet in video] == [first + index & 0xFFFF for index in range(len(video))]
    assert [burst.first_sequence_number for burst in sent[::2]] == [packets([burst])[0].sequence_number for burst in sent[::2]]
    assert len({packet.ssrc for packet in packets(sent)}) == 2


def sender_reports(bursts: Iterable[RtpBurst]) -> list[SenderReport]:
    found = (parse_compound(packet).packets[0] for burst in bursts for _, packet in burst.reports)
    return [report for report in found if isinstance(report, SenderReport)]


def test_a_burst_has_the_time_of_its_packets() -> None:
    sent = bursts(stream(), [picture(0, key=True), replace(picture(1), cts=7200)])
    assert [burst.rtp_timestamp for burst in sent] == [packet.timestamp for packet in packets(sent)]
    assert sent[1].rtp_timestamp - sent[0].rtp_timestamp & 0xFFFFFFFF == 3600 + 7200


def test_parameter_sets_go_before_each_random_access_point() -> None:
    sent = bursts(stream(), [picture(0, key=True), picture(1), picture(2, key=True)])
    first = [burst.packets[0][12:] for burst in sent]
    assert [payload[0] & 0x1F for payload in first] == [STAP_A, 1, STAP_A]
    assert SPS in first[2]
    assert PPS in first[2]


def test_parameter_sets_of_h265_go_before_each_random_access_point() -> None:
    record = HevcDecoderConfigurationRecord.from_parameter_sets(ParameterSets(vps=(H265_VPS,), sps=(H265_SPS,), pps=(H265_PPS,)))
    tracks = TrackSet((build_track(1, Codec.H265, record.serialize()),), 1)
    units = [replace(picture(at, key=at != 1), payload=H265_IDR if at != 1 else H265_TRAIL) for at in range(3)]
    first, other, again = bursts(stream(tracks), units, tracks)
    for burst in (first, again):
        payload = burst.packets[0][12:]
        assert payload[0] >> 1 == H265_AP
        assert all(nalu in payload for nalu in (H265_VPS, H265_SPS, H265_PPS))
        assert payload.index(H265_VPS) < payload.index(H265_SPS) < payload.index(H265_PPS)
    assert other.packets[0][12:] == H265_TRAIL[4:]


def test_new_parameter_sets_go_in_band_under_the_same_description() -> None:
    assert PPS in H264.configuration
    newer = BOTH.with_latest(replace(H264, configuration=H264.configuration.replace(PPS, OTHER_PPS)))
    out = stream()
    bursts(out, [picture(0, key=True)])
    assert out.describes(newer)
    assert b64encode(OTHER_PPS) in out.description(newer)
    [after] = bursts(out, [picture(1, key=True)], newer)
    assert OTHER_PPS in after.packets[0]


def test_the_description_names_what_goes_out() -> None:
    out = stream()
    session = parse_session(out.description(BOTH))
    [video], [audio] = (media.formats for media in session.media)
    assert (video.encoding_name, video.clock_rate_hz) == ("H264", 90_000)
    assert (audio.encoding_name, audio.clock_rate_hz, audio.channels) == ("mpeg4-generic", 44_100, 2)
    assert [media.control for media in session.media] == out.controls == ["streamid=0", "streamid=1"]
    sent = packets(bursts(out, [picture(0, key=True), sound(0)]))
    assert {packet.payload_type for packet in sent} == {video.payload_type, audio.payload_type}


def test_the_same_description_without_a_stream() -> None:
    description, controls = rtp_session(BOTH, session_id=7)
    assert (b"o=- 7 1 " in description, controls) == (True, ["streamid=0", "streamid=1"])


def test_what_rtp_cannot_carry_is_not_described() -> None:
    assert rtp_tracks(TrackSet((VIDEO, AUDIO), 1)) == (AUDIO,)  # VP9
    with pytest.raises(UnsupportedError, match="vp9 in RTP"):
        stream(TrackSet((VIDEO,), 1))
    tracks = TrackSet((VIDEO, AUDIO), 1)
    out = stream(tracks)
    assert len(parse_session(out.description(tracks)).media) == 1
    assert bursts(out, [picture(0)], tracks) == []


def test_an_opaque_track_keeps_its_section_but_for_the_control() -> None:
    tracks = BOTH.with_track(Track(track_id=3, codec=Codec.OPAQUE, configuration=OPAQUE))
    out = stream(tracks)
    media = parse_session(out.description(tracks)).media[2]
    assert (media.media, media.payload_types, media.control) == ("application", ("98",), "streamid=2")
    came = RtpPacket(payload_type=98, sequence_number=5, timestamp=0, ssrc=9, marker=True, payload=b"<a/>").serialize()
    [sent] = packets(bursts(out, [AccessUnit(3, 0, 0, True, came)], tracks))
    assert (sent.payload, sent.payload_type, sent.marker) == (b"<a/>", 98, True)
    assert sent.ssrc == out.ssrc(2) != 9


def test_a_section_is_read_once_for_all_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    tracks = BOTH.with_track(Track(track_id=3, codec=Codec.OPAQUE, configuration=OPAQUE))
    out, read = stream(tracks), list[bytes]()

    def watched(data: bytes) -> MediaDescription:
        read.append(data)
        return parse_media(data)

    monkeypatch.setattr(_rtp_description, "parse_media", watched)
    for _ in range(100):
        assert out.describes(tracks)
        assert out.description(tracks) == out.sdp
        assert out.carried(tracks) == tracks.tracks
    assert read == []
    assert out.describes(replace(tracks, version=9))
    assert read == [OPAQUE]


def test_a_fixed_number_that_an_opaque_track_has_is_nobody_elses() -> None:
    opaque = Track(track_id=3, codec=Codec.OPAQUE, configuration=OPAQUE.replace(b"98", b"96"))
    tracks = BOTH.with_track(opaque)
    media = parse_session(stream(tracks).description(tracks)).media
    assert len({section.formats[0].payload_type for section in media}) == 3


def test_other_codecs_or_tracks_need_another_description() -> None:
    out = stream()
    louder = build_track(2, Codec.AAC, bytes.fromhex("1190"))
    script = Track(track_id=9, codec=Codec.SCRIPT, configuration=b"\x02")
    assert out.describes(BOTH.with_track(script))
    assert not out.describes(BOTH.with_latest(louder))
    assert not out.describes(BOTH.without_track(2))
    assert not out.describes(BOTH.with_track(replace(AUDIO, track_id=3)))


def test_nothing_goes_out_under_tracks_that_the_description_is_not_true_of() -> None:
    out, only = stream(), BOTH.without_track(2)
    assert bursts(out, [picture(0, key=True)], only) == []
    assert len(bursts(out, [picture(1, key=True)], BOTH)) == 1


def test_a_malformed_unit_is_left_out() -> None:
    out = stream()
    bursts(out, [picture(0, key=True, size=5000), sound(0), sound(1), picture(1)])
    assert out.package(replace(picture(1), payload=b"\xff\xff\xff\xff\x41"), BOTH) is None
    assert len(bursts(out, [picture(2)])) == 1


def test_reports_of_all_tracks_go_before_random_access_points_and_every_five_seconds() -> None:
    units = [unit for number in range(250) for unit in (picture(number, key=number in (0, 10, 30)), sound(number))]
    sent = bursts(stream(), units)
    reported = [(number, [index for index, _ in burst.reports]) for number, burst in enumerate(sent) if len(burst.reports) > 1]
    # 10 comes too soon after 0, 30 in time, and 155 is five seconds later
    assert reported == [(0, [0, 1]), (2 * 30, [0, 1]), (2 * 155, [0, 1])]


def test_each_track_reports_again_behind_its_first_two_packets() -> None:
    out = stream()
    sent = bursts(out, [replace(picture(0, key=True, size=5000), cts=7200), sound(0), sound(1), picture(1), sound(2)])
    assert [[index for index, _ in burst.reports] for burst in sent] == [[0, 1], [0], [], [1], []]
    for again, behind in ((sent[1], sent[0]), (sent[3], sent[2])):
        [report] = sender_reports([again])
        assert report.rtp_timestamp == behind.rtp_timestamp


def test_reports_of_a_stream_without_pictures_go_twice_a_second() -> None:
    tracks = TrackSet((AUDIO,), 1)
    sent = bursts(stream(tracks), [sound(number) for number in range(50)], tracks)
    assert [number for number, burst in enumerate(sent) if burst.reports] == [0, 2, 13, 15, 26, 28, 39, 41]


def test_what_reports_say_lies_on_one_line() -> None:
    units = [unit for number in range(900) for unit in (replace(picture(number, key=number % 25 == 0), cts=7), sound(number))]
    out = stream()
    reports = sender_reports(bursts(out, [replace(unit, dts=unit.dts + unit.seq % 3) for unit in units]))
    for ssrc, rate_hz in ((out.ssrc(0), 90_000), (out.ssrc(1), 44_100)):
        first, *rest = [report for report in reports if report.ssrc == ssrc]
        assert len(rest) > 60
        for report in rest:
            late = (report.ntp_timestamp - first.ntp_timestamp) * rate_hz / (1 << 32)
            off = report.rtp_timestamp - first.rtp_timestamp - round(late) & 0xFFFFFFFF
            assert min(off, (1 << 32) - off) <= 1


def test_tracks_that_are_not_quite_in_order_bring_no_more_reports() -> None:
    sent = bursts(stream(), [picture(50, key=True, size=5000), sound(45), picture(51), sound(46)])
    assert [len(burst.reports) for burst in sent] == [2, 1, 0, 0]


def test_reports_put_the_tracks_in_step() -> None:
    out = stream()
    [first, heard] = bursts(out, [picture(0, key=True), sound(0)])
    for report, burst in zip(sender_reports([first]), (first, heard), strict=True):
        assert abs(ntp_to_unix_us(report.ntp_timestamp) - WALL_US) <= 1
        assert report.rtp_timestamp == burst.rtp_timestamp
        assert report.ssrc == out.ssrc(burst.track_index)


def test_units_that_come_late_do_not_move_what_reports_say() -> None:
    out = stream()
    units = [picture(0, key=True), replace(picture(50, key=True), wall_us=WALL_US + 9_000_000)]
    sent = bursts(out, units)
    for report, burst in zip((sender_reports([burst])[-2] for burst in sent), sent, strict=True):
        assert report.rtp_timestamp == burst.rtp_timestamp
        assert abs(ntp_to_unix_us(report.ntp_timestamp) - WALL_US) in (0, 1, 2_000_000, 1_999_999)


def test_reports_count_what_went_before_them() -> None:
    out = stream(TrackSet((H264,), 1))
    units = [picture(number, key=number % 50 == 0) for number in range(51)]
    sent = bursts(out, units, TrackSet((H264,), 1))
    [report] = sender_reports(sent[50:])
    assert report.packet_count == len(packets(sent[:50]))


def test_times_that_step_back_bring_a_report() -> None:
    out = stream()
    late, early = picture(500, key=True), picture(0, key=True)
    assert [bool(burst.reports) for burst in bursts(out, [late, early])] == [True, True]
    assert late.dts - early.dts > TICKS_PER_SECOND


def test_tracks_that_sent_something_say_goodbye() -> None:
    out = stream()
    assert out.goodbyes() == []
    bursts(out, [picture(0, key=True)])
    [(index, packet)] = out.goodbyes()
    said = parse_compound(packet).packets
    assert (index, said[-1]) == (0, Goodbye((out.ssrc(0),)))


def test_where_tracks_begin_is_told_of_the_instant_of_the_first_picture() -> None:
    out = stream()
    late = 2 * 44_100 // 25
    sent = bursts(out, [picture(7, key=True), sound(9), sound(10)])
    said = out.of_one_instant({burst.track_index: (burst.first_sequence_number, burst.rtp_timestamp) for burst in sent[:2]})
    assert said[0] == (sent[0].first_sequence_number, sent[0].rtp_timestamp)
    assert said[1] == (sent[1].first_sequence_number, sent[1].rtp_timestamp - late & 0xFFFFFFFF)
    heard = {1: (sent[2].first_sequence_number, sent[2].rtp_timestamp)}
    assert (out.of_one_instant(heard), out.of_one_instant({})) == (heard, {})


def test_fragments_are_of_one_size_so_that_they_leave_together() -> None:
    [burst] = bursts(stream(), [picture(0, key=True, size=10_000)])
    fragments = [packet for packet in burst.packets if packet[12] & 0x1F == FU_A]
    assert len(fragments) > 5
    assert len({len(packet) for packet in fragments[:-1]}) == 1
