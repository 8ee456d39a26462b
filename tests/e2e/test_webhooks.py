"""Events as a real receiver gets them: all of them, in order, with the right fields, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.cluster import Cluster, Node, Settings, Standalone
from support.event_stream import EventSchema, listening
from support.ffmpeg import FFMPEG, Publisher, bounded, quiet
from support.operator_api import call
from support.ports import LOOPBACK
from support.process import Child, wait_until
from support.redis import CAN_RUN_REDIS, RedisServer
from support.webhook_sink import Hook, WebhookSink, has, of

from lalmesh.client import ClientOptions, RtmpPublisher, open_player, read_tags

Media = Callable[[str], Path]

LIMIT_S = 30.0
SOME_BYTES = 20_000  #: of media
SECRET = "a secret of tests for webhooks"
LAL = (
    "server_start", "update", "rtmp_connect", "pub_start", "pub_stop", "sub_start", "sub_stop", "relay_pull_start",
    "relay_pull_stop", "hls_make_ts",
)  # fmt: skip
OF_RECEIVER = ("cluster", "server_id")  #: what webhooks say of every event, beside what it is
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
def server(sink: WebhookSink, tmp_path: Path, stack: ExitStack) -> Iterator[Standalone]:
    """A server with two receivers, one of lal's URLs and one of everything else, who hear what the OpenAPI document says."""
    secrets = tmp_path / "secret"
    secrets.write_text(SECRET)
    key = tmp_path / "session.key"
    key.write_text("a key of tests for sessions")
    urls = {f"notify.lal.on_{name}": f"{sink.url}/lal/on_{name}" for name in LAL}
    made = stack.enter_context(
        Standalone(
            tmp_path,
            {
                **urls,
                "notify.secret_file": str(secrets),
                "notify.server_id": "here",
                "notify.update_interval_s": 1,
                "notify.receivers": [f"own {sink.url}/own"],
                "notify.alarms.bitrate_low_bps": 1 << 40,
                "notify.alarms.frames_per_s": 1000,
                "notify.alarms.no_keyframe_s": 2,
                "notify.alarms.timestamp_jump": True,
                "edge.play.wait_publisher_s": 3.0,  # a publisher is told of before its first unit comes
                "hls.session.hash_key_file": str(key),
                "hls.session.idle_s": 2,
                "hls.segment_ms": 1000,
                "hls.recording.rules": ["live/cam flv segment_s=2"],
            },
        )
    )
    yield made
    schema = EventSchema(api(made, "/openapi.json"))
    for hook in sink.taken("/own"):
        schema.check_data(hook.event_name, {name: value for name, value in hook.body.items() if name not in OF_RECEIVER})


def take(url: str, size: int = SOME_BYTES) -> None:
    """Take so many bytes from a URL, and leave."""
    with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
        assert len(answer.read(size)) == size


@contextmanager
def asking(url: str) -> Iterator[None]:
    """Somebody asks for a URL until the block is left, or it is answered to the end."""
    with subprocess.Popen(["curl", "-s", "-m", str(LIMIT_S), "-o", "/dev/null", url], stdin=subprocess.DEVNULL) as asked:
        try:
            yield
        finally:
            asked.kill()


def api(node: Node, path: str, body: object = None, method: str = "") -> Any:
    """What the API answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(node.api_url + path, data=data, method=method or ("POST" if data else "GET"))
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def test_every_event_of_lal_comes_in_order_with_its_fields(
    server: Standalone, sink: WebhookSink, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    publisher = stack.enter_context(
        Publisher(media("h264_aac"), f"{server.rtmp_url('live/cam')}?token=hidden&a=1", log=tmp_path / "p.log", loops=-1)
    )
    sink.until(has("pub_start"), LIMIT_S, "/lal")
    take(f"{server.flv_url('live/cam')}?b=2")
    sink.until(has("sub_start", "sub_stop"), LIMIT_S, "/lal")
    take(server.http_url("hls/live/cam.m3u8"), 1)
    sink.until(lambda hooks: len(of(hooks, "hls_make_ts", event="close")) > 1 and len(of(hooks, "sub_stop")) > 1, LIMIT_S, "/lal")
    publisher.stop()
    hooks = sink.until(has("pub_stop"), LIMIT_S, "/lal")
    hooks = sink.until(lambda hooks: len(of(hooks, "update")) > 3, LIMIT_S, "/lal")
    assert [hook.event_name for hook in hooks if "server" in hook.event_name] == ["on_server_start"]
    assert [hook.event_name for hook in of(hooks, "server_start", "update")][:2] == ["on_server_start", "on_update"]
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
    assert (connect["session_id"], connect["app"], connect["remote_addr"]) == (began["session_id"], "live", began["remote_addr"])
    assert (connect["tcUrl"], connect["flashVer"][:5]) == (server.rtmp_url("live"), "FMLE/")
    assert all(re.fullmatch(r"127\.0\.0\.1:[1-9]\d+", each["remote_addr"]) for each in sessions)
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
    assert (hls["url"], hls["url_param"], hls["app_name"]) == (server.http_url("hls/live/cam.m3u8"), "", "live")
    assert hls["session_id"].startswith("HLSSUB")
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
    groups = [group for hook in of(hooks, "update") for group in hook.body["groups"] or []]
    group = next(each for each in groups if each["pub"]["session_id"] == began["session_id"] and each["audio_codec"])
    assert (group["app_name"], group["stream_name"], group["audio_codec"], group["video_codec"]) == ("live", "cam", "AAC", "H264")
    assert (group["pub"]["protocol"], group["pub"]["remote_addr"]) == ("RTMP", began["remote_addr"])
    seen = {sub["session_id"]: sub["remote_addr"] for each in groups for sub in each["subs"] or []}
    assert seen[hls["session_id"]] == hls["remote_addr"]


async def test_sessions_of_every_protocol_are_told_of_as_lal_does_and_alarms_of_each_kind(
    server: Standalone, sink: WebhookSink, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    file, stream = media("h264_ntsc_10s"), "live/ways"
    sent = ["-re", "-stream_loop", "-1", "-i", str(file), "-c", "copy", "-f", "rtsp", "-rtsp_transport", "tcp"]
    command = bounded(150, [*quiet(FFMPEG), *sent, server.rtsp_url(stream)])
    publisher = stack.enter_context(Child(command, log=tmp_path / "p.log"))
    await asyncio.to_thread(sink.until, has("pub_start"), LIMIT_S, "/lal")
    ways = [server.rtmp_url(stream), server.rtsp_url(stream), server.http_url(f"{stream}.ts"), server.ws_url(stream)]
    for number, url in enumerate(ways, start=1):
        if url.endswith(".ts"):
            await asyncio.to_thread(take, url)
        else:
            async with open_player(url, ClientOptions(rtsp_transport="tcp")) as player:
                await anext(player)
        await asyncio.to_thread(sink.until, has_so_many("sub_stop", number), LIMIT_S, "/lal")
    rates = ("bitrate_low", "frame_rate_low", "no_keyframe")
    await asyncio.to_thread(sink.until, lambda hooks: all(of_alarm(hooks, "alarm", each) for each in rates), LIMIT_S, "/own")
    publisher.stop()
    hooks = await asyncio.to_thread(sink.until, has("pub_stop"), LIMIT_S, "/lal")
    told = [hook for hook in of(hooks, "pub_start", "pub_stop", "sub_start", "sub_stop") if hook.body["stream_name"] == "ways"]
    assert all(list(hook.body) == SESSION for hook in told)
    words = [(each.event_name, each.body["protocol"], each.body["base_type"], each.body["session_id"][:-16]) for each in told]
    players = [("RTMP", "RTMPPUBSUB"), ("RTSP", "RTSPSUB"), ("TS", "TSSUB"), ("FLV", "FLVSUB")]
    between = [(f"on_sub_{end}", protocol, "SUB", prefix) for protocol, prefix in players for end in ("start", "stop")]
    assert words == [("on_pub_start", "RTSP", "PUB", "RTSPPUB"), *between, ("on_pub_stop", "RTSP", "PUB", "RTSPPUB")]
    over = await asyncio.to_thread(
        sink.until, lambda hooks: all(of_alarm(hooks, "alarm_over", each) for each in rates), LIMIT_S, "/own"
    )
    own_id = told[0].body["session_id"].removeprefix("RTSPPUB")
    assert {of_alarm(over, "alarm", each)[0]["session_id"] for each in rates} == {own_id}
    await _publish_with_jumps(server.rtmp_url("live/jumps"), file, sink)


async def _publish_with_jumps(url: str, file: Path, sink: WebhookSink) -> None:
    """Publish until it is told that the clock jumps, as it does each second."""
    told = asyncio.create_task(
        asyncio.to_thread(sink.until, lambda hooks: bool(of_alarm(hooks, "alarm", "timestamp_jump")), LIMIT_S, "/own")
    )
    tags = [tag async for tag in read_tags(file)]
    async with RtmpPublisher(url) as publisher:
        for number, tag in enumerate(tags):
            if told.done():
                break
            publisher.send(tag.type_id, tag.timestamp_ms + number // 25 * 3_600_000, tag.body)
            await publisher.sleep(0.04)
    assert of_alarm(await told, "alarm", "timestamp_jump")[0]["value"] >= 1


def has_so_many(event: str, count: int) -> Callable[[list[Hook]], bool]:
    """Whether it was there so often."""
    return lambda hooks: len(of(hooks, event)) == count


def of_alarm(hooks: list[Hook], event: str, alarm: str) -> list[dict[str, Any]]:
    """What was told of one kind of alarm."""
    return [hook.body["data"] for hook in of(hooks, event) if hook.body["data"]["alarm"] == alarm]


def test_events_that_lal_lacks_come_too(
    server: Standalone, sink: WebhookSink, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    elsewhere = stack.enter_context(Standalone(tmp_path, {"cluster.name": "elsewhere"}, name="elsewhere"))
    source = elsewhere.rtmp_url("live/source")
    stack.enter_context(Publisher(media("h264_aac"), source, log=tmp_path / "s.log", loops=-1))
    wait_until("the source", lambda: api(elsewhere, "/v1/streams")["item_count"] == 1, LIMIT_S)
    with asking(server.flv_url("live/nothing")):
        sink.until(has("stream_not_found"), LIMIT_S, "/own")
    pull = api(server, "/v1/relays", {"kind": "pull", "stream": "live/cam", "urls": [source]})
    sink.until(has("relay_pull_start"), LIMIT_S, "/lal")
    push = api(server, "/v1/relays", {"kind": "push", "stream": "live/cam", "urls": [elsewhere.rtmp_url("live/back")]})
    sink.until(has("relay_push_start"), LIMIT_S, "/own")
    take(server.flv_url("live/cam"))
    sink.until(has("recording_done", "last_viewer", "alarm"), LIMIT_S, "/own")
    for relay in (push, pull):
        api(server, f"/v1/relays/{relay['id']}", method="DELETE")
    own = sink.until(has("relay_push_stop", "relay_pull_stop"), LIMIT_S, "/own")
    pulls = of(sink.until(has("relay_pull_stop"), LIMIT_S, "/lal"), "relay_pull_start", "relay_pull_stop")
    assert all(list(hook.body) == SESSION for hook in pulls)
    wanted = {"protocol": "RTMP", "base_type": "PULL", "url": source, "app_name": "live", "stream_name": "cam", "url_param": ""}
    assert all(wanted.items() <= hook.body.items() for hook in pulls)
    assert pulls[0].body["session_id"] == pulls[1].body["session_id"]
    assert pulls[0].body["session_id"].startswith("RTMPPULL")
    assert pulls[0].body["remote_addr"] == source.split("/")[2]
    assert [hook.body["has_in_session"] for hook in pulls] == [True, False]
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
    alarm = next(each["data"] for each in cam if each["event"] == "alarm" and each["data"]["alarm"] == "bitrate_low")
    assert 10_000 < alarm["value"] < alarm["limit"] == 1 << 40
    assert "node_up" in {hook.body["event"] for hook in own}
    [started] = [hook.body["data"] for hook in of(own, "server_start")]
    assert started["ports"] == server.ports  # which are known when they are open


def test_what_a_receiver_refuses_for_good_is_kept_and_sent_again_by_hand(tmp_path: Path, stack: ExitStack) -> None:
    with WebhookSink() as sink:
        sink.fails = "/"
        receiver = f"own {sink.url}/own events=server_start give_up_s=1"
        node = stack.enter_context(Standalone(tmp_path, {"notify.receivers": [receiver]}))
        wait_until("a dead letter", lambda: bool(api(node, "/v1/webhooks/dead-letters")["items"]), LIMIT_S)
        [letter] = api(node, "/v1/webhooks/dead-letters")["items"]
        assert (letter["receiver"], letter["event"]["event"], letter["error"][:8]) == ("own", "server_start", "HTTP 500")
        [state] = api(node, "/v1/webhooks")["receivers"]
        assert (state["dead"], state["delivered"]) == (1, 0)
        assert 'scheduler_webhook_dead_letters_total{receiver="own"} 1.0' in node.metrics()
        sink.fails = ""
        api(node, f"/v1/webhooks/dead-letters/{letter['id']}/retry", {})
        assert [hook.id for hook in sink.taken()] == [letter["event"]["id"]]
        assert api(node, "/v1/webhooks/dead-letters")["items"] == []


async def test_whoever_listens_goes_on_where_he_was(standalone: Node, media: Media, stack: ExitStack, tmp_path: Path) -> None:
    stack.enter_context(Publisher(media("h264_aac"), standalone.rtmp_url("sse/cam"), log=tmp_path / "p.log", loops=-1))
    query = "stream=sse/cam&kind=sub_start&kind=sub_stop&kind=pub_start"
    async with listening(standalone.api_url, f"{query}&after=0-0") as lines:
        first = await anext(lines)
        assert first["event"] == "pub_start"
        await asyncio.to_thread(take, f"{standalone.flv_url('sse/cam')}?token=hidden")
        second, third = await anext(lines), await anext(lines)
    assert [second["event"], third["event"]] == ["sub_start", "sub_stop"]
    assert json.loads(second["data"])["data"]["query"] == "token=***"
    async with listening(standalone.api_url, query, Last_Event_ID=second["id"]) as lines:
        again = await anext(lines)
    assert again == third


def soon_missed(sink: WebhookSink, stack: ExitStack, folder: Path) -> dict[str, Settings]:
    """A cluster with a Redis of its own that takes a node for dead after 3 s, and tells the sink."""
    secrets = folder / "secret"
    secrets.write_text(SECRET)
    redis = stack.enter_context(RedisServer(folder))
    return {
        "scheduler": {
            "scheduler.redis.host": LOOPBACK,
            "scheduler.redis.port": redis.port,
            "notify.receivers": [f"own {sink.url}/own", f"lal {sink.url}/lal/{{event}} format=lal"],
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
    viewer = subprocess.Popen(["curl", "-s", "-m", "150", "-o", "/dev/null", second.flv_url("live/cam")], stdin=subprocess.DEVNULL)
    stack.callback(viewer.wait)
    stack.callback(viewer.kill)
    sink.until(has("first_viewer"), LIMIT_S, "/own")
    holder = api(cluster.schedulers[0], "/v1/streams")["items"][0]["origin"]
    next(node for node in cluster.origins if node.name == holder).kill()
    moved = of(sink.until(has("owner_moved", "node_down"), LIMIT_S, "/own"), "owner_moved")[0].body["data"]
    assert moved["before"] == holder != moved["origin"]
    second.kill()
    call("POST", f"{cluster.api_url}/v1/nodes/{moved['origin']}/drain", {"deadline_s": 3})
    hooks = sink.until(has("last_viewer", "node_away", "node_draining"), LIMIT_S, "/own")
    assert {hook.body["node"] for hook in of(hooks, "node_draining")} == {moved["origin"]}
    assert second.name in {hook.body["node"] for hook in of(hooks, "node_away")}
    [left] = of(hooks, "sub_stop")
    assert left.body["data"]["reason"] == "the node has gone"
    assert left.body["node"] == second.name
    assert left.body["data"]["has_in_session"]
    assert not left.body["data"]["has_out_session"]
    lal = sink.until(has("last_viewer", "owner_moved", "node_down", "node_away", "node_draining"), LIMIT_S, "/lal")
    [watched, *_] = of(lal, "sub_start")
    session = {name: watched.body[name] for name in ("session_id", "protocol", "base_type", "stream_name")}
    assert len(of(lal, "sub_stop", "first_viewer", "last_viewer", **session)) == 3
    assert of(lal, "owner_moved")[0].body["origin"] == moved["origin"]


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
    viewer = subprocess.Popen(["curl", "-s", "-m", "150", "-o", "/dev/null", edge.flv_url("live/cam")], stdin=subprocess.DEVNULL)
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
