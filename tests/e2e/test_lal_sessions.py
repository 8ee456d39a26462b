"""lal's API with what it begins and ends: relays, publishers, players of HLS, files; each row of its documents with a value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from e2e.test_lal_api import EMPTY, NO_GROUP, NO_PULL, assert_session
from support.cluster import Node, Standalone
from support.ffmpeg import Publisher
from support.held_clients import HeldClient, holding
from support.lal import LIMIT_S, NAME, STREAM, published_lal_server
from support.lal_client import LalClient
from support.operator_api import call
from support.process import wait_until
from support.pulled import tags_of

from lalmesh.container.flv import TAG_VIDEO
from services.scheduler.lal_names import lal_version

Media = Callable[[str], Path]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, media: Media) -> Iterator[Node]:
    """A server that takes lal's file, with one publisher."""
    settings = {"edge.session.report_s": 1, "hls.segment_ms": 1000, "origin.grace_s": 1}
    with published_lal_server(tmp_path_factory.mktemp("lal"), media("h264_aac"), settings) as node:
        yield node


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, media: Media) -> Iterator[Node]:
    """Another server, with a stream whose sound is G.711."""
    folder = tmp_path_factory.mktemp("source")
    with ExitStack() as stack:
        node = stack.enter_context(Standalone(folder, {"cluster.name": "elsewhere"}))  # by one of the same name it is a loop
        log = folder / "push.log"
        stack.enter_context(Publisher(media("h264_pcma"), node.rtmp_url("live/far"), log=log, loops=-1, limit_s=300))
        LalClient(node.api_url).group_until("far", lambda group: group["audio_codec"], LIMIT_S)
        yield node


@pytest.fixture
def lal(server: Node) -> LalClient:
    return LalClient(server.api_url)


def test_the_server_says_its_version(lal: LalClient) -> None:
    data = lal.stat("lal_info")["data"]
    assert data["lal_version"] == data["WebUiVersion"] == lal_version()
    assert lal_version() in data["bin_info"]


@pytest.mark.parametrize(("query", "code"), [({}, 1002), ({"stream_name": "nobody"}, NO_GROUP)])
def test_a_group_that_is_none_is_null(lal: LalClient, query: dict[str, str], code: int) -> None:
    answer = lal.stat("group", **query)
    assert (answer["error_code"], answer["data"]) == (code, None)


REASONS = [
    ({"url": "rtmp://127.0.0.1/live/x", "stream_name": NAME}, "lal.logic: in stream already exist at group"),
    ({"url": "rtmp://127.0.0.1/live/x", "auto_stop_pull_after_no_out_ms": 0}, "should auto stop pull"),
    ({"url": "gopher://127.0.0.1/live/x"}, "a URL has to begin with one of"),
]


@pytest.mark.parametrize(("body", "reason"), REASONS)
def test_why_nothing_is_fetched_is_said(lal: LalClient, body: object, reason: str) -> None:
    answer = lal.ctrl("start_relay_pull", body)
    assert answer["error_code"] == NO_PULL
    assert reason in answer["desp"]


def pull(lal: LalClient, url: str, name: str, **more: int) -> str:
    """The id of a relay that is begun under a name."""
    begun = lal.ctrl("start_relay_pull", {"url": url, "stream_name": name, **more})
    assert (begun["error_code"], begun["desp"], begun["data"]["stream_name"]) == (0, "succ", name), begun
    session_id: str = begun["data"]["session_id"]
    return session_id


def gone(lal: LalClient, name: str) -> None:
    wait_until(f"the end of {name}", lambda: lal.stat("group", stream_name=name)["error_code"] == NO_GROUP, LIMIT_S)


@pytest.mark.parametrize(("protocol", "prefix"), [("RTMP", "RTMPPULL"), ("RTSP", "RTSPPULL")])
def test_a_stream_is_fetched_has_every_field_and_does_not_come_back_when_it_is_kicked(
    source: Node, lal: LalClient, protocol: str, prefix: str
) -> None:
    url = source.rtmp_url("live/far") if protocol == "RTMP" else source.rtsp_url("live/far")
    name = f"pulled{protocol}"
    begun = pull(lal, url, name, pull_retry_num=-1)
    group = lal.group_until(name, lambda group: group["pull"]["read_bytes_sum"] and group["audio_codec"], LIMIT_S)
    assert_session(group["pull"], prefix, protocol, "PULL")
    assert group["pull"]["session_id"] == begun
    assert group["pull"]["remote_addr"] == url.split("/")[2]
    assert group["pull"]["wrote_bytes_sum"] == 0
    assert (group["pub"], group["subs"], group["pushs"]) == (EMPTY, None, None)
    assert (group["video_codec"], group["audio_codec"]) == ("H264", "PCMA")
    assert lal.ctrl("kick_session", {"stream_name": name, "session_id": begun}) == {"error_code": 0, "desp": "succ"}
    gone(lal, name)
    assert lal.ctrl("stop_relay_pull", stream_name=name)["error_code"] == NO_GROUP, "it is tried no more"


def test_a_pull_ends_when_nobody_watches_for_as_long_as_it_says(source: Node, lal: LalClient) -> None:
    pull(lal, source.rtmp_url("live/far"), "watched", auto_stop_pull_after_no_out_ms=1500)
    lal.group_until("watched", lambda group: group["pull"]["session_id"], LIMIT_S)
    gone(lal, "watched")


def test_what_is_sent_on_is_among_the_pushes_with_every_field(source: Node, server: Node, lal: LalClient) -> None:
    url = source.rtmp_url("live/sent")
    body = {"kind": "push", "stream": f"-/{NAME}", "urls": [url]}
    status, relay = call("POST", f"{server.api_url}/v1/relays", body)
    assert status == 201, relay
    group = lal.group_until(NAME, lambda group: group["pushs"] and group["pushs"][0]["wrote_bytes_sum"], LIMIT_S)
    [push] = group["pushs"]
    assert_session(push, "RTMPPUSH", "RTMP", "PUSH")
    assert push["remote_addr"] == url.split("/")[2]
    body = {"stream_name": NAME, "session_id": push["session_id"]}
    assert lal.ctrl("kick_session", body) == {"error_code": 0, "desp": "succ"}
    lal.group_until(NAME, lambda group: group["pushs"] is None, LIMIT_S)
    assert call("GET", f"{server.api_url}/v1/relays/{relay['id']}")[0] == 404


@pytest.mark.parametrize(("way", "prefix"), [("rtmp", "RTMPPUBSUB"), ("rtsp", "RTSPPUB")])
async def test_a_publisher_of_any_kind_has_every_field_and_can_be_kicked(
    server: Node, lal: LalClient, way: str, prefix: str
) -> None:
    name = f"published-{way}"
    publisher = HeldClient(server, way, "publish", f"live/{name}")
    async with holding([publisher]):
        group = await asyncio.to_thread(lal.group_until, name, lambda group: group["pub"]["session_id"], LIMIT_S)
        assert_session(group["pub"], prefix, way.upper(), "PUB")
        assert group["pub"]["remote_addr"] == publisher.peer
        body = {"stream_name": name, "session_id": group["pub"]["session_id"]}
        assert await asyncio.to_thread(lal.ctrl, "kick_session", body) == {"error_code": 0, "desp": "succ"}
        async with asyncio.timeout(LIMIT_S):
            await publisher.ended.wait()


async def test_a_player_of_hls_has_every_field_and_is_answered_no_more_when_it_is_kicked(server: Node, lal: LalClient) -> None:
    async with aiohttp.ClientSession() as client:
        async with asyncio.timeout(LIMIT_S):
            while True:
                async with client.get(server.http_url(f"hls/{NAME}.m3u8")) as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(0.1)

        def of(group: dict[str, Any]) -> list[dict[str, Any]]:
            return [sub for sub in group["subs"] or () if sub["session_id"] == f"HLSSUB{answer.url.query['session_id']}"]

        group = await asyncio.to_thread(lal.group_until, NAME, of, LIMIT_S)
        [sub] = of(group)
        assert_session(sub, "HLSSUB", "HLS", "SUB")
        body = {"stream_name": NAME, "session_id": sub["session_id"]}
        assert await asyncio.to_thread(lal.ctrl, "kick_session", body) == {"error_code": 0, "desp": "succ"}
        async with asyncio.timeout(LIMIT_S):
            while True:
                async with client.get(answer.url) as again:
                    if again.status == 410:
                        break
                await asyncio.sleep(0.05)


async def test_an_address_is_let_in_nowhere_for_a_while(server: Node, lal: LalClient) -> None:
    body = {"ip": "127.0.0.77", "duration_sec": 60}
    assert await status_from("127.0.0.77", server.flv_url(STREAM)) == 200
    assert await asyncio.to_thread(lal.ctrl, "add_ip_blacklist", body) == {"error_code": 0, "desp": "succ"}
    async with asyncio.timeout(LIMIT_S):
        while await status_from("127.0.0.77", server.flv_url(STREAM)) != 403:  # noqa: ASYNC110 -- nobody says when
            await asyncio.sleep(0.05)
    assert await status_from("127.0.0.78", server.flv_url(STREAM)) == 200
    _, listed = await asyncio.to_thread(call, "GET", f"{server.api_url}/v1/blacklist?address=127.0.0.77")
    [item] = listed["items"]
    assert item["network"] == "127.0.0.77/32"
    assert 0 < item["expires_us"] - item["created_us"] <= 60_000_000


async def status_from(address: str, url: str) -> int:
    """What a player at an address of this machine is answered."""
    connector = aiohttp.TCPConnector(local_addr=(address, 0))
    async with aiohttp.ClientSession(connector=connector) as client, client.get(url) as answer:
        return answer.status


def test_a_stream_is_in_a_file_from_one_call_to_another(server: Node, lal: LalClient) -> None:
    media = server.log.parent / "media"
    assert lal.ctrl("start_record", {"stream_name": NAME})["error_code"] == 0
    wait_until("a file that is written", lambda: any(spooled(server)), LIMIT_S)
    assert lal.ctrl("stop_record", {"stream_name": NAME}) == {"error_code": 0, "desp": "succ"}
    wait_until("the file", lambda: [*media.rglob("*.flv")] != [], LIMIT_S)
    [file] = media.rglob("*.flv")
    assert [tag for tag in tags_of(file) if tag.type_id == TAG_VIDEO]


def spooled(server: Node) -> list[Path]:
    """Files that are being written, with media in them."""
    files = (server.log.parent / f"{server.name}.spool").rglob("*.flv*")
    return [file for file in files if file.stat().st_size > 50_000]
