"""What is pushed by RTSP comes out of every output: publisher × transport × media × output, with real clients.

All streams go through one server at once. Pictures are compared as they are shown and sound without its framing, since RTP frames
both anew; decode times have to rise, and presentation times are the publisher's but for one constant, give or take the millisecond
that FLV counts in. RTSP players are in `test_rtsp_play`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from e2e.test_frames import LEAST_S, RUN_S, Run, into
from support import ffmpeg, frames
from support.cluster import Node
from support.frames import Frame, Recording
from support.media import media
from support.process import Child, wait_until

SERVERS = ("standalone", "cluster")
OUTPUTS = ("rtmp", "flv", "ts", "mp4", "hls")
GSTREAMER_S = 14  #: for 8 s of media: by UDP it does not always end by itself
HELD_BACK = 4  #: sounds that ffmpeg gathers for its next packet of AAC, and does not send at the end
SPREAD_S = Fraction(2, 1000)  #: a millisecond more, and one less
#: GStreamer's reports come after its first packets, and what they put no further apart than 20 ms stays as it came.
LATE_REPORTS_SPREAD_S = SPREAD_S + Fraction(20, 1000)
REPORTED_S = 3  #: after the first frame that a player got: the sound is by then where the reports put it
NEEDS_CLIENT_SINK = pytest.mark.skipif(
    subprocess.run(["gst-inspect-1.0", "--exists", "rtspclientsink"], check=False, capture_output=True).returncode != 0,
    reason="gstreamer1.0-rtsp is not installed",
)
#: The first report comes after some packets; where it moves the sound back by a frame, `TrackReceiver` drops what is not later.
MAY_LOSE_A_SOUND = pytest.mark.xfail(strict=False, reason="a sound is dropped where a late report moves the track back")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A publisher, the way that its packets go, and what it sends."""

    media: str
    transport: str = "tcp"
    program: str = "ffmpeg"

    @property
    def name(self) -> str:
        return f"{self.program}-{self.transport}-{self.media}"


FFMPEG_CASES = (
    *(Case(media=name) for name in ("h264_aac", "h264_b3_aac", "hevc_aac", "h264_pcma", "av1_opus", "aac")),
    *(Case(media=name, transport="udp") for name in ("h264_b3_aac", "hevc_aac")),
)
GSTREAMER_CASES = tuple(Case(media="h264_aac", transport=transport, program="gstreamer") for transport in ("tcp", "udp"))
CASES = [
    *(pytest.param(case, id=case.name) for case in FFMPEG_CASES),
    pytest.param(GSTREAMER_CASES[0], id=GSTREAMER_CASES[0].name, marks=NEEDS_CLIENT_SINK),
    pytest.param(GSTREAMER_CASES[1], id=GSTREAMER_CASES[1].name, marks=(NEEDS_CLIENT_SINK, MAY_LOSE_A_SOUND)),
]
#: What an output cannot carry: G.711 becomes AAC in TS and fMP4, whose samples are others; AV1 has no place in TS. And what ffmpeg
#: cannot write down as it got it: it takes the configuration of Opus over RTMP for a sound at the time 0.
NOT_THERE = {
    *(("h264_pcma", output) for output in ("ts", "hls", "mp4")),
    *(("av1_opus", output) for output in ("ts", "hls", "rtmp")),
}


def ffmpeg_push(case: Case, url: str) -> list[str | Path]:
    """The file in real time, packets untouched."""
    head = [*ffmpeg.quiet(ffmpeg.FFMPEG), "-re", "-i", str(media(case.media)), "-map", "0:v?", "-map", "0:a?", "-c", "copy"]
    head += ["-strict", "experimental"]  # AV1 is that to it
    return [*head, "-f", "rtsp", "-rtsp_transport", case.transport, url]


def gstreamer_push(case: Case, url: str) -> list[str | Path]:
    """The same by GStreamer, which is set a pace in front of its payloaders; not as LATM, which is passed on as it is."""
    pipeline = f"""env GST_PLUGIN_FEATURE_RANK=rtpmp4apay:NONE gst-launch-1.0 -q
        rtspclientsink name=out location={url} protocols={case.transport}
        filesrc location={media(case.media)} ! flvdemux name=in
        in.video ! queue ! h264parse ! clocksync ! out.
        in.audio ! queue ! aacparse ! clocksync ! out."""
    return list(ffmpeg.bounded(GSTREAMER_S, pipeline.split()))


class Table:
    """All cases through one server."""

    def __init__(self, folder: Path, run: Run, egress: Node) -> None:
        self.folder = folder
        self.run = run
        self.egress = egress

    def has(self, case: Case, output: str) -> bool:
        """Whether a stream comes out there: the cluster has no hls nodes."""
        return (case.media, output) not in NOT_THERE and (output != "hls" or self.egress.role == "standalone")

    def file(self, case: Case, output: str) -> Path:
        """Where a player writes what it gets."""
        return self.folder / f"{case.name}.{output}.{'flv' if output == 'rtmp' else 'ts' if output == 'hls' else output}"

    def play(self, case: Case, output: str) -> None:
        """Play a stream into a file."""
        file, name = self.file(case, output), f"live/{case.name}"
        match output:
            case "rtmp":
                child = self._copy(file, self.egress.rtmp_url(name), "flv")
            case "hls":
                child = self._copy(file, self.egress.http_url(f"hls/{name}.m3u8"), "mpegts", "-live_start_index", "0")
            case _:
                url = self.egress.http_url(f"{name}.{output}")
                child = self.run.command(file.name, sys.executable, "-m", "support.http_recorder", url, file)
        self.run.record(file.name, file, child)

    def _copy(self, file: Path, url: str, container: str, *options: str) -> Child:
        read = [*ffmpeg.quiet(ffmpeg.FFMPEG), "-copyts", *options, *ffmpeg.network_options(url), "-i", url]
        return self.run.command(file.name, *read, "-map", "0", "-c", "copy", "-copyinkf", "-f", container, "-y", file)

    def received(self, case: Case, output: str) -> Path:
        """What it got, or why it got nothing."""
        file = self.file(case, output)
        assert file.exists(), self.run.explain()
        assert file.stat().st_size, self.run.explain()
        return file


@pytest.fixture(scope="module", params=SERVERS)
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    """Players come once the streams are live, and stay to the end."""
    folder = tmp_path_factory.mktemp(request.param)
    has_client_sink = not NEEDS_CLIENT_SINK.args[0]
    cases = (*FFMPEG_CASES, *(GSTREAMER_CASES if has_client_sink else ()))
    with ExitStack() as stack:
        ingest, egress, api_url = into(folder, request.param, stack, {})
        run = Run(folder, stack)
        table = Table(folder, run, egress)
        for case in cases:
            push = ffmpeg_push if case.program == "ffmpeg" else gstreamer_push
            command = push(case, ingest.rtsp_url(f"live/{case.name}"))
            run.publish(case.name, media(case.media), run.command(f"push.{case.name}", *command))
        run.wait_live(api_url)
        for case in cases:
            for output in OUTPUTS:
                if table.has(case, output):
                    table.play(case, output)
        run.finish()
        yield table


@cache
def source(name: str) -> Recording:
    """What was published, as it is shown."""
    return frames.as_transport_stream(media(name))


def shown(file: Path) -> Recording:
    return frames.of_transport_stream(file) if file.suffix == ".ts" else frames.as_transport_stream(file)


def times(recording: Recording, kind: str) -> list[tuple[Fraction, str]]:
    """Presentation time in seconds, and hash, of each frame of a track, as they are shown."""
    stream = recording.stream(kind)
    assert stream is not None, f"no {kind}"
    return sorted((frame.pts * stream.time_base, frame.md5) for frame in recording.track(kind))


def differences(
    sent: Sequence[tuple[Fraction, str]], got: Sequence[tuple[Fraction, str]], offset: Fraction, held_back: int
) -> list[Fraction]:
    """By how much each frame came later than it was sent; from the first one on none is missing, but for `held_back` at the end."""
    same_sound = [index for index, (_, md5) in enumerate(sent) if md5 == got[0][1]]
    first = min(same_sound, key=lambda index: abs(sent[index][0] + offset - got[0][0]))
    rest = sent[first:]
    same = [md5 for _, md5 in got] == [md5 for _, md5 in rest[: len(got)]] and len(rest) - len(got) <= held_back
    assert same, f"other frames from {float(rest[0][0])} s on: {len(got)} of {len(rest)}"
    return [after - before for (before, _), (after, _) in zip(rest, got, strict=False)]


def check_times(sent: Recording, got: Recording, held_back: int, spread_s: Fraction, after_s: int) -> None:
    """The same frames from a join on, and `after_s` later at their times but for one constant that all tracks share."""
    lead = sent.kinds[0]
    first_time, first_hash = times(got, lead)[0]
    places = [time for time, md5 in times(sent, lead) if md5 == first_hash]
    assert places, "the first frame was never sent"
    offset = first_time - max(places, key=lambda place: _agreement(sent, got, first_time - place))
    later: list[Fraction] = []
    for kind in sent.kinds:
        late = differences(times(sent, kind), times(got, kind), offset, held_back if kind == "audio" else 0)
        later += [by for by, (time, _) in zip(late, times(got, kind), strict=True) if time >= first_time + after_s]
    assert max(later) - min(later) <= spread_s, f"times differ by {float(min(later))} to {float(max(later))} s"
    last, begin = times(got, lead)[-1][0], first_time
    assert last - begin >= LEAST_S


def _agreement(sent: Recording, got: Recording, offset: Fraction) -> int:
    """How many frames of the leading track are the same, if it began so much later; a tone has the same sound more than once."""
    begun = [md5 for time, md5 in times(sent, sent.kinds[0]) if time + offset >= times(got, sent.kinds[0])[0][0]]
    pairs = zip(begun, (md5 for _, md5 in times(got, sent.kinds[0])), strict=False)
    return sum(1 for one, other in pairs if one == other)


def check_decode_times(file: Path, kinds: Sequence[str]) -> None:
    coded = frames.of_file(file)
    for kind in (kind for kind in coded.kinds if kind in kinds):
        assert all(one.dts < next_one.dts for one, next_one in pairwise(coded.track(kind))), f"{kind} does not rise"
        assert all(_is_shown_late_enough(frame) for frame in coded.track(kind))


def _is_shown_late_enough(frame: Frame) -> bool:
    return frame.pts >= frame.dts


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("case", CASES)
def test_every_frame_comes_out(table: Table, case: Case, output: str) -> None:
    if not table.has(case, output):
        pytest.skip(f"{output} does not carry {case.media} as it is, or there is no hls node")
    file = table.received(case, output)
    check_decode_times(file, ("video",) if case.program == "gstreamer" else ("video", "audio"))  # its sound is moved once
    if case.program == "gstreamer":
        check_times(source(case.media), shown(file), 0, LATE_REPORTS_SPREAD_S, REPORTED_S)
    else:
        held_back = HELD_BACK if case.media.endswith("aac") else 0
        check_times(source(case.media), shown(file), held_back, SPREAD_S, 0)


def test_sessions_end_with_their_publishers(table: Table) -> None:
    """TEARDOWN, and what it leaves: nothing."""
    wait_until("sessions to end", lambda: 'edge_sessions{protocol="rtsp"' not in table.egress.metrics(), RUN_S)
