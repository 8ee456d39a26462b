"""RTP among the outputs of a relay: packets that are made once, whoever plays them and on whatever way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from support.edge_fakes import AUDIO, STREAM, VIDEO, audio, gop, run_of
from support.packaging import BOTH, H264
from support.rtp_fakes import FakeWay, picture, pictures, sound

from lalmesh.amf import serialize_amf0
from lalmesh.errors import UnsupportedError
from lalmesh.media import AccessUnit, Codec, Track, TrackSet
from lalmesh.protocol.rtp import RtpPacket, is_rtcp
from lalmesh.protocol.rtsp import InterleavedFrame, MessageReader
from lalmesh.remux import Channels, InterleavedPackager, RtpStream, plain_channels
from lalmesh.runtime.ring import RingLimits
from services.edge.fanout import OTHER_CONFIGURATION, FanOutSettings
from services.edge.feed import PlayerFeed
from services.edge.held_bursts import HeldBursts
from services.edge.outputs import AnyFanOut, OutputFormat, Outputs
from services.edge.rtp_players import DatagramPlayer
from services.edge.udp_sockets import UdpCounters, UdpSender

ELSEWHERE: Channels = ((6, 7), (8, 9))


def interleaved(stream: RtpStream, channels: Channels) -> OutputFormat:
    return OutputFormat(
        key=("rtsp", stream, channels), name="rtp", packager=lambda: InterleavedPackager(stream, channels), rtp=stream
    )


def by_udp(stream: RtpStream) -> OutputFormat:
    return replace(interleaved(stream, plain_channels(stream)), key=("rtp", stream))


class Player:
    """Among messages, on some channels."""

    def __init__(self, outputs: Outputs, channels: Channels) -> None:
        self._outputs = outputs
        self._channels = channels
        self._form = interleaved(outputs.rtp_stream(), channels)
        self._got = b""
        self.written: list[bytes] = []
        self.closed = ""
        self.waiting = 0  # bytes in its transport
        self.feed = PlayerFeed(self._write, lambda: self.waiting, self._close)
        self.fanout = outputs.fanout(self._form)
        self.fanout.add(self.feed)

    def _write(self, data: bytes) -> None:
        self._got += data
        self.written.append(data)

    def _close(self, reason: str) -> None:
        self.closed = reason
        self.leave()

    def leave(self) -> None:
        self.fanout.remove(self.feed)
        self._outputs.left(self._form.key)

    def packets(self, index: int) -> list[RtpPacket]:
        pair = self._channels[index]
        assert pair is not None
        frames = [frame for frame in MessageReader().feed(self._got) if isinstance(frame, InterleavedFrame)]
        return [RtpPacket.parse(frame.payload) for frame in frames if frame.channel == pair[0]]

    @property
    def reports(self) -> int:
        frames = [frame for frame in MessageReader().feed(self._got) if isinstance(frame, InterleavedFrame)]
        return sum(is_rtcp(frame.payload) for frame in frames)


class Stage:
    """Outputs of one relay."""

    def __init__(self, *, player_queue_bytes: int = 8 << 20) -> None:
        self.retired: list[AnyFanOut] = []
        limits = RingLimits(gop_num=1, audio_cache_us=2_000_000)
        settings = FanOutSettings(max_delay_ms=0, player_queue_bytes=player_queue_bytes)
        self.failed: list[Exception] = []
        self.outputs = Outputs(STREAM, settings, limits, self.retired.append, self.failed.append, HeldBursts(), transcode=False)

    def send(self, units: Iterable[AccessUnit], tracks: TrackSet = BOTH) -> None:
        self.outputs.feed(run_of(units, tracks=tracks))

    def join_udp(self) -> FakeWay:
        way = FakeWay()
        fanout = self.outputs.datagrams(by_udp(self.outputs.rtp_stream()), UdpSender(UdpCounters()))
        fanout.add(DatagramPlayer({0: way}, lambda reason: None), from_cache=False)
        return way


async def test_players_on_all_ways_get_the_same_packets() -> None:
    stage = Stage()
    stage.send(pictures(0, 3))
    early = Player(stage.outputs, plain_channels(stage.outputs.rtp_stream()))
    stage.send([picture(3), sound(3, seq=4)])
    late = Player(stage.outputs, ELSEWHERE)
    way = stage.join_udp()
    stage.send([picture(5, key=True), picture(6)])
    assert late.packets(0) == early.packets(0)
    assert late.packets(1) == early.packets(1)
    assert len(late.packets(1)) == 1
    assert way.packets == early.packets(0)[-len(way.packets) :]
    numbers = [packet.sequence_number for packet in early.packets(0)]
    assert numbers == [numbers[0] + index & 0xFFFF for index in range(len(numbers))]
    assert early.reports > 0


async def test_players_that_use_the_same_channels_share_the_bytes_themselves() -> None:
    stage = Stage()
    stage.send(pictures(0, 3))
    one, two = (Player(stage.outputs, ELSEWHERE) for _ in range(2))
    other = Player(stage.outputs, plain_channels(stage.outputs.rtp_stream()))
    before = len(one.written), len(other.written)
    stage.send([picture(3), sound(3, seq=4)])
    stage.send([picture(5, key=True)])
    assert len(one.written) > before[0]
    assert len(other.written) > before[1]
    assert all(mine is yours for mine, yours in zip(one.written[before[0] :], two.written[before[0] :], strict=True))
    assert not {id(data) for data in one.written} & {id(data) for data in other.written}


async def test_a_player_that_lags_loses_whole_packets_up_to_a_random_access_point() -> None:
    """What comes behind a loss is still frames, and a picture that can be decoded."""
    stage = Stage(player_queue_bytes=1000)
    stage.send(pictures(0, 2))
    quick, slow = (Player(stage.outputs, channels) for channels in (plain_channels(stage.outputs.rtp_stream()), ELSEWHERE))
    slow.waiting = 2000
    slow.fanout.paused(slow.feed)
    stage.send([picture(2), picture(3)])
    slow.waiting = 0
    slow.fanout.resumed(slow.feed)
    stage.send([picture(4), *pictures(5, 3)])
    everything, got = quick.packets(0), slow.packets(0)
    begun = next(index for index, packet in enumerate(everything) if packet.timestamp == everything[0].timestamp + 5 * 3600)
    assert got == [packet for packet in everything[:begun] if packet in got] + everything[begun:]
    assert (slow.feed.skips, slow.closed, len(got) < len(everything)) == (1, "", True)


async def test_who_is_described_the_same_is_told_of_the_same_stream() -> None:
    stage = Stage()
    stage.send(pictures(0, 3))
    told = stage.outputs.rtp_stream()
    stage.send([picture(3)], BOTH.with_track(Track(track_id=9, codec=Codec.SCRIPT, configuration=serialize_amf0("onMetaData", {}))))
    assert stage.outputs.rtp_stream() is told
    assert stage.outputs.goes_out_as(told)


async def test_a_stream_with_other_tracks_goes_out_anew() -> None:
    stage = Stage()
    stage.send(pictures(0, 3), TrackSet((H264,), 1))
    told = stage.outputs.rtp_stream()
    player = Player(stage.outputs, plain_channels(told))
    way = stage.join_udp()
    stage.send([picture(3, key=True)])
    assert player.closed == OTHER_CONFIGURATION
    assert (stage.outputs.players, way.packets) == (0, [])
    assert not stage.outputs.goes_out_as(told)
    again = Player(stage.outputs, ELSEWHERE)
    assert {packet.ssrc for packet in again.packets(0)} == {stage.outputs.rtp_stream().ssrc(0)}
    assert told.ssrc(0) != stage.outputs.rtp_stream().ssrc(0)


async def test_a_track_that_came_late_is_in_the_cache_of_who_was_told_of_it() -> None:
    stage = Stage()
    stage.send(pictures(0, 3), TrackSet((H264,), 1))
    stage.send([sound(2, seq=3), picture(4)])
    player = Player(stage.outputs, ELSEWHERE)
    assert player.packets(0)[-1].payload[-1] == 4
    assert len({packet.timestamp for packet in player.packets(0)}) == 4
    assert len(player.packets(1)) == 1


async def test_packets_are_made_only_while_somebody_plays_them() -> None:
    stage = Stage()
    stage.send(pictures(0, 3))
    stream = stage.outputs.rtp_stream()
    player = Player(stage.outputs, ELSEWHERE)
    before = player.packets(0)[-1].sequence_number
    player.leave()
    stage.send([picture(3)])
    again = Player(stage.outputs, ELSEWHERE)
    assert stage.outputs.rtp_stream() is stream
    assert again.packets(0)[0].sequence_number == before + 1 & 0xFFFF
    assert len({packet.timestamp for packet in again.packets(0)}) == 4


async def test_rtp_leaves_out_what_it_cannot_carry() -> None:
    stage = Stage()
    tracks = TrackSet((VIDEO, AUDIO), 1)  # VP9
    stage.send([*gop(0, 1), audio(1)], tracks)
    Player(stage.outputs, ((0, 1),))
    stage.join_udp()
    assert stage.outputs.left_out == ("rtp: vp9",)
    assert stage.outputs.left_out_counts == {("rtp", "vp9"): 1}


async def test_a_stream_that_rtp_cannot_carry_has_no_description() -> None:
    stage = Stage()
    stage.send([replace(picture(0), payload=b"v")], TrackSet((VIDEO,), 1))
    with pytest.raises(UnsupportedError):
        stage.outputs.rtp_stream()


async def test_who_plays_by_udp_is_a_player_and_retires_with_the_stream() -> None:
    stage = Stage()
    stage.send(pictures(0, 3))
    stage.join_udp()
    assert stage.outputs.players == 1
    stage.outputs.end("over")
    assert (stage.outputs.players, len(stage.retired)) == (0, 1)
