"""The commands of README.md, run as they stand but for ports, the data folder, and what needs a screen."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import ffmpeg, frames
from support.cluster import Node, Standalone
from support.etcd import CAN_RUN_ETCD
from support.frames import assert_same_from_join
from support.in_memory import folder_in_memory
from support.ports import LOOPBACK, free_ports
from support.process import Child, wait_until
from support.s3 import BUCKET, S3Server

Media = Callable[[str], Path]

README = Path(__file__).resolve().parents[2] / "README.md"
RUN_S = 60.0  #: for a command that ends by itself, and for what is waited for: six programs start beside other tests
LEAVE_S = 40.0  #: for all processes of a cluster to end, which do not wait for `DRAIN_S`
DRAIN_S = 90
PLAY_S = "2"
PLAYED = 200  #: packets of both tracks: three seconds
#: Ends a script whose commands run in the background: it stays until they have left.
STAY = "trap : TERM\nwait\nwait"


def block_after(heading: str, nth: int = 0) -> str:
    """The `nth` shell block below a heading."""
    section = README.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks: list[str] = re.findall(r"^```\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return blocks[nth]


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """`text` with each of `changes`, which has to be in it."""
    for old, new in changes.items():
        text, count = re.subn(rf"(?<!\w){re.escape(old)}(?!\w)", new, text)
        assert count, f"no {old} in:\n{text}"
    return text


def shell(folder: Path, script: str) -> list[str | Path]:
    """The command that runs `script` in `folder`."""
    return ["bash", "-c", f"cd '{folder}'\n{script}"]


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """As after ``. .venv/bin/activate``, with what moves the ports that no command names."""
    return {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **extra}


def run(folder: Path, line: str, env: Mapping[str, str]) -> str:
    """What a line prints; it has to succeed."""
    command = ffmpeg.bounded(RUN_S, shell(folder, line))
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_S + 5, check=False, env={**os.environ, **env}
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def headless(line: str) -> str:
    """ffplay needs a screen; ffmpeg plays the same without."""
    return re.sub(r"^ffplay (\S+)", rf"ffmpeg -nostdin -loglevel error -xerror -i \1 -t {PLAY_S} -f null -", line)


def got(url: str) -> str:
    """What is answered; nothing while that is an error."""
    try:
        with urllib.request.urlopen(url, timeout=RUN_S) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def listed(api_port: int, what: str) -> list[dict[str, object]]:
    """What the scheduler lists; nothing while it does not answer."""
    answer = got(f"http://{LOOPBACK}:{api_port}/v1/{what}")
    items: list[dict[str, object]] = json.loads(answer)["items"] if answer else []
    return items


def lines_of(block: str, node: Node, ports: Mapping[str, str]) -> list[str]:
    """The commands of a block for `node`, whose listeners have the `ports`."""
    moved = replaced(block, {old: str(node.ports[name]) for old, name in ports.items()})
    return [line for line in moved.splitlines() if re.match(r"\w", line)]


def test_push_play_look_and_record(standalone: Standalone, media: Media, tmp_path: Path, stack: ExitStack) -> None:
    ports = {"1935": "rtmp", "5544": "rtsp", "8080": "http", "8083": "api"}
    push, camera, *others = lines_of(block_after("Push and play"), standalone, ports)
    assert [line.split()[0] for line in (push, camera, *others)] == [*["ffmpeg"] * 2, *["ffplay"] * 7, "lalmesh", "curl"]
    ffmpeg.run("-stream_loop", "2", "-i", media("h264_b3_aac_60s"), "-c", "copy", tmp_path / "video.mp4")  # longer than the test
    env = environment({})
    for name, line in {"push": push, "camera": camera}.items():
        stack.enter_context(Child(ffmpeg.bounded(150, shell(tmp_path, f"exec {line}")), log=tmp_path / f"{name}.log", env=env))
    said = [run(tmp_path, headless(line), env) for line in others]
    for expected in ("video h264", "audio aac", "320x180"):
        assert expected in said[-2]
    assert {item["stream"] for item in json.loads(said[-1])["items"]} == {"live/test", "live/camera"}

    add, look, play, remove, files = lines_of(block_after("Record and store"), standalone, {"8080": "http", "8083": "api"})
    rule = json.loads(run(tmp_path, add, env))
    assert [item["id"] for item in json.loads(run(tmp_path, look, env))["items"]] == [rule["id"]]
    wait_until("a kept segment", lambda: "#EXTINF" in got(play.split()[1]), RUN_S, every_s=0.2)
    run(tmp_path, headless(play), env)
    run(tmp_path, replaced(remove, {"ID": rule["id"]}), env)
    wait_until("a file", lambda: bool(json.loads(run(tmp_path, files, env))["items"]), RUN_S, every_s=0.2)


def test_segments_are_stored_in_s3(media: Media, tmp_path: Path, stack: ExitStack) -> None:
    store = stack.enter_context(S3Server(tmp_path))
    listeners = ("EDGE__RTMP", "EDGE__RTSP", "EDGE__WS_RTSP", "EDGE__HTTP", "HLS__HTTP", "HLS__GRPC", "SCHEDULER__HTTP", "METRICS")
    env = environment({f"LALMESH_{listener}__PORT": "0" for listener in listeners})
    block = replaced(block_after("Record and store", nth=1), {"9000": store.endpoint.rpartition(":")[2]})
    ports_file = tmp_path / "ports.json"
    script = f"{block.rstrip()} --ports-file {ports_file}"
    server = stack.enter_context(Child(shell(tmp_path, script), log=tmp_path / "server.log", env=env))
    wait_until("ports", ports_file.exists, RUN_S, child=server)
    ports = json.loads(ports_file.read_text())
    url = f"rtmp://{LOOPBACK}:{ports['rtmp']}/live/test"
    stack.enter_context(ffmpeg.Publisher(media("h264_b3_aac"), url, log=tmp_path / "push.log", loops=-1))
    wait_until("a segment", lambda: "#EXTINF" in got(f"http://{LOOPBACK}:{ports['hls']}/hls/live/test.m3u8"), RUN_S, child=server)
    stored = f"{store.endpoint}/{BUCKET}?list-type=2&prefix=lalmesh/"
    wait_until("what is stored", lambda: ".ts</Key>" in got(stored), RUN_S, child=server, every_s=0.2)


@pytest.mark.skipif(not CAN_RUN_ETCD, reason="etcd and etcdctl are not installed")
def test_a_cluster_by_hand(media: Media, tmp_path: Path, stack: ExitStack) -> None:
    etcd, etcd_peer, scheduler, api, origin, hls, hls_grpc, rtmp, http, rtmp_2, http_2 = free_ports(11)
    rtsp, ws_rtsp, rtsp_2, ws_rtsp_2 = free_ports(4)
    changes = {
        "2379": str(etcd),
        "1936": str(rtmp_2),
        "8086": str(http_2),
        "/tmp/lalmesh-etcd": str(folder_in_memory(stack) / "etcd"),
    }
    changes |= {"5545": str(rtsp_2), "5567": str(ws_rtsp_2)}
    client, peer = f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{etcd_peer}"
    env = environment({
        "ETCD_LISTEN_CLIENT_URLS": client, "ETCD_ADVERTISE_CLIENT_URLS": client, "ETCDCTL_ENDPOINTS": client,
        "ETCD_LISTEN_PEER_URLS": peer, "ETCD_INITIAL_ADVERTISE_PEER_URLS": peer, "ETCD_INITIAL_CLUSTER": f"default={peer}",
        "LALMESH_CLUSTER__DRAIN_S": str(DRAIN_S),
        "LALMESH_SCHEDULER__GRPC__PORT": str(scheduler), "LALMESH_CLUSTER__SCHEDULERS": f"127.0.0.1:{scheduler}",
        "LALMESH_SCHEDULER__HTTP__PORT": str(api), "LALMESH_ORIGIN__GRPC__PORT": str(origin),
        "LALMESH_HLS__HTTP__PORT": str(hls), "LALMESH_HLS__GRPC__PORT": str(hls_grpc),
        "LALMESH_EDGE__RTMP__PORT": str(rtmp), "LALMESH_EDGE__HTTP__PORT": str(http),
        "LALMESH_EDGE__RTSP__PORT": str(rtsp), "LALMESH_EDGE__WS_RTSP__PORT": str(ws_rtsp),
    })  # fmt: skip
    block = block_after("What a cluster looks like", nth=1)
    assert block.count("&\n") == 6
    cluster = stack.enter_context(
        Child(shell(tmp_path, f"{replaced(block, changes)}{STAY}"), log=tmp_path / "cluster.log", env=env)
    )
    stack.callback(cluster.stop, LEAVE_S)  # all of them: they are one process group
    wait_until("four nodes", lambda: len(listed(api, "nodes")) == 4, RUN_S, child=cluster, every_s=0.1)
    settled = f"http://{LOOPBACK}:{api}/metrics"
    wait_until("the end of settling", lambda: "scheduler_settling 0.0" in got(settled), RUN_S, child=cluster, every_s=0.1)

    file, rows = media("h264_b3_aac_60s"), tmp_path / "played.md5"
    urls = re.findall(r"`(http://127.0.0.1:8086/[^`]+)`", README.read_text())
    flv, playlist = (replaced(url, {"8086": str(http_2)}) for url in urls)
    push = ffmpeg.Publisher(file, f"rtmp://127.0.0.1:{rtmp}/live/test", log=tmp_path / "push.log")
    play = ffmpeg.Player(flv, rows, log=tmp_path / "play.log")
    stack.enter_context(push)
    stack.enter_context(play)
    wait_until("the stream", lambda: bool(listed(api, "streams")), RUN_S, child=push, every_s=0.1)
    look = re.search(r"`(ETCDCTL_API=3 etcdctl [^`]+)`", README.read_text())
    assert look
    assert "/lalmesh/claims/live/test" in run(tmp_path, look[1], env)
    wait_until("some seconds of frames", lambda: play.row_count() > PLAYED, RUN_S, child=play, every_s=0.1)
    run(tmp_path, headless(f"ffplay {playlist}"), env)
    play.stop()
    push.stop()  # an edge waits for its publishers before it ends
    assert_same_from_join(frames.of_file(file), frames.read(rows))
    assert cluster.stop(LEAVE_S) == 0, "some processes had to be killed"
