"""The commands in docs/, run as they stand but for ports, names of hosts and streams, and what needs a screen.

`<!-- run: SCENE -->` above a block says beside what: `standalone` is a server with a publisher; `token` is one of its own that
wants a token; `cluster` has an edge and all else; `publisher` is a server that the block itself publishes to, until it is told to
stop; `alone` is nothing at all.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support import ffmpeg
from support.certificates import self_signed
from support.cluster import CLUSTER_KEY, Cluster, Node, Standalone
from support.doc_blocks import Block, blocks
from support.ports import LOOPBACK
from support.process import Child, wait_until

Media = Callable[[str], Path]

RUN_S = 60.0  #: for a command that ends by itself, and for what is waited for
PLAY_S = "1"
TOKEN = "a token for the commands of docs"
STREAM = "live/test"
PORTS = {"1935": "rtmp", "5544": "rtsp", "5322": "rtsps", "8080": "http", "8083": "api", "9090": "metrics"}
#: `curl` says what it was answered with, and fails where that is an error. What is asked for long is asked for short.
PRELUDE = 'set -eu\ncurl() { command curl --silent --show-error --fail-with-body --max-time 50 "$@"; }\n'
IN_SHORT = {"seconds=30": "seconds=1"}


@dataclass(slots=True)
class Scene:
    """What a block is run beside."""

    folder: Path
    env: dict[str, str]
    ports: dict[str, int] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  #: words of the page, and what they are here
    last_id: str = ""  #: what stands for ID: of what was made last

    def moved(self, line: str) -> str:
        """A command with the ports, hosts and names of here."""
        for word, here in {**IN_SHORT, **self.names}.items():
            line = line.replace(word, here)
        line = re.sub(
            r"(?<=[ '\"])localhost:|//(?:scheduler|edge-\d|scheduler-\d):",
            lambda m: f"{'//' * m[0].startswith('//')}{LOOPBACK}:",
            line,
        )
        for port, listener in PORTS.items():
            if listener in self.ports:
                line = re.sub(rf"(?<={re.escape(LOOPBACK)}:){port}\b", str(self.ports[listener]), line)
        line = re.sub(r"\bID\b", self.last_id, line)
        return re.sub(r"^ffplay (.*?)(\S+)$", rf"ffmpeg -nostdin -loglevel error -xerror \1-i \2 -t {PLAY_S} -f null -", line)

    def run(self, line: str) -> str:
        """What a command prints; it has to succeed."""
        moved = self.moved(line)
        command = ["bash", "-c", f"{PRELUDE}{moved}"]
        done = subprocess.run(
            ffmpeg.bounded(RUN_S, command), cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=RUN_S + 5, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{moved}\n{done.stdout}{done.stderr}"
        return done.stdout


def environment(**extra: str) -> dict[str, str]:
    """As after ``. .venv/bin/activate``, and nothing of what tests are configured with."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **extra}


def commands(block: Block) -> list[str]:
    """Its commands, those of several lines as one."""
    joined = re.sub(r"\\\n\s*", "", block.text)
    return [re.sub(r"\s+# .*$", "", line) for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def of_scene(scene: str) -> list[Block]:
    return [block for block in blocks() if block.scene == scene]


def sessions(node: Node) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{node.api_url}/v1/sessions", timeout=RUN_S) as answer:
        items: list[dict[str, Any]] = json.load(answer)["items"]
        return items


def published(node: Node) -> bool:
    """Whether the stream is there with its tracks."""
    with urllib.request.urlopen(f"{node.api_url}/v1/streams", timeout=RUN_S) as answer:
        return any(item["stream"] == STREAM and item["tracks"] for item in json.load(answer)["items"])


def push(node: Node, folder: Path, stack: ExitStack) -> None:
    """Publish the stream of the pages until the scene is over."""
    publisher = stack.enter_context(ffmpeg.Camera(node.rtmp_url(STREAM), log=folder / "push.log"))
    wait_until("the stream", lambda: published(node) and bool(sessions(node)), RUN_S, child=publisher, every_s=0.1)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("standalone")
    certificate = str(self_signed(folder))
    with ExitStack() as stack:
        tls = {"edge.tls.cert_file": certificate, "edge.tls.key_file": certificate}
        node = stack.enter_context(Standalone(folder, tls))
        push(node, folder, stack)
        yield Scene(folder, environment(), node.ports, {"live/cam": STREAM})


def after(block: Block, scene: Scene) -> None:
    """Run its commands, each with the id of what the one before has made."""
    for line in commands(block):
        said = scene.run(line)
        if "curl" in line and said.startswith("{") and "id" in (answer := json.loads(said)):
            scene.last_id = str(answer["id"])


@pytest.mark.parametrize("block", of_scene("standalone"), ids=str)
def test_beside_a_server_with_a_stream(block: Block, served: Scene) -> None:
    after(block, served)


@pytest.mark.parametrize("line", dict.fromkeys(line for block in of_scene("alone") for line in commands(block)))
def test_alone(line: str, tmp_path: Path) -> None:
    """Several pages say the same. Other tests may have the usual ports meanwhile."""
    listeners = ("EDGE__RTMP", "EDGE__RTSP", "EDGE__WS_RTSP", "EDGE__HTTP", "HLS__HTTP", "HLS__GRPC", "SCHEDULER__HTTP", "METRICS")
    free = {f"LALMESH_{listener}__PORT": "0" for listener in (*listeners, "SCHEDULER__GRPC", "ORIGIN__GRPC")}
    assert Scene(tmp_path, environment(LALMESH_CLUSTER__KEY=CLUSTER_KEY, **free)).run(line)  # it says something


@pytest.mark.parametrize("block", of_scene("publisher"), ids=str)
def test_what_publishes(block: Block, standalone: Node, media: Media, tmp_path: Path, stack: ExitStack) -> None:
    ffmpeg.run("-i", media("h264_b3_aac_60s"), "-c", "copy", tmp_path / "video.mp4")
    wait_until("the end of the publisher before", lambda: not sessions(standalone), RUN_S, every_s=0.1)
    scene = Scene(tmp_path, environment(), standalone.ports)
    (line,) = commands(block)
    command = ["bash", "-c", f"cd '{tmp_path}'\nexec {scene.moved(line)}"]
    child = stack.enter_context(Child(ffmpeg.bounded(150, command), log=tmp_path / "push.log", env=scene.env))
    # what the one before has published stays for a while
    wait_until("the stream", lambda: bool(sessions(standalone)) and published(standalone), RUN_S, child=child, every_s=0.1)


@pytest.mark.parametrize("block", of_scene("token"), ids=str)
def test_with_a_token(block: Block, tmp_path: Path, stack: ExitStack) -> None:
    (tmp_path / "token").write_text(TOKEN)
    files = {"scheduler.http.token_file": str(tmp_path / "token"), "metrics.profile_token_file": str(tmp_path / "token")}
    node = stack.enter_context(Standalone(tmp_path, files))
    push(node, tmp_path, stack)
    after(block, Scene(tmp_path, environment(TOKEN=TOKEN), node.ports, last_id=str(sessions(node)[0]["id"])))


def test_beside_a_cluster(tmp_path: Path, stack: ExitStack) -> None:
    """All blocks in one, those that end a node last."""
    (tmp_path / "token").write_text(TOKEN)
    token = {"scheduler.http.token_file": str(tmp_path / "token")}
    cluster = stack.enter_context(Cluster(tmp_path, origins=1, edges=1, settings={"scheduler": token}))
    # the doctor of an edge that is to come: its ports are its own, its schedulers those that there are
    env = environment(
        TOKEN=TOKEN,
        LALMESH_CLUSTER__KEY=CLUSTER_KEY,
        LALMESH_CLUSTER__SCHEDULERS=cluster.schedulers[0].grpc_address,
        **{f"LALMESH_EDGE__{listener}__PORT": "0" for listener in ("RTMP", "HTTP", "RTSP", "WS_RTSP")},
        LALMESH_METRICS__PORT="0",
    )
    scene = Scene(tmp_path, env, {"api": cluster.schedulers[0].ports["api"]}, {"edge-0": "edge-1"})
    found = of_scene("cluster")
    assert found
    for block in sorted(found, key=lambda block: "drain" in block.text):
        after(block, scene)


def test_no_tool_of_the_pages_is_missing() -> None:
    assert [tool for tool in ("bash", "curl", "ffmpeg", "lalmesh") if not shutil.which(tool, path=environment()["PATH"])] == []
