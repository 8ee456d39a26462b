"""What ffmpeg reads out of a recording is what went in: packets or decoded pictures by their hashes, and their times."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import ffmpeg, frames
from support.media import media
from support.recordings import FilesInMemory, recorder, runs_of_file

from lalmesh.container.mpegts import TIME_OFFSET_TICKS
from lalmesh.media import TICKS_PER_SECOND
from services.hls.recording import EndReason, FileLimits, RecordFormat, Spool, recover

FLV, TS, MP4 = RecordFormat.FLV, RecordFormat.TS, RecordFormat.MP4
#: An AAC or Opus packet of MPEG-TS comes with a header, which the other containers lack.
WITHOUT_ADTS = ("-bsf:a", "aac_adtstoasc")
DECODED = ("-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5")
ROUNDING_MS = 1  #: FLV has whole milliseconds
REORDERED = 4  #: pictures at a cut end that refer to some that are gone
LEAST_PICTURES = 60  #: of 200, in half of the file
INTERLEAVED_MS = 150  #: of a file's tracks at its start

START_MS = {FLV: 0, MP4: 0, TS: TIME_OFFSET_TICKS / 90}  #: what a file says at its time 0

CASES = [
    *((name, FLV) for name in ("h264_aac", "h264_b3_aac", "hevc_aac", "av1_opus", "aac", "h264_mp3", "h264_pcma")),
    *((name, MP4) for name in ("h264_aac", "h264_b3_aac", "hevc_aac", "av1_opus", "aac", "h264_mp3", "h264_pcma")),
    *((name, TS) for name in ("h264_aac", "h264_b3_aac", "hevc_aac", "aac", "h264_mp3", "h264_pcma")),
]


@dataclass(frozen=True)
class Packets:
    """The packets of one track: hashes, and times in milliseconds from the first."""

    hashes: list[str]
    times_ms: list[tuple[float, float]]


def packets(recording: frames.Recording, kind: str, first_ms: float) -> Packets:
    """Of the packets from the first picture on: no recording begins with what comes before."""
    stream = recording.stream(kind)
    if stream is None:
        return Packets([], [])
    tick_ms = float(stream.time_base * 1000)
    track = [frame for frame in recording.track(kind) if frame.dts * tick_ms >= first_ms]
    times = [(frame.dts * tick_ms - first_ms, frame.pts * tick_ms - first_ms) for frame in track]
    return Packets([frame.md5 for frame in track], times)


def first_ms(recording: frames.Recording) -> float:
    kind = recording.kinds[0]
    stream = recording.stream(kind)
    assert stream is not None
    return recording.track(kind)[0].dts * float(stream.time_base * 1000)


def read(file: Path, *options: str) -> frames.Recording:
    return frames.parse(ffmpeg.run("-copyts", "-i", file, *options, *ffmpeg.FRAME_HASHES, "-"))


def decoded(file: Path) -> list[str]:
    return [frame.md5 for frame in frames.parse(ffmpeg.run("-copyts", "-i", file, *DECODED, "-")).frames]


def record(source: Path, record_format: RecordFormat, folder: Path, limits: FileLimits | None = None) -> list[Path]:
    files, recording = FilesInMemory(), recorder(record_format, limits)
    for run in runs_of_file(source):
        files.perform(recording.receive(run))
    files.perform(recording.end(EndReason.ENDED))
    made = []
    for number, (path, data) in enumerate(files.files.items()):
        made.append(folder / f"{number}.{record_format.value}")
        made[-1].write_bytes(data)
        assert path.endswith(record_format.value)
    return made


def assert_same(source: Path, made: Path, record_format: RecordFormat) -> None:
    sent = read(source)
    got = read(made, *(WITHOUT_ADTS if record_format is TS and has_aac(sent) else ()))
    sent_first, got_first = first_ms(sent), first_ms(got)
    for kind in sent.kinds:
        expected, found = packets(sent, kind, sent_first), packets(got, kind, got_first)
        if kind == "audio" and (record_format is not FLV and has_pcm(sent)):
            assert not found.hashes
            continue
        for wanted, time in zip(expected.times_ms, found.times_ms, strict=True):
            assert time == pytest.approx(wanted, abs=ROUNDING_MS)
        if record_format is TS and kind == "video":
            assert decoded(made) == decoded(source)
        else:
            assert found.hashes == expected.hashes


def has_aac(recording: frames.Recording) -> bool:
    stream = recording.stream("audio")
    return stream is not None and stream.codec == "aac"


def has_pcm(recording: frames.Recording) -> bool:
    stream = recording.stream("audio")
    return stream is not None and stream.codec.startswith("pcm")


@pytest.mark.parametrize(("name", "record_format"), CASES, ids=lambda value: str(getattr(value, "value", value)))
def test_a_recording_holds_what_was_published(name: str, record_format: RecordFormat, tmp_path: Path) -> None:
    [made] = record(media(name), record_format, tmp_path)
    assert_same(media(name), made, record_format)


@pytest.mark.parametrize("record_format", [FLV, MP4, TS])
def test_the_files_of_a_split_recording_hold_every_packet_once(record_format: RecordFormat, tmp_path: Path) -> None:
    source = media("h264_b3_aac")
    made = record(source, record_format, tmp_path, FileLimits(3 * TICKS_PER_SECOND))
    assert len(made) == 3
    sent = read(source)
    for kind in sent.kinds:
        got: list[str] = []
        for file in made:
            part = read(file, *(WITHOUT_ADTS if record_format is TS else ()))
            assert first_ms(part) - START_MS[record_format] < INTERLEAVED_MS
            got += [frame.md5 for frame in part.track(kind)]
        if record_format is not TS or kind == "audio":
            assert got == packets(sent, kind, first_ms(sent)).hashes
    assert [picture for file in made for picture in decoded(file)] == decoded(source)


@pytest.mark.parametrize("record_format", [FLV, MP4])
def test_players_are_told_the_length_and_can_seek(record_format: RecordFormat, tmp_path: Path) -> None:
    [made] = record(media("h264_b3_aac"), record_format, tmp_path)
    command = [str(ffmpeg.FFPROBE), "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(made)]
    duration = float(subprocess.run(ffmpeg.bounded(20, command), capture_output=True, check=True, text=True).stdout)
    assert duration == pytest.approx(8.0, abs=0.1)
    sought = frames.parse(ffmpeg.run("-copyts", "-ss", "5.5", "-noaccurate_seek", "-i", made, *ffmpeg.FRAME_HASHES, "-"))
    assert 4_900 < first_ms(sought) < 5_100


@pytest.mark.parametrize("record_format", [FLV, MP4, TS])
def test_a_recording_that_was_cut_off_is_recovered_with_the_frames_up_to_there(record_format: RecordFormat, tmp_path: Path) -> None:
    source = media("h264_b3_aac")
    files, recording = FilesInMemory(), recorder(record_format)
    for run in runs_of_file(source):
        files.perform(recording.receive(run))
    [(path, data)] = files.files.items()
    for size in (len(data), len(data) - 1, len(data) * 2 // 3, len(data) // 2 + 7):
        spool = Spool(tmp_path / str(size))
        growing = spool.path(path, growing=True)
        growing.parent.mkdir(parents=True)
        growing.write_bytes(data[:size])
        [found] = recover(spool)
        got = decoded(spool.path(path))
        whole = len(got) - REORDERED
        assert got[:whole] == decoded(source)[:whole]
        assert len(got) > LEAST_PICTURES
        assert found.duration_ms == pytest.approx(len(got) * 40, abs=200)
