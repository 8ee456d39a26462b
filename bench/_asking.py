"""What it takes to answer players: an hls node, an edge before it, and nginx with the same files."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import statistics
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from support.cluster import PROGRAM, Cluster
from support.ffmpeg import bounded
from support.hls_text import ReadPlaylist, read_playlist
from support.media import media
from support.ports import LOOPBACK
from support.process import Child, wait_until

from bench import _load, _rounds
from bench._rounds import Found
from bench.cpu import family
from bench.peers import NginxFiles

STREAM = "bench/asked"
READY_S = 60.0  #: for the first playlists
ANSWER_S = 30.0  #: for one answer: the first waits for a whole segment
STORED_S = 120.0  #: for a segment to leave the memory of the hls node
OUT_OF_MEMORY = 5  #: segments from the end of the playlist: an hls node keeps the newest four in memory
SCALES_S = 0.5  #: for the scales to be set up, beyond what they measure
LOOK_S = 0.2

WHATS = ("playlist", "live", "blocking", "part", "segment", "stored")
SHOWN = {
    "playlist": "TS playlist",
    "live": "low-latency playlist",
    "blocking": "low-latency playlist, blocking",
    "part": "part",
    "segment": "TS segment",
    "stored": "TS segment that has left memory",
}
WHERES = {  #: who is asked for what: nginx knows no playlists that wait, and only hls nodes keep new segments in memory
    "hls": WHATS,
    "edge": WHATS[:-1],
    "counting": ("blocking",),
    "nginx": ("playlist", "live", "part", "segment"),
}
SERVERS = {"hls": "hls node", "edge": "edge", "counting": "edge that counts its players", "nginx": "nginx"}


@dataclass(slots=True, frozen=True)
class Subject:
    """One row of the table."""

    where: str  #: a key of `WHERES`
    what: str  #: one of `WHATS`
    missing: str = ""  #: why it can't be measured here, if so

    @property
    def label(self) -> str:
        """How it is chosen with --only."""
        return f"{self.where}-{self.what}"


@dataclass(slots=True, frozen=True)
class Sample:
    """One subject in one round."""

    usage: _load.Usage
    answers: _load.Answers

    @property
    def us_an_answer(self) -> float:
        """Processor time of the server, microseconds."""
        return self.usage.cpu_percent * 1e4 / self.answers.per_s

    @property
    def problem(self) -> str:
        """What makes the sample worthless, if anything."""
        return f"{self.answers.failed} requests failed" if self.answers.failed else ""

    @property
    def shown(self) -> str:
        """In a few words."""
        return f"{self.answers.per_s:.0f} answers/s, {self.us_an_answer:.0f} us each"


def subjects() -> list[Subject]:
    """All that can be measured, by what is asked for."""
    missing = _rounds.needs_of_a_cluster() or ("" if _load.can_ask() else "wrk is not installed")
    nginx = missing or ("" if NginxFiles.available() else "nginx is not installed")
    return [
        Subject(where, what, nginx if where == "nginx" else missing)
        for what in WHATS
        for where, answered in WHERES.items()
        if what in answered
    ]


class Rig:
    """A cluster with one stream, and nginx with the folder that it stores segments in."""

    def __init__(self, folder: Path, stack: ExitStack, plan: argparse.Namespace, cores: _load.Cores, limit_s: float) -> None:
        """Start all of it; `stack` ends it, `limit_s` the publisher at the latest."""
        self._plan = plan
        self._cores = cores
        self._folder = folder
        settings = {"all": {"hls.session.enable": False}, "hls": {"hls.segment_ms": plan.segment_ms}}  # one URL for all
        self._cluster = stack.enter_context(Cluster(folder, origins=1, edges=1, hls=1, settings=settings))
        self._counting = self._cluster.add("edge", {"hls.session.enable": True}).wait_ready()
        push = [PROGRAM, "push", "--loop", "0", str(media("bench")), self._cluster.edges[0].rtmp_url(STREAM)]
        self._publisher = stack.enter_context(Child(bounded(limit_s, push), log=folder / "publisher.log"))
        self._media = folder / "media"
        self._chosen: dict[str, tuple[str, set[str]]] = {}  # by what is asked for: a path, and who has been asked for it
        self._nginx = stack.enter_context(NginxFiles(folder / "nginx", self._media)) if NginxFiles.available() else None
        for pid in family(os.getpid())[1:]:  # all of the above, etcd too
            cores.give_load(pid)
        stack.callback(self._kill)
        wait_until("playlists", self._has_playlists, READY_S, child=self._publisher, every_s=LOOK_S)

    def _kill(self) -> None:
        """End the nodes at once: one that is asked to would make its segments whole, which nobody needs."""
        for node in self._cluster.nodes:
            node.kill()

    def _has_playlists(self) -> bool:
        try:
            return bool(self._playlist("playlist").segments and self._playlist("live").segments)
        except OSError:  # refused: there is no stream yet
            return False

    def measure(self, subject: Subject) -> Sample:
        """One subject, once."""
        plan, (pid, port) = self._plan, self._server(subject.where)
        path = self._path(subject)
        if subject.what in WHERES["nginx"] and self._nginx is not None:  # before it is deleted
            self._give_nginx(path)
        blocking = subject.what == "blocking"
        connections = plan.waiting if blocking else plan.connections
        url, log = f"http://{LOOPBACK}:{port}{path}", self._folder / "wrk.log"
        ids = self._session_ids(connections) if subject.where == "counting" else None
        self._cores.give_server(pid)
        try:
            seconds = plan.warm_up + plan.seconds + SCALES_S
            with _load.ask(url, connections, seconds, log, blocking=blocking, session_ids=ids) as asking:
                self._cores.give_load(asking.pid)
                time.sleep(plan.warm_up)
                used = _load.usage(pid, plan.seconds)
                return Sample(used, _load.asked(asking, _load.ANSWER_S + _load.MARGIN_S))
        finally:
            self._cores.give_load(pid)

    def _server(self, where: str) -> tuple[int, int]:
        """Process and port of who is asked."""
        if where == "nginx":
            assert self._nginx is not None
            return self._nginx.pid, self._nginx.ports["http"]
        edge = self._counting if where == "counting" else self._cluster.edges[0]
        node, listener = (self._cluster.hls[0], "hls") if where == "hls" else (edge, "http")
        return node.pid, node.ports[listener]

    def _session_ids(self, players: int) -> Path:
        """A file of ids that the edge gives to so many players."""
        file = self._folder / "session-ids"
        asking = http.client.HTTPConnection(LOOPBACK, self._server("counting")[1], timeout=ANSWER_S)
        with contextlib.closing(asking), file.open("w") as lines:
            for _ in range(players):
                asking.request("GET", f"/hls/{STREAM}/live.m3u8")
                answer = asking.getresponse()
                answer.read()
                lines.write(f"{answer.headers['Location'].partition('session_id=')[2]}\n")
        return file

    def _path(self, subject: Subject) -> str:
        """Of what is asked for: the newest when the first server is asked, and the same for those after it."""
        match subject.what:
            case "playlist":
                return f"/hls/{STREAM}/playlist.m3u8"
            case "live":
                return f"/hls/{STREAM}/live.m3u8"
            case "blocking":
                return self._next_path()
            case what:
                path, asked = self._chosen.get(what, ("", {subject.where}))
                if subject.where in asked:  # once more, as the host took too much: it may be deleted by now
                    path, asked = self._chosen[what] = self._newest_path(what), set()
                asked.add(subject.where)
                return path

    def _newest_path(self, what: str) -> str:
        match what:
            case "part":
                return self._playlist("live").segments[-1].parts[0].uri
            case "segment":
                return self._playlist("playlist").segments[-1].uri
            case _:
                return self._stored_path()

    def _next_path(self) -> str:
        """The low-latency playlist with one part more than it has now."""
        playlist = self._playlist("live")
        parts = playlist.open_segment.parts if playlist.open_segment is not None else ()
        return f"/hls/{STREAM}/live.m3u8?_HLS_msn={playlist.next_number}&_HLS_part={len(parts)}"

    def _stored_path(self) -> str:
        """A segment that is listed, and in storage only."""
        playlist = self._playlist("playlist")

        def has_enough() -> bool:
            nonlocal playlist
            playlist = self._playlist("playlist")
            return len(playlist.segments) >= OUT_OF_MEMORY

        wait_until("segments that are stored only", has_enough, STORED_S, child=self._publisher, every_s=LOOK_S)
        return playlist.segments[-OUT_OF_MEMORY].uri

    def _playlist(self, name: str) -> ReadPlaylist:
        path = f"/hls/{STREAM}/{name}.m3u8"
        return read_playlist(path, self._get(path).decode())

    def _get(self, path: str) -> bytes:
        url = f"http://{LOOPBACK}:{self._server('hls')[1]}{path}"
        with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
            return bytes(answer.read())

    def _give_nginx(self, path: str) -> None:
        """See that the file is in the folder: segments are stored there anyway, playlists and parts are not."""
        file = self._media / path.removeprefix("/")
        if not file.exists():
            file.write_bytes(self._get(path))


HEAD = ["asked for", "of", "KB", "answers/s", "% of a core", "us an answer", "x nginx", "p50 ms", "p99 ms"]


def row(subject: Subject, found: Found[Sample]) -> list[str]:
    """The line of one subject that has a sample."""
    mine, ratio = found.of(subject.label), ratio_to_nginx(subject, found)

    def median(of: Callable[[Sample], float]) -> float:
        return statistics.median(map(of, mine))

    return [
        SHOWN[subject.what],
        SERVERS[subject.where],
        f"{median(lambda sample: sample.answers.size_bytes) / 1000:.1f}",
        f"{median(lambda sample: sample.answers.per_s):.0f}",
        f"{median(lambda sample: sample.usage.cpu_percent):.1f}",
        f"{median(lambda sample: sample.us_an_answer):.0f}",
        "" if ratio is None else f"{ratio:.2f}",
        f"{median(lambda sample: sample.answers.p50_ms):.1f}",
        f"{median(lambda sample: sample.answers.p99_ms):.1f}",
    ]


def ratio_to_nginx(subject: Subject, found: Found[Sample]) -> float | None:
    """How much more processor an answer takes than nginx takes for that file: the median of the ratios within a round."""
    what = "segment" if subject.what == "stored" else subject.what
    return found.ratio(subject.label, Subject("nginx", what).label, lambda sample: sample.us_an_answer)
