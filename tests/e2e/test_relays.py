"""Streams that are fetched from other servers and sent there, with real servers at the other end."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from support.camera import Camera
from support.clip import Clip
from support.cluster import Cluster, Node
from support.etcd import make_certificates
from support.event_stream import listening
from support.ffmpeg import FFMPEG, Player, Publisher, bounded, quiet
from support.frames import as_transport_stream, of_file, read
from support.operator_api import change_setting
from support.ports import LOOPBACK, free_ports
from support.process import Child, wait_until
from support.recorder import recorder, recording
from support.redis import CAN_RUN_REDIS, RedisServer
from support.relaying import LIMIT_S, ROWS, StartStandalone, asked, check_frames, other, relays, state

from bench.peers import Nginx

Media = Callable[[str], Path]
StartCluster = Callable[..., Cluster]

STREAM = "live/cam"
UNITS = 150
WAIT = "edge.play.wait_publisher_s"


SOURCES: dict[str, Callable[[Node], str]] = {
    "rtmp": lambda node: node.rtmp_url("{app}/{name}"),
    "http-flv": lambda node: node.flv_url("{app}/{name}"),
    "ws-flv": lambda node: node.ws_url("{app}/{name}"),
}


@pytest.mark.parametrize("protocol", SOURCES)
def test_a_stream_is_fetched_from_another_lalmesh_while_somebody_watches(
    protocol: str, start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    file = media("h264_aac")
    source = other(start_standalone, "source")
    rules = [f"live/* {SOURCES[protocol](source)} stop_after_s=0"]
    here = other(start_standalone, "here", {"relay.pulls": rules, "origin.grace_s": 1})
    stack.enter_context(Publisher(file, source.rtmp_url(STREAM), log=tmp_path / "push.log", loops=10))
    assert relays(here) == []
    check_frames(file, here.flv_url(STREAM), tmp_path, protocol, stack)
    wait_until("its end", lambda: relays(here) == [], LIMIT_S)
    wait_until("the end of what it left", lambda: asked(here, "/v1/streams")["items"] == [], LIMIT_S)
    check_frames(file, here.rtmp_url(STREAM), tmp_path, f"{protocol}-again", stack)


async def test_rtsp_is_fetched_as_well_and_players_of_hls_are_a_demand(
    start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    clip = Clip(media("unique_av"))
    source = other(start_standalone, "source")
    rules = [f"live/* {source.rtsp_url('{app}/{name}')} stop_after_s=0"]
    here = other(start_standalone, "here", {"relay.pulls": rules, "hls.segment_ms": 1000})
    stack.enter_context(Publisher(clip.file, source.rtmp_url(STREAM), log=tmp_path / "push.log", loops=10))
    hls = recorder("hls", here.http_url(f"hls/{STREAM}.m3u8"))
    async with recording(hls):
        await hls.more(LIMIT_S, units=10 * UNITS)  # longer than who asks once is taken to watch
        [relay] = await asyncio.to_thread(relays, here)
    assert (relay["state"], relay["url"]) == ("running", source.rtsp_url(STREAM))
    assert hls.judge(clip).faults == []
    await asyncio.to_thread(wait_until, "its end", lambda: relays(here) == [], LIMIT_S)


async def test_a_player_of_hls_that_names_no_application_gets_what_a_rule_fetches(
    start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    clip = Clip(media("unique_av"))
    source = other(start_standalone, "source")
    rules = [f"tv/* {source.rtmp_url('{app}/{name}')} stop_after_s=0"]
    here = other(start_standalone, "here", {"relay.pulls": rules, "hls.segment_ms": 1000})
    stack.enter_context(Publisher(clip.file, source.rtmp_url("tv/cam"), log=tmp_path / "push.log", loops=10))
    hls = recorder("hls", here.http_url("hls/cam.m3u8"))
    async with recording(hls):
        await hls.more(LIMIT_S, units=2 * UNITS)
        [relay] = await asyncio.to_thread(relays, here)
    assert (relay["stream"], relay["state"]) == ("tv/cam", "running")
    assert hls.judge(clip).faults == []


def test_certificates_are_checked_unless_a_rule_says_otherwise(
    start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    file, certificates = media("h264_aac"), make_certificates(tmp_path)
    tls = {"edge.tls.cert_file": certificates.cert_file("server"), "edge.tls.key_file": certificates.key_file("server")}
    source = other(start_standalone, "source", {**tls})
    rules = [
        f"checked/* {source.rtmp_url('live/{name}', tls=True)} ca_file={certificates.ca_file}",
        f"unchecked/* {source.flv_url('live/{name}', tls=True)} verify_tls=false",
        f"refused/* {source.rtmp_url('live/{name}', tls=True)}",
    ]
    here = other(start_standalone, "here", {"relay.pulls": rules, WAIT: LIMIT_S})
    stack.enter_context(Publisher(file, source.rtmp_url(STREAM), log=tmp_path / "push.log", loops=10))
    check_frames(file, here.flv_url("checked/cam"), tmp_path, "checked", stack)
    check_frames(file, here.flv_url("unchecked/cam"), tmp_path, "unchecked", stack)
    change_setting(here, WAIT, 3)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(here.flv_url("refused/cam"), timeout=LIMIT_S)
    refused.value.close()
    [relay] = [relay for relay in relays(here) if relay["stream"] == "refused/cam"]
    assert "CERTIFICATE_VERIFY_FAILED" in relay["error"]


@pytest.mark.skipif(not Nginx.available(), reason="nginx with its RTMP module is not installed")
def test_a_stream_is_fetched_from_nginx(start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path) -> None:
    file = media("h264_aac")
    nginx = stack.enter_context(Nginx(tmp_path / "nginx", wait_key=True))
    here = other(start_standalone, "here", {"relay.static_pull": f"127.0.0.1:{nginx.ports['rtmp']}"})
    stack.enter_context(Publisher(file, nginx.rtmp_url(STREAM), log=tmp_path / "push.log", loops=10))
    check_frames(file, here.flv_url(STREAM), tmp_path, "nginx", stack)


@pytest.mark.skipif(not Nginx.available(), reason="nginx with its RTMP module is not installed")
def test_static_relays_of_lals_file_go_to_the_urls_that_lal_dials(
    start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    file, key = media("h264_aac"), "a key of both"
    (tmp_path / "key").write_text(key)
    nginx = stack.enter_context(Nginx(tmp_path / "nginx", wait_key=True))  # knows the application live alone
    guarded: dict[str, object] = {"auth.rules": ["publish live/* lal_secret"], "auth.lal_secret.key_file": str(tmp_path / "key")}
    target = other(start_standalone, "target", guarded)  # tells applications apart, and wants the publisher's query
    places = [f"127.0.0.1:{nginx.ports['rtmp']}", target.rtmp_url("").split("/")[2]]
    lal = {
        "rtmp": {"enable": True, "addr": ":0"},
        "default_http": {"http_listen_addr": ":0"},
        "httpflv": {"enable": True, "url_pattern": "/"},
        "relay_push": {"enable": True, "addr_list": places},
        "static_relay_pull": {"enable": True, "addr": places[0]},
    }
    (tmp_path / "lal.json").write_text(json.dumps(lal))
    here = start_standalone({"cluster.name": "here"}, name="here", arguments=("--lal-config", str(tmp_path / "lal.json")))
    secret = md5(f"{key}cam".encode(), usedforsecurity=False).hexdigest()
    stack.enter_context(Publisher(file, here.rtmp_url(f"{STREAM}?lal_secret={secret}"), log=tmp_path / "push.log", loops=10))
    check_frames(file, nginx_url := f"rtmp://{places[0]}/live/cam", tmp_path, "pushed-nginx", stack)
    check_frames(file, target.flv_url(STREAM), tmp_path, "pushed", stack)
    assert secret not in json.dumps(relays(here)) + here.output()
    stack.enter_context(Publisher(file, nginx_url.replace("cam", "there"), log=tmp_path / "there.log", loops=10))
    check_frames(file, here.flv_url("live/there"), tmp_path, "fetched", stack)


async def test_players_stay_while_the_source_dies_and_returns(
    start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    clip = Clip(media("unique_av"))
    source = other(start_standalone, "source")
    here = other(start_standalone, "here", {"relay.pulls": [f"live/* {source.rtmp_url('{app}/{name}')}"]})
    stack.enter_context(Publisher(clip.file, source.rtmp_url(STREAM), log=tmp_path / "push.log", loops=10))
    player = recorder("player", here.flv_url(STREAM))
    async with recording(player):
        await player.more(LIMIT_S, units=UNITS)
        source.kill()
        await asyncio.to_thread(wait_until, "a pause", lambda: state(here) == ["paused"], LIMIT_S, every_s=0.05)
        await asyncio.to_thread(source.restart().wait_ready)
        stack.enter_context(Publisher(clip.file, source.rtmp_url(STREAM), log=tmp_path / "again.log", loops=10))
        returned = time.monotonic()
        assert await player.plays_on(returned, LIMIT_S)
        await player.more(LIMIT_S, units=UNITS)
    assert player.judge(clip, joints=1).faults == []


async def test_the_next_source_is_taken_where_one_is_away(
    start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    clip = Clip(media("unique_av"))
    sources = [other(start_standalone, name) for name in ("first", "second")]
    rule = f"live/* {' '.join(each.rtmp_url('{app}/{name}') for each in sources)}"
    here = other(start_standalone, "here", {"relay.pulls": [rule]})
    for number, each in enumerate(sources):
        stack.enter_context(Publisher(clip.file, each.rtmp_url(STREAM), log=tmp_path / f"push{number}.log", loops=10))
    player = recorder("player", here.flv_url(STREAM))
    async with recording(player):
        await player.more(LIMIT_S, units=UNITS)
        assert (await asyncio.to_thread(relays, here))[0]["url"] == sources[0].rtmp_url(STREAM)
        sources[0].kill()
        await player.more(LIMIT_S, units=3 * UNITS)
        [relay] = await asyncio.to_thread(relays, here)
    assert (relay["url"], relay["state"]) == (sources[1].rtmp_url(STREAM), "running")
    assert player.judge(clip, joints=1).faults == []


async def test_another_edge_takes_over_where_the_one_that_fetches_dies(
    start_cluster: StartCluster, start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    clip = Clip(media("unique_av"))
    source = other(start_standalone, "source")
    rules = {
        "relay.pulls": [f"live/* {source.rtmp_url('{app}/{name}')}"],
        "relay.pushes": [f"sent/* {source.rtmp_url('{app}/{name}')}"],
    }
    cluster = start_cluster(schedulers=2, origins=1, edges=3, settings={"scheduler": rules})
    stack.enter_context(Publisher(clip.file, source.rtmp_url(STREAM), log=tmp_path / "push.log", loops=10))
    players = {edge.name: recorder(edge.name, edge.flv_url(STREAM)) for edge in cluster.edges}
    async with recording(*players.values()):
        await asyncio.gather(*(player.more(LIMIT_S, units=UNITS) for player in players.values()))
        name = await asyncio.to_thread(edge_of, cluster)
        killed = time.monotonic()
        next(edge for edge in cluster.edges if edge.name == name).kill()
        staying = [player for other_name, player in players.items() if other_name != name]
        await asyncio.to_thread(wait_until, "another edge", lambda: edge_of(cluster) not in (name, ""), LIMIT_S)
        for player in staying:
            assert await player.plays_on(killed + 1.0, LIMIT_S)
            await player.more(LIMIT_S, units=UNITS)
        for scheduler in cluster.schedulers:
            [relay] = await asyncio.to_thread(relays, scheduler)
            assert (relay["state"], relay["edge"] != name) == ("running", True)
    assert [fault for player in staying for fault in player.judge(clip, joints=1).faults] == []
    stream = await asyncio.to_thread(move_a_push, cluster, name, clip.file, stack, tmp_path)
    target = recorder("target", source.flv_url(stream))
    async with recording(target):
        await target.more(LIMIT_S, units=UNITS)
    assert target.judge(clip, joints=1).faults == []  # what it has from before may come first


def move_a_push(cluster: Cluster, dead: str, file: Path, stack: ExitStack, folder: Path) -> str:
    """End the edge that sends a stream which another publishes, until it is sent from there: its name."""
    here, there = (edge for edge in cluster.edges if edge.name != dead)
    for number in range(12):  # which edge sends a stream is up to its name
        stream = f"sent/{number}"
        publisher = stack.enter_context(Publisher(file, here.rtmp_url(stream), log=folder / f"sent{number}.log", loops=10))
        wait_until("its push", partial(is_sent, cluster, stream), LIMIT_S)
        if edge_of(cluster, stream) == there.name:
            break
        publisher.stop()
    there.kill()
    wait_until("its push from elsewhere", lambda: edge_of(cluster, stream) == here.name and is_sent(cluster, stream), LIMIT_S)
    return stream


def is_sent(cluster: Cluster, stream: str) -> bool:
    """Whether a push of the stream runs."""
    return any(
        relay["kind"] == "push" and relay["state"] == "running"
        for relay in relays(cluster.schedulers[0])
        if relay["stream"] == stream
    )


def edge_of(cluster: Cluster, stream: str = STREAM) -> str:
    """The edge that has a stream's relay now."""
    return next((relay["edge"] or "" for relay in relays(cluster.schedulers[0]) if relay["stream"] == stream), "")


@pytest.mark.skipif(not CAN_RUN_REDIS, reason="no redis server here")
async def test_of_what_no_edge_had_room_for_it_is_told_once_that_it_never_ran(
    start_cluster: StartCluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    redis = stack.enter_context(RedisServer(tmp_path))
    cluster = start_cluster(
        schedulers=2,
        edges=1,
        settings={
            "scheduler": {"scheduler.redis.host": LOOPBACK, "scheduler.redis.port": redis.port},
            "edge": {"edge.capacity.sessions": 1},
        },
    )
    stack.enter_context(Publisher(media("h264_aac"), cluster.edges[0].rtmp_url("live/own"), log=tmp_path / "own.log", loops=10))
    here, there = cluster.schedulers
    pull = {"kind": "pull", "stream": STREAM, "urls": ["rtmp://127.0.0.1:1/live/a?token=hidden"]}
    push = {"kind": "push", "stream": STREAM, "urls": ["rtmp://127.0.0.1:1/live/cam"]}

    def end_in_vain(body: dict[str, Any]) -> str:
        made = asked(here, "/v1/relays", body)
        assert made["state"] == "waiting"
        wait_until("its record at the other", lambda: any(each["id"] == made["id"] for each in relays(there)), LIMIT_S)
        asked(there, f"/v1/relays/{made['id']}", method="DELETE")
        return str(made["id"])

    await asyncio.to_thread(wait_until, "a full edge", lambda: is_full(cluster), LIMIT_S)
    ids = [await asyncio.to_thread(end_in_vain, body) for body in (pull, push, pull)]
    told = await ends(there, len(ids))
    assert [each["session_id"] for each in told] == ids
    room, publisher = (f"it has waited for {what} and never ran" for what in ("an edge with room", "a publisher"))
    assert [each["reason"] for each in told] == [room, publisher, room]
    assert told[0]["url"] == "rtmp://127.0.0.1:1/live/a"


async def test_of_one_that_is_over_at_once_it_is_told_once(start_standalone: StartStandalone) -> None:
    here = start_standalone()
    pull = {"kind": "pull", "stream": STREAM, "urls": ["rtmp://127.0.0.1:1/live/a"]}
    ids = []
    for _ in range(5):  # of which some are over before the edge has heard of them
        made = await asyncio.to_thread(asked, here, "/v1/relays", pull)
        await asyncio.to_thread(asked, here, f"/v1/relays/{made['id']}", method="DELETE")
        ids.append(made["id"])
    told = await ends(here, len(ids))
    assert sorted(each["session_id"] for each in told) == sorted(ids)  # some by the edge, some by the scheduler


async def ends(server: Node, count: int) -> list[dict[str, Any]]:
    """The first ends of relays that were told of."""
    query = "kind=relay_pull_stop&kind=relay_push_stop&after=0-0"
    async with asyncio.timeout(LIMIT_S), listening(server.api_url, query) as events:
        return [json.loads((await anext(events))["data"])["data"] for _ in range(count)]


def is_full(cluster: Cluster) -> bool:
    """Whether no scheduler may give any edge anything."""
    nodes = [node for scheduler in cluster.schedulers for node in asked(scheduler, "/v1/nodes?role=edge")["items"]]
    return all(node["load"] is not None and node["load"]["sessions"] >= node["capacity"]["sessions"] for node in nodes)


def test_two_clusters_that_point_at_each_other_end_with_an_error(start_standalone: StartStandalone) -> None:
    [port] = free_ports(1)
    one = other(start_standalone, "one", {"relay.pulls": [f"live/* rtmp://127.0.0.1:{port}/{{app}}/{{name}} stop_after_s=1"]})
    rules = [f"live/* {one.rtmp_url('{app}/{name}')} stop_after_s=1"]
    two = other(start_standalone, "two", {"edge.rtmp.port": port, "relay.pulls": rules})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(one.flv_url(STREAM), timeout=LIMIT_S)
    refused.value.close()
    assert refused.value.code == 404
    [relay] = relays(two)
    assert "relay loop" in relay["error"]
    assert [cluster.partition("~")[0] for cluster in relay["via"]] == ["one"]
    wait_until("the end of both", lambda: relays(one) == relays(two) == [], LIMIT_S)


def test_what_would_come_from_here_is_refused_at_once(start_standalone: StartStandalone) -> None:
    here = start_standalone()
    with pytest.raises(urllib.error.HTTPError) as refused:
        asked(here, "/v1/relays", {"kind": "pull", "stream": STREAM, "urls": [here.rtmp_url("live/other")]})
    with refused.value as answer:
        problem = json.load(answer)
    assert refused.value.code == 400
    assert problem["field"] == "urls" or [each["field"] for each in problem["errors"]] == ["urls"]


def test_what_is_published_is_sent_elsewhere_whenever_that_is_there(
    start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    file = media("h264_aac")
    targets = [other(start_standalone, name) for name in ("first", "second")]
    rules = [f"live/* {targets[0].rtmp_url('copy/{name}')} {targets[1].rtsp_url('copy/{name}')}"]
    here = other(start_standalone, "here", {"relay.pushes": rules, "origin.grace_s": 2})
    publisher = stack.enter_context(Publisher(file, here.rtmp_url(STREAM), log=tmp_path / "push.log", loops=30))
    wait_until("both", lambda: state(here) == ["running", "running"], LIMIT_S)
    check_frames(file, targets[0].flv_url("copy/cam"), tmp_path, "rtmp", stack)
    player = stack.enter_context(Player(targets[1].flv_url("copy/cam"), tmp_path / "rtsp.rows", log=tmp_path / "rtsp.log"))
    wait_until("packets by RTSP", lambda: player.row_count() >= ROWS, LIMIT_S, child=player)
    player.stop()
    sent = {frame.md5 for frame in of_file(file).track("video")}
    assert {frame.md5 for frame in read(player.rows).track("video")} <= sent
    targets[0].kill()
    wait_until("a pause", lambda: "paused" in state(here), LIMIT_S, every_s=0.05)
    targets[0].restart().wait_ready()
    wait_until("both again", lambda: state(here) == ["running", "running"], LIMIT_S)
    check_frames(file, targets[0].flv_url("copy/cam"), tmp_path, "rtmp-again", stack)
    publisher.stop()
    wait_until("the end of both", lambda: relays(here) == [], LIMIT_S)


def test_a_listener_of_ffmpeg_is_sent_what_is_published(
    start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    file = media("h264_aac")
    here = start_standalone()
    [port] = free_ports(1)
    url, rows = f"rtsp://127.0.0.1:{port}/live/cam", tmp_path / "rows"
    pictures = ("-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-flush_packets", "1")
    command = [*quiet(FFMPEG), "-rtsp_flags", "listen", "-listen_timeout", "60", "-i", url, *pictures, str(rows)]
    listener = stack.enter_context(Child(bounded(150, command), log=tmp_path / "listener.log"))
    relay = asked(here, "/v1/relays", {"kind": "push", "stream": STREAM, "urls": [url]})
    assert relay["state"] == "waiting"
    stack.enter_context(Publisher(file, here.rtmp_url(STREAM), log=tmp_path / "push.log", loops=10))
    wait_until("pictures", lambda: len(read(rows).frames) >= 50, LIMIT_S, child=listener)
    shown = {frame.md5 for frame in as_transport_stream(file).track("video")}
    assert {frame.md5 for frame in read(rows).frames} <= shown
    asked(here, f"/v1/relays/{relay['id']}", method="DELETE")
    wait_until("its end", lambda: not listener.running, LIMIT_S)


async def test_a_pull_by_api_shows_no_secret_and_fails_after_its_retries(
    start_standalone: StartStandalone, media: Media, tmp_path: Path
) -> None:
    here = start_standalone()
    async with Camera(media("h264_aac")) as camera:
        body: dict[str, Any] = {"kind": "pull", "stream": "live/camera", "urls": [camera.url]}
        relay = await asyncio.to_thread(asked, here, "/v1/relays", body)
        player = recorder("player", here.flv_url("live/camera"))
        async with recording(player):
            await player.more(LIMIT_S, units=50)
        await asyncio.to_thread(wait_until, "its report", lambda: state(here) == ["running"], LIMIT_S)
        shown = await asyncio.to_thread(asked, here, f"/v1/relays/{relay['id']}")
        assert shown["urls"] == [camera.address.partition("?")[0]]
        assert camera.settings.password not in json.dumps(shown) + here.output()
    await asyncio.to_thread(asked, here, f"/v1/relays/{relay['id']}", method="DELETE")
    [port] = free_ports(1)
    body = {"kind": "pull", "stream": "live/none", "urls": [f"rtmp://u:secret@127.0.0.1:{port}/a/b?token=secret"], "retries": 1}
    await asyncio.to_thread(asked, here, "/v1/relays", body)
    await asyncio.to_thread(wait_until, "its failure", lambda: state(here) == ["failed"], LIMIT_S)
    [relay] = await asyncio.to_thread(relays, here)
    assert f"127.0.0.1:{port}" in relay["error"]
    assert "secret" not in json.dumps(relay) + here.output()
