"""Events as a real receiver gets them: all of them, in order, with the right fields, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.cluster import Cluster, Node, Settings, Standalone
from support.ffmpeg import Publisher
from support.ports import LOOPBACK
from support.process import wait_until
from support.redis import CAN_RUN_REDIS, RedisServer
from support.webhook_sink import Hook, WebhookSink

Media = Callable[[str], Path]

LIMIT_S = 30.0
SECRET = "a secret of tests for webhooks"
AWAY_S = 60.0 if os.environ.get("E2E_FULL") else 5.0  #: that the receiver fails
STREAMS = 3
LAL = (
    "server_start", "update", "rtmp_connect", "pub_start", "pub_stop", "sub_start", "sub_stop", "relay_pull_start",
    "relay_pull_stop", "hls_make_ts",
)  # fmt: skip
SESSION = [
    "server_id", "session_id", "protocol", "base_type", "remote_addr", "url", "app_name", "stream_name", "url_param",
    "has_in_session", "has_out_session", "read_bytes_sum", "wrote_bytes_sum",
]  # fmt: skip


@pytest.fixture
def sink(stack: ExitStack) -> Iterator[WebhookSink]:
    sink = stack.enter_context(WebhookSink(SECRET))
    yield sink
    assert sink.wrong == []


@pytest.fixture
def server(sink: WebhookSink, tmp_path: Path, stack: ExitStack) -> Standalone:
    """A server with two receivers, one of lal's URLs and one of everything else."""
    secrets = tmp_path / "secret"
    secrets.write_text(SECRET)
    key = tmp_path / "session.key"
    key.write_text("a key of tests for sessions")
    urls = {f"notify.lal.on_{name}": f"{sink.url}/lal/on_{name}" for name in LAL}
    return stack.enter_context(
        Standalone(
            tmp_path,
            {
                **urls,
                "notify.secret_file": str(secrets),
                "notify.server_id": "here",
                "notify.update_interval_s": 1,
                "notify.receivers": [f"own {sink.url}/own"],
                "notify.alarms.bitrate_low_bps": 1 << 40,
                "edge.play.wait_publisher_s": 0.2,
                "hls.session.hash_key_file": str(key),
                "hls.session.idle_s": 2,
                "hls.segment_ms": 1000,
                "hls.recording.rules": ["live/cam flv segment_s=2"],
            },
        )
    )


def of(hooks: list[Hook], *events: str, **body: object) -> list[Hook]:
    """Those of some kinds, about some stream."""
    names = {name for event in events for name in (event, f"on_{event}")}
    return [hook for hook in hooks if hook.event_name in names and body.items() <= hook.body.items()]


def has(*events: str) -> Callable[[list[Hook]], bool]:
    """Whether each was there at least once."""
    return lambda hooks: all(of(hooks, event) for event in events)


def fetch(url: str, limit_s: float = 1.0, *, agent: str = "viewer/1") -> None:
    """Take from a URL for a while."""
    command = ["curl", "-s", "-L", "-A", agent, "-m", str(limit_s), "-o", "/dev/null", url]
    subprocess.run(command, stdin=subprocess.DEVNULL, timeout=limit_s + 5, check=False)


def api(node: Node, path: str, body: object = None, method: str = "") -> Any:
    """What the API answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(node.api_url + path, data=data, method=method or ("POST" if data else "GET"))
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=5) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def test_every_event_of_lal_comes_in_order_with_its_fields(
    server: Standalone, sink: WebhookSink, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    publisher = stack.enter_context(
        Publisher(media("h264_aac"), f"{server.rtmp_url('live/cam')}?token=hidden&a=1", log=tmp_path / "p.log", loops=-1)
    )
    sink.until(has("pub_start"), LIMIT_S, "/lal")
    fetch(f"{server.flv_url('live/cam')}?b=2", 1.5)
    sink.until(has("sub_start", "sub_stop"), LIMIT_S, "/lal")
    fetch(server.http_url("hls/live/cam.m3u8"), 6)
    sink.until(lambda hooks: len(of(hooks, "hls_make_ts", event="close")) > 1 and len(of(hooks, "sub_stop")) > 1, LIMIT_S, "/lal")
    publisher.stop()
    hooks = sink.until(has("pub_stop"), LIMIT_S, "/lal")
    hooks = sink.until(lambda hooks: len(of(hooks, "update")) > 3, LIMIT_S, "/lal")
    assert [hook.event_name for hook in hooks if "server" in hook.event_name] == ["on_server_start"]
    start = of(hooks, "server_start")[0].body
    assert list(start) == ["server_id", "bin_info", "lal_version", "api_version", "notify_version", "WebUiVersion", "start_time"]

    about = [hook.body | {"event": hook.event_name} for hook in hooks if hook.body.get("stream_name") == "cam"]
    sessions = [each for each in about if each["event"] != "on_hls_make_ts"]
    assert [each["event"] for each in sessions] == [
        "on_pub_start", "on_sub_start", "on_sub_stop", "on_sub_start", "on_sub_stop", "on_pub_stop"
    ]  # fmt: skip
    assert all(list(each)[:-1] == SESSION for each in sessions)
    began, came, left, hls, hls_left, ended = sessions
    connect = of(hooks, "rtmp_connect")[0].body
    assert list(connect) == ["server_id", "session_id", "remote_addr", "app", "flashVer", "tcUrl"]
    assert (connect["session_id"], connect["app"]) == (began["session_id"], "live")
    assert began["session_id"].startswith("RTMPPUBSUB")
    assert ended["session_id"] == began["session_id"]
    assert (began["protocol"], began["base_type"], began["app_name"], began["server_id"]) == ("RTMP", "PUB", "live", "here")
    assert began["url_param"] == "token=***&a=1"
    assert began["url"].endswith("/live/cam?token=***&a=1")
    assert (began["has_in_session"], began["has_out_session"]) == (True, False)
    assert (came["protocol"], came["base_type"], came["url_param"], came["has_in_session"]) == ("FLV", "SUB", "b=2", True)
    assert (came["has_out_session"], left["has_out_session"], left["has_in_session"]) == (True, False, True)
    assert left["session_id"] == came["session_id"]
    assert left["wrote_bytes_sum"] > 10_000
    assert (hls["protocol"], hls["base_type"], hls_left["session_id"]) == ("HLS", "SUB", hls["session_id"])
    assert ended["read_bytes_sum"] > 10_000
    assert (ended["has_in_session"], ended["has_out_session"]) == (False, False)

    segments = [each for each in about if each["event"] == "on_hls_make_ts"]
    made = of(hooks, "hls_make_ts")
    fields = ["server_id", "event", "app_name", "stream_name", "cwd", "ts_file", "live_m3u8_file", "record_m3u8_file"]
    assert all(list(hook.body) == [*fields, "id", "duration"] for hook in made)
    assert segments
    opened = [hook.body["id"] for hook in made if hook.body["event"] == "open"]
    closed = [hook.body for hook in made if hook.body["event"] == "close"]
    assert opened == sorted(set(opened))
    assert {each["id"] for each in closed} <= set(opened)
    assert all(0.5 < each["duration"] < 3 and (Path(each["cwd"]) / each["ts_file"]).exists() for each in closed[-2:])
    assert all("groups" in hook.body for hook in of(hooks, "update"))


def test_events_that_lal_lacks_come_too(
    server: Standalone, sink: WebhookSink, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    elsewhere = stack.enter_context(Standalone(tmp_path, {"cluster.name": "elsewhere"}, name="elsewhere"))
    source = elsewhere.rtmp_url("live/source")
    stack.enter_context(Publisher(media("h264_aac"), source, log=tmp_path / "s.log", loops=-1))
    wait_until("the source", lambda: api(elsewhere, "/v1/streams")["item_count"] == 1, LIMIT_S)
    fetch(server.flv_url("live/nothing"))
    pull = api(server, "/v1/relays", {"kind": "pull", "stream": "live/cam", "urls": [source]})
    sink.until(has("relay_pull_start"), LIMIT_S, "/lal")
    push = api(server, "/v1/relays", {"kind": "push", "stream": "live/cam", "urls": [elsewhere.rtmp_url("live/back")]})
    sink.until(has("relay_push_start"), LIMIT_S, "/own")
    fetch(server.flv_url("live/cam"), 1.5)
    sink.until(has("recording_done", "last_viewer", "alarm"), LIMIT_S, "/own")
    for relay in (push, pull):
        api(server, f"/v1/relays/{relay['id']}", method="DELETE")
    own = sink.until(has("relay_push_stop", "relay_pull_stop"), LIMIT_S, "/own")
    pulls = of(sink.until(has("relay_pull_stop"), LIMIT_S, "/lal"), "relay_pull_start", "relay_pull_stop")
    assert [hook.body["base_type"] for hook in pulls] == ["PULL", "PULL"]
    assert pulls[1].body["read_bytes_sum"] > 10_000
    cam = [hook.body for hook in own if hook.body["stream"] == {"app": "live", "name": "cam"}]
    relays = [each["event"] for each in cam if each["event"].startswith("relay")]
    assert relays == ["relay_pull_start", "relay_push_start", "relay_push_stop", "relay_pull_stop"]
    viewers = [each["event"] for each in cam if "viewer" in each["event"] or each["event"].startswith("sub")]
    assert viewers == ["sub_start", "first_viewer", "sub_stop", "last_viewer"]
    [missing] = [hook.body for hook in own if hook.body["event"] == "stream_not_found"]
    assert missing["stream"] == {"app": "live", "name": "nothing"}
    [recorded, *_] = [each["data"] for each in cam if each["event"] == "recording_done"]
    assert recorded["format"] == "flv"
    assert (tmp_path / "media" / recorded["path"]).stat().st_size == recorded["size_bytes"]
    alarm = next(each["data"] for each in cam if each["event"] == "alarm")
    assert alarm["alarm"] == "bitrate_low"
    assert 10_000 < alarm["value"] < alarm["limit"] == 1 << 40
    assert {"node_up", "server_start"} <= {hook.body["event"] for hook in own}


def test_what_a_receiver_refuses_for_good_is_kept_and_sent_again_by_hand(tmp_path: Path, stack: ExitStack) -> None:
    with WebhookSink() as sink:
        sink.fails = True
        receiver = f"own {sink.url}/own events=server_start give_up_s=1"
        node = stack.enter_context(Standalone(tmp_path, {"notify.receivers": [receiver]}))
        wait_until("a dead letter", lambda: bool(api(node, "/v1/webhooks/dead-letters")["items"]), LIMIT_S)
        [letter] = api(node, "/v1/webhooks/dead-letters")["items"]
        assert (letter["receiver"], letter["event"]["event"], letter["error"][:8]) == ("own", "server_start", "HTTP 500")
        [state] = api(node, "/v1/webhooks")["receivers"]
        assert (state["dead"], state["delivered"]) == (1, 0)
        assert 'scheduler_webhook_dead_letters_total{receiver="own"} 1.0' in node.metrics()
        sink.fails = False
        api(node, f"/v1/webhooks/dead-letters/{letter['id']}/retry", {})
        assert [hook.id for hook in sink.taken()] == [letter["event"]["id"]]
        assert api(node, "/v1/webhooks/dead-letters")["items"] == []


async def test_whoever_listens_goes_on_where_he_was(standalone: Node, media: Media, stack: ExitStack, tmp_path: Path) -> None:
    stack.enter_context(Publisher(media("h264_aac"), standalone.rtmp_url("sse/cam"), log=tmp_path / "p.log", loops=-1))
    query = "/v1/events?stream=sse/cam&kind=sub_start&kind=sub_stop&kind=pub_start"
    async with listening(standalone, f"{query}&after=0-0") as lines:
        first = await anext(lines)
        assert first["event"] == "pub_start"
        await asyncio.to_thread(fetch, f"{standalone.flv_url('sse/cam')}?token=hidden", 1)
        second, third = await anext(lines), await anext(lines)
    assert [second["event"], third["event"]] == ["sub_start", "sub_stop"]
    assert json.loads(second["data"])["data"]["query"] == "token=***"
    async with listening(standalone, query, last=second["id"]) as lines:
        again = await anext(lines)
    assert again == third


@asynccontextmanager
async def listening(node: Node, path: str, *, last: str = "") -> AsyncIterator[AsyncIterator[dict[str, str]]]:
    """Server-sent events, each by the names of its lines."""
    headers = {"Last-Event-ID": last} if last else {}
    timeout = aiohttp.ClientTimeout(sock_read=LIMIT_S)
    async with aiohttp.ClientSession(timeout=timeout) as client, client.get(node.api_url + path, headers=headers) as answer:
        assert answer.content_type == "text/event-stream"
        yield _events(answer.content)


async def _events(lines: aiohttp.StreamReader) -> AsyncIterator[dict[str, str]]:
    event: dict[str, str] = {}
    async for line in lines:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            event[name] = value
        else:  # an empty line ends an event; what has only a time to come back after is none
            if "event" in event:
                yield event
            event = {}


class Viewers:
    """One after the other watches each stream for a moment: `n` of the query tells them apart."""

    def __init__(self, edge: Node, stream: str) -> None:
        self.seen: list[int] = []  #: who was let in
        self._edge = edge
        self._stream = stream
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Nobody comes any more."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            if self._watch(number):
                self.seen.append(number)
            time.sleep(0.05)

    def _watch(self, number: int) -> bool:
        try:
            with urllib.request.urlopen(f"{self._edge.flv_url(self._stream)}?n={number}", timeout=5) as answer:
                return len(answer.read(100)) == 100
        except OSError:
            return False


@contextmanager
def watching(edge: Node) -> Iterator[list[Viewers]]:
    """Viewers of every stream."""
    viewers = [Viewers(edge, f"live/cam{number}") for number in range(STREAMS)]
    try:
        yield viewers
    finally:
        for each in viewers:
            each.end()


def of_viewers(hooks: list[Hook], stream: str, event: str) -> list[int]:
    """Whom the events of a stream tell of, in their order."""
    app, _, name = stream.partition("/")
    told = [hook.body for hook in hooks if hook.body["stream"] == {"app": app, "name": name} and hook.body["event"] == event]
    return [int(body["data"]["query"].removeprefix("n=")) for body in told]


@pytest.mark.skipif(not CAN_RUN_REDIS, reason="no redis server here")
def test_nothing_is_lost_when_a_scheduler_dies_redis_starts_again_and_the_receiver_fails(
    sink: WebhookSink, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    secrets = tmp_path / "secret"
    secrets.write_text(SECRET)
    redis = stack.enter_context(RedisServer(tmp_path, append_only=True))
    common = {
        "scheduler.redis.host": LOOPBACK,
        "scheduler.redis.port": redis.port,
        "notify.receivers": [f"own {sink.url}/own", f"lal {sink.url}/lal/{{event}} format=lal events=pub_start+pub_stop"],
        "notify.secret_file": str(secrets),
    }
    cluster = stack.enter_context(Cluster(tmp_path, schedulers=2, origins=1, edges=2, settings={"scheduler": common}))
    first, second = cluster.edges
    publishers = [
        stack.enter_context(
            Publisher(media("h264_aac"), first.rtmp_url(f"live/cam{number}"), log=tmp_path / f"{number}.log", loops=-1, limit_s=200)
        )
        for number in range(STREAMS)
    ]
    sink.until(lambda hooks: len(of(hooks, "pub_start")) == STREAMS, LIMIT_S, "/own")
    with watching(second) as viewers:
        time.sleep(2)
        delivering = next(node for node in cluster.schedulers if api(node, "/v1/webhooks")["shards"])
        delivering.kill()
        other = next(node for node in cluster.schedulers if node is not delivering)
        wait_until("the other one to deliver", lambda: len(api(other, "/v1/webhooks")["shards"]) == 16, LIMIT_S)
        time.sleep(1)
        redis.kill()
        time.sleep(2)
        redis.start()
        time.sleep(2)
        sink.fails = True
        time.sleep(AWAY_S)
        sink.fails = False
        time.sleep(1)
    for publisher in publishers:
        publisher.stop()
    last = [(f"live/cam{number}", each.seen[-1]) for number, each in enumerate(viewers)]

    def all_told(hooks: list[Hook]) -> bool:
        stops = [of_viewers(hooks, stream, "sub_stop") for stream, _ in last]
        return len(of(hooks, "pub_stop")) == STREAMS and all(n in told for (_, n), told in zip(last, stops, strict=True))

    hooks = sink.until(all_told, LIMIT_S + AWAY_S, "/own")
    assert sink.refused > 0
    for number, each in enumerate(viewers):
        assert len(each.seen) > 50
        stream = f"live/cam{number}"
        came, left = of_viewers(hooks, stream, "sub_start"), of_viewers(hooks, stream, "sub_stop")
        assert [n for n in each.seen if n not in came or n not in left] == [], "events were lost"
        assert came == sorted(came), "not in order"
        assert left == sorted(left), "not in order"
    told = sink.until(lambda hooks: len(of(hooks, "pub_stop")) == STREAMS, LIMIT_S, "/lal")
    assert len(told) == 2 * STREAMS
    ids = [hook.id for hook in sink.hooks if hook.path == "/own"]
    assert len(set(ids)) == len(hooks)  # what came twice did so under the same id
    assert not [hook for hook in hooks if hook.event_name == "events_lost"]


def soon_missed(sink: WebhookSink, stack: ExitStack, folder: Path) -> dict[str, Settings]:
    """A cluster with a Redis of its own that takes a node for dead after 3 s, and tells the sink."""
    secrets = folder / "secret"
    secrets.write_text(SECRET)
    redis = stack.enter_context(RedisServer(folder))
    return {
        "scheduler": {
            "scheduler.redis.host": LOOPBACK,
            "scheduler.redis.port": redis.port,
            "notify.receivers": [f"own {sink.url}/own"],
            "notify.secret_file": str(secrets),
        },
        "all": {"cluster.lease_s": 3},
    }


@pytest.mark.skipif(not CAN_RUN_REDIS, reason="no redis server here")
def test_sessions_of_an_edge_that_dies_are_over_and_its_streams_move(
    sink: WebhookSink, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    settings = soon_missed(sink, stack, tmp_path)
    cluster = stack.enter_context(Cluster(tmp_path, schedulers=1, origins=2, edges=2, settings=settings))
    first, second = cluster.edges
    stack.enter_context(Publisher(media("h264_aac"), first.rtmp_url("live/cam"), log=tmp_path / "p.log", loops=-1))
    sink.until(has("pub_start"), LIMIT_S, "/own")
    viewer = subprocess.Popen(["curl", "-s", "-m", "60", "-o", "/dev/null", second.flv_url("live/cam")], stdin=subprocess.DEVNULL)
    stack.callback(viewer.wait)
    stack.callback(viewer.kill)
    sink.until(has("first_viewer"), LIMIT_S, "/own")
    holder = api(cluster.schedulers[0], "/v1/streams")["items"][0]["origin"]
    next(node for node in cluster.origins if node.name == holder).kill()
    moved = of(sink.until(has("owner_moved", "node_down"), LIMIT_S, "/own"), "owner_moved")[0].body["data"]
    assert moved["before"] == holder != moved["origin"]
    second.kill()
    hooks = sink.until(has("last_viewer"), LIMIT_S, "/own")
    [left] = of(hooks, "sub_stop")
    assert left.body["data"]["reason"] == "the node has gone"
    assert left.body["node"] == second.name
    assert left.body["data"]["has_in_session"]
    assert not left.body["data"]["has_out_session"]


@pytest.mark.skipif(not CAN_RUN_REDIS, reason="no redis server here")
def test_sessions_of_an_edge_that_was_cut_off_for_longer_than_its_lease_begin_anew(
    sink: WebhookSink, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    settings = soon_missed(sink, stack, tmp_path)
    cluster = stack.enter_context(Cluster(tmp_path, schedulers=2, origins=1, edges=0, settings=settings))
    only = cluster.schedulers[0]
    edge = cluster.add("edge", {"cluster.schedulers": [only.grpc_address]}).wait_ready()
    publisher = stack.enter_context(Publisher(media("h264_aac"), edge.rtmp_url("live/cam"), log=tmp_path / "p.log", loops=-1))
    sink.until(has("pub_start"), LIMIT_S, "/own")
    viewer = subprocess.Popen(["curl", "-s", "-m", "90", "-o", "/dev/null", edge.flv_url("live/cam")], stdin=subprocess.DEVNULL)
    stack.callback(viewer.wait)
    stack.callback(viewer.kill)
    sink.until(has("first_viewer"), LIMIT_S, "/own")
    only.pause()
    stack.callback(only.resume)
    [gone] = of(sink.until(has("pub_stop", "last_viewer"), LIMIT_S, "/own"), "pub_stop")
    assert gone.body["data"]["reason"] == "the node has gone"
    only.resume()
    hooks = sink.until(lambda hooks: all(len(of(hooks, name)) == 2 for name in ("pub_start", "first_viewer")), LIMIT_S, "/own")
    assert len({hook.body["data"]["session_id"] for hook in of(hooks, "pub_start")}) == 1
    assert viewer.poll() is None
    viewer.kill()
    hooks = sink.until(lambda hooks: len(of(hooks, "last_viewer")) == 2, LIMIT_S, "/own")
    assert [hook.body["data"]["has_in_session"] for hook in of(hooks, "sub_stop")][-1]
    publisher.stop()
    hooks = sink.until(lambda hooks: len(of(hooks, "pub_stop")) == 2, LIMIT_S, "/own")
    assert not of(hooks, "pub_stop")[-1].body["data"]["has_in_session"]
