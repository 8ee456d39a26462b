"""Whole edges: HLS of hls nodes through their own port, and a certificate that is renewed under way."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest
from support import frames, wire
from support.cluster import Cluster, Node, Standalone
from support.etcd import make_certificates
from support.ffmpeg import Publisher
from support.frames import assert_same_from_join
from support.hls_player import HlsPlayer
from support.media import media
from support.operator_api import kick, sessions
from support.ports import LOOPBACK
from support.process import wait_until

QUICK = {"hls.segment_ms": 1000, "hls.part_ms": 250, "hls.list_num": 4, "hls.delete_threshold_num": 2, "origin.grace_s": 0}
LIMIT_S = 40.0
RENEWED_S = 30.0  #: for an edge to see new files; it looks each 5 s
AT_ONCE_S = 3.0  #: less than that
ENOUGH = 5  #: segments of a second
PLAYERS = 20


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def push(name: str, node: Node, stack: ExitStack, folder: Path, *, loops: int = 0) -> None:
    stack.enter_context(Publisher(media(name), node.rtmp_url("live/cam"), log=folder / "push.log", loops=loops))


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


def are_live(*urls: str) -> None:
    wait_until("the playlists", lambda: all(get(url)[0] == 200 for url in urls), LIMIT_S)


async def until_live(*urls: str) -> None:
    await asyncio.to_thread(are_live, *urls)


def counted(node: Node, metric: str) -> float:
    """The value of a metric, 0 where it is not told."""
    lines = (line.rpartition(" ") for line in node.metrics().splitlines())
    return next((float(value) for name, _, value in lines if name == metric), 0.0)


def check_frames(name: str, file: Path) -> None:
    """What the segments hold is what was pushed, from some place on, without a hole."""
    if file.suffix == ".ts":
        sent, received = frames.as_transport_stream(media(name)), frames.of_transport_stream(file)
    else:
        sent, received = frames.of_file(media(name)), frames.of_file(file)
    assert_same_from_join(frames.in_ms(sent), frames.in_ms(received))


async def test_hls_through_edges_is_the_same_hls(stack: ExitStack, tmp_path: Path) -> None:
    settings = {"hls": QUICK, "origin": {"origin.grace_s": 0}}
    cluster = stack.enter_context(Cluster(tmp_path, origins=1, edges=2, hls=2, settings=settings))
    push("h264_b3_aac", cluster.edges[0], stack, tmp_path)
    servers = [f"http://{LOOPBACK}:{edge.ports['http']}" for edge in cluster.edges]
    plain, quick = "/hls/live/cam.m3u8", "/hls/live/cam/live.m3u8"
    await until_live(servers[1] + plain, servers[0] + quick)
    async with HlsPlayer(servers, plain) as ts, HlsPlayer(servers, quick, low_latency=True) as fmp4, asyncio.TaskGroup() as group:
        for player in (ts, fmp4):
            group.create_task(player.play(lambda _: False, LIMIT_S))  # to the end
    for player, name in ((ts, "played.ts"), (fmp4, "played.mp4")):
        assert len(player.segments) >= ENOUGH
        assert [str(violation) for violation in player.checker.violations] == []
        check_frames("h264_b3_aac", player.file(tmp_path, name))


async def test_many_players_at_one_edge_are_one_at_the_hls_node(stack: ExitStack, tmp_path: Path) -> None:
    node = stack.enter_context(Standalone(tmp_path, QUICK))
    push("h264_aac", node, stack, tmp_path, loops=-1)
    url = node.http_url("hls/live/cam/live.m3u8")
    await until_live(url)
    players = counted(node, "edge_hls_players")
    before = counted(node, 'edge_hls_requests_total{by="hls node"}')
    first = next(line.partition(":")[2] for line in get(url)[1].splitlines() if line.startswith("#EXT-X-MEDIA-SEQUENCE:"))
    segments = get(url)[1].count("#EXTINF:")
    waiting = f"{url}?_HLS_msn={int(first) + segments + 1}&_HLS_part=0"  # the next but one
    answers = await asyncio.gather(*(asyncio.to_thread(get, waiting) for _ in range(PLAYERS)))
    assert {status for status, _ in answers} == {200}
    assert len({body for _, body in answers}) == 1
    assert counted(node, 'edge_hls_requests_total{by="hls node"}') - before <= 1 + 2  # and the two without a query
    assert counted(node, "edge_hls_players") - players == 2 + PLAYERS
    assert counted(node, "hls_players") == 0


async def test_a_player_that_moves_between_edges_and_hls_nodes_is_one_session(stack: ExitStack, tmp_path: Path) -> None:
    cluster = stack.enter_context(Cluster(tmp_path, origins=1, edges=2, hls=1, settings={"hls": QUICK}))
    push("h264_aac", cluster.edges[0], stack, tmp_path, loops=-1)
    await until_live(*(edge.http_url("hls/live/cam/live.m3u8") for edge in cluster.edges))
    servers = [edge.http_url("") for edge in cluster.edges] + [cluster.hls[0].hls_url("").removesuffix("hls/")]
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{servers[0]}hls/live/cam/index.m3u8") as answer:
            session_id, index = answer.url.query["session_id"], await answer.text()
        variant = index.splitlines()[-1]
        assert variant == f"live.m3u8?session_id={session_id}"
        sent_bytes = len(index)
        for server in servers:
            async with session.get(f"{server}hls/live/cam/{variant}", allow_redirects=False) as answer:
                assert answer.status == 200
                sent_bytes += len(await answer.read())

    def found() -> dict[str, object]:
        of_player = [each for each in sessions(cluster.api_url, protocol="hls") if each["id"] == session_id]
        return of_player[0] if len(of_player) == 1 else {}

    await asyncio.to_thread(wait_until, "all of it", lambda: found().get("sent_bytes") == sent_bytes, LIMIT_S)
    assert (found()["stream"], found()["codecs"]) == ("live/cam", ["h264", "aac"])
    kick(cluster.api_url, session_id, "enough")

    def is_over() -> bool:
        return {get(f"{server}hls/live/cam/{variant}")[0] for server in servers} == {410}

    await asyncio.to_thread(wait_until, "410 everywhere", is_over, LIMIT_S)


def shown(port: int) -> bytes:
    """The certificate that a client is shown."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((LOOPBACK, port), timeout=LIMIT_S))).digest()


async def test_a_renewed_certificate_is_shown_and_players_stay(stack: ExitStack, tmp_path: Path) -> None:
    made = [make_certificates(tmp_path / name) for name in ("old", "new")]
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def put(number: int) -> None:
        shutil.copy(made[number].cert_file("server"), cert)
        shutil.copy(made[number].key_file("server"), key)

    put(0)
    node = stack.enter_context(Standalone(tmp_path, {"edge.tls.cert_file": str(cert), "edge.tls.key_file": str(key)}))
    push("h264_b3_aac_60s", node, stack, tmp_path)
    context = ssl.create_default_context(cafile=made[0].ca_file)
    reader, writer = await asyncio.open_connection(LOOPBACK, node.ports["https"], ssl=context)
    playing = wire.Wire(reader, writer)
    assert (await wire.request(playing, "/live/cam.ts")).headers["content-type"] == "video/mp2t"
    first = await asyncio.to_thread(shown, node.ports["https"])
    put(1)
    await asyncio.to_thread(wait_until, "a new certificate", lambda: shown(node.ports["https"]) != first, RENEWED_S, every_s=0.5)
    assert shown(node.ports["rtmps"]) == shown(node.ports["https"])
    for _ in range(PLAYERS):
        assert await playing.receive()
    writer.close()
    assert counted(node, "edge_certificate_reloads_total") == 1.0


def asked_to_reload(node: Node, *listeners: str) -> set[bytes]:
    """The certificates that `listeners` show once they show others, having been told by SIGHUP."""
    before = {listener: shown(node.ports[listener]) for listener in listeners}
    os.kill(node.pid, signal.SIGHUP)

    def is_new() -> bool:
        return all(shown(node.ports[listener]) != old for listener, old in before.items())

    wait_until("new certificates", is_new, AT_ONCE_S)
    return {shown(node.ports[listener]) for listener in listeners}


def test_hls_nodes_speak_tls_too_and_sighup_takes_new_certificates_at_once(stack: ExitStack, tmp_path: Path) -> None:
    made = [make_certificates(tmp_path / name) for name in ("old", "new")]
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def put(number: int) -> None:
        shutil.copy(made[number].cert_file("server"), cert)
        shutil.copy(made[number].key_file("server"), key)

    put(0)
    files = {f"{role}.tls.{which}_file": str(file) for role in ("edge", "hls") for which, file in (("cert", cert), ("key", key))}
    node = stack.enter_context(Standalone(tmp_path, {**QUICK, **files}))
    push("h264_aac", node, stack, tmp_path, loops=-1)
    are_live(node.hls_url("live/cam.m3u8"))
    context = ssl.create_default_context(cafile=made[0].ca_file)
    for port, path in ((node.ports["hls_https"], "/hls/live/cam.m3u8"), (node.ports["https"], "/record/")):
        with urllib.request.urlopen(f"https://{LOOPBACK}:{port}{path}", timeout=LIMIT_S, context=context) as answer:
            assert answer.status == 200
    put(1)
    assert len(asked_to_reload(node, "hls_https", "https", "rtmps")) == 1
    assert counted(node, "hls_certificate_reloads_total") == 1.0
    assert node.running


async def test_a_name_without_its_application_is_found_wherever_it_is_segmented(stack: ExitStack, tmp_path: Path) -> None:
    cluster = stack.enter_context(Cluster(tmp_path, origins=1, edges=2, hls=2, settings={"hls": QUICK}))
    push("h264_aac", cluster.edges[0], stack, tmp_path, loops=-1)
    named = [node.hls_url(path) for node in cluster.hls for path in ("cam.m3u8", "cam/playlist.m3u8")]
    await until_live(cluster.edges[1].http_url("hls/cam.m3u8"), *named)
    files = [line for line in get(named[1])[1].splitlines() if not line.startswith("#")]
    assert files
    assert all(line.startswith("../live/cam/") for line in files)
    assert get(cluster.hls[1].hls_url("other.m3u8"))[0] == 404


def test_an_hls_node_waits_for_nobody_who_says_nothing(stack: ExitStack, tmp_path: Path) -> None:
    limits = {"hls.limits.handshake_timeout_s": 2.0, "hls.limits.connections_per_address": 1}
    node = stack.enter_context(Standalone(tmp_path, limits))
    with socket.create_connection((LOOPBACK, node.ports["hls"]), timeout=LIMIT_S) as silent:
        assert get(node.hls_url("live/cam.m3u8"))[0] == 503
        assert silent.recv(1) == b""
    assert counted(node, 'hls_connections_refused_total{listener="http",reason="handshake timeout"}') == 1.0
    assert counted(node, 'hls_connections_refused_total{listener="http",reason="address limit"}') == 1.0
