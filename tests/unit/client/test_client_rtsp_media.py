"""The two ends of RTSP media back to back: FLV tags to packets, packets to FLV tags."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from lalmesh.client._rtsp_receiving import RtspReceiving
from lalmesh.client._rtsp_sending import RtspSending
from lalmesh.container.flv import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, BodyDemuxer, Tag, TagReader
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import AccessUnit, Codec, Kind, Track, TrackSet
from lalmesh.protocol.rtp import (
    Goodbye,
    ReceiverReport,
    ReceiverSettings,
    RtpPacket,
    parse_compound,
    serialize_compound,
)
from lalmesh.protocol.rtsp import Announced, Described, RtspUrl

CAPTURES = Path(__file__).parents[2] / "captures" / "flv"
URL = RtspUrl.parse("rtsp://host/live/a")
WALL_US = 1_700_000_000_000_000
SECOND_US = 1_000_000


def seeded(seed: int = 1) -> random.Random:
    return random.Random(seed)


def tags_of(name: str) -> list[Tag]:
    return list(TagReader().feed((CAPTURES / f"{name}.flv").read_bytes()))


def events_of(tags: Sequence[Tag]) -> tuple[TrackSet, list[AccessUnit]]:
    demuxer, units = BodyDemuxer(), list[AccessUnit]()
    for tag in tags:
        units += [event for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body) if isinstance(event, AccessUnit)]
    tracks = {track.track_id for track in demuxer.tracks.tracks if track.kind is not Kind.DATA}
    return demuxer.tracks, [unit for unit in units if unit.track_id in tracks]


def sending(tags: Sequence[Tag]) -> RtspSending:
    return RtspSending(events_of(tags)[0], seeded().randbytes)


def receiving(description: bytes, *, is_udp: bool = False, settings: ReceiverSettings | None = None) -> RtspReceiving:
    into = RtspReceiving(settings or ReceiverSettings(), seeded(2).randbytes)
    for track in range(len(into.wanted(Described(description=description, base_url=str(URL)), URL).urls)):
        into.set_up(track, is_udp=is_udp)
    return into


def packets_of(tags: Sequence[Tag]) -> tuple[bytes, list[tuple[int, bytes, int]]]:
    """Description, and packets with the index of their track and the time in µs at which they leave."""
    out, packets = sending(tags), list[tuple[int, bytes, int]]()
    for tag in tags:
        at_us = tag.timestamp_ms * 1000
        for given in out.package(tag.type_id, tag.timestamp_ms, tag.body, WALL_US + at_us):
            packets += [(given.track, packet, at_us) for packet in given.packets if not given.is_rtcp]
    return out.description, packets


def replayed(name: str) -> list[Tag]:
    description, packets = packets_of(tags_of(name))
    into = receiving(description)
    for track, packet, at_us in packets:
        into.receive(track, packet, at_us, is_rtcp=False)
    into.flush(packets[-1][2])
    return into.tags.take()


@pytest.mark.parametrize("name", ["h264-aac-bframes", "hevc-aac-enhanced", "mp3", "pcm-alaw"])
def test_what_is_sent_is_received_with_its_times(name: str) -> None:
    (sent_tracks, sent), (got_tracks, got) = events_of(tags_of(name)), events_of(replayed(name))
    for kind in (Kind.VIDEO, Kind.AUDIO):
        ours, theirs = sent_tracks.first(kind), got_tracks.first(kind)
        assert (ours and ours.codec) == (theirs and theirs.codec)
        if ours is None or theirs is None:
            continue
        before = [unit for unit in sent if unit.track_id == ours.track_id]
        after = [unit for unit in got if unit.track_id == theirs.track_id]
        assert len(before) == len(after)
        shift = after[0].pts - before[0].pts
        assert all(abs(b.pts + shift - a.pts) <= 90 for b, a in zip(before, after, strict=True))
        assert all(one.dts < two.dts for one, two in pairwise(after))


def test_the_first_tags_tell_the_tracks_at_the_time_of_the_first_frame() -> None:
    metadata, *rest = replayed("h264-aac-bframes")
    assert (metadata.type_id, metadata.timestamp_ms) == (TAG_SCRIPT, 0)
    headers = rest[:2]
    assert {tag.type_id for tag in headers} == {TAG_VIDEO, TAG_AUDIO}
    assert {tag.timestamp_ms for tag in headers} == {rest[2].timestamp_ms}


def test_bytes_that_wait_are_counted_until_they_are_taken() -> None:
    description, packets = packets_of(tags_of("h264-aac-bframes"))
    into = receiving(description)
    for track, packet, at_us in packets:
        into.receive(track, packet, at_us, is_rtcp=False)
    waiting = into.untaken_bytes
    assert waiting == sum(len(tag.body) for tag in into.tags.take()) > 0
    assert into.untaken_bytes == 0


def test_a_description_without_a_known_format_is_refused() -> None:
    text = b"v=0\r\nm=video 0 RTP/AVP 26\r\nm=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\n"
    with pytest.raises(UnsupportedError, match="JPEG, vnd"):
        receiving(text)


def test_the_first_track_of_each_kind_is_played() -> None:
    text = (
        b"v=0\r\na=control:*\r\n"
        b"m=application 0 RTP/AVP 107\r\na=control:meta\r\n"
        b"m=audio 0 RTP/AVP 97\r\na=rtpmap:97 MP4A-LATM/44100\r\na=control:latm\r\n"
        b"m=audio 0 RTP/AVP 8\r\na=control:back\r\n"
        b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:rtsp://other/v\r\n"
        b"m=video 0 RTP/AVP 98\r\na=rtpmap:98 H265/90000\r\na=control:second\r\n"
    )
    into = RtspReceiving(ReceiverSettings(), seeded().randbytes)
    wanted = into.wanted(Described(description=text, base_url="rtsp://host/live/a/"), URL)
    assert wanted.urls == ("rtsp://host/live/a/back", "rtsp://other/v")
    assert wanted.url == "rtsp://host/live/a/"


def test_a_description_that_is_none_is_a_fault_of_the_server() -> None:
    with pytest.raises(RemoteProtocolError):
        receiving(b"<html>")


def test_a_packet_that_is_missing_is_waited_for_by_udp_only() -> None:
    description, packets = packets_of(tags_of("pcm-alaw"))
    for is_udp in (True, False):
        into = receiving(description, is_udp=is_udp)
        for track, packet, at_us in (packets[0], *packets[2:4]):
            into.receive(track, packet, at_us, is_rtcp=False)
        waits = into.next_timer_us is not None and into.next_timer_us < packets[3][2] + SECOND_US // 2
        assert waits == is_udp
        sound = sum(tag.type_id == TAG_AUDIO for tag in into.tags.take())
        assert sound == (1 if is_udp else 3)


def test_a_receiver_reports_after_the_first_packet_and_each_few_seconds() -> None:
    description, packets = packets_of(tags_of("pcm-alaw"))
    into = receiving(description)
    assert into.next_timer_us is None
    into.receive(0, packets[0][1], 0, is_rtcp=False)
    due_us = into.next_timer_us
    assert due_us is not None
    assert 0 < due_us < 5 * SECOND_US
    assert into.handle_timer(due_us - 1) == []
    (report,) = into.handle_timer(due_us)
    (first, _) = parse_compound(report.data).packets
    assert isinstance(first, ReceiverReport)
    assert [block.ssrc for block in first.blocks] == [RtpPacket.parse(packets[0][1]).ssrc]
    again_us = into.next_timer_us
    assert again_us is not None
    assert SECOND_US < again_us - due_us < 8 * SECOND_US


def test_it_is_over_when_every_track_said_goodbye() -> None:
    description, packets = packets_of(tags_of("h264-aac-bframes"))
    into = receiving(description)
    for index in range(2):
        packet = next(packet for track, packet, _ in packets if track == index)
        into.receive(index, packet, 0, is_rtcp=False)
        assert not into.is_over
        ssrc = RtpPacket.parse(packet).ssrc
        bye = serialize_compound((ReceiverReport(ssrc=ssrc), Goodbye((ssrc,))))
        into.receive(index, bye, 0, is_rtcp=True)
    assert into.is_over


def test_packets_of_a_track_that_is_not_set_up_are_passed_over() -> None:
    description, packets = packets_of(tags_of("pcm-alaw"))
    into = receiving(description)
    into.receive(5, packets[0][1], 0, is_rtcp=False)
    assert into.tags.take() == []


def test_tracks_set_up_again_begin_again() -> None:
    description, packets = packets_of(tags_of("h264-aac-bframes"))
    into = receiving(description, is_udp=True)
    for track in range(2):
        into.set_up(track, is_udp=False)
    for track, packet, at_us in packets:
        into.receive(track, packet, at_us, is_rtcp=False)
    assert into.tags.take()


def test_sound_before_the_time_0_is_left_out() -> None:
    into = receiving(packets_of(tags_of("pcm-alaw"))[0])
    into.tags.put(Track(track_id=1, codec=Codec.PCMA, sample_rate_hz=8000, channels=1))
    into.tags.put(AccessUnit(1, -90, 0, True, b"early"))
    into.tags.put(AccessUnit(1, 0, 0, True, b"due"))
    assert [tag.body[1:] for tag in into.tags.take() if tag.type_id == TAG_AUDIO] == [b"due"]


# publishing


def test_the_first_unit_goes_after_reports_of_all_tracks_which_report_again_behind_their_first_packet() -> None:
    tags, kinds = tags_of("h264-aac-bframes"), list[tuple[int, bool]]()
    out = sending(tags)
    for tag in tags[:9]:
        kinds += [(given.track, given.is_rtcp) for given in out.package(tag.type_id, tag.timestamp_ms, tag.body, WALL_US)]
    assert kinds[:2] == [(0, True), (1, True)]
    for track in range(2):
        assert kinds.index((track, False)) < kinds.index((track, True), 2)
        assert kinds[2:].count((track, True)) == 1


def test_a_track_that_begins_later_is_left_out() -> None:
    tags = tags_of("h264-aac-bframes")
    out = RtspSending(events_of([tag for tag in tags if tag.type_id != TAG_AUDIO])[0], seeded().randbytes)
    given = {packets.track for tag in tags for packets in out.package(tag.type_id, tag.timestamp_ms, tag.body, WALL_US)}
    assert given == {0}


def test_a_sender_says_goodbye_of_what_it_began() -> None:
    tags = tags_of("h264-aac-bframes")
    out = sending(tags)
    assert out.goodbyes() == []
    for tag in tags:
        list(out.package(tag.type_id, tag.timestamp_ms, tag.body, WALL_US))
    assert [report.track for report in out.goodbyes()] == [0, 1]
    assert all(isinstance(parse_compound(report.data).packets[-1], Goodbye) for report in out.goodbyes())


def test_tracks_are_at_urls_below_the_stream() -> None:
    urls = sending(tags_of("h264-aac-bframes")).wanted(Announced(), URL).urls
    assert len(urls) == 2
    assert all(url.startswith("rtsp://host/live/a/") for url in urls)


def test_a_stream_that_rtp_has_no_format_for_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="in RTP"):
        sending(tags_of("vp9-flac-enhanced"))


def test_script_data_are_left_out() -> None:
    tags = tags_of("h264-aac-bframes")
    out = sending(tags)
    script = next(tag for tag in tags if tag.type_id == TAG_SCRIPT)
    assert list(out.package(TAG_SCRIPT, 0, script.body, WALL_US)) == []


def test_new_parameter_sets_go_on_with_the_numbers_of_the_old() -> None:
    tags = tags_of("h264-aac-bframes")
    out, numbers = sending(tags), list[int]()
    record = next(tag for tag in tags if tag.type_id == TAG_VIDEO).body
    changed = Tag(TAG_VIDEO, 0, record[:8] + bytes((record[8] + 1,)) + record[9:])  # the next level
    for tag in (*tags, changed, *tags[3:]):
        for given in out.package(tag.type_id, tag.timestamp_ms, tag.body, WALL_US):
            if given.track == 0 and not given.is_rtcp:
                numbers += [RtpPacket.parse(packet).sequence_number for packet in given.packets]
    assert all(two == one + 1 & 0xFFFF for one, two in pairwise(numbers))


def test_another_codec_cannot_follow() -> None:
    tags = tags_of("h264-aac-bframes")
    out = sending(tags)
    for tag in tags:
        list(out.package(tag.type_id, tag.timestamp_ms, tag.body, WALL_US))
    header = next(tag for tag in tags_of("hevc-aac-enhanced") if tag.type_id == TAG_VIDEO)
    with pytest.raises(UnsupportedError, match="change of codec"):
        list(out.package(TAG_VIDEO, 0, header.body, WALL_US))
