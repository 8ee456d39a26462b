"""No event is lost when a scheduler dies, then Redis starts again, then a receiver fails for a minute."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.cluster import Cluster, Node, Settings, Standalone
from support.ffmpeg import Publisher
from support.operator_api import call
from support.ports import LOOPBACK
from support.process import wait_until
from support.redis import CAN_RUN_REDIS, RedisServer
from support.webhook_sink import Hook, WebhookSink, of

from lalmesh.client import open_player
from lalmesh.errors import LalmeshError
from lalmesh.runtime.event_kinds import KINDS
from lalmesh.runtime.events import number_of

Media = Callable[[str], Path]

LIMIT_S = 30.0
AWAY_S = 60.0  #: that the receiver fails
SOON_S = 20.0  #: much less than `AWAY_S`: that an event may take to a receiver that is well, on a machine that is busy
SECRET = "a secret of tests for webhooks"
FAR = "fetched/cam"  #: the stream of another cluster, which is fetched while somebody watches
ALL_KINDS = "+".join(kind.value for kind in KINDS)
ONCE = ("server_start", "pub_start", "pub_stop")
GO_ON = [kind.value for kind, spec in KINDS.items() if spec.is_lal and kind.value not in ONCE]  #: lal's, again and again


@dataclass(frozen=True, slots=True)
class Watched:
    """A stream, where viewers find it, and the pause between two."""

    stream: str
    url: str
    pause_s: float


class Viewers:
    """One after the other watches a stream for a moment: `n` of the query tells them apart."""

    def __init__(self, watched: Watched) -> None:
        self.seen: dict[int, float] = {}  #: who was let in, and when he was
        self.stream = watched.stream
        self._watched = watched
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Nobody comes any more."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        for number in itertools.count(1):
            if asyncio.run(self._watch(number)):
                self.seen[number] = time.monotonic()
            if self._over.wait(self._watched.pause_s):
                return

    async def _watch(self, number: int) -> bool:
        try:
            async with open_player(f"{self._watched.url}?n={number}") as player:
                await anext(player)
        except (LalmeshError, StopAsyncIteration):
            return False
        return True


@contextmanager
def watching(each: Sequence[Watched]) -> Iterator[list[Viewers]]:
    """Viewers of every stream."""
    viewers = [Viewers(watched) for watched in each]
    try:
        yield viewers
    finally:
        for viewer in viewers:
            viewer.end()


def those(hooks: list[Hook], stream: str, event: str) -> list[int]:
    """Which viewers the events of a stream tell of, in their order."""
    app, _, name = stream.partition("/")
    told = [hook.body for hook in of(hooks, event) if hook.body["stream"] == {"app": app, "name": name}]
    return [int(body["data"]["query"].removeprefix("n=")) for body in told]


def told_of_all_so_far(sink: WebhookSink, viewers: Sequence[Viewers], limit_s: float = LIMIT_S) -> None:
    """Wait until it is told that whoever was the last so far has gone."""
    last = {each.stream: max(each.seen) for each in viewers if each.seen}
    sink.until(lambda hooks: all(n in those(hooks, stream, "sub_stop") for stream, n in last.items()), limit_s, "/own")


def more(viewers: Sequence[Viewers], count: int) -> None:
    """Wait until so many more of each stream that is not fetched have watched."""
    wanted = [(each, len(each.seen) + count) for each in viewers if each.stream != FAR]
    wait_until("more viewers", lambda: all(len(each.seen) >= number for each, number in wanted), LIMIT_S)


def enough(viewers: Viewers) -> int:
    """How many viewers of a stream there have to be for their events to prove something."""
    return 5 if viewers.stream == FAR else 50


@pytest.fixture
def sink(stack: ExitStack) -> Iterator[WebhookSink]:
    sink = stack.enter_context(WebhookSink(SECRET))
    yield sink
    assert sink.wrong == []


@pytest.mark.timeout(3 * LIMIT_S + 3 * AWAY_S)
@pytest.mark.skipif(not CAN_RUN_REDIS, reason="no redis server here")
def test_nothing_is_lost_when_a_scheduler_dies_redis_starts_again_and_the_receiver_fails_for_a_minute(
    sink: WebhookSink, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    far = stack.enter_context(Standalone(tmp_path, {"cluster.name": "far", "hls.segment_ms": 4000}, name="far"))
    redis = stack.enter_context(RedisServer(tmp_path, append_only=True))
    cluster = stack.enter_context(_cluster(sink, redis, far, tmp_path))
    edge, other_edge = cluster.edges
    streams = {f"live/cam{number}": edge for number in range(2)}
    publishers = [
        stack.enter_context(Publisher(media("h264_aac"), url, log=tmp_path / f"{number}.log", loops=-1, limit_s=300))
        for number, url in enumerate([*(edge.rtmp_url(stream) for stream in streams), far.rtmp_url(FAR)])
    ]
    sink.until(lambda hooks: len(of(hooks, "pub_start")) == len(streams), LIMIT_S, "/own")
    watched = [
        Watched("live/cam0", other_edge.flv_url("live/cam0"), 0.4),
        Watched("live/cam1", other_edge.rtmp_url("live/cam1"), 0.4),
        Watched(FAR, other_edge.flv_url(FAR), 5.0),  # so long that it is no more
    ]
    with watching(watched) as viewers:
        more(viewers, 5)
        delivering = next(node for node in cluster.schedulers if _shards(node))
        delivering.kill()
        other = next(node for node in cluster.schedulers if node is not delivering)
        wait_until("the other one to deliver", lambda: len(_shards(other)) == 16, LIMIT_S)
        told_of_all_so_far(sink, viewers)
        redis.kill()
        more(viewers, 5)
        redis.start()
        told_of_all_so_far(sink, viewers)
        began, sink.fails = time.monotonic(), "/own"
        time.sleep(AWAY_S)
        ended, sink.fails = time.monotonic(), ""
        told_of_all_so_far(sink, viewers, LIMIT_S + AWAY_S)  # a pause between two attempts may be 30 s long
        sink.until(lambda hooks: all(_since(ended, hooks, kind) for kind in GO_ON), LIMIT_S + AWAY_S, "/lal")
        wait_until("enough viewers", lambda: all(len(each.seen) > enough(each) for each in viewers), LIMIT_S)
    for publisher in publishers:
        publisher.stop()
    told_of_all_so_far(sink, viewers)
    own = sink.until(
        lambda hooks: len(of(hooks, "pub_stop")) == len(streams) and _fetched(hooks) and not _missing(hooks), LIMIT_S, "/own"
    )
    assert sink.refused > 0
    for each in viewers:
        came, left = those(own, each.stream, "sub_start"), those(own, each.stream, "sub_stop")
        assert [n for n in each.seen if n not in came or n not in left] == [], "events were lost"
        assert came == sorted(set(came)), "not in order, or told twice under two ids"
        assert left == sorted(set(left)), "not in order, or told twice under two ids"
    _assert_complete_and_in_order(own)
    assert not of(own, "events_lost")
    lal = sink.until(lambda hooks: len(of(hooks, "pub_stop")) == len(streams), LIMIT_S, "/lal")
    _assert_not_delayed(lal, viewers, began, ended)


def _cluster(sink: WebhookSink, redis: RedisServer, far: Node, folder: Path) -> Cluster:
    """One whose schedulers tell one receiver everything, and another all that lal has."""
    secret = folder / "secret"
    secret.write_text(SECRET)
    scheduler = {
        "scheduler.redis.host": LOOPBACK,
        "scheduler.redis.port": redis.port,
        "relay.pulls": [f"{FAR} {far.rtmp_url('{app}/{name}')} stop_after_s=0"],
        "notify.receivers": [f"own {sink.url}/own events={ALL_KINDS}", f"lal {sink.url}/lal/{{event}} format=lal"],
        "notify.secret_file": str(secret),
        "notify.update_interval_s": 1,
    }
    settings: dict[str, Settings] = {
        "scheduler": scheduler,
        "all": {"hls.segment_ms": 1000, "hls.start": "always"},
        "origin": {"origin.grace_s": 1},  # what was fetched is fetched anew for the next one
    }
    return Cluster(folder, schedulers=2, origins=1, edges=2, hls=1, settings=settings)


def _shards(node: Node) -> list[int]:
    """Which of them a scheduler delivers."""
    shards: list[int] = call("GET", f"{node.api_url}/v1/webhooks")[1]["shards"]
    return shards


def _since(when: float, hooks: list[Hook], kind: str) -> bool:
    return any(hook.at > when for hook in of(hooks, kind))


def _fetched(hooks: list[Hook]) -> bool:
    """Whether the stream of the other cluster was fetched, and is no more."""
    starts, stops = (
        [hook.body["data"]["session_id"] for hook in of(hooks, event)] for event in ("relay_pull_start", "relay_pull_stop")
    )
    return len(starts) > 3 and sorted(starts) == sorted(stops)


def _told(own: list[Hook]) -> dict[str, list[int]]:
    """The numbers of what each node told, of whatever kind.

    Schedulers number what all of them tell, and is kept once, too: there some are missing.
    """
    told: dict[str, list[int]] = defaultdict(list)
    for hook in own:
        if (numbered := number_of(hook.id)) is not None and not hook.body["node"].startswith("scheduler"):
            told[numbered[0]].append(numbered[1])
    return told


def _missing(own: list[Hook]) -> bool:
    """Whether something is on its way that was told before what has come: streams are told side by side."""
    return any(max(numbers) != len(set(numbers)) for numbers in _told(own).values())


def _assert_complete_and_in_order(own: list[Hook]) -> None:
    """A node numbers what it tells from 1: no number is missing, and those of one stream rise."""
    in_order: dict[object, list[int]] = defaultdict(list)
    for hook in own:
        if (numbered := number_of(hook.id)) is not None:
            in_order[numbered[0], str(hook.body["stream"])].append(numbered[1])
    told = _told(own)
    assert len(told) >= 3  # both edges, and the hls node
    for numbers in told.values():
        assert sorted(numbers) == list(range(1, len(numbers) + 1)), "events were lost"
    for numbers in in_order.values():
        assert numbers == sorted(numbers), "not in order"


def _assert_not_delayed(lal: list[Hook], viewers: Sequence[Viewers], began: float, ended: float) -> None:
    """One receiver had everything in time while the other failed."""
    for each in viewers:
        at = {hook.body["url_param"]: hook.at for hook in of(lal, "sub_start", stream_name=each.stream.partition("/")[2])}
        awaited = {n: seen for n, seen in each.seen.items() if began < seen < ended - SOON_S and each.stream != FAR}
        assert [n for n, seen in awaited.items() if at[f"n={n}"] > seen + SOON_S] == []
