"""lal's API, field by field against its documents: of a server in one process, and of a cluster through any scheduler."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.cluster import Cluster, Node
from support.ffmpeg import Publisher
from support.flv_source import flv_source
from support.lal import LIMIT_S, NAME, STREAM, published_lal_server, shipped_lal_config
from support.lal_client import LalClient
from support.ports import LOOPBACK
from support.process import wait_until
from support.recorder import Recorder, recorder, recording
from support.redis import CAN_RUN_REDIS, RedisServer
from support.webhook_sink import Hook, WebhookSink, of

Media = Callable[[str], Path]
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,3})? Z UTC")

EMPTY: dict[str, Any] = {
    "session_id": "",
    "protocol": "",
    "base_type": "",
    "remote_addr": "",
    "start_time": "",
    "read_bytes_sum": 0,
    "wrote_bytes_sum": 0,
    "bitrate_kbits": 0,
    "read_bitrate_kbits": 0,
    "write_bitrate_kbits": 0,
}
SESSION_TYPES = {name: type(value) for name, value in EMPTY.items()}
GROUP_FIELDS = {
    *("stream_name", "app_name", "audio_codec", "video_codec", "video_width", "video_height"),
    *("pub", "subs", "pull", "pushs", "in_frame_per_sec"),
}
TOLD = ("on_sub_start", "on_sub_stop", "on_relay_pull_start", "on_relay_pull_stop")
NO_GROUP, NO_PARAM, NO_SESSION, NO_PULL, NO_LISTEN = 1001, 1002, 1003, 2001, 2002


@pytest.fixture(scope="module")
def sink() -> Iterator[WebhookSink]:
    """Takes the events of `server` that a dispatcher goes by."""
    with WebhookSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, media: Media, sink: WebhookSink) -> Iterator[Node]:
    """A server that takes lal's file, with one publisher whose application is live."""
    told = {name: f"{sink.url}/{name}" if name in TOLD else "" for name in shipped_lal_config()["http_notify"] if name[:3] == "on_"}
    notify = {"enable": True, "update_interval_sec": 3600, **told}
    settings = {"edge.session.report_s": 1, "edge.play.wait_publisher_s": LIMIT_S, "hls.segment_ms": 1000}
    with published_lal_server(tmp_path_factory.mktemp("lal"), media("h264_aac"), settings, notify=notify) as node:
        yield node


@pytest.fixture
def lal(server: Node) -> LalClient:
    return LalClient(server.api_url)


async def playing(lal: LalClient, player: Recorder, protocol: str) -> dict[str, Any]:
    """The session of a player, once it is seen."""
    await player.more(LIMIT_S)

    def of(group: dict[str, Any]) -> list[dict[str, Any]]:
        return [sub for sub in group["subs"] or () if sub["protocol"] == protocol and sub["wrote_bytes_sum"]]

    group = await asyncio.to_thread(lal.group_until, NAME, of, LIMIT_S)
    return of(group)[0]


def assert_session(session: dict[str, Any], prefix: str, protocol: str, base_type: str) -> None:
    assert {name: type(value) for name, value in session.items()} == SESSION_TYPES
    assert session["session_id"].startswith(prefix)
    assert (session["protocol"], session["base_type"]) == (protocol, base_type)
    assert re.fullmatch(r"127\.0\.0\.1:\d+", session["remote_addr"])
    assert TIME.fullmatch(session["start_time"])


# Objects --------------------------------------------------------------------------------------------------------------


def test_a_group_has_every_field_of_lals(lal: LalClient) -> None:
    group = lal.group_until(NAME, lambda group: len(group["in_frame_per_sec"]) > 2, LIMIT_S)
    assert group.keys() == GROUP_FIELDS
    assert (group["stream_name"], group["app_name"]) == (NAME, "live")
    assert (group["audio_codec"], group["video_codec"]) == ("AAC", "H264")
    assert group["video_width"] > 0
    assert group["video_height"] > 0
    assert group["pull"] == EMPTY
    assert group["pushs"] is None


def test_a_publisher_has_every_field_of_a_session(lal: LalClient) -> None:
    pub = lal.group(NAME)["pub"]
    assert_session(pub, "RTMPPUBSUB", "RTMP", "PUB")
    assert pub["read_bytes_sum"] > 0
    assert pub["wrote_bytes_sum"] == 0
    assert pub["bitrate_kbits"] == pub["read_bitrate_kbits"] > 0
    assert pub["write_bitrate_kbits"] == 0


def test_frames_are_told_of_whole_seconds_the_newest_first(lal: LalClient) -> None:
    seconds = lal.group_until(NAME, lambda group: len(group["in_frame_per_sec"]) > 3, LIMIT_S)["in_frame_per_sec"]
    assert all(each.keys() == {"unix_sec", "v"} for each in seconds)
    assert [each["unix_sec"] for each in seconds] == [seconds[0]["unix_sec"] - age for age in range(len(seconds))]
    assert len(seconds) <= 31
    assert sum(20 <= each["v"] <= 30 for each in seconds) >= len(seconds) - 2  # 25 a second, but for where it began or hung


@pytest.mark.parametrize(
    ("way", "prefix", "protocol"),
    [("rtmp", "RTMPPUBSUB", "RTMP"), ("rtsp", "RTSPSUB", "RTSP"), ("http-flv", "FLVSUB", "FLV"), ("http-ts", "TSSUB", "TS")],
)
async def test_a_player_of_any_application_has_every_field_and_can_be_kicked(
    server: Node, lal: LalClient, way: str, prefix: str, protocol: str
) -> None:
    stream = f"other/{NAME}"  # lal takes no notice of it
    url = {
        "rtmp": server.rtmp_url(stream),
        "rtsp": server.rtsp_url(stream),
        "http-flv": server.flv_url(stream),
        "http-ts": server.http_url(f"{stream}.ts"),
    }[way]
    player = recorder(way, url)
    async with recording(player):
        sub = await playing(lal, player, protocol)
        assert_session(sub, prefix, protocol, "SUB")
        assert sub["bitrate_kbits"] == sub["write_bitrate_kbits"]
        body = {"stream_name": NAME, "session_id": sub["session_id"]}
        assert await asyncio.to_thread(lal.ctrl, "kick_session", body) == {"error_code": 0, "desp": "succ"}
        async with asyncio.timeout(LIMIT_S):
            while not player.ended:  # noqa: ASYNC110 -- a recorder has no event for it
                await asyncio.sleep(0.02)


# Endpoints ------------------------------------------------------------------------------------------------------------


def test_all_groups_are_listed(lal: LalClient) -> None:
    answer = lal.stat("all_group")
    assert (answer["error_code"], answer["desp"]) == (0, "succ")
    assert NAME in [group["stream_name"] for group in answer["data"]["groups"]]
    assert all(group.keys() == GROUP_FIELDS for group in answer["data"]["groups"])


def test_the_server_says_what_it_is(lal: LalClient) -> None:
    data = lal.stat("lal_info")["data"]
    assert data.keys() == {*("server_id", "bin_info", "lal_version", "api_version", "notify_version", "WebUiVersion", "start_time")}
    assert (data["server_id"], data["api_version"], data["notify_version"]) == ("1", "v0.4.9", "v0.2.5")
    assert TIME.fullmatch(data["start_time"])


#: Requests that lal refuses: what is asked, with which body, and the code.
REFUSED: list[tuple[str, object, int]] = [
    ("/api/stat/group", None, NO_PARAM),
    ("/api/stat/group?stream_name=", None, NO_PARAM),
    ("/api/stat/group?stream_name=nobody", None, NO_GROUP),
    ("/api/stat/group?stream_name=a/../b", None, NO_GROUP),
    ("/api/nothing/here", None, 404),
    ("/api/nothing/here", {}, 404),
    ("/api/ctrl/stop_relay_pull", {}, NO_PARAM),
    ("/api/ctrl/stop_relay_pull?stream_name=nobody", {}, NO_GROUP),
    (f"/api/ctrl/stop_relay_pull?stream_name={NAME}", {}, NO_SESSION),
    ("/api/ctrl/start_relay_pull", {"url": "rtmp://127.0.0.1/live/x", "pull_timeout_ms": 10**400}, NO_PARAM),
    ("/api/ctrl/stop_relay_pull?stream_name=nobody", None, 405),  # a GET without a token: any page could send it
    ("/api/ctrl/start_relay_pull", {}, NO_PARAM),
    ("/api/ctrl/start_relay_pull", {"url": ""}, NO_PARAM),
    ("/api/ctrl/start_relay_pull", {"url": 1}, NO_PARAM),
    ("/api/ctrl/start_relay_pull", {"url": "rtmp://127.0.0.1/live/x", "pull_retry_num": "1"}, NO_PARAM),
    ("/api/ctrl/start_relay_pull", {"url": "gopher://127.0.0.1/live/x"}, NO_PULL),
    ("/api/ctrl/start_relay_pull", {"url": "rtmp://127.0.0.1"}, NO_PULL),
    ("/api/ctrl/start_relay_pull", {"url": "rtmp://127.0.0.1/live/x", "stream_name": NAME}, NO_PULL),  # it is published
    ("/api/ctrl/start_relay_pull", {"url": "rtmp://127.0.0.1/live/x", "auto_stop_pull_after_no_out_ms": 0}, NO_PULL),
    ("/api/ctrl/kick_session", {}, NO_PARAM),
    ("/api/ctrl/kick_session", [], NO_PARAM),
    ("/api/ctrl/kick_session", {"stream_name": NAME}, NO_PARAM),
    ("/api/ctrl/kick_session", {"session_id": "FLVSUB1"}, NO_PARAM),
    ("/api/ctrl/kick_session", {"stream_name": "nobody", "session_id": "FLVSUB1"}, NO_GROUP),
    ("/api/ctrl/kick_session", {"stream_name": NAME, "session_id": "FLVSUB1"}, NO_SESSION),
    ("/api/ctrl/start_rtp_pub", {}, NO_PARAM),
    ("/api/ctrl/start_rtp_pub", {"stream_name": "gb"}, NO_LISTEN),
    ("/api/ctrl/stop_rtp_pub", {"stream_name": "gb"}, NO_SESSION),
    ("/api/ctrl/add_ip_blacklist", {"ip": "192.0.2.1"}, NO_PARAM),
    ("/api/ctrl/add_ip_blacklist", {"duration_sec": 1}, NO_PARAM),
    ("/api/ctrl/add_ip_blacklist", {"ip": "here", "duration_sec": 1}, NO_PARAM),
    ("/api/ctrl/add_ip_blacklist", {"ip": "192.0.2.1", "duration_sec": 0}, NO_PARAM),
    ("/api/ctrl/stop_record", {"stream_name": NAME}, NO_SESSION),
]


@pytest.mark.parametrize(("path", "body", "code"), REFUSED)
def test_what_lal_refuses_is_refused_with_its_code(lal: LalClient, path: str, body: object, code: int) -> None:
    answer = lal.ask(path, None if body is None else json.dumps(body).encode())
    assert answer["error_code"] == code, answer
    assert not answer.get("data")


def test_a_body_that_is_no_json_is_a_missing_parameter(lal: LalClient) -> None:
    for data in (b"x", b"\xff", b"[" * 10_000, b" " * 70_000):
        assert lal.ask("/api/ctrl/kick_session", data)["error_code"] == NO_PARAM


def test_a_pull_is_begun_seen_and_ended(server: Node, lal: LalClient) -> None:
    """There is no such server."""
    begun = lal.ctrl("start_relay_pull", {"url": f"rtmp://{LOOPBACK}:1/live/away", "pull_retry_num": -1})
    assert begun["data"].keys() == {"stream_name", "session_id"}
    assert begun["data"]["stream_name"] == "away"
    assert begun["data"]["session_id"].startswith("RTMPPULL")
    ended = lal.ctrl("stop_relay_pull", stream_name="away")
    assert ended == {"error_code": 0, "desp": "succ", "data": {"session_id": begun["data"]["session_id"]}}
    assert lal.ctrl("stop_relay_pull", stream_name="away")["error_code"] == NO_GROUP


def test_a_pull_that_never_starts_ends_with_its_event(lal: LalClient, sink: WebhookSink) -> None:
    begun = lal.ctrl("start_relay_pull", {"url": f"rtmp://{LOOPBACK}:1/live/never", "pull_retry_num": 0})
    hooks = sink.until(lambda hooks: bool(of(hooks, "relay_pull_stop", stream_name="never")), LIMIT_S)
    [hook] = of(hooks, "relay_pull_start", "relay_pull_stop", stream_name="never")
    told = hook.body
    assert (told["session_id"], told["base_type"]) == (begun["data"]["session_id"], "PULL")
    assert (told["has_in_session"], told["read_bytes_sum"]) == (False, 0)


async def test_who_waits_gets_what_is_pulled_for_the_first_viewer(
    server: Node, lal: LalClient, sink: WebhookSink, media: Media
) -> None:
    """lal's dispatch: on_sub_start of a stream that nobody publishes leads to start_relay_pull."""

    def about(*events: str) -> list[Hook]:
        return of(
            sink.until(lambda hooks: bool(of(hooks, events[-1], stream_name="wanted")), LIMIT_S), *events, stream_name="wanted"
        )

    player = recorder("http-flv", server.flv_url("live/wanted"))
    with flv_source(media("h264_aac")) as source:
        async with recording(player):
            [came] = await asyncio.to_thread(about, "sub_start")
            assert (came.body["has_in_session"], came.body["protocol"], came.body["base_type"]) == (False, "FLV", "SUB")
            begun = await asyncio.to_thread(
                lal.ctrl, "start_relay_pull", {"url": f"{source}/live/wanted.flv", "stream_name": "wanted"}
            )
            await player.more(LIMIT_S)
            group = await asyncio.to_thread(lal.group_until, "wanted", lambda group: group["pull"]["session_id"], LIMIT_S)
            assert group["pull"]["session_id"] == begun["data"]["session_id"]
            assert [sub["session_id"] for sub in group["subs"]] == [came.body["session_id"]]
        ended = await asyncio.to_thread(lal.ctrl, "stop_relay_pull", stream_name="wanted")
        pulls = await asyncio.to_thread(about, "relay_pull_start", "relay_pull_stop")
    assert ended["data"] == {"session_id": begun["data"]["session_id"]}
    assert [hook.event_name for hook in pulls] == ["on_relay_pull_start", "on_relay_pull_stop"]
    assert {hook.body["session_id"] for hook in pulls} == {begun["data"]["session_id"]}
    [left] = await asyncio.to_thread(about, "sub_stop")
    assert left.body["session_id"] == came.body["session_id"]


async def test_a_player_that_waits_in_vain_is_told_of_and_can_be_kicked(server: Node, lal: LalClient, sink: WebhookSink) -> None:
    def about(event: str) -> Hook:
        return of(sink.until(lambda hooks: bool(of(hooks, event, stream_name="nobody2")), LIMIT_S), event, stream_name="nobody2")[0]

    player = recorder("rtmp", server.rtmp_url("live/nobody2"))
    async with recording(player):
        came = await asyncio.to_thread(about, "sub_start")
        body = {"stream_name": "nobody2", "session_id": came.body["session_id"]}
        await asyncio.to_thread(kick_when_listed, lal, body)
        left = await asyncio.to_thread(about, "sub_stop")
    assert (left.body["session_id"], left.body["wrote_bytes_sum"]) == (came.body["session_id"], 0)


def kick_when_listed(lal: LalClient, body: dict[str, str]) -> None:
    """The directory hears of a session within a moment."""
    wait_until("the kick", lambda: lal.ctrl("kick_session", body)["error_code"] == 0, LIMIT_S)


def test_an_address_is_let_in_nowhere_for_a_while(server: Node, lal: LalClient) -> None:
    body = {"ip": "192.0.2.77", "duration_sec": 60}
    assert lal.ctrl("add_ip_blacklist", body) == {"error_code": 0, "desp": "succ"}
    with urllib.request.urlopen(f"{server.api_url}/v1/blacklist", timeout=LIMIT_S) as answer:
        assert "192.0.2.77/32" in [item["network"] for item in json.load(answer)["items"]]


def test_a_stream_is_recorded_from_one_call_to_another(server: Node, lal: LalClient) -> None:
    begun = lal.ctrl("start_record", {"stream_name": NAME})
    assert begun["data"].keys() == {"stream_name", "record_id"}
    with urllib.request.urlopen(f"{server.api_url}/v1/recordings/{begun['data']['record_id']}", timeout=LIMIT_S) as answer:
        assert json.load(answer)["formats"] == ["flv"]
    assert lal.ctrl("stop_record", {"stream_name": NAME}) == {"error_code": 0, "desp": "succ"}


def test_lals_page_leads_to_the_console(server: Node) -> None:
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *arguments: object) -> None:
            return None

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.build_opener(Stay).open(f"{server.api_url}/lal.html", timeout=LIMIT_S)
    caught.value.close()
    assert (caught.value.code, caught.value.headers["Location"]) == (302, "/console/")


# lal's file and URLs --------------------------------------------------------------------------------------------------


def test_lals_file_serves_lals_ports_and_urls(server: Node) -> None:
    assert {"rtmp", "rtsp", "ws_rtsp", "http", "api"} <= server.ports.keys()  # those of TLS lack their certificate, as in lal
    assert "rtmps" not in server.ports

    def playlist(path: str) -> bool:
        try:
            with urllib.request.urlopen(server.http_url(path), timeout=LIMIT_S) as answer:
                return bool(answer.read(7) == b"#EXTM3U")
        except urllib.error.HTTPError as error:
            error.close()
            return False

    for path in (f"hls/{NAME}.m3u8", f"hls/{NAME}/playlist.m3u8"):
        wait_until(path, lambda path=path: playlist(path), LIMIT_S)  # type: ignore[misc]
    with urllib.request.urlopen(urllib.request.Request(server.flv_url(STREAM), headers={"Origin": "http://a.example"})) as answer:
        assert (answer.read(3), answer.headers["Access-Control-Allow-Origin"]) == (b"FLV", "*")


# Cluster --------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not CAN_RUN_REDIS, reason="no redis server here")
async def test_every_scheduler_answers_for_the_whole_cluster_to_who_has_a_token(
    media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    redis = stack.enter_context(RedisServer(tmp_path))
    token = tmp_path / "token"
    token.write_text("a-token-of-tests-for-lal")
    settings: dict[str, dict[str, object]] = {
        "scheduler": {
            "scheduler.redis.host": LOOPBACK,
            "scheduler.redis.port": redis.port,
            "scheduler.http.token_file": str(token),
        },
        "edge": {"edge.session.report_s": 1},
    }
    cluster = stack.enter_context(Cluster(tmp_path, schedulers=2, origins=1, edges=2, settings=settings))
    ingest, edge = cluster.edges
    stack.enter_context(Publisher(media("h264_aac"), ingest.rtmp_url(STREAM), log=tmp_path / "push.log", loops=-1))
    player = recorder("http-flv", edge.flv_url(STREAM))
    async with recording(player):
        await player.more(LIMIT_S)
        for scheduler in cluster.schedulers:
            lal = LalClient(scheduler.api_url, token.read_text())
            group = await asyncio.to_thread(
                lal.group_until, NAME, lambda group: group["subs"] and group["in_frame_per_sec"], LIMIT_S
            )
            assert_session(group["pub"], "RTMPPUBSUB", "RTMP", "PUB")
            assert_session(group["subs"][0], "FLVSUB", "FLV", "SUB")
            assert (group["app_name"], group["video_codec"], group["audio_codec"]) == ("live", "H264", "AAC")
        stranger = LalClient(cluster.schedulers[1].api_url)
        body = {"stream_name": NAME, "session_id": group["subs"][0]["session_id"]}
        assert (await asyncio.to_thread(stranger.ctrl, "kick_session", body))["error_code"] == 401
        assert (await asyncio.to_thread(lal.ctrl, "kick_session", body))["error_code"] == 0
        async with asyncio.timeout(LIMIT_S):
            while not player.ended:  # noqa: ASYNC110 -- a recorder has no event for it
                await asyncio.sleep(0.02)
        gone = await asyncio.to_thread(lal.ask, f"/api/ctrl/stop_relay_pull?stream_name={NAME}")
        assert gone["error_code"] == NO_SESSION  # by GET, as lal has it, with a token
