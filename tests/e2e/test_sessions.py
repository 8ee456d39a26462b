"""Sessions of every protocol, seen and ended through any scheduler, at whatever edge they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp
import pytest
from support.cluster import Cluster, Node, Settings
from support.ffmpeg import Publisher
from support.operator_api import call, kick, sessions, sessions_until
from support.ports import LOOPBACK
from support.process import wait_until
from support.recorder import Recorder, recorder, recording
from support.redis import CAN_RUN_REDIS, RedisServer

Media = Callable[[str], Path]

STREAM = "live/cam"
LIMIT_S = 30.0
KICK_S = 1.0  #: for a kick through any scheduler to end a session on any edge
REASON = "an operator says so"

pytestmark = pytest.mark.skipif(not CAN_RUN_REDIS, reason="no redis server here")


@pytest.fixture
def redis(tmp_path: Path, stack: ExitStack) -> RedisServer:
    return stack.enter_context(RedisServer(tmp_path))


@pytest.fixture
def cluster(redis: RedisServer, tmp_path: Path) -> Iterator[Cluster]:
    settings: dict[str, Settings] = {
        "scheduler": {"scheduler.redis.host": LOOPBACK, "scheduler.redis.port": redis.port},
        "hls": {"hls.segment_ms": 1000},
        "edge": {"edge.session.report_s": 1},
    }
    with Cluster(tmp_path, schedulers=2, origins=1, edges=2, hls=1, settings=settings) as made:
        yield made


def urls_of(edge: Node) -> dict[str, str]:
    """By what sessions call the protocol."""
    return {
        "rtmp": edge.rtmp_url(STREAM),
        "rtsp": edge.rtsp_url(STREAM),
        "http-flv": edge.flv_url(STREAM),
        "ws-flv": edge.ws_url(STREAM),
        "http-ts": edge.http_url(f"{STREAM}.ts"),
    }


def publish(edge: Node, media: Media, stack: ExitStack, folder: Path) -> Publisher:
    log = folder / "publisher.log"
    return stack.enter_context(Publisher(media("h264_aac"), f"{edge.rtmp_url(STREAM)}?token=secret&a=1", log=log, loops=-1))


class HlsPlayer:
    """It keeps the URL that its first playlist was sent to, as players do."""

    def __init__(self, client: aiohttp.ClientSession, url: str) -> None:
        self.client = client
        self.url = url

    async def status(self) -> int:
        async with self.client.get(self.url) as answer:
            self.url = str(answer.url)
            return answer.status

    async def segment(self) -> None:
        """Get the newest of its playlist."""
        async with self.client.get(self.url) as answer:
            [*_, newest] = (line for line in (await answer.text()).splitlines() if line and not line.startswith("#"))
        async with self.client.get(urljoin(self.url, newest)) as answer:
            assert (answer.status, (await answer.read())[:1]) == (200, b"G")

    async def until(self, status: int, limit_s: float) -> None:
        end = time.monotonic() + limit_s
        while (found := await self.status()) != status:
            assert time.monotonic() < end, f"still {found}"
            await asyncio.sleep(0.05)


@asynccontextmanager
async def playing(edge: Node) -> AsyncIterator[tuple[dict[str, Recorder], HlsPlayer]]:
    """Players of every protocol at an edge."""
    players = {protocol: recorder(protocol, url) for protocol, url in urls_of(edge).items()}
    async with recording(*players.values()), aiohttp.ClientSession() as client:
        await asyncio.gather(*(player.more(LIMIT_S) for player in players.values()))
        hls = HlsPlayer(client, edge.http_url(f"hls/{STREAM}.m3u8"))
        await hls.until(200, LIMIT_S)
        await hls.segment()
        yield players, hls


def protocols(found: list[dict[str, Any]]) -> list[str]:
    return sorted(session["protocol"] for session in found)


async def ended(player: Recorder, began: float) -> None:
    while not player.ended:
        assert time.monotonic() - began < KICK_S, f"{player.name} still plays"
        await asyncio.sleep(0.01)


async def test_every_session_is_listed_and_a_kick_through_any_scheduler_ends_it_within_a_second(
    cluster: Cluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    ingest, edge = cluster.edges
    publisher = publish(ingest, media, stack, tmp_path)
    async with playing(edge) as (players, hls):
        everybody = ["hls", "http-flv", "http-ts", "rtmp", "rtmp", "rtsp", "ws-flv"]
        for scheduler in cluster.schedulers:
            found = await asyncio.to_thread(
                sessions_until, scheduler.api_url, lambda found: protocols(found) == everybody, LIMIT_S, stream=STREAM
            )
        check_details(found, ingest, edge)
        check_filters(cluster.api_url, ingest, edge, found)
        by_protocol = {session["protocol"]: session["id"] for session in found if session["node"] == edge.name}
        for number, (protocol, player) in enumerate(players.items()):
            began = time.monotonic()
            await asyncio.to_thread(kick, cluster.schedulers[number % 2].api_url, by_protocol[protocol], REASON)
            await ended(player, began)
        (hls_session,) = [session["id"] for session in found if session["protocol"] == "hls"]
        began = time.monotonic()
        await asyncio.to_thread(kick, cluster.api_url, hls_session, REASON)
        await hls.until(410, KICK_S)
        assert time.monotonic() - began < KICK_S
        (published,) = [session["id"] for session in found if session["role"] == "publisher"]
        began = time.monotonic()
        await asyncio.to_thread(kick, cluster.schedulers[1].api_url, published, REASON)
        await asyncio.to_thread(wait_until, "the publisher's end", lambda: not publisher.running, KICK_S)
        await asyncio.to_thread(sessions_until, cluster.api_url, lambda found: not found, LIMIT_S, stream=STREAM)
    assert edge.output().count(REASON) >= len(players)
    assert call("DELETE", f"{cluster.api_url}/v1/sessions/{published}")[0] == 404


def check_details(found: list[dict[str, Any]], ingest: Node, edge: Node) -> None:
    """What the list says of each."""
    for session in found:
        is_input = session["role"] == "publisher"
        assert session["node"] == (ingest.name if is_input else edge.name)
        assert session["codecs"] == ["h264", "aac"], session
        assert session["peer"].startswith(LOOPBACK)
        assert session["received_bytes" if is_input else "sent_bytes"] > 0, session
        assert session["url"].endswith(("/live/cam", "/live/cam.flv", "/live/cam.ts", "/live/cam.m3u8")), session
        assert session["opened_us"] <= session["seen_us"]
        assert session["first_media_ms"] > 0, session
    (publisher,) = [session for session in found if session["role"] == "publisher"]
    assert (publisher["query"], publisher["protocol"]) == ("token=***&a=1", "rtmp")
    assert publisher["user_agent"]


def check_filters(api_url: str, ingest: Node, edge: Node, found: list[dict[str, Any]]) -> None:
    """Whom a filter leaves."""
    assert protocols(sessions(api_url, node=ingest.name)) == ["rtmp"]
    assert len(sessions(api_url, node=edge.name)) == len(urls_of(edge)) + 1  # and the player of HLS
    assert protocols(sessions(api_url, protocol="rtsp")) == ["rtsp"]
    assert protocols(sessions(api_url, role="publisher")) == ["rtmp"]
    assert len(sessions(api_url, address=LOOPBACK)) == len(found)
    assert sessions(api_url, address="192.0.2.1") == []
    status, shown = call("GET", f"{api_url}/v1/sessions/{found[0]['id']}")
    assert (status, shown["id"]) == (200, found[0]["id"])
    assert call("GET", f"{api_url}/v1/sessions/none")[0] == 404


async def test_all_sessions_of_a_stream_at_an_edge_are_ended_by_one_request(
    cluster: Cluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    ingest, edge = cluster.edges
    publisher = publish(ingest, media, stack, tmp_path)
    async with playing(edge) as (players, hls):
        count = len(players) + 1  # and the player of HLS
        await asyncio.to_thread(
            sessions_until, cluster.api_url, lambda found: len(found) == count, LIMIT_S, stream=STREAM, node=edge.name
        )
        began = time.monotonic()
        body = {"stream": STREAM, "node": edge.name, "reason": REASON}
        status, answer = await asyncio.to_thread(call, "POST", f"{cluster.schedulers[1].api_url}/v1/sessions/kick", body)
        assert (status, len(answer["ids"]), answer["more"]) == (202, count, False)
        await asyncio.gather(*(ended(player, began) for player in players.values()))
        await hls.until(410, KICK_S)
    assert publisher.running
    assert call("POST", f"{cluster.api_url}/v1/sessions/kick", {"reason": "all of them?"})[0] == 400


async def test_without_redis_a_kick_by_id_still_finds_its_session(
    cluster: Cluster, redis: RedisServer, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    ingest, edge = cluster.edges
    publish(ingest, media, stack, tmp_path)
    player = recorder("rtmp", edge.rtmp_url(STREAM))
    async with recording(player):
        await player.more(LIMIT_S)
        (found,) = await asyncio.to_thread(
            sessions_until, cluster.api_url, lambda found: len(found) == 1, LIMIT_S, stream=STREAM, node=edge.name
        )
        redis.kill()
        await asyncio.sleep(2)
        began = time.monotonic()
        url = f"{cluster.schedulers[1].api_url}/v1/sessions/{found['id']}"
        status, answer = await asyncio.to_thread(call, "DELETE", url)
        assert (status, answer["is_known"]) == (202, False)
        await ended(player, began + 1.0)  # the directory's deadline comes first
        again = recorder("rtmp", edge.rtmp_url(STREAM))
        async with recording(again):
            await again.more(LIMIT_S)
            assert (await asyncio.to_thread(call, "GET", f"{cluster.api_url}/v1/sessions"))[0] == 503
            await asyncio.to_thread(redis.start)
            await asyncio.to_thread(
                sessions_until, cluster.api_url, lambda found: protocols(found) == ["rtmp", "rtmp"], LIMIT_S, stream=STREAM
            )
            (told,) = [each for each in sessions(cluster.api_url) if each["node"] == edge.name]
            assert told["url"].endswith(STREAM), "told of whole once Redis is back"
