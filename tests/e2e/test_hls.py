"""HLS from end to end: what is pushed is what segments hold, playlists keep the rules, whoever dies."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from support import ffmpeg, frames
from support.cluster import Cluster, Node, Standalone
from support.ffmpeg import Publisher
from support.frames import Recording, assert_same_from_join
from support.hls_player import HlsPlayer
from support.media import media
from support.ports import LOOPBACK
from support.process import Child, ProcessError, wait_until

StartStandalone = Callable[..., Standalone]

QUICK = {"hls.segment_ms": 1000, "hls.part_ms": 250, "hls.list_num": 4, "hls.delete_threshold_num": 2, "origin.grace_s": 0}
LIMIT_S = 40.0
ENOUGH = 5  #: segments of a second


def server(node: Node) -> str:
    return f"http://{LOOPBACK}:{node.ports['hls']}"


def push(name: str, node: Node, stack: ExitStack, folder: Path, stream: str = "live/cam", loops: int = 0) -> Publisher:
    log = folder / f"push.{stream.replace('/', '.')}.log"
    return stack.enter_context(Publisher(media(name), node.rtmp_url(stream), log=log, loops=loops))


def get(url: str, *, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, bytes, dict[str, str]]:
    request = urllib.request.Request(url, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, error.read(), {name.lower(): value for name, value in error.headers.items()}


@cache
def source(name: str, suffix: str) -> Recording:
    return frames.in_ms(frames.as_transport_stream(media(name)) if suffix == "ts" else frames.of_file(media(name)))


def check_frames(name: str, file: Path, *, to_end: bool = False) -> None:
    """What the segments hold is what was pushed, from some place on, without a hole, and up to its end if it was played to that."""
    suffix = file.suffix[1:]
    received = frames.of_transport_stream(file) if suffix == "ts" else frames.of_file(file)
    assert_same_from_join(source(name, suffix), frames.in_ms(received), to_end=to_end)


def many(player: HlsPlayer) -> bool:
    return len(player.segments) >= ENOUGH


TS_MEDIA = ("h264_b3_aac", "hevc_aac", "aac", "h264", "h264_mp3")
LOW_LATENCY_MEDIA = ("h264_b3_aac", "hevc_aac", "av1_opus", "aac")
Playbacks = dict[tuple[str, bool], HlsPlayer]


@pytest.fixture(scope="module")
def playbacks(tmp_path_factory: pytest.TempPathFactory) -> Playbacks:
    """All media through one server, each played to its end."""
    folder = tmp_path_factory.mktemp("playbacks")
    with ExitStack() as stack:
        node = stack.enter_context(Standalone(folder, QUICK))
        for name in {*TS_MEDIA, *LOW_LATENCY_MEDIA}:
            push(name, node, stack, folder, f"live/{name}")
        return asyncio.run(play_all(node))


async def play_all(node: Node) -> Playbacks:
    players: Playbacks = {}
    async with asyncio.TaskGroup() as group:
        for low_latency, names in ((False, TS_MEDIA), (True, LOW_LATENCY_MEDIA)):
            for name in names:
                path = f"/hls/live/{name}/live.m3u8" if low_latency else f"/hls/live/{name}.m3u8"
                player = players[name, low_latency] = HlsPlayer([server(node)], path, low_latency=low_latency)
                group.create_task(play_to_end(player))
    return players


async def play_to_end(player: HlsPlayer) -> None:
    async with player:
        await player.play(lambda _: False, LIMIT_S)


@pytest.mark.parametrize("name", TS_MEDIA)
def test_segments_of_mpeg_ts_hold_what_was_pushed(name: str, playbacks: Playbacks, tmp_path: Path) -> None:
    player = playbacks[name, False]
    assert len(player.segments) >= ENOUGH
    assert [str(violation) for violation in player.checker.violations] == []
    check_frames(name, player.file(tmp_path, "played.ts"), to_end=True)


@pytest.mark.parametrize("name", LOW_LATENCY_MEDIA)
def test_segments_and_parts_of_fragments_hold_what_was_pushed(name: str, playbacks: Playbacks, tmp_path: Path) -> None:
    player = playbacks[name, True]
    assert len(player.segments) >= ENOUGH
    assert [str(violation) for violation in player.checker.violations] == []
    check_frames(name, player.file(tmp_path, "played.mp4"), to_end=True)
    for number, data in player.segments.items():
        parts = [part for (of, _), part in sorted(player.parts.items()) if of == number]
        assert not parts or b"".join(parts) == data


def worker_of(api_url: str, stream: str) -> str | None:
    """The hls node that the scheduler says segments the stream."""
    with urllib.request.urlopen(f"{api_url}/v1/streams", timeout=30) as answer:
        found = [item["hls"] for item in json.load(answer)["items"] if item["stream"] == stream]
    return found[0] if found and found[0] else None


@pytest.mark.parametrize("low_latency", [False, True], ids=["ts", "low-latency"])
async def test_players_of_any_replica_play_on_when_the_worker_is_killed(
    low_latency: bool, start_cluster: Callable[..., Cluster], stack: ExitStack, tmp_path: Path
) -> None:
    cluster = start_cluster(origins=1, edges=1, hls=3, settings={"hls": QUICK, "origin": {"origin.grace_s": 0}})
    push("h264_b3_aac_60s", cluster.edges[0], stack, tmp_path)
    path = "/hls/live/cam/live.m3u8" if low_latency else "/hls/live/cam.m3u8"
    await asyncio.to_thread(wait_until, "a stream", lambda: get(f"{server(cluster.hls[0])}{path}")[0] == 200, LIMIT_S)
    name = worker_of(cluster.api_url, "live/cam")
    killed = next(node for node in cluster.hls if node.name == name)
    others = [server(node) for node in cluster.hls if node is not killed]
    async with HlsPlayer(others, path, low_latency=low_latency) as player:
        await player.play(many, LIMIT_S)
        before = max(player.segments)
        killed.kill()
        await player.play(lambda now: max(now.segments) > before + 8, LIMIT_S)
    numbers = sorted(player.listed)
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    rules = [str(violation) for violation in player.checker.violations if violation.rule != "stall"]
    assert rules == []
    assert [segment.number for segment in player.listed.values() if segment.gap] == []
    assert worker_of(cluster.api_url, "live/cam") != name
    check_frames("h264_b3_aac_60s", player.file(tmp_path, "played.mp4" if low_latency else "played.ts"))


async def test_a_publisher_that_comes_back_goes_on_in_the_same_playlist(
    start_standalone: StartStandalone, stack: ExitStack, tmp_path: Path
) -> None:
    node = start_standalone({**QUICK, "origin.grace_s": 20})
    first = push("h264_b3_aac_60s", node, stack, tmp_path)
    path = "/hls/live/cam/live.m3u8"
    async with HlsPlayer([server(node)], path, low_latency=True) as player:
        await player.play(many, LIMIT_S)
        await asyncio.to_thread(first.stop)
        push("h264_large_aac", node, stack, tmp_path)
        before = max(player.segments)
        await player.play(lambda now: max(now.segments) > before + 3, LIMIT_S)
    assert [str(violation) for violation in player.checker.violations if violation.rule != "stall"] == []
    assert sum(segment.discontinuity for segment in player.listed.values()) == 1
    assert len({segment.map_uri for segment in player.listed.values()}) == 2


async def test_a_playlist_goes_on_over_a_kill_of_the_server_and_all_its_publishers(
    start_standalone: StartStandalone, stack: ExitStack, tmp_path: Path
) -> None:
    node = start_standalone(QUICK)
    push("h264_aac", node, stack, tmp_path, loops=-1)
    async with HlsPlayer([server(node)], "/hls/live/cam.m3u8") as player:
        await player.play(many, LIMIT_S)
        node.kill()
        before = max(player.listed)
        await asyncio.to_thread(node.restart().wait_ready)
        push("h264_aac", node, stack, tmp_path, loops=-1)
        await asyncio.to_thread(wait_until, "the stream again", lambda: is_live(node.hls_url("live/cam.m3u8")), LIMIT_S)
        await player.play(lambda now: max(now.listed) > before + 3, LIMIT_S)
    # Its first number never falls, what it listed stays what it was (RFC 8216bis §6.2.1, §6.2.2), and no number is left out.
    assert [str(violation) for violation in player.checker.violations if violation.rule != "stall"] == []
    assert sorted(player.listed) == list(range(min(player.listed), max(player.listed) + 1))
    assert [number for number, segment in player.listed.items() if segment.discontinuity] == [before + 1]


def is_live(url: str) -> bool:
    """Whether there is a playlist that has not ended: that of the time before may be shown until somebody publishes."""
    status, body, _ = get(url)
    return status == 200 and b"#EXT-X-ENDLIST" not in body


def test_http_as_players_caches_and_browsers_want_it(start_standalone: StartStandalone, stack: ExitStack, tmp_path: Path) -> None:
    node = start_standalone({**QUICK, "hls.http.cors_origins": ["https://example.org"]})
    push("h264_aac", node, stack, tmp_path, loops=-1)
    page = {"Origin": "https://example.org"}
    wait_until("segments", lambda: get(node.hls_url("live/cam.m3u8"))[1].count(b"#EXTINF") == 4, LIMIT_S)
    status, body, headers = get(node.hls_url("live/cam/live.m3u8?token=a%26b"), headers={**page, "Accept-Encoding": "gzip"})
    assert (status, headers["content-type"]) == (200, "application/vnd.apple.mpegurl")
    assert (headers["content-encoding"], headers["access-control-allow-origin"]) == ("gzip", "https://example.org")
    text = gzip.decompress(body).decode()
    uris = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(uri.endswith("?token=a%26b") for uri in uris)
    assert text.count("?token=a%26b") == text.count("URI=") + len(uris)
    status, body, headers = get(node.hls_url(f"live/cam/{uris[0]}"))
    assert (status, headers["content-type"]) == (200, "video/iso.segment")
    assert "immutable" in headers["cache-control"]
    head = get(node.hls_url(f"live/cam/{uris[0]}"), method="HEAD")
    assert (head[0], head[1], int(head[2]["content-length"])) == (200, b"", len(body))
    preflight = get(node.hls_url("live/cam/live.m3u8"), method="OPTIONS", headers={**page, "Access-Control-Request-Headers": "x-a"})
    assert (preflight[0], preflight[2]["access-control-allow-headers"]) == (204, "x-a")
    assert get(node.hls_url("live/nobody.m3u8"))[0] == 404
    assert get(node.hls_url("live/cam/live.m3u8?_HLS_msn=5"))[0] == 200
    through_edge = f"http://{LOOPBACK}:{node.ports['http']}/hls/live/cam.m3u8"
    assert get(through_edge)[1].startswith(b"#EXTM3U"), "the edge does not pass /hls/ on"


async def test_a_worker_that_is_told_to_stop_hands_over_and_players_play_on(
    start_cluster: Callable[..., Cluster], stack: ExitStack, tmp_path: Path
) -> None:
    cluster = start_cluster(origins=1, edges=1, hls=3, settings={"hls": QUICK})
    push("h264_b3_aac_60s", cluster.edges[0], stack, tmp_path)
    path = "/hls/live/cam/live.m3u8"
    await asyncio.to_thread(wait_until, "a stream", lambda: get(f"{server(cluster.hls[0])}{path}")[0] == 200, LIMIT_S)
    name = worker_of(cluster.api_url, "live/cam")
    stopped = next(node for node in cluster.hls if node.name == name)
    async with HlsPlayer([server(node) for node in cluster.hls if node is not stopped], path, low_latency=True) as player:
        await player.play(many, LIMIT_S)
        before = max(player.segments)
        stopped.terminate()
        await player.play(lambda now: max(now.segments) > before + 6, LIMIT_S)
    assert [str(violation) for violation in player.checker.violations] == []
    assert sorted(player.listed) == list(range(min(player.listed), max(player.listed) + 1))
    assert stopped.wait(LIMIT_S) == 0
    check_frames("h264_b3_aac_60s", player.file(tmp_path, "played.mp4"))


async def test_three_replicas_keep_the_rules_through_kills_and_publishers(
    start_cluster: Callable[..., Cluster], stack: ExitStack, tmp_path: Path
) -> None:
    cluster = start_cluster(
        origins=1, edges=2, hls=3, settings={"hls": {**QUICK, "hls.list_num": 30}, "origin": {"origin.grace_s": 20}}
    )
    publisher = push("h264_b3_aac_60s", cluster.edges[0], stack, tmp_path, loops=-1)
    path = "/hls/live/cam/live.m3u8"
    await asyncio.to_thread(wait_until, "a stream", lambda: get(f"{server(cluster.hls[0])}{path}")[0] == 200, LIMIT_S)
    async with HlsPlayer([server(node) for node in cluster.hls], path, low_latency=True) as player:
        for round_ in range(2):
            reached = max(player.segments, default=0)
            await player.play(lambda now, least=reached: len(now.segments) >= ENOUGH and max(now.segments) > least + 3, LIMIT_S)  # type: ignore[misc]
            name = worker_of(cluster.api_url, "live/cam")
            killed = next(node for node in cluster.hls if node.name == name)
            killed.kill()
            reached = max(player.segments)
            await player.play(lambda now, least=reached: max(now.segments) > least + 3, LIMIT_S)  # type: ignore[misc]
            await asyncio.to_thread(killed.restart().wait_ready)
            await asyncio.to_thread(publisher.stop)
            await asyncio.to_thread(wait_until, "no publisher", lambda: not any(map(publishes, cluster.edges)), LIMIT_S)
            publisher = push("h264_large_aac" if round_ else "h264_b3_aac_60s", cluster.edges[1], stack, tmp_path, loops=-1)
        reached = max(player.segments)
        await player.play(lambda now: max(now.segments) > reached + 4, LIMIT_S)
    assert [str(violation) for violation in player.checker.violations if violation.rule != "stall"] == []
    assert sorted(player.listed) == list(range(min(player.listed), max(player.listed) + 1))


def publishes(edge: Node) -> bool:
    return "edge_publications 0.0" not in edge.metrics()


def test_live_goes_on_while_storage_cannot_be_written(start_standalone: StartStandalone, stack: ExitStack, tmp_path: Path) -> None:
    blocked = tmp_path / "media"
    blocked.write_text("a file where the folder should be")
    node = start_standalone(QUICK)
    push("h264_b3_aac_60s", node, stack, tmp_path, loops=-1)
    url = node.hls_url("live/cam.m3u8")
    wait_until("segments", lambda: get(url)[1].count(b"#EXTINF") == 4, LIMIT_S)
    segment = get(url)[1].decode().splitlines()[-1]
    assert get(node.hls_url(f"live/{segment}"))[0] == 200
    assert "hls_stored_segments_total 0.0" in node.metrics()
    blocked.unlink()
    wait_until("stored segments", lambda: len(list(tmp_path.rglob("*.ts"))) >= 4, LIMIT_S)


def test_players_are_counted_by_the_ids_in_their_urls(start_standalone: StartStandalone, stack: ExitStack, tmp_path: Path) -> None:
    node = start_standalone({**QUICK, "hls.session.hash_key_file": str(key_file(tmp_path))})
    push("h264_aac", node, stack, tmp_path, loops=-1)
    url = node.hls_url("live/cam.m3u8?token=1")
    wait_until("a playlist", lambda: get(url)[0] == 200, LIMIT_S)
    with urllib.request.urlopen(url, timeout=30) as answer:
        asked, text = answer.url, answer.read().decode()
    session_id = asked.partition("session_id=")[2]
    assert asked == f"{url}&session_id={session_id}"
    segment = text.splitlines()[-1]
    assert segment.endswith(f"?token=1&session_id={session_id}")
    folder = node.hls_url("live/")
    assert get(folder + segment)[0] == 200
    assert get(folder + segment.partition("?")[0])[0] == 200, "a segment without an id is served"
    assert get(folder + segment.replace(session_id, "0" * len(session_id)))[0] == 404
    assert get(f"{url}&session_id=x")[0] == 404
    wait_until("a count", lambda: hls_players(node.api_url) >= 1, LIMIT_S)


def key_file(folder: Path) -> Path:
    path = folder / "hash.key"
    path.write_text("a key of tests, long enough")
    return path


def hls_players(api_url: str) -> int:
    with urllib.request.urlopen(f"{api_url}/v1/streams", timeout=30) as answer:
        return next((item["hls_players"] or 0 for item in json.load(answer)["items"] if item["stream"] == "live/cam"), 0)


def pictures(file: Path) -> int:
    """How many a file has so far."""
    try:
        rows = ffmpeg.run("-i", file, "-map", "0:v", "-c", "copy", "-f", "framecrc", "-")
    except ProcessError:  # it has not begun
        return 0
    return sum(1 for row in rows.splitlines() if row.startswith("0,"))


def test_other_players_play_it(start_standalone: StartStandalone, stack: ExitStack, tmp_path: Path) -> None:
    node = start_standalone(QUICK)
    push("h264_b3_aac_60s", node, stack, tmp_path, loops=-1)
    for path in ("live/cam.m3u8", "live/cam/index.m3u8"):
        wait_until("a playlist", lambda path=path: get(node.hls_url(path))[0] == 200, LIMIT_S)  # type: ignore[misc]
        rows = ffmpeg.run("-live_start_index", "0", "-i", node.hls_url(path), "-t", "3", "-map", "0:v", "-f", "framecrc", "-")
        assert sum(1 for row in rows.splitlines() if row.startswith("0,")) >= 70
        probe = [str(ffmpeg.FFPROBE), "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", node.hls_url(path)]
        done = subprocess.run(ffmpeg.bounded(LIMIT_S, probe), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert set(done.stdout.split()) == {"h264", "aac"}, done.stderr
        file = tmp_path / f"gstreamer{path.count('/')}"
        source, sink = ("souphttpsrc", f"location={node.hls_url(path)}"), ("filesink", "buffer-mode=unbuffered", f"location={file}")
        chain = [*source, "!", "hlsdemux", "!", *sink]
        with Child(["gst-launch-1.0", "-q", *chain], log=file.with_suffix(".log")) as player:
            wait_until("pictures", lambda file=file: pictures(file) >= 70, LIMIT_S, child=player, every_s=0.5)  # type: ignore[misc]


def test_every_stream_is_segmented_from_its_start_where_that_is_wanted(
    start_standalone: StartStandalone, stack: ExitStack, tmp_path: Path
) -> None:
    node = start_standalone({**QUICK, "hls.start": "always", "hls.idle_s": 1})
    push("h264_aac", node, stack, tmp_path)
    wait_until("segments", lambda: len(list(tmp_path.rglob("*.ts"))) >= 3 <= len(list(tmp_path.rglob("*.m4s"))), LIMIT_S)
    assert not re.search(r"^hls_requests_total\{.*\} [1-9]", node.metrics(), re.MULTILINE), "somebody asked"


def test_segments_of_a_stream_that_is_over_go_and_those_of_a_crash_are_swept(
    start_standalone: StartStandalone, stack: ExitStack, tmp_path: Path
) -> None:
    left = tmp_path / "media" / "hls" / "live" / "old"
    (left / "state").mkdir(parents=True)
    for name in ("1.1-5.ts", "1.1-init0.mp4", f"state/{1:020d}.{1:020d}"):
        (left / name).write_bytes(b"x")
        os.utime(left / name, (time.time() - 3600,) * 2)
    node = start_standalone(QUICK)
    kept = [f"{1:020d}.{1:020d}"]  # so that numbers do not go back
    wait_until("a sweep", lambda: [path.name for path in left.rglob("*") if path.is_file()] == kept, LIMIT_S)
    push("h264_aac", node, stack, tmp_path)
    wait_until("a playlist", lambda: get(node.hls_url("live/cam.m3u8"))[0] == 200, LIMIT_S)
    folder = tmp_path / "media" / "hls" / "live" / "cam"
    wait_until("the end", lambda: b"ENDLIST" in get(node.hls_url("live/cam.m3u8"))[1], LIMIT_S)
    assert list(folder.glob("*.ts"))
    wait_until("cleaning", lambda: not list(folder.glob("*.ts")), LIMIT_S)
