"""What is pushed by RTSP comes out of every output: publisher × transport × media × output, with real clients.

All streams of a program go through one server at once. Each frame has to be there, decode times have to rise, and presentation
times are the publisher's but for one constant (`support.shown_times`). RTSP players are in `test_rtsp_play`; what GStreamer pushes
goes by the clock, and is in `test_rtsp_gstreamer`.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet
from e2e.test_frames import RUN_S, Run, into
from support import ffmpeg
from support.cluster import PROGRAM, Node
from support.frames import Recording
from support.media import media
from support.ports import connections
from support.process import Child, wait_until
from support.shown_times import HELD_BACK, check_decode_times, check_times, of_file_as_coded_too, source

pytestmark = pytest.mark.timeout(300)  # the first test of a server waits for all that is pushed

SERVERS = ("standalone", "cluster")
#: By program and transport. GStreamer of Debian 12 has no payloader of AV1.
PUSHED = {
    ("ffmpeg", "tcp"): ("h264_aac", "h264_b3_aac", "hevc_aac", "h264_pcma", "h264_opus", "av1_opus", "aac"),
    ("ffmpeg", "udp"): ("h264_aac", "h264_b3_aac", "hevc_aac", "h264_pcma", "av1_opus"),
    ("gstreamer", "tcp"): ("h264_aac", "h264_b3_aac", "hevc_aac", "h264_pcma", "h264_opus"),
    ("gstreamer", "udp"): ("h264_aac", "h264_b3_aac", "hevc_aac", "h264_pcma", "h264_opus"),
}
#: Files that players write; NUT keeps any codec, and both of its times.
SUFFIXES = {"rtmp": "flv", "flv": "flv", "ts": "ts", "mp4": "mp4", "hls": "ts", "hls-mp4": "nut"}
HTTP = ("flv", "ts", "mp4")
HLS = {"hls": "{}.m3u8", "hls-mp4": "{}/live.m3u8"}
SHORT_SEGMENTS = {
    "hls.start": "always",
    "hls.segment_ms": 1000,
    "hls.part_ms": 250,
    "hls.list_num": 30,
}  # all of a stream stays in its playlist
WAITING = {"edge.play.wait_publisher_s": 60}  #: publishers that begin together on a busy machine begin long after each other
REQUEST_S = 30.0  #: for a playlist
TS = ("ts", "hls")
FMP4 = ("mp4", "hls-mp4")
TRANSCODED = (*TS, *FMP4)  #: where G.711 becomes AAC
GSTREAMER_S = 14  #: for 8 s of media: by UDP it does not always end by itself
#: By UDP, and before reports tell where the sound belongs, sound may arrive before a picture that it belongs behind.
OVERTAKEN_S = Fraction(2, 10)
PARSERS = {"h264": "h264parse !", "hevc": "h265parse !", "aac": "aacparse !", "opus": "opusparse !", "pcma": ""}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A publisher, the way that its packets go, and what it sends."""

    media: str
    transport: str
    program: str

    @property
    def name(self) -> str:
        return f"{self.program}-{self.transport}-{self.media}"


def cases(program: str) -> list[Case]:
    """All that a program pushes."""
    pushed = [(transport, names) for (by, transport), names in PUSHED.items() if by == program]
    return [Case(media=name, transport=transport, program=program) for transport, names in pushed for name in names]


def outputs(case: Case, server: str) -> list[str]:
    """Where a stream comes out: AV1 has no place in TS, and the cluster of this test no hls nodes."""
    out = [output for output in SUFFIXES if output not in HLS or server == "standalone"]
    return [output for output in out if output not in TS or not case.media.startswith("av1")]


def ffmpeg_push(case: Case, file: Path, url: str) -> list[str | Path]:
    """The file in real time, packets untouched."""
    read = [*ffmpeg.quiet(ffmpeg.FFMPEG), "-re", "-i", str(file), "-map", "0:v?", "-map", "0:a?", "-c", "copy"]
    return [*read, "-strict", "experimental", "-f", "rtsp", "-rtsp_transport", case.transport, url]  # AV1 is experimental to it


def gstreamer_push(case: Case, file: Path, url: str) -> list[str | Path]:
    """The same by GStreamer, which is set a pace in front of its payloaders; not as LATM, which is passed on as it is."""
    video, audio = (PARSERS[name] for name in case.media.replace("_b3", "").split("_"))
    pipeline = f"""env GST_PLUGIN_FEATURE_RANK=rtpmp4apay:NONE gst-launch-1.0 -q
        rtspclientsink name=out location={url} protocols={case.transport}
        filesrc location={file} ! matroskademux name=in
        in.video_0 ! queue ! {video} clocksync ! out.
        in.audio_0 ! queue ! {audio} clocksync ! out."""
    return list(ffmpeg.bounded(GSTREAMER_S, pipeline.split()))


def matroska(name: str, folder: Path) -> Path:
    """A test file as Matroska: GStreamer 1.22 knows no FLV of HEVC or Opus."""
    file = folder / f"{name}.mkv"
    if not file.exists():
        ffmpeg.run("-copyts", "-i", media(name), "-c", "copy", file)
    return file


class Table:
    """All that one program pushes through one server."""

    def __init__(self, folder: Path, server: str, program: str) -> None:
        """Begin with nothing recorded."""
        self.sessions_are_over = False
        self._server = server
        self._cases = cases(program)
        self._run = Run(folder, ExitStack())

    def record(self) -> None:
        """Run it: players wait for the publishers, those of HLS until there is a segment; all stay to the end."""
        settings = {**WAITING, **(SHORT_SEGMENTS if self._server == "standalone" else {})}
        with self._run.stack as stack:
            ingest, egress, _ = into(self._run.folder, self._server, stack, settings)
            players = [(case, output) for output in SUFFIXES for case in self._cases if output in outputs(case, self._server)]
            for case, output in players:
                if output == "rtmp":
                    self._play(case, output, egress)
            wait_until("players of RTMP", lambda: connections(egress.ports["rtmp"]) >= len(self._cases), RUN_S)
            over_http = [(case, output) for case, output in players if output in HTTP]
            urls = {self._file(case, output): egress.http_url(f"live/{case.name}.{output}") for case, output in over_http}
            self._run.record_all("http", urls)
            wait_until("players of HTTP", lambda: connections(egress.ports["http"]) >= len(urls), RUN_S)
            for case in self._cases:
                self._push(case, ingest)
            for case, output in players:
                if output in HLS:
                    self._play(case, output, egress)
            self._run.finish()
            wait_until("sessions to end", lambda: 'edge_sessions{protocol="rtsp",role="player"} 0.0' in egress.metrics(), RUN_S)
            self.sessions_are_over = True

    def received(self, case: Case, output: str) -> Path:
        """What a player got, or why it got nothing."""
        file = self._file(case, output)
        assert file.exists(), self._run.explain()
        assert file.stat().st_size, self._run.explain()
        return file

    def _push(self, case: Case, ingest: Node) -> None:
        file = media(case.media) if case.program == "ffmpeg" else matroska(case.media, self._run.folder)
        push = ffmpeg_push if case.program == "ffmpeg" else gstreamer_push
        command = push(case, file, ingest.rtsp_url(f"live/{case.name}"))
        self._run.publish(case.name, media(case.media), self._run.command(f"push.{case.name}", *command))

    def _play(self, case: Case, output: str, egress: Node) -> None:
        """Play a stream into a file."""
        file, name = self._file(case, output), f"live/{case.name}"
        match output:
            case "rtmp" if "opus" in case.media:  # ffmpeg takes the configuration for a sound at the time 0
                child = self._run.command(file.name, PROGRAM, "pull", egress.rtmp_url(name), file)
            case "rtmp":
                child = self._copy(file, egress.rtmp_url(name), "flv")
            case _:
                url = egress.http_url(f"hls/{HLS[output].format(name)}")
                wait_until("a segment", lambda: b"#EXTINF" in fetch(url), RUN_S)  # ffmpeg takes no part for one
                child = self._copy(file, url, "mpegts" if output == "hls" else "nut", "-live_start_index", "0")
        self._run.record(file.name, file, child)

    def _copy(self, file: Path, url: str, container: str, *options: str) -> Child:
        read = [*ffmpeg.quiet(ffmpeg.FFMPEG), "-copyts", *options, *ffmpeg.network_options(url), "-i", url]
        write = ["-map", "0", "-c", "copy", "-copyinkf", "-strict", "experimental", "-f", container]
        write += ["-pes_payload_size", "0", "-y", str(file)]  # each sound with the time that it has, not as the one before ends
        return self._run.command(file.name, *read, *write)

    def _file(self, case: Case, output: str) -> Path:
        return self._run.folder / f"{case.name}.{output}.{SUFFIXES[output]}"


def fetch(url: str) -> bytes:
    """An answer, or nothing."""
    try:
        with urllib.request.urlopen(url, timeout=REQUEST_S) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError:
        return b""


class Tables:
    """Each is recorded when it is first asked for; where that fails, what it lacks fails later, and at once."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        """Record into new ones of `folders`."""
        self._folders = folders
        self._tables: dict[tuple[str, str], Table] = {}

    def of(self, server: str, program: str) -> Table:
        """What a program pushed through a server."""
        key = server, program
        if key not in self._tables:
            self._tables[key] = Table(self._folders.mktemp("-".join(key)), server, program)
            self._tables[key].record()
        return self._tables[key]


def other_sound(case: Case, output: str) -> bool:
    """Whether sounds differ from those sent: then pictures are compared, and of the sound its decode times.

    G.711 is transcoded; and fMP4 fills with silence what GStreamer's first reports put further apart.
    """
    return (case.media.endswith("pcma") and output in TRANSCODED) or (case.program == "gstreamer" and output in FMP4)


def compared(table: Table, case: Case, output: str) -> tuple[Recording, Recording]:
    """What was sent, and what a player got, whose decode times rise."""
    got, coded = of_file_as_coded_too(table.received(case, output), adts=output in TS and not case.media.endswith("opus"))
    check_decode_times(coded)
    return source(case.media), got


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return Tables(tmp_path_factory)


def rows(program: str) -> list[ParameterSet]:
    """Each output of each of its cases on each server, for a test that takes these."""
    return [
        pytest.param(server, case, output, id=f"{server}-{case.name}-{output}")
        for server in SERVERS
        for case in cases(program)
        for output in outputs(case, server)
    ]


@pytest.mark.parametrize(("server", "case", "output"), rows("ffmpeg"))
def test_every_frame_comes_out(tables: Tables, server: str, case: Case, output: str) -> None:
    sent, got = compared(tables.of(server, case.program), case, output)
    kinds = ["video"] if other_sound(case, output) else None
    overtaken_s = OVERTAKEN_S if case.transport == "udp" else 0
    check_times(sent, got, HELD_BACK if case.media.endswith("aac") else 0, kinds=kinds, join_s=overtaken_s)


@pytest.mark.parametrize("server", SERVERS)
def test_sessions_end_with_their_publishers(tables: Tables, server: str) -> None:
    assert tables.of(server, "ffmpeg").sessions_are_over
