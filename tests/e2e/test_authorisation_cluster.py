"""Authorisation over nodes: hls nodes believe edges alone, limits hold in the whole cluster, and nothing needs the scheduler."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import ffmpeg, wire
from support.access_attempts import attempt
from support.cluster import Cluster, Node
from support.recorder import recorder, recording

from lalmesh.names import StreamKey
from lalmesh.runtime.authorisation import Action, signed_query

Media = Callable[[str], Path]

KEY = secrets.token_hex(16)
TOLD_S = 30.0  #: for a count to be reported, added up and told, which takes two seconds
PLAYERS = 2


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "keys").write_text(f"k1:{KEY}\n")
    settings = {
        "auth.rules": ["any live/* signed"],
        "auth.signed.keys_file": str(folder / "keys"),
        "auth.limits": [f"limited players={PLAYERS} publishers=1", "narrow egress_bps=1000"],
        "edge.play.wait_publisher_s": 0,
        "hls.wait_s": 0,
    }
    with Cluster(folder, schedulers=2, origins=1, edges=2, hls=1, settings={"all": settings}) as running:
        yield running


def signed(action: str, stream: str) -> str:
    key = StreamKey.parse(stream)
    return signed_query(KEY.encode(), Action(action), key, expires_s=int(time.time()) + 600, key_id="k1")


def publish(stack: ExitStack, edge: Node, stream: str, media: Media, log: Path) -> None:
    url = f"{edge.rtmp_url(stream)}?{signed('publish', stream)}"
    stack.enter_context(ffmpeg.Publisher(media("h264_aac"), url, log=log, loops=-1, limit_s=120))


async def test_hls_nodes_believe_edges_alone(cluster: Cluster, media: Media, stack: ExitStack, tmp_path: Path) -> None:
    stream, edge, hls = "live/cam", cluster.edges[1], cluster.hls[0]
    publish(stack, cluster.edges[0], stream, media, tmp_path / "push.log")
    path = f"/hls/{stream}.m3u8"
    where = (await wire.head_of(edge.ports["http"], f"{path}?{signed('play', stream)}")).headers["location"]
    assert "sign=" not in where
    where = (await wire.head_of(edge.ports["http"], where)).headers["location"]  # with a pass, and now of a session too

    deadline_s = time.monotonic() + 30
    while (status := (await wire.head_of(edge.ports["http"], where)).status) != 200:
        assert status in (404, 503), status
        assert time.monotonic() < deadline_s
    for port in (edge.ports["http"], hls.ports["hls"]):
        assert (await wire.head_of(port, path)).status == 401
        assert (await wire.head_of(port, where)).status == 200
        assert (await wire.head_of(port, where, "X-Forwarded-For: 192.0.2.1")).status in (200, 401)
    said = "Lalmesh-Edge: 0 1 127.0.0.1 AAAAAAAAAAAAAAAAAAAAAA"
    assert (await wire.head_of(hls.ports["hls"], path, said)).status == 401
    url = f"{edge.http_url(path.removeprefix('/'))}?{signed('play', stream)}"
    ffmpeg.run("-i", url, "-frames:v", "25", "-map", "0:v", "-c", "copy", "-f", "null", "-", limit_s=60)


async def test_limits_of_an_application_hold_over_all_edges(
    cluster: Cluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    first, second = cluster.edges
    publish(stack, first, "limited/cam", media, tmp_path / "push.log")
    await _until_it_plays(first, "limited/cam", "")
    at_once = await attempt(second, "rtmp", "publish", "limited/other")  # by its claim
    assert at_once.answer == "NetStream.Publish.BadName: Limit reached"
    for number in range(PLAYERS):
        rows, log = tmp_path / f"play{number}.rows", tmp_path / f"play{number}.log"
        stack.enter_context(ffmpeg.Player(first.flv_url("limited/cam"), rows, log=log, limit_s=120))

    async def refused(edge: Node, protocol: str, action: str, stream: str) -> str:
        return (await attempt(edge, protocol, action, stream)).answer

    deadline_s = time.monotonic() + TOLD_S
    while await refused(second, "http-flv", "play", "limited/other") != "503":
        assert time.monotonic() < deadline_s
    assert await refused(first, "http-flv", "play", "limited/other") == "503"
    assert await refused(second, "rtmp", "play", "limited/other") == "NetStream.Play.Failed: Limit reached"
    assert await refused(second, "rtsp", "play", "limited/other") == "503"
    assert await refused(second, "rtmp", "publish", "limited/other") == "NetStream.Publish.BadName: Limit reached"
    assert await refused(second, "http-flv", "play", "unlimited/other") == "404"


async def test_an_application_that_sends_as_much_as_it_may_lets_nobody_in_and_ends_nobody(
    cluster: Cluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    first, second = cluster.edges
    publish(stack, first, "narrow/cam", media, tmp_path / "push.log")
    await _until_it_plays(second, "narrow/cam", "")
    player = recorder("http-flv", second.flv_url("narrow/cam"))
    async with recording(player):
        await player.more(TOLD_S)
        await _until_answer(first, "narrow/cam", "", "503")
        answers = [(await attempt(first, protocol, "play", "narrow/cam")).answer for protocol in ("rtmp", "rtsp", "ws-ts")]
        assert answers == ["NetStream.Play.Failed: Limit reached", "503", "503"]
        await player.more(TOLD_S)
    await _until_answer(first, "narrow/cam", "", "200")


async def test_without_a_scheduler_decisions_go_on(cluster: Cluster, media: Media, stack: ExitStack, tmp_path: Path) -> None:
    """The last test: it ends the schedulers."""
    stream, edge = "live/alone", cluster.edges[0]
    publish(stack, edge, stream, media, tmp_path / "push.log")
    query = signed("play", stream)
    await _until_it_plays(edge, stream, query)
    for scheduler in cluster.schedulers:
        scheduler.kill()
    assert (await attempt(edge, "http-flv", "play", stream)).answer == "401"
    assert (await attempt(edge, "http-flv", "play", stream, signed("play", "live/other"))).answer == "401"
    assert (await attempt(edge, "http-flv", "play", stream, query)).answer == "200"


async def _until_it_plays(edge: Node, stream: str, query: str) -> None:
    await _until_answer(edge, stream, query, "200")


async def _until_answer(edge: Node, stream: str, query: str, answer: str) -> None:
    deadline_s = time.monotonic() + TOLD_S
    while (found := await attempt(edge, "http-flv", "play", stream, query)).answer != answer:
        assert time.monotonic() < deadline_s, found
