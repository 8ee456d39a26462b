"""The command line: what it prints can be used as it stands, what is wrong is said, and it stops in order."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import aiohttp
import pytest
from support import ffmpeg, wire
from support.cluster import CLUSTER_KEY, PROGRAM, Standalone
from support.loops import LOOP_NAMES
from support.ports import free_ports, is_open
from support.process import Child, wait_until
from support.program import run as run_program

from lalmesh.protocol.rtmp import StatusFailed, StreamEnded

Media = Callable[[str], Path]
StartStandalone = Callable[..., Standalone]

RUN_S = 60.0  #: for a command that ends by itself
BEGIN_S = 60.0  #: for a server that is started as users start it: a second of a core, of which others leave a tenth
LEAVE_S = 20.0  #: to stop with sessions open, of which one would wait for `WAIT_S`
WAIT_S = 60.0
#: those of the two that play by HTTP-FLV, of whom one waits, and by WebSocket
ALL_THERE = tuple(f'edge_sessions{{protocol="{each}",role="player"}} {n}.0' for each, n in (("http-flv", 2), ("ws-flv", 1)))
ANY_PORTS = tuple(
    word
    for listener in ("edge.rtmp", "edge.rtsp", "edge.ws_rtsp", "edge.http", "hls.http", "metrics", "scheduler.http")
    for word in ("--set", f"{listener}.port=0")
)
LISTENERS = {"rtmp", "rtsp", "ws_rtsp", "http", "hls", "api", "metrics"}


def run(*arguments: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return run_program(*arguments, limit_s=RUN_S, env=env)


def standalone(folder: Path, *arguments: str | Path) -> Child:
    command = [PROGRAM, "standalone", *ANY_PORTS, *map(str, arguments)]
    return Child(command, log=folder / "standalone.log", env={"PYTHONUNBUFFERED": "1"})


# ports


def test_the_ports_file_appears_at_once_and_whole_and_all_ports_listen(tmp_path: Path, stack: ExitStack) -> None:
    folder = tmp_path / "ports"
    folder.mkdir()
    file = folder / "ports.json"
    child = stack.enter_context(standalone(tmp_path, "--ports-file", file))
    wait_until("the ports file", file.exists, BEGIN_S, child=child, every_s=0.001)
    ports = json.loads(file.read_text())  # half a file would not parse
    assert ports.keys() == LISTENERS
    assert len(set(ports.values())) == len(LISTENERS)
    assert all(map(is_open, ports.values()))
    assert list(folder.iterdir()) == [file]


def test_the_ports_file_replaces_that_of_an_earlier_run(tmp_path: Path, stack: ExitStack) -> None:
    file = tmp_path / "ports.json"
    file.write_text("of an earlier run")
    child = stack.enter_context(standalone(tmp_path, "--ports-file", file))
    wait_until("the new ports", lambda: file.read_text().startswith("{"), BEGIN_S, child=child, every_s=0.001)
    assert json.loads(file.read_text()).keys() == LISTENERS


# what is printed


def test_the_lines_that_a_server_prints_work_as_they_stand(tmp_path: Path, stack: ExitStack) -> None:
    child = stack.enter_context(standalone(tmp_path))
    wait_until("the lines", lambda: "look:" in child.output() and child.output().endswith("\n"), BEGIN_S, child=child)
    lines = [line.strip() for line in child.output().splitlines()]
    push = next(line for line in lines if line.startswith("ffmpeg "))
    plays = [line.removeprefix("ffplay ") for line in lines if line.startswith("ffplay ")]
    look = next(line for line in lines if line.startswith("curl ")).removeprefix("curl ")
    assert [url.partition(":")[0] for url in plays] == ["rtmp", "rtsp", "http", "http"]
    stack.enter_context(Child(["timeout", "-k", "2", "110", "bash", "-c", f"exec {push}"], log=tmp_path / "push.log"))
    for url in plays:
        for program in (ffmpeg.FFMPEG, ffmpeg.OLD_FFMPEG):
            ffmpeg.run("-i", url, "-t", "2", "-xerror", "-f", "null", "-", limit_s=RUN_S, ffmpeg=program)
    assert '"live/test"' in subprocess.run(["curl", "-sS", look], capture_output=True, text=True, timeout=RUN_S, check=True).stdout


# the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("loop", LOOP_NAMES)
async def test_a_signal_tells_every_session_and_ends_with_status_0(
    start_standalone: StartStandalone, media: Media, number: signal.Signals, loop: str
) -> None:
    node = start_standalone({"edge.play.wait_publisher_s": WAIT_S}, arguments=("--loop", loop))
    tags = wire.tags_of_file(media("h264_aac"))
    async with AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(wire.rtmp(node.rtmp_url("live/cam"), "publish"))
        await publisher.started()
        await publisher.publish(tags[:200])
        player = await stack.enter_async_context(wire.rtmp(node.rtmp_url("live/cam"), "play"))
        await wire.collect(player, lambda got: bool(wire.pictures(got)))
        http = await stack.enter_async_context(wire.flv(node.flv_url("live/cam")))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        socket = await stack.enter_async_context(session.ws_connect(node.ws_url("live/cam")))
        waiting = asyncio.create_task(wire.head_of(node.ports["http"], "/live/nobody.flv"))  # for a publisher
        await asyncio.to_thread(wait_until, "all players", lambda: all(each in node.metrics() for each in ALL_THERE), RUN_S)
        began = time.monotonic()
        os.kill(node.pid, number)
        ended = asyncio.create_task(asyncio.to_thread(node.wait, LEAVE_S))
        seen = await publisher.first(StatusFailed, LEAVE_S)
        assert any(isinstance(event, StatusFailed) and "stop" in event.description for event in seen), seen
        seen = await player.first(StreamEnded, LEAVE_S)
        assert any(isinstance(event, StreamEnded) for event in seen), seen
        await http.wire.drained(LEAVE_S)
        async with asyncio.timeout(LEAVE_S):
            while (message := await socket.receive()).type not in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                pass
        assert message.data == socket.close_code == aiohttp.WSCloseCode.GOING_AWAY
        assert await ended == 0
        assert time.monotonic() - began < LEAVE_S
        await asyncio.gather(waiting, return_exceptions=True)
    closed = re.findall(r'"event": "(publisher|player) closed: the edge stops"', node.output())
    assert sorted(closed) == ["player", "player", "player", "player", "publisher"]
    assert "Traceback" not in node.output()


def test_an_idle_server_stops_at_once(start_standalone: StartStandalone) -> None:
    node = start_standalone()
    began = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - began < 2


# what is wrong


@pytest.mark.parametrize("listener", ["edge.rtmp.port", "edge.http.port", "scheduler.http.port", "metrics.port"])
def test_a_port_in_use_is_said_and_ends_with_status_1(standalone: Standalone, listener: str) -> None:
    name = {"edge.rtmp.port": "rtmp", "edge.http.port": "http", "scheduler.http.port": "api", "metrics.port": "metrics"}[listener]
    port = standalone.ports[name]
    done = run("standalone", *ANY_PORTS, *("--set", "edge.rtmp.host=127.0.0.1", "--set", "edge.http.host=127.0.0.1"),
               *("--set", "scheduler.http.host=127.0.0.1", "--set", f"{listener}={port}"))  # fmt: skip
    assert done.returncode == 1
    assert str(port) in done.stderr.splitlines()[-1]
    assert "lalmesh standalone: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "is up" not in done.stdout


WRONG = {
    "unknown key": (("standalone", "--set", "edge.rtmp.prot=1"), "did you mean edge.rtmp.port"),
    "bad value": (("standalone", "--set", "edge.rtmp.port=70000"), "edge.rtmp.port"),
    "unknown loop": (("standalone", "--loop", "fast"), "fast"),
    "no such file": (("standalone", "--config", "/nonexistent.yaml"), "/nonexistent.yaml"),
    "edge without key": (("edge",), "cluster.key"),
    "origin without key": (("origin",), "cluster.key"),
    "scheduler without etcd": (("scheduler",), "scheduler.etcd.endpoints"),
    "config check, unknown key": (("config", "check", "--set", "edge.rtmp.prot=1"), "did you mean edge.rtmp.port"),
    "config check of a role": (("config", "check", "--role", "edge"), "cluster.key"),
}


@pytest.mark.parametrize(("arguments", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_a_line_and_ends_with_status_1(arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_certificate_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    files = [f"edge.tls.{name}_file={tmp_path}/cert.pem" for name in ("cert", "key")]
    done = run("standalone", *ANY_PORTS, *(part for file in files for part in ("--set", file)))
    assert done.returncode == 1
    assert "edge.tls" in done.stderr
    assert "Traceback" not in done.stderr


# configuration


def test_config_check_says_ok() -> None:
    done = run("config", "check", "--role", "edge", env={"LALMESH_CLUSTER__KEY": CLUSTER_KEY})
    assert (done.returncode, done.stdout) == (0, "ok\n")


def test_config_show_names_the_sources_and_masks_secrets(tmp_path: Path) -> None:
    file = tmp_path / "lalmesh.yaml"
    file.write_text("edge:\n  rtmp:\n    port: 19350\n")
    env = {"LALMESH_CLUSTER__KEY": CLUSTER_KEY, "LALMESH_EDGE__HTTP__PORT": "18080"}
    done = run("config", "show", "--config", file, "--set", "metrics.port=19090", env=env)
    assert done.returncode == 0
    for expected in ("port: 19350", "port: 18080", "port: 19090"):
        assert expected in done.stdout
    assert CLUSTER_KEY not in done.stdout + done.stderr


def test_config_schema_is_json() -> None:
    assert json.loads(run("config", "schema").stdout)["properties"].keys() >= {"cluster", "edge", "origin", "scheduler"}


def test_file_environment_and_set_reach_the_server_in_that_order(tmp_path: Path, stack: ExitStack) -> None:
    rtmp, http, by_file = free_ports(3)
    file, ports = tmp_path / "lalmesh.yaml", tmp_path / "ports.json"
    said = {
        "edge": {"rtmp": {"port": by_file}, "http": {"port": by_file}, "rtsp": {"port": 0}, "ws_rtsp": {"port": 0}},
        "metrics": {"port": 0},
        "scheduler": {"http": {"port": 0}},
    }
    file.write_text(json.dumps(said))  # JSON is YAML
    command: list[str | Path] = [PROGRAM, "standalone", "--config", file, "--set", f"edge.rtmp.port={rtmp}", "--ports-file", ports]
    env = {"LALMESH_EDGE__HTTP__PORT": str(http), "LALMESH_EDGE__RTMP__PORT": str(by_file)}
    child = stack.enter_context(Child(command, log=tmp_path / "standalone.log", env=env))
    wait_until("the ports file", ports.exists, BEGIN_S, child=child)
    found = json.loads(ports.read_text())
    assert (found["rtmp"], found["http"]) == (rtmp, http)


def test_the_version_is_told() -> None:
    assert re.fullmatch(r"lalmesh \d+\.\d+\.\d+\S*\n", run("--version").stdout)
