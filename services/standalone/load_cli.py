"""``lalmesh bench | delay``: publishers and players by the hundred, and how long units take. Exit status 0 is that all went well, 1
that something did not, 2 that it cannot be begun.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import typer

from lalmesh.client.load import (
    Bench,
    DelayReport,
    Media,
    Plan,
    Report,
    as_text,
    delay_as_text,
    made_media,
    measure_delay,
    media_of_tags,
    raise_file_limit,
)
from lalmesh.container.flv import Tag, TagReader
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

READ_BYTES: Final = 256 << 10  #: of a file at a time

_SCALES: Final = {"k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_URLS: Final = "rtmp(s)://, rtsp(s)://, http(s):// of .flv, .ts, .mp4 or .m3u8, ws(s):// of .flv, .ts, .mp4 or RTSP"
_PLAYED: Final = f"{_URLS}; {{}} is the number of a stream."
_DELAYED: Final = f"The first is published, by rtmp(s)://, rtsp(s):// or ws(s):// (RTSP); the others are played: {_URLS}."

FileOption = Annotated[
    Path | None,
    typer.Option("--file", metavar="FLV", help="What is published, in a loop; by default made up.", exists=True, dir_okay=False),
]
BitrateOption = Annotated[str, typer.Option("--bitrate", metavar="BPS", help="Of what is made up, sound included: 600k, 2.6M.")]
RateOption = Annotated[float, typer.Option("--fps", min=1, max=240, help="Pictures a second of what is made up.")]
KeyOption = Annotated[float, typer.Option("--gop", metavar="S", min=0.1, max=60, help="Seconds between its key frames.")]
AudioOption = Annotated[str, typer.Option("--audio", metavar="BPS", help="Of its sound, AAC; 0: none.")]
RtspOption = Annotated[Literal["tcp", "udp"], typer.Option("--rtsp-transport", help="How the packets of RTSP go.")]
JsonOption = Annotated[str, typer.Option("--json", metavar="FILE", help="One JSON object, into a file; -: to standard output.")]


@dataclass(slots=True, frozen=True)
class _Made:
    """What the options say of media."""

    file: Path | None
    bitrate: str
    fps: float
    gop_s: float
    audio: str

    def media(self) -> Media:
        """The media.

        Raises:
            LalmeshError, OSError: of the file.
            ValueError: no such media can be made.
        """
        if self.file is not None:
            return media_of_tags(_tags_of(self.file))
        rate = Fraction(self.fps).limit_denominator(1001)
        return made_media(bitrate_bps=bits(self.bitrate), frame_rate=rate, key_s=self.gop_s, audio_bps=bits(self.audio))


def _tags_of(file: Path) -> Iterator[Tag]:
    """The tags of `file`, of which no more is read than who takes them can hold."""
    reader = TagReader()
    with file.open("rb") as stream:
        while data := stream.read(READ_BYTES):
            yield from reader.feed(data)


def add_load_commands(app: typer.Typer) -> None:
    """Add bench and delay to `app`."""
    app.command("bench")(bench_command)
    app.command("delay")(delay_command)


def bench_command(
    play: Annotated[list[str] | None, typer.Argument(metavar="PLAY_URL", help=_PLAYED)] = None,
    publish: Annotated[
        str, typer.Option("--publish", metavar="URL", help="Publish the streams: rtmp(s)://, rtsp(s):// or ws(s)://.")
    ] = "",
    streams: Annotated[int, typer.Option("--streams", metavar="N", min=1, help="How many; {} in URLs is 0 to N-1.")] = 1,
    players: Annotated[int, typer.Option("--players", metavar="M", min=1, help="Of each stream at each URL.")] = 1,
    look: Annotated[int, typer.Option("--look", metavar="K", min=0, help="Players of each URL that look at every unit.")] = 1,
    publish_within: Annotated[float, typer.Option("--publish-within", metavar="S", min=0, help="In which publishers come.")] = 2.0,
    within: Annotated[float, typer.Option("--within", metavar="S", min=0, help="In which players come.")] = 5.0,
    duration: Annotated[float, typer.Option("--duration", metavar="S", min=0.1, help="From when all are there.")] = 30.0,
    stall: Annotated[float, typer.Option("--stall", metavar="S", min=0.05, help="Without bytes, that are a stall.")] = 1.0,
    file: FileOption = None,
    bitrate: BitrateOption = "2.6M",
    fps: RateOption = 30.0,
    gop: KeyOption = 2.0,
    audio: AudioOption = "128k",
    rtsp_transport: RtspOption = "tcp",
    json_file: JsonOption = "",
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    insecure: InsecureOption = False,
    ca: CaOption = None,
) -> None:
    """Load a server with N publishers and M players of each stream, and tell how they fared."""
    plan = Plan(
        publish_url=publish,
        play_urls=tuple(play or ()),
        streams=streams,
        players=players,
        looking=look,
        publish_within_s=publish_within,
        play_within_s=within,
        duration_s=duration,
        stall_s=stall,
        udp=rtsp_transport == "udp",
    )
    media = _begin("bench", plan, _Made(file, bitrate, fps, gop, audio), json_file)
    bench = Bench(plan, client_options(timeout, insecure, ca), media, say=_say)
    report: Report = _run(bench.run())
    _end(as_text(report), report.as_object(), json_file, is_well=not report.faults)


def delay_command(
    urls: Annotated[list[str], typer.Argument(metavar="PUBLISH_URL PLAY_URL...", help=_DELAYED)],
    no_publish: Annotated[bool, typer.Option("--no-publish", help="All are played; delays are against the first.")] = False,
    duration: Annotated[float, typer.Option("--duration", metavar="S", min=0.1, help="From when all play.")] = 10.0,
    file: FileOption = None,
    bitrate: BitrateOption = "1M",
    fps: RateOption = 30.0,
    gop: KeyOption = 1.0,
    audio: AudioOption = "128k",
    rtsp_transport: RtspOption = "tcp",
    json_file: JsonOption = "",
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    insecure: InsecureOption = False,
    ca: CaOption = None,
) -> None:
    """Tell how long units take from a publisher to players, each found again by its bytes."""
    publish_url, play_urls = ("", tuple(urls)) if no_publish else (urls[0], tuple(urls[1:]))
    plan = Plan(publish_url=publish_url, play_urls=play_urls)
    media = _begin("delay", plan, _Made(file, bitrate, fps, gop, audio), json_file)
    measured = measure_delay(
        publish_url,
        play_urls,
        client_options(timeout, insecure, ca),
        media,
        duration_s=duration,
        udp=rtsp_transport == "udp",
        say=_say,
    )
    try:
        report: DelayReport = _run(measured)
    except LalmeshError as error:
        raise _unable("delay", error) from None
    _end(delay_as_text(report), report.as_object(), json_file, is_well=not report.faults)


def bits(text: str) -> int:
    """Bits a second, from a number with or without k, M or G.

    Raises:
        ValueError: it is none.
    """
    scale = _SCALES.get(text[-1:], 1)
    try:
        value = float(text[:-1] if scale > 1 else text) * scale
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e12:
        raise ValueError(f"bit rate {text!r}: a number, with k, M or G where it is of thousands or more")
    return round(value)


def _begin(command: str, plan: Plan, made: _Made, json_file: str) -> Media | None:
    """Check all that can be before anybody is dialled; what publishers send."""
    if sys.platform != "linux":
        raise _unable(command, OSError("what nobody looks at is thrown away by Linux, and by no other system"))
    try:
        plan.check()
        raise_file_limit(plan.files)
        if json_file not in ("", "-"):
            Path(json_file).touch()  # so that nothing is measured in vain
        media = made.media() if plan.publish_url else None
        if media is not None:
            plan.check_media(media)
        return media
    except (LalmeshError, OSError, ValueError) as error:
        raise _unable(command, error) from None


def _unable(command: str, error: Exception) -> typer.Exit:
    typer.echo(f"lalmesh {command}: {error}", err=True)
    return typer.Exit(2)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _end(text: str, found: dict[str, Any], json_file: str, *, is_well: bool) -> None:
    if json_file == "-":
        typer.echo(json.dumps(found, indent=2))
    else:
        typer.echo(text)
        if json_file:
            Path(json_file).write_text(json.dumps(found, indent=2) + "\n")
    sys.stdout.flush()
    raise typer.Exit(0 if is_well else 1)


def _run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """The result of `work`, which SIGINT and SIGTERM end before its time; told a third time, it ends without one."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            return runner.run(_ended(work))
        except asyncio.CancelledError:
            raise typer.Exit(1) from None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _ended(work: Coroutine[Any, Any, _Result]) -> _Result:
    return await until_told(work)
