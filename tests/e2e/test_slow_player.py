"""A player that stops reading: it skips or is closed, in bounded memory, and nobody else notices."""

from __future__ import annotations

import itertools
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from support import ffmpeg, frames, wire
from support.cluster import Node, Standalone
from support.frames import Recording
from support.operator_api import sessions_until
from support.process import Child, wait_until

from lalmesh.container.flv import Tag

Media = Callable[[str], Path]
StartStandalone = Callable[..., Standalone]

STOPPED_S = 20.0
LOOPS = 12  #: of 8 s: longer than a test on a slow machine
WARM_FRAMES = 500  #: about seven seconds: every ring and cache is full
QUEUE_BYTES = 8 << 20  #: of one player (edge.fanout.player_queue_bytes)
SLACK_BYTES = 24 << 20  #: what the allocator and the reading of metrics may take; a minute of stream is 150 MB
GAP_MS = 1000  #: more than that from one packet to the next is a skip
LIMIT_S = 40.0
RUN_S = 150.0  #: for publishers and players to stay at the most
TESTS = Path(__file__).resolve().parents[1]


def rss_bytes(node: Node) -> int:
    """What the server holds in memory."""
    match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{node.pid}/status").read_text())
    assert match
    return int(match[1]) << 10


def metric(node: Node, name: str) -> float:
    match = re.search(rf"^{name} (\S+)$", node.metrics(), re.MULTILINE)
    assert match, f"no metric {name}"
    return float(match[1])


def skips_logged(node: Node) -> int:
    """How many skips the log tells of; those of one moment share a line."""
    return sum(map(int, re.findall(r'"(\d+) slow players? skips?', node.output())))


def record_http(node: Node, file: Path, stack: ExitStack) -> Child:
    command = ffmpeg.bounded(RUN_S, [sys.executable, "-m", "support.http_recorder", node.flv_url("live/cam"), file])
    return stack.enter_context(Child(command, log=file.with_suffix(".log"), env={"PYTHONPATH": str(TESTS)}))


def record_rtmp(node: Node, file: Path, stack: ExitStack) -> Child:
    command = ffmpeg.bounded(RUN_S, ["rtmpdump", "--live", "--quiet", "-r", node.rtmp_url("live/cam"), "-o", file])
    return stack.enter_context(Child(command, log=file.with_suffix(".log")))


def push(media: Media, node: Node, stack: ExitStack, folder: Path) -> None:
    file, log = media("h264_20m_aac"), folder / "push.log"
    stack.enter_context(ffmpeg.Publisher(file, node.rtmp_url("live/cam"), log=log, loops=LOOPS))


def size_of(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def test_a_stopped_player_skips_to_a_key_frame_and_others_get_everything(
    start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    node = start_standalone()
    push(media, node, stack, tmp_path)
    rows = tmp_path / "other.md5"
    other = stack.enter_context(ffmpeg.Player(node.flv_url("live/cam"), rows, log=tmp_path / "other.log"))
    files = [tmp_path / "slow.http.flv", tmp_path / "slow.rtmp.flv"]
    slow = [record_http(node, files[0], stack), record_rtmp(node, files[1], stack)]
    wait_until("full caches", lambda: other.row_count() > WARM_FRAMES and all(map(size_of, files)), LIMIT_S, child=other)

    before, most = rss_bytes(node), 0
    for child in slow:
        child.pause()
    stopped_at, stopped_sizes = time.monotonic(), [size_of(file) for file in files]
    while time.monotonic() < stopped_at + STOPPED_S:
        most = max(most, rss_bytes(node))
        time.sleep(0.2)
    assert [size_of(file) for file in files] == stopped_sizes, "the players were not stopped"
    assert most - before < QUEUE_BYTES * len(slow) + SLACK_BYTES, f"grew by {(most - before) >> 20} MB"
    skips = [metric(node, rf'edge_skips_total\{{reason="{why}"\}}') for why in ("queue_bytes", "queue_time")]
    assert sum(skips) == len(slow)
    assert metric(node, "edge_slow_closes_total") == 0
    assert skips_logged(node) == len(slow)
    check_sessions(node, most_bytes=QUEUE_BYTES)

    for child in slow:
        child.resume()
    passed = {file: size + 2 * QUEUE_BYTES for file, size in zip(files, stopped_sizes, strict=True)}  # what waited, and more
    wait_until("media after the stop", lambda: all(size_of(file) > passed[file] for file in files), LIMIT_S, child=other)
    for child in (*slow, other):
        child.stop()

    source = frames.of_file(media("h264_20m_aac"), loops=LOOPS)
    joined = frames.assert_same_from_join(source, frames.read(rows))
    for file in files:
        check_skip(source, wire.tags_of_file(file), joined.offset_ms)
        whole = wire.file_of_tags(wire.tags_of_file(file), file.with_suffix(".whole.flv"))  # the last tag was cut off
        ffmpeg.run("-xerror", "-err_detect", "explode", "-i", whole, "-f", "null", "-", limit_s=60)


def check_sessions(node: Node, most_bytes: int) -> None:
    """What is told of each session: who lags, and how far."""
    found = sessions_until(node.api_url, lambda found: sum(each["skips"] for each in found) == 2, LIMIT_S, stream="live/cam")
    lagging = [each for each in found if each["skips"]]
    assert [each["skips"] for each in lagging] == [1, 1]
    assert sorted(each["protocol"] for each in lagging) == ["http-flv", "rtmp"]
    assert all(1 << 20 < each["queued_bytes"] <= most_bytes for each in lagging), lagging
    others = [each for each in found if not each["skips"]]
    assert sorted((each["role"], each["protocol"]) for each in others) == [("player", "http-flv"), ("publisher", "rtmp")]
    assert all(each["queued_bytes"] < 1 << 20 for each in others), others
    assert {each["node"] for each in found} == {found[0]["node"]}


def check_skip(source: Recording, tags: Sequence[Tag], offset_ms: int) -> None:
    """One hole, after it a key frame, on both sides of it everything."""
    media = [tag for tag in tags if wire.is_picture(tag) or wire.is_sound(tag)]
    pairs = itertools.pairwise(media)
    holes = [index for index, (old, new) in enumerate(pairs, 1) if new.timestamp_ms - old.timestamp_ms > GAP_MS]
    assert len(holes) == 1, f"{len(holes)} holes"
    assert wire.is_key(media[holes[0]]), "it does not go on at a key frame"
    headers = [tag for tag in tags if wire.is_header(tag)]
    for part in (media[: holes[0]], media[holes[0] :]):
        check_complete(source, wire.recording([*headers, *part]), offset_ms)


def check_complete(source: Recording, received: Recording, offset_ms: int) -> None:
    """`received` has each packet of the source from its first to its last, once, at its time."""
    for kind in ("video", "audio"):
        got = received.track(kind)
        first, last = got[0].dts - offset_ms, got[-1].dts - offset_ms
        sent = [frame for frame in source.track(kind) if first <= frame.dts <= last]
        assert [(f.dts - offset_ms, f.pts - offset_ms, f.md5) for f in got] == [(f.dts, f.pts, f.md5) for f in sent], kind


def test_a_player_that_stays_stopped_is_closed_with_a_reason(
    start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    node = start_standalone({"edge.fanout.player_queue_s": 1, "edge.fanout.slow_player_s": 3})
    push(media, node, stack, tmp_path)
    files = [tmp_path / "slow.http.flv", tmp_path / "slow.rtmp.flv"]
    slow = [record_http(node, files[0], stack), record_rtmp(node, files[1], stack)]
    wait_until("media", lambda: all(size_of(file) > 1 << 20 for file in files), LIMIT_S)
    for child in slow:
        child.pause()
    wait_until("both closed", lambda: metric(node, "edge_slow_closes_total") == len(slow), LIMIT_S, every_s=0.2)
    assert node.output().count("player closed: too slow") == len(slow)
    for child in slow:
        child.resume()
    for child in slow:
        child.wait(LIMIT_S)  # the server ended the connection, so they end
