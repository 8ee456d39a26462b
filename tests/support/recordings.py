"""Runs for recorders: made up, or out of the FLV files of `support.media`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from lalmesh.container.flv import BodyDemuxer, TagReader
from lalmesh.media import AccessUnit, Codec, Track, TracksChanged, TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.ring import Run
from services.hls.recording import FileLimits, Recorder, RecordFormat
from services.hls.recording._events import Append, BeginFile, Command, EndFile

STREAM = StreamKey.of("live/eu", "cam 1")
STARTED_US = 1_764_112_648_123_456  #: 2025-11-25 23:17:28.123456 UTC
AVCC = bytes.fromhex("0142c014ffe100176742c014da05067e7c0440000003004000000c83c50aa801000468ce3c80")  #: of x264, 320x180
VIDEO = Track(track_id=1, codec=Codec.H264, configuration=AVCC, width=320, height=180)
AUDIO = Track(track_id=2, codec=Codec.AAC, configuration=b"\x12\x10", sample_rate_hz=44_100, channels=2)
EPOCH = Epoch(1764, 12)
AV = TrackSet((VIDEO, AUDIO), 1)
FRAME_TICKS = 3600  #: 25 pictures a second
AUDIO_TICKS = 2070  #: 23 ms, as RTMP has it


def publication(number: int = 1) -> bytes:
    return number.to_bytes(16, "big")


def run(units: Iterable[AccessUnit], tracks: TrackSet = AV, *, number: int = 1, missing: int = 0) -> Run:
    return Run(Epoch(1000, number), publication(number), tracks, list(units), missing=missing)


def pictures(first: int, last: int, *, key_each: int = 25, size: int = 100, base: int = 0) -> list[AccessUnit]:
    """Pictures `first` up to but not including `last`, a random access point each `key_each`."""
    payload = bytes((0, 0, 0, size - 4)) + bytes(size - 4)
    return [
        AccessUnit(1, base + n * FRAME_TICKS, 0, n % key_each == 0, payload, n, STARTED_US + n * 40_000) for n in range(first, last)
    ]


def with_audio(video: list[AccessUnit], *, early_ticks: int = 0) -> list[AccessUnit]:
    """The pictures and audio frames by time; `early_ticks`: how much earlier than they should the audio frames come."""
    first, last = video[0].dts, video[-1].dts + FRAME_TICKS
    audio = [AccessUnit(2, dts, 0, True, b"\x21\x10\x04", -1, STARTED_US) for dts in range(first, last, AUDIO_TICKS)]
    return sorted([*video, *audio], key=lambda unit: unit.dts - early_ticks * (unit.track_id == 2))


def runs_of_file(file: Path, *, number: int = 1) -> Iterator[Run]:
    """Each unit of an FLV file as a run, as a reader gets them."""
    demuxer, tracks, seq = BodyDemuxer(), TrackSet(), 0
    for tag in TagReader().feed(file.read_bytes()):
        for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body):
            if isinstance(event, TracksChanged):
                tracks = event.tracks
            elif isinstance(event, AccessUnit):
                event.seq, event.wall_us = seq, STARTED_US + event.dts * 100 // 9
                seq += 1
                yield run([event], tracks, number=number)


def recorder(record_format: RecordFormat = RecordFormat.FLV, limits: FileLimits | None = None) -> Recorder:
    return Recorder(STREAM, record_format, limits or FileLimits(), EPOCH)


class FilesInMemory:
    """Carries a recorder's commands out in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}
        self.ended: list[EndFile] = []
        self.open = ""

    def perform(self, commands: Iterable[Command]) -> None:
        for command in commands:
            match command:
                case BeginFile(name, data):
                    assert not self.open
                    self.open = name.path
                    self.files[name.path] = bytearray(data)
                case Append(parts, size_bytes, _):
                    data = b"".join(parts)
                    assert len(data) == size_bytes
                    self.files[self.open] += data
                case EndFile(_, finished):
                    self._complete(command)
                    assert finished.path == self.open
                    assert finished.size_bytes == len(self.files[self.open])
                    self.open = ""
                case _:
                    raise AssertionError(command)

    def _complete(self, command: EndFile) -> None:
        data = self.files[self.open]
        data += command.completion.tail
        if command.completion.patch is not None:
            at, patch = command.completion.patch
            assert at + len(patch) <= len(data)
            data[at : at + len(patch)] = patch
        self.ended.append(command)
