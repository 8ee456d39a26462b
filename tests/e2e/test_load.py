"""`lalmesh bench` and `lalmesh delay` against our own server, by every protocol."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support import ffmpeg
from support.certificates import self_signed
from support.cluster import Node, Standalone
from support.loads import RUN_S, SHORT, begun, load
from support.program import run as run_program

Media = Callable[[str], Path]

PROBED = ("-show_entries", "stream=codec_name,profile,r_frame_rate", "-of", "csv")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(self_signed(tmp_path_factory.mktemp("certificate")))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, certificate: str) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("standalone")
    settings = {
        "edge.tls.cert_file": certificate,
        "edge.tls.key_file": certificate,
        "hls.segment_ms": 500,
        "hls.part_ms": 200,
    }
    with Standalone(folder, settings) as node:
        yield node


def urls(node: Node, name: str, *, tls: bool = False) -> list[str]:
    """Of every protocol that plays."""
    streams = [f"live/{name}{ending}" for ending in (".flv", ".ts", ".mp4")]
    lists = [f"hls/live/{name}.m3u8", f"hls/live/{name}/index.m3u8"]
    return [
        node.rtmp_url(f"live/{name}", tls=tls),
        node.rtsp_url(f"live/{name}", tls=tls),
        *(node.http_url(path, tls=tls) for path in [*streams, *lists]),
        *(node.socket_url(path, tls=tls) for path in (*streams, f"live/{name}")),
    ]


def check_all_well(report: dict[str, Any], *, streams: int, players: int) -> None:
    assert (report["faults"], report["is_whole"]) == ([], True)
    sent = report["publishers"]
    assert (sent["wanted"], sent["published"], sent["refused"], sent["lost"]) == (streams, streams, {}, {})
    assert 0.8 * 400_000 < sent["lowest_bps"] < 1.3 * 400_000
    for played in report["players"]:
        assert played["joined"] == streams * players, played
        assert played["lowest_bps"] > 0.5 * 400_000, played
        assert played["join_ms"]["count"] == streams * players
        looks = played["looks"]
        assert looks["players"] > 0
        assert looks["units"] > 30, played
        assert (looks["missing"], looks["doubled"], looks["disordered"], looks["foreign"]) == (0, 0, 0, 0), played
        assert 0 < looks["delay_ms"]["p50"] <= looks["delay_ms"]["p99"] <= looks["delay_ms"]["worst"]


def test_every_protocol_is_played_and_every_unit_that_was_published_comes(node: Node) -> None:
    publish = ("--publish", node.rtmp_url("live/every-{}"), "--streams", "2", "--players", "2", "--look", "2")
    status, report = load("bench", *urls(node, "every-{}"), *publish, *SHORT, "--duration", "3")
    check_all_well(report, streams=2, players=2)
    assert status == 0
    delays = {played["url"].rpartition("/")[2]: played["looks"]["delay_ms"]["p50"] for played in report["players"]}
    assert delays["index.m3u8"] > 50 > delays["every-{}.flv"]
    assert 0 < report["client"]["cpu_percent"] < 200


def test_all_of_it_is_encrypted_where_urls_say_so(node: Node) -> None:
    publish = ("--publish", node.rtmp_url("live/secret", tls=True), "--insecure")
    status, report = load("bench", *urls(node, "secret", tls=True), *publish, *SHORT, "--players", "2", "--duration", "2")
    check_all_well(report, streams=1, players=2)
    assert status == 0


def test_whom_to_trust_can_be_said(node: Node, certificate: str) -> None:
    words = [node.rtmp_url("live/trusted", tls=True), *urls(node, "trusted", tls=True), "--duration", "2", "--bitrate", "400k"]
    status, report = load("delay", *words, "--ca", certificate)
    assert (status, report["faults"], len(report["rows"])) == (0, [], len(words) - 5)
    status, report = load("delay", *words)
    assert (status, "certificate" in report["faults"][0]) == (1, True), report["faults"]


@pytest.mark.parametrize("tls", [False, True])
def test_rtsp_over_websocket_is_published_and_played(node: Node, tls: bool) -> None:
    name = f"live/socket-{tls}-{{}}"
    plays = [node.socket_url(name, tls=tls), node.rtsp_url(name), node.flv_url(name)]
    words = ("--publish", node.socket_url(name, tls=tls), "--streams", "2", "--players", "3", "--look", "2", "--insecure")
    status, report = load("bench", *plays, *words, *SHORT, "--duration", "2")
    check_all_well(report, streams=2, players=3)
    assert status == 0


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rtsp_is_published_and_played(node: Node, transport: str) -> None:
    name = f"live/rtsp-{transport}-{{}}"
    words = ("--publish", node.rtsp_url(name), "--streams", "2", "--players", "2", "--rtsp-transport", transport)
    status, report = load("bench", node.rtsp_url(name), node.flv_url(name), *words, *SHORT, "--duration", "2")
    check_all_well(report, streams=2, players=2)
    assert status == 0


def test_a_file_is_published_in_a_loop(node: Node, media: Media, tmp_path: Path) -> None:
    whole = media("h264_b3_aac").read_bytes()
    (tmp_path / "begins.flv").write_bytes(whole[: len(whole) // 5])  # of 8 s
    words = ("--publish", node.rtmp_url("live/file"), "--file", str(tmp_path / "begins.flv"), "--within", "0", "--duration", "3")
    status, report = load("bench", node.flv_url("live/file"), node.rtsp_url("live/file"), *words)
    assert (status, report["faults"]) == (0, [])
    assert {played["looks"]["missing"] for played in report["players"]} == {0}


@pytest.mark.parametrize(
    ("name", "words", "streams"),
    [
        ("made", (), ["stream,h264,Constrained Baseline,30/1", "stream,aac,LC,0/0"]),
        ("mute", ("--fps", "25", "--audio", "0"), ["stream,h264,Constrained Baseline,25/1"]),
    ],
)
def test_what_is_made_up_can_be_decoded(
    node: Node, tmp_path: Path, stack: ExitStack, name: str, words: tuple[str, ...], streams: list[str]
) -> None:
    publish = ("--publish", node.rtmp_url(f"live/{name}"), "--publish-within", "0", "--gop", "0.5", *words)
    begun(stack, tmp_path, *publish, "--duration", "60")
    url = node.flv_url(f"live/{name}")
    ffmpeg.run("-i", url, "-t", "1", "-xerror", "-err_detect", "explode", "-f", "null", "-", limit_s=RUN_S)
    probe = ffmpeg.bounded(RUN_S, ["ffprobe", "-v", "error", "-analyzeduration", "1M", *PROBED, url])
    shown = subprocess.run(probe, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines() == streams


def test_delays_are_told_by_player(node: Node) -> None:
    routed = f"{node.api_url}/play/live/delay.flv"  # to an edge, by a redirection
    plays = [node.rtmp_url("live/delay"), node.rtsp_url("live/delay"), node.ws_url("live/delay"), routed]
    words = ("--duration", "2", "--bitrate", "400k", "--gop", "0.5")
    status, report = load("delay", node.rtmp_url("live/delay"), *plays, *words)
    assert (status, report["faults"], [row["url"] for row in report["rows"]]) == (0, [], plays)
    for row in report["rows"]:
        assert row["units"] > 100
        assert (row["missing"], row["doubled"], row["foreign"]) == (0, 0, 0)
        assert 0 < row["delay_ms"]["p50"] < 100


def test_two_players_are_compared_where_somebody_else_publishes(node: Node, tmp_path: Path, stack: ExitStack) -> None:
    begun(stack, tmp_path, "--publish", node.rtmp_url("live/other"), *SHORT, "--duration", "60")
    plays = [node.flv_url("live/other"), node.rtsp_url("live/other"), node.http_url("hls/live/other/index.m3u8")]
    status, report = load("delay", "--no-publish", *plays, "--duration", "2")
    assert (status, report["since"], [row["url"] for row in report["rows"]]) == (0, plays[0], plays[1:])
    rtsp, hls = report["rows"]
    assert rtsp["missing"] == hls["missing"] == 0
    assert -50 < rtsp["delay_ms"]["p50"] < 50 < hls["delay_ms"]["p50"]
    done = run_program("delay", "--no-publish", plays[0], limit_s=RUN_S)
    assert (done.returncode, "a delay is between two" in done.stderr) == (2, True)
