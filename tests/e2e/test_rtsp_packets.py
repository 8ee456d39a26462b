"""What RTSP players get, packet by packet: the same for all, from where `RTP-Info` says, at times that all lie on one line.

Players join one after the other, by TCP and by UDP. What real clients make of it is in `test_rtsp_play`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise

import pytest
from e2e.test_frames import Run, into
from e2e.test_rtsp_play import INPUTS, SERVERS, push
from support.media import media
from support.recorder import Recorder, recorder, recording
from support.rtsp_recorder import Arrival, Played, play

from lalmesh.media import TICKS_PER_SECOND
from lalmesh.protocol.rtp import Goodbye, parse_compound

MEDIA = "h264_ntsc_10s"  #: pictures with B-frames; random access points at 0 and 10 s, so that much is cached between
BEGIN_S = 10.0  #: until there is another unit, on a busy machine
REPLAY_SPEED = 4  #: times real time, by UDP, of what is cached
REPLAY_SLACK_S = 0.3  #: of what came at once, or was held up on the way: a picture, a tick, reordered pictures
LEAST_CACHED_S = 2.0
NTP_SECOND = 1 << 32
SPS, PPS, IDR, STAP_A, FU_A = 7, 8, 5, 24, 28  # RFC 6184 §5.2


@dataclass(frozen=True)
class Join:
    """When a player comes, and how."""

    at_s: float  #: of the stream's own time: well before its next random access point, at which only one track is cached
    by_udp: bool = False
    first_channel: int = 0


JOINS = {
    "tcp": Join(2),
    "tcp on other channels": Join(5, first_channel=10),
    "udp": Join(4, by_udp=True),
    "udp late": Join(8, by_udp=True),
}


async def play_all(url: str) -> dict[str, Played]:
    first = recorder("the first", url)

    async def come(join: Join) -> Played:
        await reached(first, join.at_s)
        return await play(url, by_udp=join.by_udp, first_channel=join.first_channel)

    async with recording(first):
        players = await asyncio.gather(*map(come, JOINS.values()))
    return dict(zip(JOINS, players, strict=True))


async def reached(first: Recorder, at_s: float) -> None:
    """Wait until the stream is there, with both its tracks: of one that has no packets yet `RTP-Info` says nothing."""
    while len({one.kind for one in first.got}) < 2 or first.got[-1].dts - first.got[0].dts < at_s * TICKS_PER_SECOND:
        await first.more(BEGIN_S)


PlayedBy = dict[str, Played]


async def play_inputs(urls: Sequence[str]) -> list[PlayedBy]:
    return await asyncio.gather(*map(play_all, urls))


@pytest.fixture(scope="module", params=SERVERS)
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, PlayedBy]:
    """What each player got, by the way that the stream came in: all go through one server at once."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        ingest, egress, api_url = into(folder, request.param, stack, {})
        run = Run(folder, stack)
        for source in INPUTS:
            run.publish(f"{source}-{MEDIA}", media(MEDIA), run.command(f"push.{source}", *push(source, MEDIA, ingest)))
        run.wait_live(api_url)
        urls = [egress.rtsp_url(f"live/{source}-{MEDIA}") for source in INPUTS]
        return dict(zip(INPUTS, asyncio.run(play_inputs(urls)), strict=True))


@pytest.fixture(params=INPUTS)
def played(request: pytest.FixtureRequest, recorded: dict[str, PlayedBy]) -> PlayedBy:
    """What each player got of one stream."""
    return recorded[request.param]


def distance(one: int, other: int, bits: int) -> int:
    """From `other` to `one`, the short way round."""
    half = 1 << bits - 1
    return (one - other + half & (1 << bits) - 1) - half


def clock_rate_hz(player: Played, track: int) -> int:
    return player.media[track].formats[0].clock_rate_hz


def test_no_packet_is_missing_from_the_first_that_was_told_to_the_end(played: PlayedBy) -> None:
    for name, player in played.items():
        assert len(player.packets) == len(player.media) == 2, name
        for track, arrivals in player.packets.items():
            numbers = [arrival.packet.sequence_number for arrival in arrivals]
            assert all(distance(after, before, 16) == 1 for before, after in pairwise(numbers)), (name, track)
            assert player.info[track][0] == numbers[0], (name, track)
            assert any(isinstance(said, Goodbye) for said in parse_compound(player.rtcp[track][-1]).packets), (name, track)


def test_all_players_get_the_same_packets(played: PlayedBy) -> None:
    first = played["tcp"]
    for name, player in played.items():
        for track, arrivals in player.packets.items():
            known = {arrival.packet.sequence_number: arrival.data for arrival in first.packets[track]}
            assert all(known[arrival.packet.sequence_number] == arrival.data for arrival in arrivals), (name, track)
            ssrc = f"ssrc={arrivals[0].packet.ssrc:08X}"
            assert ssrc in player.transports[track], (name, track)
            assert len({arrival.packet.ssrc for arrival in arrivals}) == 1


def test_reports_and_first_times_lie_on_one_line(played: PlayedBy) -> None:
    """To a tick of each track's clock: a report's NTP and RTP times, and the instant that `RTP-Info` tells of."""
    for name, player in played.items():
        assert player.info[0][1] == player.packets[0][0].packet.timestamp, name
        begins = [begin_ntp(player, track) for track in player.packets]
        slowest_hz = min(clock_rate_hz(player, track) for track in player.packets)
        assert max(begins) - min(begins) <= NTP_SECOND / slowest_hz, name
        for track in player.packets:
            first, *rest = player.reports(track)
            assert rest, (name, track)
            for report in rest:
                rate_hz = clock_rate_hz(player, track)
                late = round((report.ntp_timestamp - first.ntp_timestamp) * rate_hz / NTP_SECOND)
                assert abs(distance(report.rtp_timestamp, first.rtp_timestamp, 32) - late) <= 1, (name, track)


def begin_ntp(player: Played, track: int) -> float:
    """NTP time of what ``RTP-Info`` says of a track, by its first report."""
    report = player.reports(track)[0]
    early = distance(report.rtp_timestamp, player.info[track][1], 32)
    return report.ntp_timestamp - early * NTP_SECOND / clock_rate_hz(player, track)


def test_parameter_sets_go_before_each_random_access_point(played: PlayedBy) -> None:
    for name, player in played.items():
        pictures = by_time(player.packets[0])
        assert nalu_types(pictures[0])[:2] == [SPS, PPS], name
        for picture in pictures:
            types = nalu_types(picture)
            assert (IDR in types) == (SPS in types and PPS in types), name
            assert IDR not in types or types.index(SPS) < types.index(PPS) < types.index(IDR), name
    assert sum(IDR in nalu_types(picture) for picture in by_time(played["tcp"].packets[0])) == 2


def by_time(arrivals: Sequence[Arrival]) -> list[list[Arrival]]:
    """Packets by picture."""
    pictures: list[list[Arrival]] = []
    for arrival in arrivals:
        if pictures and pictures[-1][0].packet.timestamp == arrival.packet.timestamp:
            pictures[-1].append(arrival)
        else:
            pictures.append([arrival])
    return pictures


def nalu_types(picture: Sequence[Arrival]) -> list[int]:
    """Of the NALUs that begin in the packets of a picture."""
    types: list[int] = []
    for arrival in picture:
        payload = arrival.packet.payload
        kind = payload[0] & 0x1F
        if kind == STAP_A:
            at = 1
            while at < len(payload):
                types.append(payload[at + 2] & 0x1F)
                at += 2 + int.from_bytes(payload[at : at + 2], "big")
        elif kind != FU_A:
            types.append(kind)
        elif payload[1] & 0x80:
            types.append(payload[1] & 0x1F)
    return types


def test_what_is_cached_comes_by_udp_at_four_times_real_time(played: PlayedBy) -> None:
    arrivals = played["udp"].packets[0]
    first = arrivals[0]
    came = [
        (distance(arrival.packet.timestamp, first.packet.timestamp, 32) / TICKS_PER_SECOND, arrival.at_s - first.at_s)
        for arrival in arrivals
    ]
    assert max(media_s - REPLAY_SPEED * after_s for media_s, after_s in came) <= REPLAY_SLACK_S
    ahead = [(media_s, after_s) for media_s, after_s in came if media_s - after_s > LEAST_CACHED_S]
    assert ahead
    media_s, after_s = ahead[0]
    assert media_s > 2 * after_s


def test_what_is_cached_comes_by_tcp_at_once(played: PlayedBy) -> None:
    arrivals = played["tcp on other channels"].packets[0]
    at_once = [arrival for arrival in arrivals if arrival.at_s - arrivals[0].at_s < REPLAY_SLACK_S]
    assert distance(at_once[-1].packet.timestamp, arrivals[0].packet.timestamp, 32) > LEAST_CACHED_S * TICKS_PER_SECOND
