"""Addresses on the blacklist are refused on every protocol and by every node, in its words, and their sessions are closed."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest
from support.access_attempts import PLAYS, PUBLISHES, RTMP, TLS_PLAYS, TLS_PUBLISHES, attempt
from support.certificates import self_signed
from support.cluster import Cluster, Node, Settings
from support.ffmpeg import Publisher
from support.held_clients import Called, all_ended, clients_of_every_protocol, holding
from support.operator_api import Sessions, block, call, kick, let_in, sessions, sessions_until
from support.ports import LOOPBACK
from support.process import wait_until
from support.recorder import recorder, recording
from support.redis import CAN_RUN_REDIS, RedisServer

Media = Callable[[str], Path]

STREAM = "live/cam"
LIMIT_S = 30.0
KICK_S = 1.0  #: from the question to the end
CLOSED_S = 2.0  #: from the answer of one scheduler to the end of sessions at an edge of another: half a second of it is its look
ELSEWHERE = "127.0.0.3"  #: an address of the same machine that is not on the list
LASTS_S = 30  #: long enough for all that is tried meanwhile

pytestmark = pytest.mark.skipif(not CAN_RUN_REDIS, reason="no redis server here")


@pytest.fixture
def redis(tmp_path: Path, stack: ExitStack) -> RedisServer:
    return stack.enter_context(RedisServer(tmp_path))


@pytest.fixture
def cluster(redis: RedisServer, tmp_path: Path) -> Iterator[Cluster]:
    certificate = self_signed(tmp_path)
    tls = {f"{role}.tls.{name}_file": str(certificate) for role in ("edge", "hls") for name in ("cert", "key")}
    settings: dict[str, Settings] = {
        "all": tls,
        "scheduler": {"scheduler.redis.host": LOOPBACK, "scheduler.redis.port": redis.port},
        "edge": {"edge.play.wait_publisher_s": 5},
    }
    with Cluster(tmp_path, schedulers=2, origins=1, edges=2, hls=1, settings=settings) as made:
        yield made


def publisher_of(node: Node, media: Media, stack: ExitStack, log: Path) -> Publisher:
    return stack.enter_context(Publisher(media("h264_aac"), node.rtmp_url(STREAM), log=log, loops=-1))


async def status(url: str, source: str = "") -> int:
    """What a GET from an address of this machine is answered."""
    connector = aiohttp.TCPConnector(local_addr=(source, 0)) if source else None
    async with aiohttp.ClientSession(connector=connector) as client, client.get(url) as answer:
        return answer.status


async def hls_player(edge: Node) -> str:
    """The URL by which a player of HLS goes on, once it has a playlist."""
    deadline_s = time.monotonic() + LIMIT_S
    async with aiohttp.ClientSession() as client:
        while True:
            async with client.get(edge.http_url(f"hls/{STREAM}.m3u8")) as answer:
                if answer.status == 200:
                    return str(answer.url)
            assert time.monotonic() < deadline_s, answer
            await asyncio.sleep(0.1)


async def check_refused(edge: Node, hls: Node) -> None:
    """In the words of each protocol; in TLS without a handshake."""
    attempts = [
        *(("play", STREAM, protocol) for protocol in (*PLAYS, *TLS_PLAYS)),
        *(("publish", "live/other", protocol) for protocol in (*PUBLISHES, *TLS_PUBLISHES)),
    ]
    for action, stream, protocol in attempts:
        node = hls if protocol.startswith("hls-node") else edge
        if protocol in (*TLS_PLAYS, *TLS_PUBLISHES):
            with pytest.raises((ConnectionError, ssl.SSLError)):
                await attempt(node, protocol, action, stream)
            continue
        refused = await attempt(node, protocol, action, stream)
        assert "blacklist" in refused.answer if protocol in RTMP else refused.answer == "403", (action, protocol, refused)


async def test_sessions_of_a_blacklisted_address_end_and_it_is_refused_everywhere_until_its_time_is_over(
    cluster: Cluster, redis: RedisServer, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    ingest, edge = cluster.edges
    publisher = publisher_of(ingest, media, stack, tmp_path / "publisher.log")
    player = recorder("rtmp", edge.rtmp_url(STREAM))
    async with recording(player):
        await player.more(LIMIT_S)
    clients = clients_of_every_protocol(edge, STREAM, "held/")
    async with holding(clients):
        playlist = await hls_player(edge)
        await asyncio.to_thread(wait_until, "a session of HLS", lambda: plays_hls(cluster), LIMIT_S)
        assert await status(playlist) == 200
        began, began_s = time.time(), time.monotonic()
        await asyncio.to_thread(block, cluster.schedulers[1].api_url, LOOPBACK, LASTS_S)
        await all_ended(clients, began_s, CLOSED_S)
        await asyncio.to_thread(wait_until, "the publisher's end", lambda: not publisher.running, CLOSED_S)
    nothing = cluster.hls[0].hls_url("nothing")  # which it hears of by a look of its own
    await asyncio.to_thread(wait_until, "a refusal by the hls node", lambda: call("GET", nothing)[0] == 403, CLOSED_S)
    await check_refused(edge, cluster.hls[0])
    assert await status(playlist) == 403, "a player of HLS that was let in before"
    assert await status(playlist.replace(edge.http_url(""), cluster.hls[0].hls_url("").removesuffix("hls/"))) == 403
    await asyncio.to_thread(wait_until, "its end", lambda: not plays_hls(cluster), LASTS_S)
    assert await status(edge.http_url("nothing"), ELSEWHERE) == 404, "who is not on it is let in"
    _, listed = call("GET", f"{cluster.api_url}/v1/blacklist")
    assert [(item["network"], item["reason"]) for item in listed["items"]] == [(f"{LOOPBACK}/32", "a test")]
    redis.kill()  # nodes know when it ends
    for scheduler in cluster.schedulers:
        scheduler.kill()
    assert await status(edge.flv_url(STREAM)) == 403
    await asyncio.sleep(max(0.0, began + LASTS_S + 0.5 - time.time()))
    assert await status(edge.http_url("nothing")) == 404


async def test_a_network_that_is_taken_off_is_let_in_again_and_a_node_that_joins_later_knows_the_list(
    cluster: Cluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    ingest, _ = cluster.edges
    await asyncio.to_thread(block, cluster.api_url, "127.0.0.0/31")
    late = await asyncio.to_thread(lambda: cluster.add("edge").wait_ready())
    await asyncio.to_thread(wait_until, "a refusal", lambda: refuses(late), LIMIT_S)
    assert call("PUT", f"{cluster.api_url}/v1/blacklist/nonsense")[0] == 400
    await asyncio.to_thread(let_in, cluster.schedulers[1].api_url, "127.0.0.0/31")
    await asyncio.to_thread(wait_until, "being let in", lambda: not refuses(late) and not refuses(ingest), CLOSED_S)
    publisher_of(late, media, stack, tmp_path / "publisher.log")
    player = recorder("rtmp", ingest.rtmp_url(STREAM))
    async with recording(player):
        await player.more(LIMIT_S)
        await check_kicks(cluster, ingest)
        await player.more(LIMIT_S)
    assert call("DELETE", f"{cluster.api_url}/v1/blacklist/127.0.0.0%2F31")[0] == 404


async def check_kicks(cluster: Cluster, edge: Node) -> None:
    """Sessions of every protocol end within a second, whichever scheduler is asked, and no other does."""
    clients = clients_of_every_protocol(edge, STREAM, "held/")
    async with holding(clients):
        held = {client.called for client in clients}
        found = await asyncio.to_thread(
            sessions_until, cluster.api_url, lambda found: held <= ids_of(found).keys(), LIMIT_S, node=edge.name
        )
        ids = ids_of(found)
        for number, client in enumerate(clients):
            began_s = time.monotonic()
            await asyncio.to_thread(kick, cluster.schedulers[number % 2].api_url, ids[client.called], "a test")
            await all_ended([client], began_s, KICK_S)
            assert not [other.name for other in clients[number + 1 :] if other.ended.is_set()]


def ids_of(found: Sessions) -> dict[Called, str]:
    """The ids of sessions."""
    return {(session["protocol"], session["peer"]): session["id"] for session in found}


def plays_hls(cluster: Cluster) -> bool:
    """Whether the cluster lists a player of HLS."""
    return bool(sessions(cluster.api_url, protocol="hls"))


def refuses(edge: Node) -> bool:
    return call("GET", edge.http_url("nothing"))[0] == 403
