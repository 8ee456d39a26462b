"""What `lalmesh bench` tells of servers that are not well, and of what cannot be."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.cluster import Node, Standalone
from support.loads import RUN_S, SHORT, begun, load
from support.program import run as run_program

StartStandalone = Callable[..., Standalone]

STILL_S = 2.0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Standalone(tmp_path_factory.mktemp("standalone"), {"edge.play.wait_publisher_s": 0.5}) as node:
        yield node


def test_a_server_that_stands_still_stalls_every_player(
    start_standalone: StartStandalone, tmp_path: Path, stack: ExitStack
) -> None:
    node = start_standalone()
    words = ("--publish", node.rtmp_url("live/a"), "--players", "3", *SHORT, "--stall", "0.7", "--duration", "4")
    child, report = begun(stack, tmp_path, node.flv_url("live/a"), node.rtmp_url("live/a"), *words)
    begun_s = time.monotonic()
    os.kill(node.pid, signal.SIGSTOP)
    try:
        time.sleep(STILL_S)  # this is what is measured
    finally:
        os.kill(node.pid, signal.SIGCONT)
    still_s = time.monotonic() - begun_s
    assert child.wait(RUN_S) == 1
    found = json.loads(report.read_text())
    for played in found["players"]:
        assert played["stalled"] == 3, found
        assert STILL_S - 0.5 < played["longest_pause_ms"] / 1000 < still_s + 2
        assert played["looks"]["delay_ms"]["worst"] > 1000 * (STILL_S - 0.5)
        assert played["looks"]["missing"] == 0
    assert len([fault for fault in found["faults"] if "of 3 players" in fault]) == 2


def test_a_client_that_stands_still_does_not_take_it_for_stalls(node: Node, tmp_path: Path, stack: ExitStack) -> None:
    words = ("--publish", node.rtmp_url("live/asleep"), "--players", "2", *SHORT, "--stall", f"{STILL_S - 0.2}", "--duration", "3")
    child, report = begun(stack, tmp_path, node.flv_url("live/asleep"), *words)
    child.pause()
    time.sleep(STILL_S)
    child.resume()
    child.wait(RUN_S)
    found = json.loads(report.read_text())
    assert found["players"][0]["stalls"] == 0, found
    assert found["client"]["slept_ms"] > 1000 * (STILL_S - 0.5)
    assert any("stood still" in remark for remark in found["remarks"])


def test_a_server_that_dies_is_told_with_what_was_measured_before(
    start_standalone: StartStandalone, tmp_path: Path, stack: ExitStack
) -> None:
    node = start_standalone()
    words = ("--publish", node.rtmp_url("live/a"), "--players", "3", *SHORT, "--duration", "60")
    child, report = begun(stack, tmp_path, node.flv_url("live/a"), node.rtsp_url("live/a"), *words)
    os.kill(node.pid, signal.SIGKILL)
    assert child.wait(RUN_S) == 1  # and waits for nobody
    found = json.loads(report.read_text())
    assert found["publishers"]["lost"] == {"closed by the server": 1}
    assert [sum(played["lost"].values()) for played in found["players"]] == [3, 3]


def test_who_is_refused_is_counted_by_reason(node: Node) -> None:
    names = [node.flv_url("live/no"), node.ws_url("live/no"), node.rtmp_url("live/no"), node.rtsp_url("live/no")]
    words = ("--players", "2", "--within", "0", "--duration", "1", "--timeout", "30")
    status, report = load("bench", *names, node.http_url("hls/live/no.m3u8"), *words)
    assert status == 1
    refused = [played["refused"] for played in report["players"]]
    assert [list(reasons.values()) for reasons in refused] == [[2]] * 5
    for word, reasons in zip(("404", "404", "StreamNotFound", "404", "404"), refused, strict=True):
        assert word in next(iter(reasons))


def test_where_nobody_listens_it_is_said(node: Node) -> None:
    status, report = load("bench", "rtmp://127.0.0.1:1/live/a", "--duration", "1")
    assert (status, report["players"][0]["refused"]) == (1, {"127.0.0.1:1: Connection refused": 1})
    assert (report["is_whole"], report["measured_s"]) == (False, 0)


def test_a_second_publisher_of_a_name_is_refused(node: Node, tmp_path: Path, stack: ExitStack) -> None:
    words = ("--publish", node.rtmp_url("live/twice"), *SHORT, "--duration", "60")
    begun(stack, tmp_path, *words)
    status, report = load("bench", *words)
    assert status == 1
    assert list(report["publishers"]["refused"].values()) == [1]


def test_an_interrupt_ends_a_run_with_what_was_measured(node: Node, tmp_path: Path, stack: ExitStack) -> None:
    words = ("--publish", node.rtmp_url("live/interrupted"), *SHORT, "--duration", "60")
    child, report = begun(stack, tmp_path, node.flv_url("live/interrupted"), *words)
    child.signal(signal.SIGINT)
    assert child.wait(RUN_S) == 0
    found = json.loads(report.read_text())
    assert not found["is_whole"]
    assert any(remark.startswith("ended after") for remark in found["remarks"])
    assert "Traceback" not in child.output()


WRONG = {
    "nothing to do": ((), "nothing to publish or to play"),
    "no number": (("--publish", "rtmp://h/live/a", "--streams", "2"), "say where its number goes by {}"),
    "unknown ending": (("http://h/live/a.avi",), ".flv, .ts, .mp4"),
    "unknown scheme": (("srt://h/live/a",), "rtmp://"),
    "publish by HTTP": (("--publish", "http://h/live/a.flv"), "what is published begins with"),
    "no bit rate": (("--publish", "rtmp://h/live/a", "--bitrate", "fast"), "'fast'"),
    "more sound than all": (("--publish", "rtmp://h/live/a", "--bitrate", "64k"), "of which sound has 128000"),
    "no folder for the report": (("rtmp://h/live/a", "--json", "/nonexistent/report.json"), "/nonexistent/report.json"),
    "too much to keep": (("--publish", "rtmp://h/live/a", "--publish-within", "9000"), "GB of media to keep"),
    "too many files": (("rtmp://h/live/a", "--players", "90000000"), "open files are needed"),
}


@pytest.mark.parametrize(("words", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_begun_is_said_in_a_line(words: tuple[str, ...], said: str) -> None:
    done = run_program("bench", *words, limit_s=RUN_S)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
