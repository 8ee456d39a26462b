"""RTP among the messages of RTSP: prefixes of the channels, the same packets behind them; and the packets as datagrams."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random

from support.edge_fakes import VIDEO
from support.packaging import BOTH, packaged, received

from lalmesh.media import AccessUnit, Codec, Track, TrackSet
from lalmesh.protocol.rtp import Goodbye, is_rtcp, parse_compound
from lalmesh.protocol.rtsp import InterleavedFrame, MessageReader, serialize_frame
from lalmesh.remux import (
    Channels,
    InterleavedPackager,
    Parts,
    RtpStream,
    WebSocketInterleavedPackager,
    plain_channels,
    rtp_datagrams,
    rtp_frames,
)
from lalmesh.remux._interleaved import MAX_FIRST_FRAMES

ELSEWHERE: Channels = ((10, 11), (4, 7))


def stream() -> RtpStream:
    return RtpStream(BOTH, Random(1).randbytes)


def units() -> list[AccessUnit]:
    """Two groups of three pictures, each with a sound, 25 a second."""
    made = []
    for number in range(6):
        nalu = (b"\x41" if number % 3 else b"\x65") + bytes((number,)) * 4000
        made.append(AccessUnit(1, number * 90_000, 0, number % 3 == 0, len(nalu).to_bytes(4, "big") + nalu))
        made.append(AccessUnit(2, number * 90_000, 0, True, bytes((0x21, number)) * 20))
    return made


def framed(stream: RtpStream, units: Iterable[AccessUnit]) -> list[AccessUnit]:
    """As they come to the packagers."""
    return [replace(unit, payload=rtp_frames(stream.package(unit, BOTH))) for unit in units]


def frames(wire: bytes) -> list[tuple[int, bytes]]:
    """What a client reads."""
    messages = list(MessageReader().feed(wire))
    assert all(isinstance(message, InterleavedFrame) for message in messages)
    return [(message.channel, message.payload) for message in messages if isinstance(message, InterleavedFrame)]


def test_on_the_first_channels_frames_go_as_they_are() -> None:
    out = stream()
    assert plain_channels(out) == ((0, 1), (2, 3))
    given = framed(out, units())
    assert packaged(InterleavedPackager(out, plain_channels(out)), given) == [unit.payload for unit in given]


def test_on_other_channels_the_same_packets_go() -> None:
    out = stream()
    given = framed(out, units())
    plain = frames(b"".join(packaged(InterleavedPackager(out, plain_channels(out)), given)))
    moved = frames(b"".join(packaged(InterleavedPackager(out, ELSEWHERE), given)))
    to = {0: 10, 1: 11, 2: 4, 3: 7}
    assert moved == [(to[channel], packet) for channel, packet in plain]
    assert {channel % 2 == 1 or channel == 7 for channel, packet in moved if is_rtcp(packet)} == {True}


def test_a_track_that_is_not_played_does_not_go() -> None:
    out = stream()
    wire = b"".join(packaged(InterleavedPackager(out, (None, (0, 1))), framed(out, units())))
    assert {channel for channel, _ in frames(wire)} == {0, 1}
    assert len([packet for _, packet in frames(wire) if not is_rtcp(packet)]) == 6


def test_over_websocket_each_unit_is_a_message() -> None:
    out = stream()
    given = framed(out, units())
    messages = received(b"".join(packaged(WebSocketInterleavedPackager(out, plain_channels(out)), given)))
    assert messages == [unit.payload for unit in given]


def test_the_first_packets_of_a_burst_are_found_on_any_way() -> None:
    out = stream()
    given = framed(out, units())
    for channels in (plain_channels(out), ELSEWHERE):
        for kind in (InterleavedPackager, WebSocketInterleavedPackager):
            packager = kind(out, channels)
            burst = b"".join(packaged(packager, given[6:]))
            first = packager.first_packets(burst)
            for index, unit in ((0, given[6]), (1, given[7])):
                packet = next(packet for channel, packet in frames(unit.payload) if channel == 2 * index)
                assert first[index] == (int.from_bytes(packet[2:4], "big"), int.from_bytes(packet[4:8], "big"))


def test_a_track_of_which_nothing_is_in_a_burst_has_no_first_packet() -> None:
    out = stream()
    packager = InterleavedPackager(out, plain_channels(out))
    burst = b"".join(packaged(packager, framed(out, units())[:1]))
    assert packager.first_packets(burst).keys() == {0}
    assert packager.first_packets(b"") == {}


def test_the_first_packets_are_looked_for_in_so_many_frames() -> None:
    out = stream()
    packager = InterleavedPackager(out, plain_channels(out))
    video, audio = serialize_frame(0, bytes(2) + b"\0\x07" + b"\0\0\0\x09"), serialize_frame(2, bytes(12))
    assert packager.first_packets(video * (MAX_FIRST_FRAMES - 1) + audio) == {0: (7, 9), 1: (0, 0)}
    assert packager.first_packets(video * MAX_FIRST_FRAMES + audio) == {0: (7, 9)}
    assert InterleavedPackager(out, (None, (2, 3))).first_packets(video * MAX_FIRST_FRAMES + audio) == {}


def test_nothing_is_told_at_a_start_or_a_change() -> None:
    out = stream()
    packager, parts = InterleavedPackager(out, plain_channels(out)), Parts()
    assert (packager.start(BOTH, 0), packager.change(BOTH, BOTH, 0, parts), parts) == (b"", 0, [])


def test_the_end_is_said_on_the_channels_of_rtcp() -> None:
    out = stream()
    framed(out, units())
    parts = Parts()
    size = InterleavedPackager(out, ELSEWHERE).end(BOTH, 0, parts)
    said = frames(b"".join(parts))
    assert size == sum(map(len, parts))
    assert [channel for channel, _ in said] == [11, 7]
    assert all(isinstance(parse_compound(packet).packets[-1], Goodbye) for _, packet in said)
    over_socket = Parts()
    WebSocketInterleavedPackager(out, ELSEWHERE).end(BOTH, 0, over_socket)
    assert [frames(message) for message in received(b"".join(over_socket))] == [said]


def test_a_stream_goes_on_while_its_description_is_true() -> None:
    packager = InterleavedPackager(stream(), ELSEWHERE)
    script = Track(track_id=9, codec=Codec.SCRIPT)
    assert packager.accepts(BOTH, BOTH.with_track(script))
    assert not packager.accepts(BOTH, BOTH.without_track(1))
    assert packager.left_out(TrackSet((VIDEO, script, *BOTH.tracks[1:]), 1)) == (VIDEO,)


def test_datagrams_of_one_track_are_joined_to_runs() -> None:
    out = stream()
    given = framed(out, units())
    [video] = [group for group in rtp_datagrams(given[0].payload) if group.track_index == 0]
    assert len(video.rtcp) == 1
    sent = [packet for run in video.runs for packet in _cut(run.data, run.segment_bytes)]
    assert sent == [packet for channel, packet in frames(given[0].payload) if channel == 0]
    assert len(video.runs) == 2  # the parameter sets, which are shorter, and the fragments
    assert video.size_bytes == sum(map(len, sent)) + len(video.rtcp[0])


def test_reports_of_a_track_go_out_with_the_unit_of_another() -> None:
    out = stream()
    [first, *_] = framed(out, units())
    groups = rtp_datagrams(first.payload)
    assert [(group.track_index, len(group.rtcp), bool(group.runs)) for group in groups] == [(0, 1, True), (1, 1, False)]


def _cut(data: bytes, size: int) -> list[bytes]:
    """What the kernel makes of a run."""
    return [data[at : at + size] for at in range(0, len(data), size)]
