"""The supervisor in this process, and workers that are a few lines of Python: what it does about how they end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.ports import LOOPBACK

from lalmesh.runtime.config import Config, ConfigError
from services.standalone.workers import _silence, supervisor
from services.standalone.workers.supervisor import Supervisor

LIMIT_S = 40.0
#: Listens, as a worker does that says so, and goes on until it is told to end.
LISTENS = """
    import json, os, signal, sys
    worker = json.loads(os.environ["_LALMESH_WORKER"])
    assert sys.argv[1:] == ["edge", "--loop", "auto"], sys.argv
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STATUS))
    os.write(worker["report_fd"], b'{"metrics": 1}\\n')
    os.close(worker["report_fd"])
    while True:
        signal.pause()
"""


#: Notes that it was hung up on, and asks for the end of all once both were.
HEARS = """
    import json, os, signal, sys
    worker = json.loads(os.environ["_LALMESH_WORKER"])
    def hear(*_):
        open(os.path.join("FOLDER", str(worker["number"])), "w").close()
        if len(os.listdir("FOLDER")) == worker["count"]:
            os.kill(os.getppid(), signal.SIGTERM)
    signal.signal(signal.SIGHUP, hear)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.write(worker["report_fd"], b'{"metrics": 1}\\n')
    while True:
        signal.pause()
"""


def config(**edge: Any) -> Config:
    listeners = {name: {"host": LOOPBACK, "port": 0} for name in ("rtmp", "http", "ws_rtsp")}
    rtsp = {"host": LOOPBACK, "port": 0, **edge.pop("rtsp", {})}
    return Config.model_validate({"edge": {**listeners, "rtsp": rtsp, **edge}, "metrics": {"port": 0}})


async def ends(
    monkeypatch: pytest.MonkeyPatch, program: str, made: Config, *, told: signal.Signals | None = None
) -> tuple[str, int]:
    """Why two workers that are `program` have ended, told so once all were up; and how often all were."""
    monkeypatch.setattr(supervisor, "PROGRAM", (sys.executable, "-S", "-c", textwrap.dedent(program)))
    ups = list[dict[str, int]]()

    def all_up(ports: dict[str, int]) -> None:
        ups.append(ports)
        if told is not None:
            os.kill(os.getpid(), told)

    async with asyncio.timeout(LIMIT_S):
        reason = await Supervisor(made, "edge", "e", 2, ("--loop", "auto")).run(all_up)
    assert all(ports.keys() == {"rtmp", "http", "ws_rtsp", "rtsp", "metrics"} and all(ports.values()) for ports in ups)
    return reason, len(ups)


async def test_workers_that_end_in_order_when_they_are_told_are_a_good_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await ends(monkeypatch, LISTENS.replace("STATUS", "0"), config(), told=signal.SIGTERM) == ("", 1)


async def test_a_hangup_gets_to_every_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert await ends(monkeypatch, HEARS.replace("FOLDER", str(tmp_path)), config(), told=signal.SIGHUP) == ("", 1)
    assert {*os.listdir(tmp_path)} == {"1", "2"}


async def test_one_that_does_not_end_in_order_is_why_the_node_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    reason, _ = await ends(monkeypatch, LISTENS.replace("STATUS", "7"), config(), told=signal.SIGTERM)
    assert reason in ("worker 1 ended with status 7", "worker 2 ended with status 7")


#: The first hears that the node drains, by a hangup here, and ends; any other does once it is told to.
DRAINS = """
    import json, os, signal
    worker = json.loads(os.environ["_LALMESH_WORKER"])
    def drain(*_):
        if worker["number"] == 1:
            os.write(worker["report_fd"], b"drains\\n")
            os._exit(0)
    signal.signal(signal.SIGHUP, drain)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    os.write(worker["report_fd"], b'{"metrics": 1}\\n')
    while True:
        signal.pause()
"""


async def test_who_has_not_heard_that_the_node_drains_is_told_when_another_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await ends(monkeypatch, DRAINS, config(), told=signal.SIGHUP) == ("", 1)


async def ports_said(
    monkeypatch: pytest.MonkeyPatch, program: str, trouble: Callable[[dict[str, int]], None]
) -> list[dict[str, int]]:
    """The ports that two workers said, at first and after `trouble` with one of them: all are told to end then."""
    monkeypatch.setattr(supervisor, "PROGRAM", (sys.executable, "-S", "-c", textwrap.dedent(program)))
    said = list[dict[str, int]]()

    def all_up(ports: dict[str, int]) -> None:
        said.append(ports)
        if len(said) == 1:
            trouble(ports)
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    made = Config.model_validate({"origin": {"grpc": {"host": LOOPBACK, "port": 0}}, "metrics": {"port": 0}})
    async with asyncio.timeout(LIMIT_S):
        assert await Supervisor(made, "origin", "o", 2, ()).run(all_up) == ""
    return said


#: Listens at a port that nobody had before.
ELSEWHERE = """
    import json, os, signal
    worker = json.loads(os.environ["_LALMESH_WORKER"])
    os.write(worker["report_fd"], json.dumps({"metrics": 1, "grpc": os.getpid()}).encode() + b"\\n")
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while True:
        signal.pause()
"""


async def test_the_ports_of_a_worker_that_is_started_again_are_said_too(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = await ports_said(monkeypatch, ELSEWHERE, lambda ports: os.kill(ports["grpc"], signal.SIGKILL))
    assert before["grpc"] != after["grpc"]
    assert before == {**after, "grpc": before["grpc"]}


#: The first stands still once it hears of a hangup.
STANDS_STILL = """
    import json, os, signal, time
    worker = json.loads(os.environ["_LALMESH_WORKER"])
    signal.signal(signal.SIGHUP, lambda *_: worker["number"] == 1 and signal.pause())
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    os.write(worker["report_fd"], json.dumps({"metrics": 1, "grpc": os.getpid()}).encode() + b"\\n")
    while True:
        os.write(worker["report_fd"], b"lives\\n")
        time.sleep(0.02)
"""


async def test_a_worker_that_stands_still_is_killed_and_started_again_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_silence, "LOOK_S", 0.05)
    before, after = await ports_said(monkeypatch, STANDS_STILL, lambda _: os.kill(os.getpid(), signal.SIGHUP))
    assert before["grpc"] != after["grpc"]
    assert before["grpc-2"] == after["grpc-2"]


#: At a hangup the first says that it leaves, and dies of it; the other ends in order, later than the first would be there again.
LEAVES = """
    import json, os, signal
    worker = json.loads(os.environ["_LALMESH_WORKER"])
    def leave(*_):
        if worker["number"] == 1:
            os.write(worker["report_fd"], b"leaves\\n")
            os._exit(1)
        signal.setitimer(signal.ITIMER_REAL, 1.5)
    signal.signal(signal.SIGHUP, leave)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    os.write(worker["report_fd"], b'{"metrics": 1}\\n')
    while True:
        signal.pause()
"""


async def test_a_worker_that_drains_alone_is_not_started_again_though_it_died(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await ends(monkeypatch, LEAVES, config(), told=signal.SIGHUP) == ("", 1)


async def test_workers_that_die_before_they_listen_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    reason, ups = await ends(monkeypatch, "import sys; sys.exit(3)", config())
    assert reason.startswith("workers died 3 times before all were up, the last, ")
    assert (reason[-20:], ups) == (" ended with status 3", 0)


async def test_what_is_no_program_is_a_death_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "PROGRAM", ("/nonexistent/python",))
    async with asyncio.timeout(LIMIT_S):
        reason = await Supervisor(config(), "edge", "e", 2, ()).run(lambda _: None)
    assert reason.startswith("workers died 3 times before all were up")


async def test_too_few_ports_are_told_of_before_a_worker_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "PROGRAM", ("/nonexistent/python",))
    made = config(rtsp={"udp_ports": "20000-20001"})
    with pytest.raises(ConfigError, match=r"^edge.rtsp.udp_ports: pairs of ports for 1 of 2 workers"):
        await Supervisor(made, "edge", "e", 2, ()).run(lambda _: None)


#: A worker that nothing kills where its parent ends, as on systems that have no such thing.
UNWATCHED = """
    import asyncio, ctypes, sys
    from services.standalone.workers import Worker, end_with_supervisor

    def missing(name):
        raise OSError(name)

    async def main():
        end_with_supervisor(Worker(node="e", number=1, count=2, lifeline_fd=int(sys.argv[1])))
        print("up", flush=True)
        await asyncio.Event().wait()

    ctypes.CDLL = missing
    asyncio.run(main())
"""


async def test_a_worker_finds_out_by_itself_that_its_supervisor_is_gone() -> None:
    reading, writing = os.pipe()
    command = (sys.executable, "-P", "-c", textwrap.dedent(UNWATCHED), str(reading))
    worker = await asyncio.create_subprocess_exec(*command, pass_fds=(reading,), stdout=asyncio.subprocess.PIPE)
    os.close(reading)
    assert worker.stdout is not None
    async with asyncio.timeout(LIMIT_S):
        assert await worker.stdout.readline() == b"up\n"
        os.close(writing)
        assert await worker.wait() == 1
