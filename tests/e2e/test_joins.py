"""Joining: before the publisher, instead of it, without it, and two hundred times in the middle of a stream."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path

import pytest
from support import ffmpeg, frames, wire
from support.cluster import Cluster, Node, Standalone
from support.ffmpeg import Publisher
from support.process import wait_until

from lalmesh.container.flv import Tag
from lalmesh.protocol.rtmp import PlayStarted, PublishStarted, StatusFailed, StreamEnded

Media = Callable[[str], Path]
StartStandalone = Callable[..., Standalone]

EARLY_S = 5.0  #: how long before its publisher a player comes
DEFAULT_WAIT_S = 10.0  #: for a publisher
LIMIT_S = 40.0
LOOPS = 1  #: of a minute, after the first: longer than all joins on a slow machine
JOINS = 200
AT_A_TIME = 25  #: joins that are under way together
CROWD_EACH = 100  #: players of each format, so that with `GATHERED` the fan-out gathers for as long as it may
AT_ONCE = {"edge.fanout.max_delay_ms": 0}
GATHERED = {"edge.fanout.max_delay_ms": 100, "edge.fanout.players_per_delay_ms": 1}
SEED = 20_240_229  #: of the moments of joining; the server's own timing differs anyway


def push(file: Path, node: Node, stream: str, stack: ExitStack, folder: Path, loops: int = -1) -> Publisher:
    log = folder / f"push.{stream.replace('/', '.')}.log"
    return stack.enter_context(Publisher(file, node.rtmp_url(stream), log=log, loops=loops))


def urls_of(node: Node) -> tuple[str, ...]:
    """All ways to play the stream."""
    return node.flv_url("live/cam"), node.rtmp_url("live/cam"), node.ws_url("live/cam")


def second_of_pictures(tags: Sequence[Tag]) -> bool:
    return len(wire.pictures(tags)) >= 25


@pytest.fixture(params=["standalone", "cluster"])
def edges(
    request: pytest.FixtureRequest, start_standalone: StartStandalone, start_cluster: Callable[..., Cluster]
) -> tuple[Node, Node]:
    """The publisher's edge and the player's."""
    if request.param == "cluster":
        cluster = start_cluster()
        return cluster.edges[0], cluster.edges[1]
    node = start_standalone()
    return node, node


async def test_players_that_come_first_get_the_stream_from_its_first_frame(
    edges: tuple[Node, Node], media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    ingest, egress = edges
    file = media("h264_aac")

    async def early(url: str) -> list[Tag]:
        async with wire.player(url) as peer:
            return await wire.collect(peer, second_of_pictures, LIMIT_S)

    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(early(url)) for url in urls_of(egress)]
        await asyncio.sleep(EARLY_S)  # what is tested: nobody publishes for so long
        push(file, ingest, "live/cam", stack, tmp_path)
    source = frames.of_file(file)
    for task in waiting:
        tags = task.result()
        assert wire.pictures(tags)[0].body == wire.pictures(wire.tags_of_file(file))[0].body
        frames.assert_same_from_join(source, wire.recording(tags))


async def test_a_second_publisher_is_refused_and_never_told_to_start(
    edges: tuple[Node, Node], media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    ingest, egress = edges
    push(media("h264_aac"), ingest, "live/cam", stack, tmp_path)
    async with wire.flv(egress.flv_url("live/cam")) as player:
        await wire.collect(player, second_of_pictures)
        for node in {ingest, egress}:
            async with wire.rtmp(node.rtmp_url("live/cam"), "publish") as second:
                seen = await second.first(StatusFailed)
                assert [event.code for event in seen if isinstance(event, StatusFailed)] == ["NetStream.Publish.BadName"]
                assert not any(isinstance(event, PublishStarted) for event in seen)
                assert await second.events() is None, "the connection of a refused publisher stays open"
        assert second_of_pictures(await wire.collect(player, second_of_pictures)), "the first publisher does not go on"


async def test_a_newcomer_takes_the_stream_over_where_that_is_the_policy(
    start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    node = start_standalone({"edge.publish.second_publisher": "take_over"})
    url = node.rtmp_url("live/cam")
    large = [tag.body for tag in wire.pictures(wire.tags_of_file(media("h264_large_aac")))]
    async with wire.rtmp(url, "publish") as first:
        await first.started()
        await first.publish(wire.tags_of_file(media("h264_aac"))[:200])
        async with wire.flv(node.flv_url("live/cam")) as player:
            assert await wire.collect(player, lambda got: bool(wire.pictures(got)))
            push(media("h264_large_aac"), node, "live/cam", stack, tmp_path)
            seen = await first.first(StatusFailed)
            assert [event.code for event in seen if isinstance(event, StatusFailed)] == ["NetStream.Publish.BadName"]
            assert await first.events() is None
            tags = await wire.collect(player, lambda got: any(tag.body in large for tag in wire.pictures(got)))
            assert any(tag.body in large for tag in wire.pictures(tags)), "the player was not kept"


async def test_a_stream_that_nobody_publishes_is_not_found_after_the_wait(start_standalone: StartStandalone) -> None:
    wait_s = 1.5
    node = start_standalone({"edge.play.wait_publisher_s": wait_s})
    began = time.monotonic()
    answer = await wire.head_of(node.ports["http"], "/live/nobody.flv")
    assert answer.status == 404
    assert wait_s <= time.monotonic() - began < DEFAULT_WAIT_S
    began = time.monotonic()
    async with wire.rtmp(node.rtmp_url("live/nobody"), "play") as peer:
        seen = await peer.first(StatusFailed)
        assert [event.code for event in seen if isinstance(event, StatusFailed)] == ["NetStream.Play.StreamNotFound"]
        assert not any(isinstance(event, PlayStarted) for event in seen)
        assert await peer.events() is None
    assert wait_s <= time.monotonic() - began < DEFAULT_WAIT_S


async def test_players_are_told_of_the_end_once_the_grace_is_over(
    start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    node = start_standalone({"origin.grace_s": 1})
    publisher = push(media("h264_aac"), node, "live/cam", stack, tmp_path)
    async with wire.rtmp(node.rtmp_url("live/cam"), "play") as player, wire.flv(node.flv_url("live/cam")) as other:
        await wire.collect(player, second_of_pictures)
        await asyncio.to_thread(publisher.stop)
        seen = await player.first(StreamEnded)
        assert any(isinstance(event, StreamEnded) for event in seen), "no word of the end"
        while await other.tags() is not None:
            pass


@pytest.mark.parametrize(
    ("where", "delays"),
    [("standalone", AT_ONCE), ("standalone", GATHERED), ("cluster", GATHERED)],
    ids=["standalone-each-frame-at-once", "standalone-gathered-100-ms", "cluster-gathered-100-ms"],
)
async def test_joins_at_any_moment_begin_at_a_key_frame_lack_nothing_and_decode(
    where: str,
    delays: dict[str, int],
    start_standalone: StartStandalone,
    start_cluster: Callable[..., Cluster],
    media: Media,
    stack: ExitStack,
    tmp_path: Path,
) -> None:
    if where == "cluster":
        ingest, egress = start_cluster(settings={"edge": delays}).edges
    else:
        ingest = egress = start_standalone(delays)
    file = media("h264_b3_aac_60s")
    push(file, ingest, "live/cam", stack, tmp_path, loops=LOOPS)
    urls = urls_of(egress)
    async with AsyncExitStack() as crowd:
        if delays is GATHERED:
            await gather_crowd(urls, crowd)
        playbacks = await join_many(urls)
    source = frames.of_file(file, loops=LOOPS)
    for number, tags in enumerate(playbacks):
        with naming(number, urls):
            assert wire.is_key(wire.pictures(tags)[0])
            frames.assert_same_from_join(source, wire.recording(tags))
    for number, tags in distinct(playbacks).items():
        with naming(number, urls):
            assert decoded(wire.file_of_tags(tags, tmp_path / f"join-{number}.flv")) == len(wire.pictures(tags))


@contextmanager
def naming(number: int, urls: Sequence[str]) -> Iterator[None]:
    """A failure inside says of which join."""
    try:
        yield
    except AssertionError as error:
        error.add_note(f"join {number} of {JOINS}, {urls[number % len(urls)]}")
        raise


def distinct(playbacks: Sequence[list[Tag]]) -> dict[int, list[Tag]]:
    """By number, the playbacks that are no beginning of another: what decodes in those decodes in all."""
    kept: dict[int, list[Tag]] = {}
    for number, tags in sorted(enumerate(playbacks), key=lambda pair: -len(pair[1])):
        if not any(longer[: len(tags)] == tags for longer in kept.values()):
            kept[number] = tags
    return kept


def decoded(file: Path) -> int:
    """How many pictures come out of a decoder that bears with nothing."""
    strict = ("-xerror", "-err_detect", "explode")
    rows = ffmpeg.run(*strict, "-i", file, "-map", "0", "-fps_mode", "passthrough", "-f", "framecrc", "-")
    return sum(1 for row in rows.splitlines() if row.startswith("0,"))


async def gather_crowd(urls: Sequence[str], crowd: AsyncExitStack) -> None:
    """Players that read and forget, until `crowd` is left."""
    group = await crowd.enter_async_context(asyncio.TaskGroup())
    readers: list[asyncio.Task[None]] = []
    crowd.callback(lambda: [task.cancel() for task in readers])
    for url in urls:
        for _ in range(CROWD_EACH):
            peer = await crowd.enter_async_context(wire.player(url))
            readers.append(group.create_task(peer.forget()))


async def join_many(urls: Sequence[str]) -> list[list[Tag]]:
    """`JOINS` playbacks of a second or two, begun at random moments, of the URLs in turn."""
    chance = random.Random(SEED)
    room = asyncio.Semaphore(AT_A_TIME)
    pauses = [(chance.random() * 0.5, 10 + chance.randrange(50)) for _ in range(JOINS)]

    async def join(url: str, pause_s: float, pictures: int) -> list[Tag]:
        async with room:
            await asyncio.sleep(pause_s)  # the random moment
            async with wire.player(url) as peer:
                return await wire.collect(peer, lambda got: len(wire.pictures(got)) >= pictures, LIMIT_S)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(join(urls[n % len(urls)], pause, count)) for n, (pause, count) in enumerate(pauses)]
    return [task.result() for task in tasks]


async def test_a_player_that_leaves_while_it_waits_is_waited_for_no_longer(start_standalone: StartStandalone) -> None:
    node = start_standalone({"edge.play.wait_publisher_s": 600, "edge.play.linger_s": 0})

    async def relays(count: int) -> None:
        await asyncio.to_thread(wait_until, f"{count} relays", lambda: f"\nedge_relays {count}.0\n" in node.metrics(), LIMIT_S)

    async with wire.connected(node.ports["http"]) as http, wire.rtmp(node.rtmp_url("live/b"), "play") as rtmp:
        await http.send(b"GET /live/a.flv HTTP/1.1\r\nHost: edge\r\n\r\n")
        playing = asyncio.create_task(rtmp.tags())
        await relays(2)
        playing.cancel()
    await relays(0)
