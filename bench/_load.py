"""The load of a benchmark and the scales: cheap players, a client that asks, processor time of a server, limits of the machine."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path

from support.process import Child, wait_until

from bench import cpu
from bench.cpu import family

HERE = Path(__file__).resolve().parent
BUILT = HERE.parent / ".tools" / "bench"
BUILD_S = 60
PLAYER_FILES = 2  #: descriptors of a player at its server: its connection, and what blocks go past that by
SPARE_FILES = 256  #: those that a server or the players need beside the connections
MARGIN_S = 20  #: beyond the planned time, before a measuring process counts as stuck
ANSWER_S = 30  #: for one answer: a blocking one waits three target durations at most
LEAST_SENT = 0.95  #: of the bits of its stream, that a publisher must have got rid of: pictures differ, second by second
MOST_UNREAD_MS = 100.0  #: of all streams, that may lie unread in the server's sockets
MOST_LATE_MS = 100.0  #: behind their time, that 1% of the messages may have been given to the kernel
UNREAD_LOOKS, UNREAD_LOOK_S = 5, 0.1  #: how often it is looked at what is unread, and the time in between


@dataclass(slots=True, frozen=True)
class Players:
    """What all players together got after their warm-up."""

    players: int
    mean_kbps: float
    lowest_kbps: float
    closed: int
    stalled: int = 0  #: that got nothing for over a second at a time, or lost their connection
    longest_gap_ms: float = 0.0  #: that one got nothing
    coming_gap_ms: float = 0.0  #: the same of those that had got something, before all had
    cpu_percent: float = 0.0  #: of one core, that they took: near a whole one they are the limit, not the server


@dataclass(slots=True, frozen=True)
class Published:
    """What all publishers together did after their warm-up."""

    publishers: int
    mean_kbps: float
    lowest_kbps: float
    late_p50_ms: float  #: behind its time, that a message was given to the kernel
    late_p99_ms: float
    late_worst_ms: float
    full: int  #: how often a socket took no more
    closed: int
    cpu_percent: float  #: of one core, that they took

    def behind(self, unread_ms: float, due_kbps: float) -> str:
        """How the server, or the publishers themselves, did not keep up; empty where all went through in time.

        Args:
            unread_ms: of the streams, that lay unread in the server's sockets: what it has not read is in no figure of its own.
            due_kbps: that each publisher has to get rid of.
        """
        if self.closed:
            return f"{self.closed} publishers were closed"
        if self.lowest_kbps < LEAST_SENT * due_kbps:
            return f"one publisher got rid of {self.lowest_kbps:.0f} kbit/s of {due_kbps:.0f}"
        if unread_ms > MOST_UNREAD_MS:
            return f"{unread_ms:.0f} ms of the streams lie unread"
        if self.late_p99_ms > MOST_LATE_MS:
            return f"messages left {self.late_p99_ms:.0f} ms late"
        return ""


@dataclass(slots=True, frozen=True)
class Answers:
    """What was answered to a client that asks on many connections."""

    per_s: float
    size_bytes: float  #: of one, its head included
    p50_ms: float  #: from a request to the end of its answer
    p99_ms: float
    failed: int  #: requests that were refused or not answered


@dataclass(slots=True, frozen=True)
class Usage:
    """What a server took, all its processes counted."""

    user_percent: float  #: of one core
    system_percent: float  #: of one core
    cpu_percent: float  #: of one core
    rss_mb: float


def build(name: str) -> Path:
    """The program made of `bench/NAME.c`."""
    source, program = HERE / f"{name}.c", BUILT / name
    newest = max(file.stat().st_mtime for file in (source, *HERE.glob("*.h")))
    if not program.exists() or program.stat().st_mtime < newest:
        BUILT.mkdir(parents=True, exist_ok=True)
        unfinished = program.with_name(f"{name}.{os.getpid()}")  # another one may be running, or being made
        subprocess.run(["cc", "-O2", "-o", unfinished, source], check=True, stdin=subprocess.DEVNULL, timeout=BUILD_S)
        unfinished.rename(program)
    return program


def raise_file_limit(connections: int) -> None:
    """Let this process and its children open as many files as `connections` of players need; exits where the system forbids it."""
    needed = PLAYER_FILES * connections + SPARE_FILES
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < needed:
        sys.exit(f"{connections} players need {needed} open files, the limit is {most} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def cores() -> tuple[set[int], set[int]]:
    """The core for the server under test, and those for all that loads it; the same where there is but one."""
    mine = sorted(os.sched_getaffinity(0))
    return {mine[0]}, set(mine[1:]) or {mine[0]}


def pin(pid: int, where: set[int]) -> None:
    """Keep a process, all its threads and its children on some cores."""
    for member in family(pid):
        for task in Path(f"/proc/{member}/task").glob("*"):
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.sched_setaffinity(int(task.name), where)


class Cores:
    """Gives the server under test and what loads it cores of their own, where that is wanted."""

    def __init__(self, *, apart: bool) -> None:
        """Keep them apart, or let the system place them."""
        self._apart = apart
        self._all = os.sched_getaffinity(0)
        self._server, self._load = cores()

    def give_server(self, pid: int) -> None:
        """The process with its children is the server under test."""
        if self._apart:
            pin(pid, self._server)

    def give_load(self, pid: int) -> None:
        """The process with its children is part of the load."""
        if self._apart:
            pin(pid, self._load)

    def give_back(self, pid: int) -> None:
        """The process with its children may run everywhere again."""
        if self._apart:
            pin(pid, self._all)


def usage(pid: int, seconds: float) -> Usage:
    """What a server takes during the next `seconds`."""
    command = [sys.executable, str(HERE / "cpu.py"), str(seconds), str(pid)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True, timeout=seconds + MARGIN_S
    )
    return Usage(**json.loads(done.stdout))


def connections(port: int) -> int:
    """How many established TCP connections a server has on `port`."""
    return len(_established(port).splitlines())


def connections_by_process(port: int) -> dict[int, int]:
    """The same, by process: several may share a port."""
    found: dict[int, int] = {}
    for line in _established(port, "--processes").splitlines():
        for pid in set(re.findall(r"\bpid=(\d+)", line)):  # a socket may have several descriptors
            found[int(pid)] = found.get(int(pid), 0) + 1
    return found


def data_segments(port: int) -> int:
    """TCP segments with data that a server has sent so far on the connections to `port`, as the kernel counts them."""
    return sum(int(count) for count in re.findall(r"\bdata_segs_out:(\d+)", _established(port, "--info")))


def unread_bytes(port: int) -> int:
    """What has come to a server on its connections to `port` and it has not read yet."""
    return sum(int(line.split()[0]) for line in _established(port).splitlines())


def unread_ms(port: int, streams_kbps: float) -> float:
    """The same as time, of streams that have so many bits a second together: the median of some looks."""
    looks = []
    for _ in range(UNREAD_LOOKS):
        looks.append(unread_bytes(port))
        time.sleep(UNREAD_LOOK_S)
    return statistics.median(looks) * 8 / streams_kbps


def rss_mb(pid: int) -> float:
    """Resident memory of a process and all that descend from it."""
    return cpu.taken(pid).resident_bytes / 1e6


def _established(port: int, *more: str) -> str:
    """What `ss` says of the server's ends, a line each, or two with ``--info``."""
    command = ["ss", "--no-header", "--tcp", "--numeric", *more, "state", "established", f"( sport = :{port} )"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True, timeout=MARGIN_S)
    return done.stdout


def play(url: tuple[str, ...], players: int, seconds: float, warm_up_s: float, log: Path, *, streams: int | None = None) -> Child:
    """Start `players` players, for `seconds` once all of them play; `url` is what `players.c` takes before the number.

    What they get in the first `warm_up_s` of that does not count. A ``%d`` in `url` is the number of one of so many `streams`,
    which the players share out; None: each has a stream of its own.
    """
    log.unlink(missing_ok=True)
    shared = [] if streams is None else [str(streams)]
    return Child([build("players"), *url, str(players), str(seconds), str(warm_up_s), *shared], log=log)


def wait_playing(child: Child, limit_s: float) -> None:
    """Wait until all players have got something, or have waited for `PLAYING_S` of `players.c`.

    Raises:
        ProcessError: they have not within `limit_s`, or have ended.
    """
    wait_until("players", lambda: child.output().startswith("ready"), limit_s, child=child)


def played(child: Child, limit_s: float) -> Players:
    """What the players got, once they are done."""
    child.wait(limit_s)
    try:
        found = json.loads(child.output().splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        raise AssertionError(f"the players failed: {child.describe()}") from None
    return Players(**{each.name: found[each.name] for each in fields(Players)})


def publish(
    port: int, publishers: int, seconds: float, warm_up_s: float, file: Path, log: Path, *, app: str = "live", name: str = "bench-"
) -> Child:
    """Start publishers of `file` by RTMP, of the streams ``live/bench-0`` and so on, for `seconds`; 0: until they are asked to end.

    What they do in the first `warm_up_s` does not count. They are cheap: 200 take a fifth of a core.
    """
    log.unlink(missing_ok=True)
    shape = [str(publishers), str(seconds), str(warm_up_s)]
    return Child([build("publishers"), str(port), app, name, *shape, file], log=log)


def wait_published(child: Child, limit_s: float) -> None:
    """Wait until the server has let all publishers begin.

    Raises:
        ProcessError: it has not within `limit_s`, or they have ended.
    """
    wait_until("publishers", lambda: child.output().startswith("ready"), limit_s, child=child)


def published(child: Child, limit_s: float) -> Published:
    """What the publishers did, once they are done.

    Raises:
        AssertionError: they failed.
    """
    child.wait(limit_s)
    try:
        found = json.loads(child.output().splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        raise AssertionError(f"the publishers failed: {child.describe()}") from None
    return Published(**{each.name: found[each.name] for each in fields(Published)})


def can_ask() -> bool:
    """Whether there is the program that `ask` runs."""
    return shutil.which("wrk") is not None


def ask(url: str, connections: int, seconds: float, log: Path, *, blocking: bool = False, session_ids: Path | None = None) -> Child:
    """Start asking for `url` again and again on `connections` connections, for `seconds` rounded up.

    With `blocking` that is a low-latency playlist that has to be waited for, and the next requests are for those that come next: by
    as many players in turn as the file `session_ids` has ids of, where there is one.
    """
    log.unlink(missing_ok=True)
    shape = ["--threads", "1", "--connections", str(connections), "--duration", f"{math.ceil(seconds)}s"]
    command = ["wrk", *shape, "--timeout", f"{ANSWER_S}s", "--script", str(HERE / "ask.lua"), url]
    ids = [str(session_ids)] if session_ids is not None else []
    return Child([*command, "--", "blocking", *ids] if blocking else command, log=log)


def asked(child: Child, limit_s: float) -> Answers:
    """What was answered, once all is asked.

    Raises:
        AssertionError: there was no answer at all.
    """
    child.wait(limit_s)
    try:
        found = json.loads(child.output().splitlines()[-1])
        size_bytes = found["bytes"] / found["answers"]
    except (IndexError, json.JSONDecodeError, ZeroDivisionError):
        raise AssertionError(f"nothing was answered: {child.describe()}") from None
    return Answers(found["per_s"], size_bytes, found["p50_ms"], found["p99_ms"], found["failed"])
