"""``lalmesh push | pull | probe``: a publisher and players for the command line. Exit status 0 is done, 1 is refused or failed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Coroutine, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, BinaryIO, TypeVar

import typer

from lalmesh.client import (
    DEFAULT_DURATION_S,
    Counts,
    FlvWriter,
    HevcChoice,
    ProbeReport,
    RtspTransport,
    TrackReport,
    probe,
    pull,
    push,
)
from lalmesh.errors import LalmeshError
from services.standalone.client_options import (
    DEFAULT_TIMEOUT_S,
    CaOption,
    InsecureOption,
    TimeoutOption,
    client_options,
    until_told,
)

_Result = TypeVar("_Result")

UrlArgument = Annotated[
    str, typer.Argument(metavar="URL", help="rtmp(s):// or rtsp(s)://HOST/APP/NAME, or http(s):// or ws(s):// of a FLV stream.")
]
PublishUrlArgument = Annotated[str, typer.Argument(metavar="URL", help="rtmp(s):// or rtsp(s)://HOST/APP/NAME.")]
HevcOption = Annotated[HevcChoice, typer.Option("--hevc", help="Form of HEVC: as it comes, FourCC hvc1, or codec id 12.")]
RtspOption = Annotated[
    RtspTransport,
    typer.Option("--rtsp-transport", help="How the packets of RTSP go. auto: play by UDP where that works, publish by TCP."),
]
DropOption = Annotated[
    bool, typer.Option("--drop-broken-gop", help="After a loss in RTSP, drop pictures up to the next key frame.")
]


def add_client_commands(app: typer.Typer) -> None:
    """Add push, pull and probe to `app`."""
    app.command("push")(push_command)
    app.command("pull")(pull_command)
    app.command("probe")(probe_command)


def push_command(
    source: Annotated[str, typer.Argument(metavar="FILE", help="FLV file, - for standard input.")],
    url: PublishUrlArgument,
    loop: Annotated[int, typer.Option("--loop", metavar="N", min=0, help="How often; 0 for ever. Times go on.")] = 1,
    fast: Annotated[bool, typer.Option("--fast", help="As fast as the server takes it, not in real time.")] = False,
    hevc: HevcOption = "keep",
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    insecure: InsecureOption = False,
    ca: CaOption = None,
    rtsp_transport: RtspOption = "auto",
) -> None:
    """Publish a FLV file in real time: over RTMP its bytes as they are, over RTSP its pictures and its sound."""
    if source == "-" and loop != 1:
        raise typer.BadParameter("standard input can be read once only", param_hint="--loop")
    path, options, counts = None if source == "-" else Path(source), client_options(timeout, insecure, ca, rtsp_transport), Counts()
    with _exit_on_failure("push"):
        try:
            _run(push(path, url, counts, options=options, loops=loop, fast=fast, hevc=hevc))
        finally:
            typer.echo(f"sent {counts}", err=True)


def pull_command(
    url: UrlArgument,
    target: Annotated[str, typer.Argument(metavar="FILE", help="FLV file, - for standard output.")],
    duration: Annotated[float | None, typer.Option("--duration", metavar="S", min=0, help="Stop after S seconds of media.")] = None,
    frames: Annotated[
        int | None, typer.Option("--frames", metavar="N", min=1, help="Stop after N pictures (without video: audio frames).")
    ] = None,
    hevc: HevcOption = "keep",
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    insecure: InsecureOption = False,
    ca: CaOption = None,
    rtsp_transport: RtspOption = "auto",
    drop_broken_gop: DropOption = False,
) -> None:
    """Play a stream into a FLV file that is whole whenever it ends."""
    options = replace(client_options(timeout, insecure, ca, rtsp_transport), drop_broken_gop=drop_broken_gop)
    counts = Counts()
    reason: str | None = None
    with _exit_on_failure("pull"), _output(target) as file:
        writer = FlvWriter(file, seekable=file.seekable())
        try:
            reason = _run(pull(url, writer, counts, options=options, duration_s=duration, max_frames=frames, hevc=hevc))
        finally:
            writer.close()
            typer.echo(f"got {counts}" + (f"; {reason}" if reason else ""), err=True)


def probe_command(
    url: UrlArgument,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    duration: Annotated[
        float, typer.Option("--duration", metavar="S", min=0.1, help="How long to look, from the first message on.")
    ] = DEFAULT_DURATION_S,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    insecure: InsecureOption = False,
    ca: CaOption = None,
    rtsp_transport: RtspOption = "auto",
) -> None:
    """Tell what a stream is, and how fast it comes."""
    with _exit_on_failure("probe"):
        report = _run(probe(url, duration_s=duration, options=client_options(timeout, insecure, ca, rtsp_transport)))
    if report is None:
        raise typer.Exit(1)  # interrupted before there was anything to tell
    typer.echo(json.dumps(asdict(report), indent=2) if as_json else describe(report))


@contextlib.contextmanager
def _exit_on_failure(command: str) -> Iterator[None]:
    """One line, and exit status 1, for what can go wrong outside of this program."""
    try:
        yield
    except (LalmeshError, OSError) as error:
        typer.echo(f"lalmesh {command}: {error}", err=True)
        raise typer.Exit(1) from None


@contextlib.contextmanager
def _output(target: str) -> Iterator[BinaryIO]:
    """The file to write, without a buffer, so that each write is whole in it."""
    if target != "-":
        with Path(target).open("wb", buffering=0) as file:
            yield file
        return
    sys.stdout.flush()
    with open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as file:
        yield file


def _run(work: Coroutine[object, object, _Result]) -> _Result | None:
    """The result of `work`; None if SIGINT or SIGTERM ended it, which is the ordinary end of what would go on for ever."""
    return asyncio.run(_ended(work))


async def _ended(work: Coroutine[object, object, _Result]) -> _Result | None:
    task = until_told(work)
    await asyncio.wait({task})
    return None if task.cancelled() else task.result()


def describe(report: ProbeReport) -> str:
    """A report in lines for a person."""
    lines = [
        f"{report.url} ({report.protocol})",
        f"  first byte {_ms(report.first_byte_ms)}, first message {_ms(report.first_message_ms)}",
        *([f"  first key frame {_ms(report.first_keyframe_ms)}"] if report.first_keyframe_ms is not None else []),
        *(f"  {_track(track)}" for track in report.tracks),
        f"  {_bitrate(report.bitrate_bps)} over {report.duration_ms / 1000:.2f} s of media",
    ]
    if report.gop_ms is not None:
        lines.append(f"  GOP of {report.gop_frames:g} pictures, {_ms(report.gop_ms)}")
    if report.av_start_offset_ms is not None:
        apart = f"at most {report.av_interleave_ms} ms apart on arrival"
        lines.append(f"  audio starts {report.av_start_offset_ms:+} ms from video, {apart}")
    lines += [f"  passed over {count} x {reason}" for reason, count in report.passed_over.items()]
    if report.ended:
        lines.append(f"  ended: {report.ended}")
    return "\n".join(lines)


def _track(track: TrackReport) -> str:
    words = [track.kind, track.codec, track.profile, f"({track.codec_string})"]
    if track.width:
        words.append(f"{track.width}x{track.height}")
    if track.kind == "video" and (rate := track.frame_rate or track.measured_frame_rate) is not None:
        words.append(f"{rate:g} fps")
    if track.sample_rate_hz:
        words.append(f"{track.sample_rate_hz} Hz, {track.channels} ch")
    order = "times in order" if track.dts_monotonic else "TIMES STEP BACK"
    return " ".join(filter(None, words)) + f": {track.frames} frames, {_bitrate(track.bitrate_bps)}, {order}"


def _ms(value: float | None) -> str:
    return "never" if value is None else f"{value:g} ms"


def _bitrate(value: int | None) -> str:
    return "unknown bitrate" if value is None else f"{value / 1000:.0f} kbit/s"
