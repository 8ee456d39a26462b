"""HLS from end to end: what is pushed is what segments hold, playlists keep the rules, whoever dies."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from support import frames
from support.cluster import Cluster, Node, Standalone
from support.ffmpeg import Publisher
from support.frames import Recording, assert_same_from_join
from support.hls_player import HlsPlayer
from support.media import media
from support.ports import LOOPBACK
from support.process import wait_until

StartStandalone = Callable[..., Standalone]

QUICK = {"hls.segment_ms": 1000, "hls.part_ms": 250, "hls.list_num": 4, "hls.delete_threshold_num": 2, "origin.grace_s": 0}
LIMIT_S = 40.0
ENOUGH = 5  #: segments of a second


def server(node: Node) -> str:
    return f"http://{LOOPBACK}:{node.ports['hls']}"


def push(name: str, node: Node, stack: ExitStack, folder: Path, stream: str = "live/cam", loops: int = 0) -> Publisher:
    log = folder / f"push.{stream.replace('/', '.')}.log"
    return stack.enter_context(Publisher(media(name), node.rtmp_url(stream), log=log, loops=loops, limit_s=90))


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


def check_frames(name: str, file: Path) -> None:
    """What the segments hold is what was pushed, from some place on, without a hole."""
    suffix = file.suffix[1:]
    received = frames.of_transport_stream(file) if suffix == "ts" else frames.of_file(file)
    assert_same_from_join(source(name, suffix), frames.in_ms(received))


def many(player: HlsPlayer) -> bool:
    return len(player.segments) >= ENOUGH


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("h264_b3_aac", "/hls/live/cam.m3u8"),
        ("hevc_aac", "/hls/live/cam.m3u8"),
        ("aac", "/hls/live/cam.m3u8"),
        ("h264_b3_aac", "/hls/live/cam/live.m3u8"),
        ("av1_opus", "/hls/live/cam/live.m3u8"),
        ("aac", "/hls/live/cam/live.m3u8"),
    ],
)
async def test_segments_hold_what_was_pushed_and_playlists_keep_the_rules(
    name: str, path: str, start_standalone: StartStandalone, stack: ExitStack, tmp_path: Path
) -> None:
    node = start_standalone(QUICK)
    push(name, node, stack, tmp_path)
    await asyncio.to_thread(wait_until, "a stream", lambda: get(node.hls_url("live/cam/index.m3u8"))[0] == 200, LIMIT_S)
    low_latency = path.endswith("/live.m3u8")
    async with HlsPlayer([server(node)], path, low_latency=low_latency) as player:
        await player.play(lambda _: False, LIMIT_S)  # to the end
    assert len(player.segments) >= ENOUGH
    assert [str(violation) for violation in player.checker.violations] == []
    check_frames(name, player.file(tmp_path, "played.mp4" if low_latency else "played.ts"))
    if low_latency:
        for number, data in player.segments.items():
            parts = [part for (of, _), part in sorted(player.parts.items()) if of == number]
            assert not parts or b"".join(parts) == data


def worker_of(api_url: str, stream: str) -> str | None:
    """The hls node that the scheduler says segments the stream."""
    with urllib.request.urlopen(f"{api_url}/v1/streams", timeout=5) as answer:
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
