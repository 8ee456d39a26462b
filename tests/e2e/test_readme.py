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
from support.cluster import Standalone
from support.etcd import CAN_RUN_ETCD
from support.frames import assert_same_from_join
from support.ports import free_ports
from support.process import Child, wait_until

Media = Callable[[str], Path]

README = Path(__file__).resolve().parents[2] / "README.md"
RUN_S = 20.0  #: for a command that ends by itself, and for what is waited for
LEAVE_S = 15.0  #: for all processes of a cluster to end
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


def listed(api_port: int, what: str) -> list[dict[str, object]]:
    """What the scheduler lists; nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{api_port}/v1/{what}", timeout=2) as answer:
            items: list[dict[str, object]] = json.load(answer)["items"]
            return items
    except OSError:
        return []


def test_push_play_and_look(standalone: Standalone, media: Media, tmp_path: Path, stack: ExitStack) -> None:
    ports = {"1935": "rtmp", "8080": "http", "8083": "api"}
    block = replaced(block_after("Push and play"), {old: str(standalone.ports[name]) for old, name in ports.items()})
    push, *others = [line for line in block.splitlines() if re.match(r"\w", line)]
    assert push.startswith("ffmpeg ")
    assert [line.split()[0] for line in others] == [*["ffplay"] * 5, "lalmesh", "curl"]
    ffmpeg.run("-i", media("h264_b3_aac_60s"), "-c", "copy", tmp_path / "video.mp4")
    env = environment({})
    stack.enter_context(Child(ffmpeg.bounded(90, shell(tmp_path, f"exec {push}")), log=tmp_path / "push.log", env=env))
    said = [run(tmp_path, headless(line), env) for line in others]
    for expected in ("video h264", "audio aac", "320x180"):
        assert expected in said[-2]
    assert [item["stream"] for item in json.loads(said[-1])["items"]] == ["live/test"]


@pytest.mark.skipif(not CAN_RUN_ETCD, reason="etcd and etcdctl are not installed")
def test_a_cluster_by_hand(media: Media, tmp_path: Path, stack: ExitStack) -> None:
    etcd, etcd_peer, scheduler, api, origin, rtmp, http, rtmp_2, http_2 = free_ports(9)
    changes = {"2379": str(etcd), "1936": str(rtmp_2), "8086": str(http_2), "/tmp/lalmesh-etcd": "etcd-data"}
    client, peer = f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{etcd_peer}"
    env = environment({
        "ETCD_LISTEN_CLIENT_URLS": client, "ETCD_ADVERTISE_CLIENT_URLS": client, "ETCDCTL_ENDPOINTS": client,
        "ETCD_LISTEN_PEER_URLS": peer, "ETCD_INITIAL_ADVERTISE_PEER_URLS": peer, "ETCD_INITIAL_CLUSTER": f"default={peer}",
        "LALMESH_SCHEDULER__GRPC__PORT": str(scheduler), "LALMESH_CLUSTER__SCHEDULERS": f"127.0.0.1:{scheduler}",
        "LALMESH_SCHEDULER__HTTP__PORT": str(api), "LALMESH_ORIGIN__GRPC__PORT": str(origin),
        "LALMESH_EDGE__RTMP__PORT": str(rtmp), "LALMESH_EDGE__HTTP__PORT": str(http),
    })  # fmt: skip
    block = block_after("What a cluster looks like", nth=1)
    assert block.count("&\n") == 5
    cluster = stack.enter_context(
        Child(shell(tmp_path, f"{replaced(block, changes)}{STAY}"), log=tmp_path / "cluster.log", env=env)
    )
    stack.callback(cluster.stop, LEAVE_S)  # all of them: they are one process group
    wait_until("three nodes", lambda: len(listed(api, "nodes")) == 3, RUN_S, child=cluster, every_s=0.1)

    file, rows = media("h264_b3_aac"), tmp_path / "played.md5"
    url = re.search(r"http://127.0.0.1:8086/live/test.flv", README.read_text())
    assert url
    push = ffmpeg.Publisher(file, f"rtmp://127.0.0.1:{rtmp}/live/test", log=tmp_path / "push.log")
    play = ffmpeg.Player(replaced(url[0], {"8086": str(http_2)}), rows, log=tmp_path / "play.log")
    stack.enter_context(push)
    stack.enter_context(play)
    wait_until("the stream", lambda: bool(listed(api, "streams")), RUN_S, child=push, every_s=0.1)
    look = re.search(r"^`(ETCDCTL_API=3 etcdctl .*)`\.$", README.read_text(), re.MULTILINE)
    assert look
    assert "/lalmesh/claims/live/test" in run(tmp_path, look[1], env)
    wait_until("some seconds of frames", lambda: play.row_count() > PLAYED, RUN_S, child=play, every_s=0.1)
    play.stop()
    assert_same_from_join(frames.of_file(file), frames.read(rows))
    assert cluster.stop(LEAVE_S) == 0, "some processes had to be killed"
