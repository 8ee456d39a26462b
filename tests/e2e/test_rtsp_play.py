"""What is pushed comes out by RTSP: publisher × media × player × transport, with real clients.

All streams that come in one way go through one server at once, each to players of every kind, which join while it is on. Each frame
has to be there, at the publisher's times but for one constant that all tracks share (`support.shown_times`). What RTSP publishers
send to other outputs is in `test_rtsp`, the packets of players are in `test_rtsp_packets`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import pytest
from e2e.test_frames import Run, into
from support import ffmpeg, frames
from support.cluster import Node
from support.frames import Recording
from support.media import media
from support.process import wait_until
from support.shown_times import HELD_BACK, SPREAD_S, check_times, source

pytestmark = pytest.mark.timeout(300)  # the first test of a server waits for all that is played

SERVERS = ("standalone", "cluster")
INPUTS = ("rtmp", "rtsp")
ALL = ("h264_aac", "h264_b3_aac", "hevc_aac", "h264_pcma", "h264_mp3", "av1_opus", "aac")
#: What each player is given, by program and transport. GStreamer of Debian 12 cannot take AV1 apart.
PLAYED = {
    ("ffmpeg", "tcp"): ALL,
    ("ffmpeg", "udp"): ALL,
    ("gstreamer", "tcp"): ("h264_aac", "h264_b3_aac", "hevc_aac", "h264_pcma", "h264_mp3", "h264_opus"),
    ("gstreamer", "udp"): ("h264_b3_aac", "hevc_aac", "h264_opus"),
}
#: Of these many play the same by UDP, whom the kernel sends to in one call.
CROWDED = ("h264_b3_aac", "ffmpeg", "udp")
CROWD = 3  #: and one of GStreamer
MEDIA = sorted({name for names in PLAYED.values() for name in names})
#: From the packets of a track to what Matroska takes. A depayloader comes first: it can be linked to the one pad that fits it.
#: Filters of caps would race: both pads come at once, from threads of their own, and now and then one is left unlinked.
TAKEN_APART = {
    "h264": "rtph264depay ! queue ! h264parse",
    "hevc": "rtph265depay ! queue ! h265parse",
    "aac": "rtpmp4gdepay ! queue ! aacparse",
    "pcma": "rtppcmadepay ! queue",
    "mp3": "rtpmpadepay ! queue ! mpegaudioparse",
    "opus": "rtpopusdepay ! queue ! opusparse",
}
#: Rows of pictures as they are shown, and of sound as it comes, which GStreamer's Matroska does not say that one may begin with.
SHOWN = ("-map", "0:v?", "-map", "0:a?", *frames.DECODED, "-c:a", "copy", "-copyinkf:a", "-f", "framemd5")
HELD_BACK_MP3 = 6  #: sounds that ffmpeg gathers for its next packet, as of AAC
MP3_FRAME_S = Fraction(1152, 44_100)
#: GStreamer leaves tracks that are less than so much out of step as they are (`min-ts-offset` of its rtpbin).
LEFT_OUT_OF_STEP_S = Fraction(4, 1000)
#: GStreamer believes in a source and its reports from the second packet on (RFC 3550 §A.1), and needs those of all tracks.
UNPLACED_S = Fraction(1)
GONE_S = 40.0  #: for the sessions of players to end


@dataclass(frozen=True, kw_only=True)
class Case:
    """One player of one stream."""

    media: str
    program: str
    transport: str
    copy: int = 1  #: which of the players that are otherwise the same

    @property
    def name(self) -> str:
        return f"{self.media}-{self.program}-{self.transport}" + (f"-{self.copy}" if self.copy > 1 else "")


TABLES = [(server, source) for server in SERVERS for source in INPUTS]
CASES = [
    Case(media=name, program=program, transport=transport, copy=copy)  # each at every table
    for (program, transport), names in PLAYED.items()
    for name in names
    for copy in range(1, 1 + (CROWD if (name, program, transport) == CROWDED else 1))
]


def push(source: str, name: str, ingest: Node) -> list[str | Path]:
    """ffmpeg, packets untouched, in real time."""
    read: list[str | Path] = [*ffmpeg.quiet(ffmpeg.FFMPEG), "-re", "-i", media(name)]
    copy = ["-map", "0:v?", "-map", "0:a?", "-c", "copy"]
    stream = f"live/{source}-{name}"
    if source == "rtsp":
        return [*read, *copy, "-strict", "experimental", "-f", "rtsp", "-rtsp_transport", "tcp", ingest.rtsp_url(stream)]
    return [*read, *copy, "-f", "flv", "-flvflags", "no_duration_filesize", ingest.rtmp_url(stream)]


def ffmpeg_play(case: Case, url: str, rows: Path) -> list[str | Path]:
    """Rows of what comes."""
    only_pictures = ["-allowed_media_types", "video"] if is_silent(case) else []
    read = [*ffmpeg.quiet(ffmpeg.FFMPEG), "-copyts", "-rtsp_transport", case.transport, *only_pictures, "-i", url]
    return [*read, *SHOWN, "-flush_packets", "1", rows]


def is_silent(case: Case) -> bool:
    """Whether ffmpeg plays the pictures alone: it gives up a picture of AV1 where a sound comes between two packets of it."""
    return case.program == "ffmpeg" and case.transport == "udp" and case.media.startswith("av1")


def gstreamer_play(case: Case, url: str, file: Path) -> list[str | Path]:
    """Matroska of what comes, at the times of RTP: the jitter buffer would change them after its own clock."""
    picture, sound = case.media.split("_")[0], case.media.split("_")[-1]
    pipeline = f"""gst-launch-1.0 -q -e rtspsrc name=in location={url} protocols={case.transport} buffer-mode=none latency=500
        in. ! {TAKEN_APART[picture]} ! out.
        in. ! {TAKEN_APART[sound]} ! out.
        matroskamux name=out ! filesink location={file}"""
    return list(pipeline.split())


class Table:
    """All players of what comes in to a server one way, of `INPUTS`."""

    def __init__(self, run: Run, egress: Node, source: str) -> None:
        self._run = run
        self.egress = egress
        self.source = source

    def play(self, case: Case) -> None:
        """Play a stream into a file."""
        url, file = self.egress.rtsp_url(f"live/{self.source}-{case.media}"), self._file(case)
        command = (ffmpeg_play if case.program == "ffmpeg" else gstreamer_play)(case, url, file)
        self._run.record(case.name, file, self._run.command(f"play.{case.name}", *command))

    def received(self, case: Case) -> Recording:
        """What a player got, or why it got nothing."""
        file = self._file(case)
        assert file.exists(), self._run.explain()
        assert file.stat().st_size, self._run.explain()
        if case.program == "gstreamer":
            return frames.parse(ffmpeg.run("-copyts", "-i", file, *SHOWN, "-"))
        return placed_mp3(frames.read(file)) if case.media.endswith("mp3") else frames.read(file)

    def _file(self, case: Case) -> Path:
        return self._run.folder / f"{case.name}.{'md5' if case.program == 'ffmpeg' else 'mkv'}"


def placed_mp3(recording: Recording) -> Recording:
    """The first sound where the second says: of what ffmpeg parses it loses the first time, and guesses it of ticks for samples."""
    stream = recording.stream("audio")
    assert stream is not None
    first, second = recording.track("audio")[:2]
    pts = second.pts - round(MP3_FRAME_S / stream.time_base)
    return replace(recording, frames=tuple(replace(one, dts=pts, pts=pts) if one is first else one for one in recording.frames))


@pytest.fixture(scope="module", params=TABLES, ids="-".join)
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    """Players come once the streams are live, and stay to the end."""
    server, source = request.param
    folder = tmp_path_factory.mktemp(f"{server}-{source}")
    with ExitStack() as stack:
        ingest, egress, api_url = into(folder, server, stack, {})
        run = Run(folder, stack)
        table = Table(run, egress, source)
        for name in MEDIA:
            run.publish(f"{source}-{name}", media(name), run.command(f"push.{name}", *push(source, name, ingest)))
        run.wait_live(api_url)
        for case in CASES:
            table.play(case)
        run.finish()
        yield table


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_frame_comes_out(table: Table, case: Case) -> None:
    held_back = {"aac": HELD_BACK, "mp3": HELD_BACK_MP3}.get(case.media.split("_")[-1], 0) if table.source == "rtsp" else 0
    spread_s = SPREAD_S + LEFT_OUT_OF_STEP_S if case.program == "gstreamer" else SPREAD_S
    unplaced_s = UNPLACED_S if case.program == "gstreamer" else 0
    kinds = ["video"] if is_silent(case) else None
    check_times(source(case.media), table.received(case), held_back, spread_s, unplaced_s=unplaced_s, kinds=kinds)


def test_sessions_end_with_the_stream(table: Table) -> None:
    wait_until("sessions to end", lambda: 'edge_sessions{protocol="rtsp",role="player"} 0.0' in table.egress.metrics(), GONE_S)
