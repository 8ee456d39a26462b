"""The load programs of the benchmarks see what there is: players that have a first frame, playlists that come as parts are made."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.cluster import Standalone
from support.media import media
from support.process import Child, wait_until

from bench import _joining, _load, _reloading, _stamps

PUBLISHERS = 2
START_S = 60.0
FIRST_S = 30.0  #: for a first playlist
WAIT_MS = 15_000.0  #: a first frame that takes longer on a machine that runs other tests shows a fault
SETTINGS = {"hls.segment_ms": 2000, "hls.part_ms": 700}
PARTS_PER_S = 1.5  #: in segments of 2 s, which key frames 2 s apart make: three of 20 pictures, so that none is short

SECOND_NS = 1_000_000_000

HTTP, RTMP = "http", "rtmp"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("load")


@contextmanager
def streams(node: Standalone, folder: Path) -> Iterator[Child]:
    with _load.publish(
        node.ports["rtmp"], PUBLISHERS, 0, 1, media("bench_600k"), folder / "publishers.log", name="s-"
    ) as publishers:
        _load.wait_published(publishers, START_S)
        time.sleep(3)  # a group of pictures
        yield publishers


@pytest.fixture(scope="module")
def node(folder: Path) -> Iterator[Standalone]:
    with Standalone(folder, SETTINGS) as server, streams(server, folder):
        yield server


def url(node: Standalone, protocol: str, stream: str) -> tuple[str, ...]:
    if protocol == HTTP:
        return (HTTP, str(node.ports["http"]), f"/{stream}.flv")
    return (RTMP, str(node.ports["rtmp"]), *stream.split("/"))


@pytest.mark.parametrize("protocol", [HTTP, RTMP])
def test_every_player_that_comes_has_a_first_frame_and_leaves(node: Standalone, folder: Path, protocol: str) -> None:
    with _joining.start(url(node, protocol, "live/s-0"), 10, 0.5, 0, folder / "joiners.log") as joining:
        found = _joining.result(joining, 0.5, 0)
    assert (found.players, found.joined, found.closed, found.problem) == (10, 10, 0, "")
    assert 0 < found.p50_ms <= found.p99_ms <= found.worst_ms < WAIT_MS


def test_a_player_that_is_refused_is_told_of(node: Standalone, folder: Path) -> None:
    with _joining.start((HTTP, str(node.ports["http"]), "/live"), 2, 0.1, 0, folder / "joiners.log") as joining:
        found = _joining.result(joining, 0.1, 0)
    assert (found.joined, found.closed) == (0, 2)
    assert found.problem == "2 of 2 players had no first frame"


def test_playlists_come_as_often_as_parts_are_made_and_none_is_missed(node: Standalone, folder: Path) -> None:
    for number in range(PUBLISHERS):
        with urllib.request.urlopen(node.hls_url(f"live/s-{number}/live.m3u8"), timeout=FIRST_S) as answer:
            answer.read()
    path, log = "/hls/live/s-%d/live.m3u8", folder / "reloaders.log"
    with _reloading.start(node.ports["http"], path, PUBLISHERS, 6, 6, 2, node.ports["hls"], log) as asking:
        found = _reloading.result(asking, 20)
    assert (found.failed, found.missed) == (0, 0)
    assert found.per_s / 6 == pytest.approx(PARTS_PER_S, rel=0.3)
    assert 0 <= found.p50_ms <= found.p99_ms <= found.worst_ms


def joins(node: Standalone) -> float:
    """How many players have been sent a first frame."""
    counts = [line.rpartition(" ")[2] for line in node.metrics().splitlines() if line.startswith("edge_join_seconds_count")]
    return sum(map(float, counts))


def has_come_since(got: Path, at_ns: int) -> bool:
    return any(stamp.at_ns > at_ns for stamp in _stamps.read(got))


def test_frames_are_matched_at_both_ends_and_stamps_end_with_the_stream(node: Standalone, folder: Path) -> None:
    sent, got = folder / "sent", folder / "got"
    with (
        _stamps.pushing(media("bench_600k"), node.rtmp_url("live/stamped"), sent) as pushing,
        _stamps.playing(node.flv_url("live/stamped"), got) as playing,
    ):
        wait_until("a frame at the player", lambda: bool(_stamps.read(got)), START_S, child=playing)
        since_ns = time.monotonic_ns()
        until_ns = since_ns + SECOND_NS
        wait_until("what was sent within a second", lambda: has_come_since(got, until_ns + SECOND_NS), START_S, child=pushing)
    found = _stamps.matched(_stamps.read(sent), _stamps.read(got), since_ns, until_ns)
    assert found.units > 60
    assert (found.missing, found.doubled) == (0, 0)
    assert 0 < found.p50_ms <= found.worst_ms < WAIT_MS


def test_a_server_that_dies_closes_its_players(folder: Path) -> None:
    with (
        Standalone(folder, SETTINGS, name="dying") as server,
        streams(server, folder),
        _joining.start(url(server, HTTP, "live/s-1"), 5, 0.2, 60, folder / "joiners.log") as joining,
    ):
        wait_until("first frames", lambda: joins(server) >= 5, START_S, child=joining)
        server.kill()
        found = _joining.result(joining, 0.2, 60)
    assert (found.joined, found.closed) == (5, 5)
    assert found.problem == "5 players were closed"
