"""A bad network between a publisher and the edge delays nothing by more than it may.

ffmpeg publishes by UDP through a relay that loses, delays and reorders datagrams, drawn from a seed. It notes when each unit was
whole on its way in, players note when they get it: what is between the two, beyond what is between them without any weather, is
what the weather added. Every unit counts, those behind a loss too; the worst is held to `reorder_ms` and 50 ms.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TypeAlias

import pytest
from e2e.test_frames import GRACE
from support import ffmpeg
from support.camera_film import Film
from support.camera_ways import CameraSettings
from support.cluster import Node, Standalone
from support.media import media
from support.process import Child
from support.udp_relay import UdpRelay, Weather

from lalmesh.client import ClientOptions, open_player
from lalmesh.codec.nalu import split_avcc
from lalmesh.container.flv import BodyDemuxer
from lalmesh.media import AccessUnit, Kind, Track
from lalmesh.protocol.rtp import RtpPacket, TimedUnit, build_depacketizer, format_of

MEDIA = "bench"  #: 2.6 Mbit/s: a picture is some ten packets
PUBLISH_S = 8
RUN_S = 30.0
LATE_S = 0.1  #: more than any datagram is
SLACK_MS = 50.0  #: beyond `reorder_ms`
REORDER_MS = (200, 60)  #: the default, and less
WEATHERS = {
    "loss": Weather(loss=0.01, seed=3),
    "burst": Weather(bursts=(range(700, 720),)),
    "reorder": Weather(reorder=0.05, reorder_ms=30, seed=3),
    "all": Weather(loss=0.01, reorder=0.05, reorder_ms=20, delay_ms=10, seed=4),
}
PLAYERS = ("flv", "rtsp")

Name: TypeAlias = tuple[Kind, str]  #: what a unit is


@dataclass
class Journal:
    """When each unit was whole before the weather, and when players got it, by the loop's clock."""

    tracks: list[Track]
    reorder_ms: int  #: of the edge
    sent_s: dict[Name, float] = field(default_factory=dict)
    touched: set[Name] = field(default_factory=set)  #: something of it was lost
    got_s: dict[str, dict[Name, float]] = field(default_factory=lambda: {player: {} for player in PLAYERS})
    packets: dict[Name, tuple[int, int]] = field(default_factory=dict)  #: track and RTP timestamp
    too_late: set[tuple[int, int]] = field(default_factory=set)  #: of these a packet was held longer than the edge may wait for it

    def __post_init__(self) -> None:
        self._depacketizers = [build_depacketizer(number + 1, format_of(track)) for number, track in enumerate(self.tracks)]
        self._is_touched = [False] * len(self.tracks)

    def tap(self, number: int, data: bytes, is_lost: bool) -> None:
        """A packet came from the publisher."""
        self._is_touched[number] |= is_lost
        packet = RtpPacket.parse(data)
        units = [unit for unit in self._depacketizers[number].feed(packet) if isinstance(unit, TimedUnit)]
        names = [name_of(self.tracks[number].kind, unit.payload) for unit in units]
        self.packets |= dict.fromkeys(names, (number, packet.timestamp))
        self.sent_s |= dict.fromkeys(names, asyncio.get_running_loop().time())
        if self._is_touched[number]:
            self.touched.update(names)
        self._is_touched[number] &= not names

    def sent(self, number: int, data: bytes, held_s: float) -> None:
        """A packet went on to the edge."""
        if held_s * 1000 >= self.reorder_ms:
            self.too_late.add((number, RtpPacket.parse(data).timestamp))

    async def play(self, player: str, url: str) -> None:
        """Play to the end, which is that of the publisher."""
        demuxer, got_s, loop = BodyDemuxer(), self.got_s[player], asyncio.get_running_loop()
        async with open_player(url, ClientOptions(rtsp_transport="tcp")) as playing:
            async for tag in playing:
                for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body):
                    track = demuxer.tracks.get(event.track_id) if isinstance(event, AccessUnit) else None
                    if isinstance(event, AccessUnit) and track is not None and track.kind is not Kind.DATA:
                        got_s[name_of(track.kind, event.payload)] = loop.time()

    def delays_ms(self, player: str) -> list[float]:
        """From the one to the other, of all units that were sent while the player was there; rising."""
        got_s = self.got_s[player]
        begin_s = min(got_s.values())
        return sorted((got_s[name] - at_s) * 1000 for name, at_s in self.sent_s.items() if at_s >= begin_s and name in got_s)

    def missing(self, player: str) -> list[Name]:
        """What was not lost, and did not come; not what the goodbye on the connection has overtaken.

        A track begins with the first packet that arrives: one that was overtaken by the second is not known to be missing.
        """
        got_s, end_s = self.got_s[player], max(self.sent_s.values()) - LATE_S
        first_s = {kind: min(self.sent_s[name] for name in got_s if name[0] is kind) for kind in {name[0] for name in got_s}}
        begin_s = {kind: max(at_s, min(got_s.values())) for kind, at_s in first_s.items()}
        due = [name for name, at_s in self.sent_s.items() if begin_s[name[0]] <= at_s <= end_s]
        return [name for name in due if name not in got_s and name not in self.touched and self.packets[name] not in self.too_late]


def name_of(kind: Kind, payload: bytes) -> Name:
    """What a unit is: of a picture its slices, since parameter sets come and go."""
    slices = [nalu for nalu in split_avcc(payload) if nalu[0] & 0x1F in (1, 5)] if kind is Kind.VIDEO else [payload]
    return kind, hashlib.sha256(b"".join(slices)).hexdigest()


async def published(node: Node, weather: Weather, stream: str, folder: Path, reorder_ms: int) -> Journal:
    """Publish through `weather` to players that were there before; the edge waits for `reorder_ms`."""
    film = Film(media(MEDIA), CameraSettings())
    journal = Journal(film.tracks, reorder_ms)
    urls = {"flv": node.flv_url(stream), "rtsp": node.rtsp_url(stream)}
    async with UdpRelay(node.ports["rtsp"], weather, journal.tap, journal.sent) as relay, asyncio.timeout(RUN_S):
        playing = [asyncio.create_task(journal.play(player, urls[player])) for player in PLAYERS]
        url = node.rtsp_url(stream).replace(str(node.ports["rtsp"]), str(relay.port))
        head = [*ffmpeg.quiet(ffmpeg.FFMPEG), "-re", "-t", str(PUBLISH_S), "-i", str(media(MEDIA)), "-map", "0", "-c", "copy"]
        command = ffmpeg.bounded(RUN_S, [*head, "-f", "rtsp", "-rtsp_transport", "udp", url])
        with Child(command, log=folder / "push.log") as child:
            await asyncio.gather(*playing)
            assert await asyncio.to_thread(child.wait, RUN_S) == 0, child.describe()
    return journal


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Node]]:
    """By how long the edge waits for what is missing."""
    with ExitStack() as stack:
        yield {
            reorder_ms: stack.enter_context(
                Standalone(tmp_path_factory.mktemp("loss"), {**GRACE, "edge.rtsp.reorder_ms": reorder_ms})
            )
            for reorder_ms in REORDER_MS
        }


@pytest.fixture(scope="module")
def calms_ms(nodes: dict[int, Node], tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, float]]:
    """What is between publisher and player without weather, by node and player; both nodes at the same time."""

    async def publish_all() -> list[Journal]:
        return await asyncio.gather(
            *(published(node, Weather(), "live/calm", tmp_path_factory.mktemp("calm"), REORDER_MS[0]) for node in nodes.values())
        )

    journals = asyncio.run(publish_all())
    assert not any(journal.touched for journal in journals)
    return {
        reorder_ms: {player: median(journal.delays_ms(player)) for player in PLAYERS}
        for reorder_ms, journal in zip(nodes, journals, strict=True)
    }


@pytest.fixture(scope="module", params=REORDER_MS)
def reorder_ms(request: pytest.FixtureRequest) -> int:
    """How long the edge waits for what is missing."""
    waited_ms: int = request.param
    return waited_ms


@pytest.fixture(scope="module")
def calm_ms(calms_ms: dict[int, dict[str, float]], reorder_ms: int) -> dict[str, float]:
    """What is between publisher and player of this node without weather, by player."""
    return calms_ms[reorder_ms]


@pytest.fixture(scope="module")
def journals(
    nodes: dict[int, Node], calm_ms: dict[str, float], reorder_ms: int, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Journal]:
    """What came through each weather, all of them at the same time."""

    async def publish_all() -> list[Journal]:
        return await asyncio.gather(
            *(
                published(nodes[reorder_ms], weather, f"live/{name}", tmp_path_factory.mktemp(name), reorder_ms)
                for name, weather in WEATHERS.items()
            )
        )

    return dict(zip(WEATHERS, asyncio.run(publish_all()), strict=True))


@pytest.mark.parametrize("name", WEATHERS)
def test_weather_delays_nothing_by_more_than_it_may(
    journals: dict[str, Journal], calm_ms: dict[str, float], reorder_ms: int, name: str
) -> None:
    weather, journal = WEATHERS[name], journals[name]
    limit_ms = reorder_ms + SLACK_MS
    assert bool(journal.touched) == bool(weather.loss or weather.bursts)
    for player in PLAYERS:
        added_ms = [delay_ms - calm_ms[player] for delay_ms in journal.delays_ms(player)]
        said = summary(added_ms)
        print(f"{name} {player}: {said}; {len(journal.touched)} units touched, {calm_ms[player]:.1f} ms without")
        assert len(added_ms) > PUBLISH_S * 30
        assert added_ms[-1] < limit_ms, said
        assert not journal.missing(player)
        if not journal.touched:
            assert added_ms[-1] < weather.reorder_ms + weather.delay_ms + SLACK_MS, said


def summary(rising_ms: list[float]) -> str:
    """Of what was added."""
    p99_ms = rising_ms[math.ceil(len(rising_ms) * 0.99) - 1]
    return f"{len(rising_ms)} units, p50 {median(rising_ms):.1f}, p99 {p99_ms:.1f}, worst {rising_ms[-1]:.1f} ms"
