"""What is pushed comes out of every output, whatever its pictures and its clock are: the table case × output.

Each case is pushed once, through a cluster, to players and recorders of all outputs at the same time. Players come before the
publishers, so that what is unusual about a stream happens while they play. Where the container keeps coded packets (FLV, fMP4)
those are compared; out of MPEG-TS, which frames them anew, the pictures that it shows and its audio without framing. Times are the
publisher's but for one constant. Other media, servers and clients are in `test_http_formats`, `test_hls` and `test_recording`.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import aiohttp
import pytest
from e2e.test_recording import fetch, kept_segments, wait_listed
from support import frames, transport_stream, websocket_recorder, wire
from support.cluster import PROGRAM, Cluster, Settings
from support.forks import forks_for
from support.frames import Recording, assert_same_from_join
from support.hls_player import HlsPlayer
from support.media import media
from support.ports import LOOPBACK
from support.process import Child

from lalmesh.container.flv import TAG_SCRIPT

pytestmark = pytest.mark.timeout(300)  # the first test waits for all that is pushed

RUN_S = 60.0  #: for the longest case, 12.5 s, on a slow machine
JOINED_MS = 2050  #: by when in the stream every player has begun: at the second key frame, with the sound that follows on it
ODD_MS = 4000  #: when in the stream its clock does what it should not
SEAM_MS = 40  #: from the last unit before a jump of the clock to the first after it (docs/design.md, section 4)
HOUR_MS = 3_600_000
RTMP_WRAP_MS = 1 << 32  #: at which times of RTMP and FLV begin at 0 again; in ticks of 90 kHz a whole multiple of 33 bits
TS_LEAD_MS = 1000  #: by which times of MPEG-TS go out later than they came in
TS_WRAP = 1 << 33  #: ticks at which times of MPEG-TS begin at 0 again

PLAYED = ("http-flv", "ws-flv", "http-ts", "ws-ts", "http-mp4", "ws-mp4")
HLS = ("hls-ts", "hls-mp4")
RECORDED = ("recorded-flv", "recorded-ts", "recorded-mp4")
OUTPUTS = (*PLAYED, *HLS, *RECORDED, "recorded-hls")
TS_OUTPUTS = ("http-ts", "ws-ts", "hls-ts", "recorded-ts", "recorded-hls")
WITH_PUBLISHERS_TIMES = ("http-ts", "ws-ts", "hls-ts", "recorded-hls")  #: those of MPEG-TS whose times do not begin at 0
PACE = ("stall", "part-stall")  #: rules that a busy machine breaks


@dataclass(frozen=True, kw_only=True)
class Case:
    """A test file, and what is done to its clock."""

    media: str
    start_ms: int = 0  #: where its times begin
    jump_ms: int = 0  #: how far they jump at `ODD_MS`


CASES = {
    "b-frames": Case(media="h264_b3_aac"),
    "h265": Case(media="hevc_aac"),
    "audio-only": Case(media="aac"),
    "ntsc-10s-gops": Case(media="h264_ntsc_10s"),
    "ntsc-one-10s-gop": Case(media="h264_ntsc_1s_10s"),  # which HLS cuts, since its target is that of the first
    "wrap": Case(media="h264_b3_aac", start_ms=RTMP_WRAP_MS - ODD_MS),
    "jump-ahead": Case(media="h264_aac", jump_ms=HOUR_MS),
    "jump-back": Case(media="h264_aac", start_ms=HOUR_MS, jump_ms=-HOUR_MS),
}

SETTINGS: dict[str, Settings] = {
    "scheduler": {"hls.recording.rules": ["live/* flv+ts+mp4+hls"]},
    "origin": {"origin.grace_s": 1},
    "edge": {"edge.play.wait_publisher_s": RUN_S},
    "hls": {"hls.segment_ms": 1000, "hls.part_ms": 250, "hls.list_num": 30},
}


def seam_ms(case: Case) -> int:
    """By how much later than pushed everything after a jump comes out, since there is `SEAM_MS` before it."""
    if not case.jump_ms:
        return 0
    times = [tag.timestamp_ms for tag in wire.tags_of_file(media(case.media))]
    return max(time for time in times if time < ODD_MS) + SEAM_MS - min(time for time in times if time >= ODD_MS)


def pushed(case: Case, file: Path) -> Path:
    """The file that is pushed."""
    tags = [tag for tag in wire.tags_of_file(media(case.media)) if tag.type_id != TAG_SCRIPT]  # whose time is always 0
    assert tags[0].timestamp_ms == 0

    def moved(time_ms: int) -> int:
        return (time_ms + case.start_ms + (case.jump_ms if time_ms >= ODD_MS else 0)) % RTMP_WRAP_MS

    return wire.file_of_tags([replace(tag, timestamp_ms=moved(tag.timestamp_ms)) for tag in tags], file)


@cache
def expected(name: str, container: str) -> Recording:
    """What players of a case get, as it is compared in `container`: times are those of a clock that runs on."""
    case, seam = CASES[name], seam_ms(CASES[name])
    file = media(case.media)
    sent = frames.in_ms(frames.as_transport_stream(file) if container == "ts" else frames.of_file(file))
    after = [replace(frame, dts=frame.dts + seam, pts=frame.pts + seam) for frame in sent.frames if frame.dts >= ODD_MS]
    return replace(sent, frames=(*(frame for frame in sent.frames if frame.dts < ODD_MS), *after))


class Outputs:
    """All that comes out of one cluster, as files."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.players: dict[tuple[str, str], HlsPlayer] = {}
        self._folder = folder
        self._publishers: list[Child] = []
        self._ingest, self._egress = cluster.edges
        self._hls = [f"http://{LOOPBACK}:{node.ports['hls']}" for node in cluster.hls]

    def file(self, name: str, output: str) -> Path:
        """What comes out for a case."""
        suffix = output.partition("-")[2]
        return self._folder / f"{name}.{output}.{'ts' if suffix == 'hls' else suffix}"

    def push(self, stack: ExitStack) -> None:
        """Publish all cases in real time, times as they are."""
        for name, case in CASES.items():
            file = pushed(case, self._folder / f"{name}.flv")
            command: list[str | Path] = [PROGRAM, "push", file, self._ingest.rtmp_url(f"live/{name}")]
            child = Child(command, log=self._folder / f"{name}.push.log", forks=forks_for(command))
            self._publishers.append(stack.enter_context(child))

    async def run(self, stack: ExitStack) -> None:
        """Play everything that is pushed, to its end."""
        limit = aiohttp.ClientTimeout(total=2 * RUN_S)
        async with aiohttp.ClientSession(timeout=limit) as session, asyncio.TaskGroup() as group:
            for name in CASES:
                for suffix in ("flv", "ts", "mp4"):
                    url, socket = (make(f"live/{name}.{suffix}") for make in (self._egress.http_url, self._egress.socket_url))
                    group.create_task(record(session, url, self.file(name, f"http-{suffix}")))
                    group.create_task(websocket_recorder.record(session, socket, self.file(name, f"ws-{suffix}")))
                group.create_task(self._play_hls(name, "hls-ts", f"/hls/live/{name}.m3u8"))
                group.create_task(self._play_hls(name, "hls-mp4", f"/hls/live/{name}/live.m3u8"))
            await asyncio.to_thread(self.push, stack)
        for publisher in self._publishers:
            assert publisher.wait(RUN_S) == 0, publisher.describe()

    async def _play_hls(self, name: str, output: str, path: str) -> None:
        player = self.players[name, output] = HlsPlayer(self._hls, path, low_latency=output == "hls-mp4")
        async with player:
            await player.play(lambda _: False, 2 * RUN_S)
        player.file(self._folder, self.file(name, output).name)

    def fetch_recordings(self) -> None:
        """Fetch all that was recorded, once it is there."""
        for name in CASES:
            for item in wait_listed(self._egress, 3, f"record/live/{name}/"):
                fetch(self._egress, item, self._folder).rename(self.file(name, f"recorded-{item['format']}"))
            kept_segments(self._egress, self._folder, f"live/{name}").rename(self.file(name, "recorded-hls"))


async def record(session: aiohttp.ClientSession, url: str, file: Path) -> None:
    """Write an endless answer to `file`."""
    async with session.get(url) as answer:
        assert answer.status == 200, f"{url}: {answer.status}"
        with file.open("wb", buffering=0) as output:
            async for data in answer.content.iter_any():
                output.write(data)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """All cases through all outputs at once."""
    folder = tmp_path_factory.mktemp("outputs")
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(folder, origins=2, edges=2, hls=2, settings=SETTINGS))
        outputs = Outputs(folder, cluster)
        asyncio.run(outputs.run(stack))
        outputs.fetch_recordings()
    return outputs


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("name", CASES)
def test_every_packet_comes_out_once_and_on_time(outputs: Outputs, name: str, output: str) -> None:
    file = outputs.file(name, output)
    received = frames.of_transport_stream(file) if file.suffix == ".ts" else frames.of_file(file)
    joined = assert_same_from_join(expected(name, file.suffix[1:]), frames.in_ms(received), to_end=True)
    assert joined.first_dts_ms <= JOINED_MS


@pytest.mark.parametrize("output", TS_OUTPUTS)
@pytest.mark.parametrize("name", CASES)
def test_clock_and_tables_of_a_transport_stream_come_as_often_as_they_must(outputs: Outputs, name: str, output: str) -> None:
    transport_stream.check_regular(outputs.file(name, output).read_bytes())


@pytest.mark.parametrize("output", WITH_PUBLISHERS_TIMES)
def test_times_of_33_bits_begin_again_in_the_middle(outputs: Outputs, output: str) -> None:
    packets = transport_stream.packets(outputs.file("wrap", output).read_bytes())
    times = [pes.dts for pes in transport_stream.pes_packets(packets, transport_stream.pmts(packets)[0].pcr_pid)]
    assert times[0] is not None
    assert times[-1] is not None
    assert times[0] > TS_WRAP - (ODD_MS - TS_LEAD_MS + JOINED_MS) * 90
    assert times[-1] < TS_WRAP // 2


@pytest.mark.parametrize("output", HLS)
@pytest.mark.parametrize("name", CASES)
def test_no_clock_makes_a_playlist_break_a_rule_or_begin_anew(outputs: Outputs, name: str, output: str) -> None:
    player = outputs.players[name, output]
    assert [str(violation) for violation in player.checker.violations if violation.rule not in PACE] == []
    assert [segment.number for segment in player.listed.values() if segment.discontinuity or segment.gap] == []
