"""A camera with the bad manners of cheap ones plays everywhere: pulled and pushed on, or publishing itself, by TCP and UDP.

What was not lost on its way comes out of every output with the same pixels at the same times. Where `drop_broken_gop` is set, no
picture is shown that is not the camera's.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, partial
from pathlib import Path

import pytest
from e2e.test_frames import GRACE, LEAST_S, RUN_S, Run
from support import ffmpeg, frames
from support.camera import Camera
from support.camera_film import Film
from support.camera_publisher import CameraPublisher
from support.camera_ways import CameraCounters, CameraSettings
from support.cluster import PROGRAM, Node, Standalone
from support.frames import Recording
from support.media import media
from support.operator_api import live
from support.process import wait_until
from support.showing import Showing

OUTPUTS = ("rtmp", "flv", "ts", "hls", "rtsp")
HTTP = ("flv", "ts")
WHOLE = CameraSettings(loss=0, reorder=0, loops=1, says_goodbye=True)
LOSSY = CameraSettings(loops=1, says_goodbye=True, seed=7)
LOGIN = f"{WHOLE.user}:{WHOLE.password}"
HELD_S = Fraction(2, 10)  #: `reorder_ms`, as it is by default
#: Rows of pictures as they are shown, and of sound as it comes.
SHOWN = ("-map", "0:v", "-map", "0:a", *frames.DECODED, "-c:a", "copy", "-copyinkf:a", "-f", "framemd5", "-flush_packets", "1")
#: TS has no G.711, but AAC of it, whose samples are others.
NOT_THERE = {("dialect", "ts"), ("dialect", "hls")}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One camera."""

    manners: str  #: of `MANNERS`
    role: str  #: ``pull``: it is a server; ``publish``
    transport: str

    @property
    def name(self) -> str:
        return f"{self.role}-{self.transport}-{self.manners}"

    @property
    def drops(self) -> bool:
        """Broken groups of pictures are dropped."""
        return self.manners == "dropped"


#: File and settings. All want Digest and signs of life, have a header extension and wrap their numbers; none has a sprop.
MANNERS: dict[str, tuple[str, CameraSettings]] = {
    "plain": ("h264_b3_aac", WHOLE),
    "dialect": (
        "h264_pcma",
        CameraSettings(loss=0, loops=1, says_goodbye=True, algorithm="SHA-256", has_absolute_controls=True, has_rtpmap=False),
    ),
    "lossy": ("h264_b3_aac", LOSSY),
    "dropped": ("h264_b3_aac", LOSSY),
}
RUNS = [(role, transport) for role in ("pull", "publish") for transport in ("tcp", "udp")]


@dataclass
class Table:
    """The cameras of one run, through one server and one that drops broken groups of pictures."""

    folder: Path
    run: Run
    role: str
    transport: str
    servers: Mapping[bool, Node]  #: by whether it drops
    films: dict[str, Film] = field(default_factory=dict)
    counters: dict[str, CameraCounters] = field(default_factory=dict)

    def case(self, manners: str) -> Case:
        """The camera of this run that has such manners."""
        return Case(manners=manners, role=self.role, transport=self.transport)

    async def play(self) -> None:
        """Show all to the end; players come once they are live."""
        cases = [self.case(manners) for manners in MANNERS]
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            for case in cases:
                if case.role == "pull":
                    await self._pull(case, stack)
                else:
                    self._publish(case, group)
            await asyncio.to_thread(self._watch, cases)  # the loop has cameras to run

    async def _pull(self, case: Case, stack: AsyncExitStack) -> None:
        """Pull from it, and push that on: by RTSP where it goes by TCP, else by RTMP."""
        name, settings = MANNERS[case.manners]
        camera = await stack.enter_async_context(Camera(media(name), settings))
        self.films[case.name], self.counters[case.name] = camera.film, camera.counters
        stream = f"live/{case.name}"
        into = self.servers[False].rtsp_url(stream) if case.transport == "tcp" else self.servers[False].rtmp_url(stream)
        pull: list[str] = [PROGRAM, "pull", camera.url, "-", "--rtsp-transport", case.transport]
        pull += ["--drop-broken-gop"] if case.drops else []
        push = [PROGRAM, "push", "-", into.replace("rtsp://", f"rtsp://{LOGIN}@")]
        child = self.run.command(f"pull.{case.name}", "bash", "-c", f"{shlex.join(pull)} | {shlex.join(push)}")
        self.run.publish(case.name, media(name), child)

    def _publish(self, case: Case, group: asyncio.TaskGroup) -> None:
        name, settings = MANNERS[case.manners]
        url = self._server(case).rtsp_url(f"live/{case.name}")
        publisher = CameraPublisher(media(name), url, settings, by_udp=case.transport == "udp")
        self.films[case.name], self.counters[case.name] = publisher.film, publisher.counters
        group.create_task(publisher.run())

    def _server(self, case: Case) -> Node:
        return self.servers[case.drops and case.role == "publish"]

    def _watch(self, cases: list[Case]) -> None:
        """Play all to their ends, once all are live."""
        played = [(case, output) for case in cases for output in OUTPUTS if (case.manners, output) not in NOT_THERE]
        over_http = [(case, output) for case, output in played if output in HTTP]
        self._wait_live(cases)
        self.run.record_all(
            "http",
            {self._file(case, output): self._server(case).http_url(f"live/{case.name}.{output}") for case, output in over_http},
        )
        for case, output in played:
            if output not in HTTP:
                self._record(case, output)
        self.run.finish()

    def _wait_live(self, cases: list[Case]) -> None:
        for server in self.servers.values():
            names = {f"live/{case.name}" for case in cases if self._server(case) is server}
            wait_until("all streams", partial(_are_live, server.api_url, names), RUN_S)

    def _record(self, case: Case, output: str) -> None:
        file, stream, server = self._file(case, output), f"live/{case.name}", self._server(case)
        read = [*ffmpeg.quiet(ffmpeg.FFMPEG), "-copyts"]
        copy = ["-map", "0", "-c", "copy", "-copyinkf", "-y"]
        match output:
            case "rtmp":
                url = server.rtmp_url(stream)
                child = self.run.command(file.name, *read, *ffmpeg.network_options(url), "-i", url, *copy, "-f", "flv", file)
            case "hls":
                url = server.http_url(f"hls/{stream}.m3u8")
                head = [*read, "-live_start_index", "0", *ffmpeg.network_options(url), "-i", url]
                # Sounds of one PES have one time: behind a loss they would have another than they came with.
                child = self.run.command(file.name, *head, *copy, "-f", "mpegts", "-pes_payload_size", "0", file)
            case _:
                child = self.run.command(file.name, *read, "-rtsp_transport", "tcp", "-i", server.rtsp_url(stream), *SHOWN, file)
        self.run.record(file.name, file, child)

    def _file(self, case: Case, output: str) -> Path:
        suffix = {"rtmp": "rtmp.flv", "hls": "hls.ts", "rtsp": "rtsp.md5"}.get(output, output)
        return self.folder / f"{case.name}.{suffix}"

    def shown(self, case: Case, output: str) -> Recording:
        """What a player showed, or why it showed nothing."""
        file = self._file(case, output)
        assert file.exists(), self.run.explain()
        assert file.stat().st_size, self.run.explain()
        if output == "rtsp":
            return frames.read(file)
        return frames.of_transport_stream(file) if file.suffix == ".ts" else frames.as_transport_stream(file)


def _are_live(api_url: str, names: set[str]) -> bool:
    return live(api_url) >= names


@pytest.fixture(scope="module", params=RUNS, ids="-".join)
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    role, transport = request.param
    folder = tmp_path_factory.mktemp(f"{role}-{transport}")
    users = folder / "users"
    users.write_text(LOGIN)
    settings = {**GRACE, "edge.rtsp.auth.publish_users_file": str(users)}
    with ExitStack() as stack:
        servers: dict[bool, Node] = {False: stack.enter_context(Standalone(folder, settings))}
        if role == "publish":
            drops = {**settings, "edge.rtsp.drop_broken_gop": True}
            servers[True] = stack.enter_context(Standalone(folder, drops, name="drops"))
        table = Table(folder, Run(folder, stack), role, transport, servers)
        asyncio.run(table.play())
        yield table


@cache
def source(name: str) -> Recording:
    """What a camera shows."""
    return frames.as_transport_stream(media(name))


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("manners", MANNERS)
def test_what_is_not_lost_comes_out(table: Table, manners: str, output: str) -> None:
    case = table.case(manners)
    if (manners, output) in NOT_THERE:
        pytest.skip(f"{output} has no G.711")
    file, settings = MANNERS[manners]
    sent = Showing(table.films[case.name], source(file), table.counters[case.name].touched)
    held_s = HELD_S if settings.reorder and table.transport == "udp" else Fraction(0)
    sent.check(table.shown(case, output), least_s=LEAST_S, only_right=manners != "lossy", held_s=held_s)


@pytest.mark.parametrize("manners", MANNERS)
def test_the_camera_was_what_it_should_be(table: Table, manners: str) -> None:
    case, (_, settings) = table.case(manners), MANNERS[manners]
    counters = table.counters[case.name]
    assert counters.refused == 1  # one challenge for all that follows
    assert counters.reports
    assert counters.sent + settings.first_sequence_number > 0xFFFF
    assert bool(counters.touched) == bool(settings.loss)
    assert bool(counters.late) == bool(settings.reorder and case.transport == "udp")
    if case.role == "pull":
        assert counters.methods.count("GET_PARAMETER") >= 3  # each within half of its time-out of 2 s
        assert bool(counters.punched) == (case.transport == "udp")
