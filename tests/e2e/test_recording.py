"""Recording from end to end: what is pushed is in the files, whoever stops, starts, changes or dies."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from support import ffmpeg, frames
from support.cluster import Cluster, Node, Standalone
from support.ffmpeg import FFPROBE, Publisher
from support.frames import Recording, assert_same_from_join
from support.media import media
from support.process import wait_until

StartStandalone = Callable[..., Standalone]

QUICK = {"hls.segment_ms": 1000, "hls.part_ms": 250, "origin.grace_s": 0}
LIMIT_S = 40.0
SOURCE_S = 8.0  #: of the test files
WRITE_MS = 1500  #: of media that a killed process had not written yet


def recording(*rules: str) -> dict[str, object]:
    return {**QUICK, "hls.recording.rules": list(rules)}


def push(name: str, node: Node, stack: ExitStack, folder: Path, stream: str = "live/cam", loops: int = 0) -> Publisher:
    log = folder / f"push.{name}.{stream.replace('/', '.')}.log"
    return stack.enter_context(Publisher(media(name), node.rtmp_url(stream), log=log, loops=loops, limit_s=90))


def ask(url: str, method: str = "GET", body: object = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    data = None
    if body is not None:
        data, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
    request = urllib.request.Request(url, data, sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, error.read(), {name.lower(): value for name, value in error.headers.items()}


def listed(node: Node, path: str = "record/live/cam/") -> list[dict[str, Any]]:
    status, body, _ = ask(node.http_url(path))
    assert status == 200, body
    items: list[dict[str, Any]] = json.loads(body)["items"]
    return items


def wait_listed(node: Node, count: int, path: str = "record/live/cam/") -> list[dict[str, Any]]:
    wait_until(f"{count} recordings", lambda: len(listed(node, path)) >= count, LIMIT_S)
    return listed(node, path)


def fetch(node: Node, item: dict[str, Any], folder: Path) -> Path:
    """The recording as the edge gives it."""
    status, data, headers = ask(node.http_url(item["url"].removeprefix("/")))
    assert status == 200
    assert len(data) == item["size_bytes"]
    assert headers["accept-ranges"] == "bytes"
    file = folder / str(item["url"]).rpartition("/")[2]
    file.write_bytes(data)
    return file


def probed(file: Path) -> dict[str, Any]:
    command: list[str | Path] = [FFPROBE, "-v", "error", "-show_format", "-show_streams", "-of", "json", file]
    done = subprocess.run(ffmpeg.bounded(30, command), stdin=subprocess.DEVNULL, capture_output=True, timeout=40, check=True)
    assert done.stderr == b""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@cache
def source(name: str, suffix: str) -> Recording:
    return frames.in_ms(frames.as_transport_stream(media(name)) if suffix == "ts" else frames.of_file(media(name)))


def check_frames(name: str, file: Path, *, to_end: bool = True) -> frames.Join:
    suffix = file.suffix[1:]
    received = frames.of_transport_stream(file) if suffix == "ts" else frames.of_file(file)
    return assert_same_from_join(source(name, suffix), frames.in_ms(received), to_end=to_end)


def record_url(node: Node, stream: str = "live/cam") -> str:
    return node.http_url(f"hls/{stream}/record.m3u8")


def kept_segments(node: Node, folder: Path, stream: str = "live/cam") -> Path:
    """All segments of a stream that is over, as its record playlist lists them, one after the other."""
    url = record_url(node, stream)
    wait_until("the end", lambda: b"#EXT-X-ENDLIST" in ask(url)[1], LIMIT_S)
    text = ask(url)[1].decode()
    assert "#EXT-X-DISCONTINUITY" not in text
    file = folder / "kept.ts"
    file.write_bytes(b"".join(ask(urljoin(url, name))[1] for name in text.splitlines() if name and not name.startswith("#")))
    return file


def written_streams(node: Node) -> int:
    line = next(line for line in node.metrics().splitlines() if line.startswith("hls_recording_streams "))
    return int(float(line.split()[1]))


@pytest.mark.parametrize("name", ["h264_b3_aac", "hevc_aac"])
def test_a_rule_records_all_that_was_pushed_in_every_format(
    name: str, start_standalone: StartStandalone, stack: ExitStack, tmp_path: Path
) -> None:
    node = start_standalone(recording("live/* flv+ts+mp4"))
    push(name, node, stack, tmp_path)
    items = wait_listed(node, 3)
    assert sorted(item["format"] for item in items) == ["flv", "mp4", "ts"]
    for item in items:
        file = fetch(node, item, tmp_path)
        sent = source(name, str(item["format"])).track("video")
        assert check_frames(name, file).counts["video"] == len(sent)  # from the very first on
        found = probed(file)["format"]
        assert float(found["duration"]) == pytest.approx(SOURCE_S, abs=0.15)
        if item["format"] != "ts":  # players of a transport stream take any start
            assert float(found["start_time"]) == pytest.approx(0, abs=0.1)
    flv = next(tmp_path.glob("*.flv")).read_bytes()
    assert flv.index(b"keyframes") < flv.index(b"filepositions") < 2000
    assert not any(file.is_file() for file in (tmp_path / "standalone.spool").rglob("*"))
    assert "hls_recording_stored_files_total 3.0" in node.metrics()


def test_g711_is_as_it_was_in_flv_and_aac_in_the_others(
    start_standalone: StartStandalone, stack: ExitStack, tmp_path: Path
) -> None:
    node = start_standalone(recording("live/* flv+ts+mp4"))
    push("h264_pcma", node, stack, tmp_path)
    audio = {}
    for item in wait_listed(node, 3):
        file = fetch(node, item, tmp_path)
        streams = {stream["codec_type"]: stream for stream in probed(file)["streams"]}
        audio[item["format"]] = streams["audio"]["codec_name"]
        assert float(streams["audio"]["duration"] if item["format"] != "flv" else SOURCE_S) == pytest.approx(SOURCE_S, abs=0.3)
    assert audio == {"flv": "pcm_alaw", "ts": "aac", "mp4": "aac"}


def test_ranges_of_a_recording(start_standalone: StartStandalone, stack: ExitStack, tmp_path: Path) -> None:
    node = start_standalone(recording("live/cam flv"))
    push("aac", node, stack, tmp_path)
    item = wait_listed(node, 1)[0]
    url, size = node.http_url(item["url"].removeprefix("/")), int(item["size_bytes"])
    _, whole, headers = ask(url)
    assert headers["content-type"] == "video/x-flv"
    tag = headers["etag"]
    status, part, headers = ask(url, Range="bytes=100-299")
    assert (status, part, headers["content-range"]) == (206, whole[100:300], f"bytes 100-299/{size}")
    status, part, _ = ask(url, Range="bytes=-50", If_Range=tag)
    assert (status, part) == (206, whole[-50:])
    assert ask(url, Range="bytes=0-0", If_Range='"other"')[1] == whole
    status, _, headers = ask(url, Range=f"bytes={size}-")
    assert (status, headers["content-range"]) == (416, f"bytes */{size}")
    status, body, headers = ask(url, "HEAD")
    assert (status, body, headers["content-length"]) == (200, b"", str(size))
    assert "last-modified" in headers
    assert ask(node.http_url("record/live/cam/none.flv"))[0] == 404
    assert ask(node.http_url("record/live/cam/../x"))[0] in (400, 404)


def test_recording_starts_and_stops_by_api(start_standalone: StartStandalone, stack: ExitStack, tmp_path: Path) -> None:
    node = start_standalone(QUICK)
    push("h264_b3_aac_60s", node, stack, tmp_path)
    api = f"{node.api_url}/v1/recordings"
    status, body, _ = ask(api, "POST", {"stream": "live/cam", "formats": ["flv", "mp4"]})
    assert status == 201
    wait_until("a file that is written", lambda: written_streams(node) == 1, LIMIT_S)
    wait_until("some media", lambda: sum(file.stat().st_size for file in files_in(tmp_path)) > 100_000, LIMIT_S)
    assert listed(node) == []
    assert ask(f"{api}/{json.loads(body)['id']}", "DELETE")[0] == 204
    items = wait_listed(node, 2)
    assert written_streams(node) == 0
    for item in items:
        check_frames("h264_b3_aac_60s", fetch(node, item, tmp_path), to_end=False)


def files_in(folder: Path) -> list[Path]:
    return [file for file in (folder / "standalone.spool").rglob("*") if file.is_file()]


def test_a_publisher_that_comes_back_with_another_size_gets_a_file_of_its_own(
    start_standalone: StartStandalone, stack: ExitStack, tmp_path: Path
) -> None:
    node = start_standalone({**recording("live/* mp4"), "origin.grace_s": 20})
    for name in ("h264_aac", "h264_large_aac"):
        push(name, node, stack, tmp_path).wait(LIMIT_S)
    assert node.stop(30) == 0
    node.restart().wait_ready()
    items = wait_listed(node, 2)
    assert len(items) == 2
    for name, item, height in zip(("h264_aac", "h264_large_aac"), items, (180, 360), strict=True):
        file = fetch(node, item, tmp_path)
        check_frames(name, file)
        assert [stream["height"] for stream in probed(file)["streams"] if stream["codec_type"] == "video"] == [height]


def test_what_was_recorded_when_the_process_was_killed_is_stored_after_its_next_start(
    start_standalone: StartStandalone, stack: ExitStack, tmp_path: Path
) -> None:
    node = start_standalone(recording("live/* flv+ts+mp4"))
    push("h264_b3_aac_60s", node, stack, tmp_path)
    wait_until("some media", lambda: sum(file.stat().st_size for file in files_in(tmp_path)) > 500_000, LIMIT_S)
    node.kill()
    assert len(files_in(tmp_path)) == 3
    node.restart().wait_ready()
    items = wait_listed(node, 3)
    assert sorted(item["format"] for item in items) == ["flv", "mp4", "ts"]
    for item in items:
        file = fetch(node, item, tmp_path)
        if item["format"] != "ts":
            check_frames("h264_b3_aac_60s", file, to_end=False)
        assert float(probed(file)["format"]["duration"]) > 2
    assert files_in(tmp_path) == []


def test_a_cluster_records_by_a_rule_that_comes_by_api(
    start_cluster: Callable[..., Cluster], stack: ExitStack, tmp_path: Path
) -> None:
    cluster = start_cluster(origins=1, edges=1, hls=2, settings={"hls": QUICK, "origin": {"origin.grace_s": 0}})
    status, _, _ = ask(f"{cluster.api_url}/v1/recordings", "POST", {"pattern": "live/*", "formats": ["flv"], "segment_s": 3})
    assert status == 201
    wait_until("hls nodes that the edge knows", lambda: ask(cluster.edges[0].http_url("record/"))[0] == 200, LIMIT_S)
    push("h264_b3_aac", cluster.edges[0], stack, tmp_path)
    items = wait_listed(cluster.edges[0], 3)
    assert [float(probed(fetch(cluster.edges[0], item, tmp_path))["format"]["duration"]) for item in items] == pytest.approx(
        [3, 3, 2], abs=0.3
    )
    for node in cluster.hls:  # any replica
        status, body, _ = ask(f"http://127.0.0.1:{node.ports['hls']}/record/?limit=2")
        page = json.loads(body)
        assert len(page["items"]) == 2
        status, body, _ = ask(f"http://127.0.0.1:{node.ports['hls']}{page['next']}")
        assert [item["url"] for item in json.loads(body)["items"]] == [items[2]["url"]]
        status, body, _ = ask(f"http://127.0.0.1:{node.ports['hls']}{items[0]['url']}")
        assert len(body) == items[0]["size_bytes"]


def test_kept_segments_are_played_by_the_record_playlist(
    start_standalone: StartStandalone, stack: ExitStack, tmp_path: Path
) -> None:
    node = start_standalone(recording("live/* hls") | {"hls.list_num": 3, "hls.delete_threshold_num": 1})
    push("h264_b3_aac", node, stack, tmp_path).wait(LIMIT_S)
    file = kept_segments(node, tmp_path)
    assert check_frames("h264_b3_aac", file).counts["video"] == len(source("h264_b3_aac", "ts").track("video"))
    assert listed(node) == []
    assert f"hls_recording_kept_segments_total {SOURCE_S}\n" in node.metrics()
    url = record_url(node)
    assert ask(url)[1].count(b"#EXTINF") == SOURCE_S
    done = ffmpeg.run("-i", url, "-map", "0:v", "-c", "copy", "-t", "6", "-f", "framemd5", "-")
    assert done.count("\n0,") > 100


def test_another_node_records_on_when_the_recording_one_is_killed(
    start_cluster: Callable[..., Cluster], stack: ExitStack, tmp_path: Path
) -> None:
    settings = {
        "scheduler": {"hls.recording.rules": ["live/* flv+hls"]},
        "hls": QUICK,
        "origin": {"origin.grace_s": 0, "origin.gop_num": 9},
    }
    cluster = start_cluster(origins=1, edges=1, hls=2, settings=settings)
    edge = cluster.edges[0]
    wait_until("hls nodes that the edge knows", lambda: ask(edge.http_url("record/"))[0] == 200, LIMIT_S)
    publisher = push("h264_b3_aac_60s", edge, stack, tmp_path)
    wait_until("a recording node", lambda: any(map(written_streams, cluster.hls)), LIMIT_S)
    killed, other = sorted(cluster.hls, key=written_streams, reverse=True)
    wait_until("some media", lambda: spooled_bytes(tmp_path, killed) > 250_000, LIMIT_S)
    killed.kill()
    wait_until("some more media", lambda: spooled_bytes(tmp_path, other) > 250_000, LIMIT_S)
    publisher.stop()
    killed.restart().wait_ready()
    name, (first, second) = "h264_b3_aac_60s", (fetch(edge, item, tmp_path) for item in wait_listed(edge, 2))
    assert check_frames(name, first, to_end=False).first_dts_ms <= 0
    joined = check_frames(name, second, to_end=False)
    assert joined.first_dts_ms <= 1000 * float(probed(first)["format"]["duration"]) + WRITE_MS
    kept = kept_segments(edge, tmp_path)
    assert_same_from_join(begun(name, kept), frames.in_ms(frames.of_transport_stream(kept)), to_end=True)
    assert last_dts_ms(name, kept) == {kind: dts - joined.offset_ms for kind, dts in ends(second).items()}


def ends(file: Path) -> dict[str, int]:
    """The time of the last packet of each track."""
    rows = frames.in_ms(frames.of_file(file))
    return {kind: rows.track(kind)[-1].dts for kind in rows.kinds}


def last_dts_ms(name: str, kept: Path) -> dict[str, int]:
    """The time in a test file of the last packet of each track that `kept` has, which begins as the file does."""
    sent, got = source(name, "flv"), frames.of_file(kept)
    return {kind: sent.track(kind)[len(got.track(kind)) - 1].dts for kind in sent.kinds}


def begun(name: str, kept: Path) -> Recording:
    """What a test file shows and sounds like up to where it is in `kept`: its first packets, as many as that has.

    Not up to a time: pictures are sent before others that are shown earlier, and a publisher may be stopped between them.
    """
    sent, got, whole = frames.of_file(media(name)), frames.of_file(kept), frames.as_transport_stream(media(name))
    counts = {stream.index: len(got.track(stream.kind)) for stream in whole.streams}
    times = {stream.index: {frame.pts for frame in sent.track(stream.kind)[: counts[stream.index]]} for stream in whole.streams}
    return frames.in_ms(replace(whole, frames=tuple(frame for frame in whole.frames if frame.pts in times[frame.stream])))


def spooled_bytes(folder: Path, node: Node) -> int:
    return sum(file.stat().st_size for file in (folder / f"{node.name}.spool").rglob("*") if file.is_file())


def test_a_scheduler_that_is_restarted_splits_no_file(
    start_cluster: Callable[..., Cluster], stack: ExitStack, tmp_path: Path
) -> None:
    cluster = start_cluster(origins=1, edges=1, hls=1, settings={"hls": QUICK, "origin": {"origin.grace_s": 0}})
    edge, node, scheduler = cluster.edges[0], cluster.hls[0], cluster.schedulers[0]
    for formats in (["flv"], ["mp4"]):
        assert ask(f"{cluster.api_url}/v1/recordings", "POST", {"pattern": "live/*", "formats": formats})[0] == 201
    wait_until("hls nodes that the edge knows", lambda: ask(edge.http_url("record/"))[0] == 200, LIMIT_S)
    push("h264_b3_aac", edge, stack, tmp_path)
    wait_until("some media", lambda: spooled_bytes(tmp_path, node) > 100_000, LIMIT_S)
    scheduler.kill()
    scheduler.restart().wait_ready()
    for item in wait_listed(edge, 2):
        file = fetch(edge, item, tmp_path)
        sent = source("h264_b3_aac", str(item["format"])).track("video")
        assert check_frames("h264_b3_aac", file).counts["video"] == len(sent)
    assert len(listed(edge)) == 2
