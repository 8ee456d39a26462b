"""ffmpeg and GStreamer read what the fMP4 muxer writes, packet by packet, and the demuxer reads what ffmpeg writes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from support import ffmpeg, frames
from support.ffmpeg import FFPROBE, OLD_FFMPEG, bounded
from support.frames import Recording
from support.media import media

from lalmesh.container.flv import BodyDemuxer, TagReader
from lalmesh.container.fmp4 import Fmp4Demuxer, FragmentBuilder, FragmentedFile, recover_file
from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND, AccessUnit, Kind, TracksChanged, TrackSet

LIMIT_S = 30.0
TEMPORAL_DELIMITER = b"\x12\0"  #: an OBU of AV1
FRAGMENTED = "frag_keyframe+empty_moov+default_base_moof"
#: What ffmpeg makes beyond the recipes of `support.media`: inputs, encoders.
_PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=25")
_TONE = ("-f", "lavfi", "-i", "sine=f=440:r=48000")
_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25")
ENCODED = {
    "vp9_flac": (*_PICTURE, *_TONE, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "25", "-c:a", "flac"),
    "h264_ac3": (*_PICTURE, *_TONE, *_X264, "-c:a", "ac3"),
    "h264_eac3": (*_PICTURE, *_TONE, *_X264, "-c:a", "eac3"),
}
RECIPES = ["h264_b3_aac", "hevc_aac", "av1_opus", "aac", "h264", "h264_mp3"]


def source(name: str, folder: Path) -> Path:
    """An FLV file."""
    if name in RECIPES:
        return media(name)
    file = folder / f"{name}.flv"
    ffmpeg.run("-y", *ENCODED[name], "-t", "3", "-f", "flv", file, limit_s=LIMIT_S)
    return file


def demuxed(file: Path) -> tuple[TrackSet, list[AccessUnit]]:
    """The audio and video of an FLV file."""
    demuxer, units = BodyDemuxer(), list[AccessUnit]()
    for tag in TagReader().feed(file.read_bytes()):
        units += [one for one in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body) if isinstance(one, AccessUnit)]
    tracks = TrackSet(tuple(track for track in demuxer.tracks.tracks if track.kind is not Kind.DATA))
    return tracks, [unit for unit in units if tracks.get(unit.track_id)]


def write(tracks: TrackSet, units: Sequence[AccessUnit], file: Path, *, units_a_fragment: int) -> FragmentedFile:
    """A finished file."""
    written, builder = FragmentedFile(tracks), FragmentBuilder()
    parts: list[bytes | memoryview] = []
    for at in range(0, len(units), units_a_fragment):
        for unit in units[at : at + units_a_fragment]:
            builder.add(unit, tracks)
        parts += written.append(builder.take(*units[at + units_a_fragment : at + units_a_fragment + 1]))
    data, end = b"".join(parts), written.finish()
    file.write_bytes(end.head + data[len(end.head) :] + end.tail)
    return written


Row = tuple[int, int, int, str]  #: ticks of decoding and of presentation, bytes, hash


def rows(recording: Recording, kind: str) -> list[Row]:
    """The packets of a track, their times in ticks less the first decode time of all tracks."""
    found = {stream.index: stream.time_base for stream in recording.streams}
    ticks = {index: base * TICKS_PER_SECOND for index, base in found.items()}
    first = min(frame.dts * ticks[frame.stream] for frame in recording.frames)
    return [
        (int(one.dts * ticks[one.stream] - first), int(one.pts * ticks[one.stream] - first), one.size, one.md5)
        for one in recording.track(kind)
    ]


@pytest.mark.parametrize("units_a_fragment", [1, 50])
@pytest.mark.parametrize("name", [*RECIPES, *ENCODED])
def test_ffmpeg_reads_the_packets_that_were_written(name: str, units_a_fragment: int, tmp_path: Path) -> None:
    file, written = source(name, tmp_path), tmp_path / "written.mp4"
    write(*demuxed(file), written, units_a_fragment=units_a_fragment)
    sent, got = frames.of_file(file), frames.of_file(written)
    assert sent.kinds == got.kinds
    for kind in sent.kinds:
        assert rows(got, kind) == rows(sent, kind)


@pytest.mark.parametrize("name", [*RECIPES, *ENCODED])
def test_every_ffmpeg_decodes_what_was_written_without_a_word(name: str, tmp_path: Path) -> None:
    written = tmp_path / "written.mp4"
    write(*demuxed(source(name, tmp_path)), written, units_a_fragment=1)
    for program in (ffmpeg.FFMPEG, OLD_FFMPEG):
        head = [str(program), "-hide_banner", "-nostdin", "-loglevel", "warning"]
        done = subprocess.run(
            bounded(LIMIT_S, [*head, "-i", written, "-map", "0", "-f", "null", "-"]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_S + 10,
            check=False,
        )
        assert (done.returncode, done.stderr.decode()) == (0, "")


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("h264_b3_aac", ["avc1", "mp4a"]),
        ("hevc_aac", ["hvc1", "mp4a"]),
        ("av1_opus", ["av01", "Opus"]),
        ("vp9_flac", ["vp09", "fLaC"]),
        ("h264_ac3", ["avc1", "ac-3"]),
        ("h264_eac3", ["avc1", "ec-3"]),
        ("h264_mp3", ["avc1", "mp4a"]),
    ],
)
def test_ffprobe_knows_the_tracks_and_how_long_they_are(name: str, tags: list[str], tmp_path: Path) -> None:
    tracks, units = demuxed(source(name, tmp_path))
    written = tmp_path / "written.mp4"
    finished = write(tracks, units, written, units_a_fragment=50)
    found = probe(written)
    assert sorted(stream["codec_tag_string"] for stream in found) == sorted(tags)
    video, audio = (next(stream for stream in found if stream["codec_type"] == kind) for kind in ("video", "audio"))
    sound, picture = tracks.first(Kind.AUDIO), finished.tracks.first(Kind.VIDEO)
    assert sound is not None
    assert picture is not None
    assert (video["width"], video["height"]) == (picture.width, picture.height)
    assert (audio["sample_rate"], audio["channels"]) == (str(sound.sample_rate_hz), sound.channels)
    assert duration_s(written) == pytest.approx(finished.duration_ticks / TICKS_PER_SECOND, abs=0.1)


def probe(file: Path) -> list[dict[str, str | int]]:
    """What ffprobe says of each stream."""
    found: list[dict[str, str | int]] = json.loads(ffprobe("-show_streams", "-of", "json", file))["streams"]
    return found


def duration_s(file: Path) -> float:
    """How long ffprobe thinks that the file is."""
    return float(ffprobe("-show_entries", "format=duration", "-of", "csv=p=0", file))


def ffprobe(*args: str | Path) -> str:
    command = bounded(LIMIT_S, [FFPROBE, "-v", "error", *args])
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S + 10, check=True, text=True
    ).stdout


@pytest.mark.parametrize("name", ["h264_b3_aac", "hevc_aac", "av1_opus", "h264_mp3", *ENCODED])
def test_gstreamer_reads_every_byte_that_was_written(name: str, tmp_path: Path) -> None:
    program = shutil.which("gst-launch-1.0")
    if program is None:
        pytest.skip("GStreamer is not installed")
    tracks, units = demuxed(source(name, tmp_path))
    written = tmp_path / "written.mp4"
    write(tracks, units, written, units_a_fragment=1)
    branches = [part for kind in ("video", "audio") for part in f"d.{kind}_0 ! queue ! filesink location={tmp_path / kind}".split()]
    command = [program, "-q", "filesrc", f"location={written}", "!", "qtdemux", "name=d", *branches]
    subprocess.run(bounded(LIMIT_S, command), stdin=subprocess.DEVNULL, timeout=LIMIT_S + 10, check=True)
    for kind in (Kind.VIDEO, Kind.AUDIO):
        track = tracks.first(kind)
        assert track is not None
        sent = [unit.payload for unit in units if unit.track_id == track.track_id]
        assert (tmp_path / kind.value).read_bytes() == b"".join(sent)


def test_a_player_seeks_by_the_index(tmp_path: Path) -> None:
    written = tmp_path / "written.mp4"
    tracks, units = demuxed(media("h264_b3_aac"))
    write(tracks, units, written, units_a_fragment=1)
    said = ffmpeg.run("-copyts", "-ss", "3.5", "-i", written, "-map", "0:v", "-c", "copy", "-f", "framemd5", "-")
    first = min(unit.dts for unit in units)
    keys = [unit.pts - first for unit in units if unit.track_id == 1 and unit.random_access]
    begin = frames.parse(said).frames[0]
    assert begin.pts == max(pts for pts in keys if pts <= 3.5 * TICKS_PER_SECOND)


def test_a_file_that_a_crash_cut_plays_up_to_there(tmp_path: Path) -> None:
    written, mended = tmp_path / "written.mp4", tmp_path / "mended.mp4"
    write(*demuxed(media("h264_b3_aac")), written, units_a_fragment=50)
    data = written.read_bytes()[:200_001]
    end = recover_file(lambda at, size: data[at : at + size], len(data))
    assert end is not None
    mended.write_bytes(end.head + data[len(end.head) : end.keep_bytes] + end.tail)
    whole, got = rows(frames.of_file(written), "video"), rows(frames.of_file(mended), "video")
    assert got == whole[: len(got)]
    assert duration_s(mended) == pytest.approx(end.duration_ticks / TICKS_PER_SECOND, abs=0.1)


@pytest.mark.parametrize("flags", [FRAGMENTED, "dash+empty_moov", "frag_every_frame+empty_moov", "cmaf"])
@pytest.mark.parametrize("name", ["h264_b3_aac", "hevc_aac", "av1_opus", "vp9_flac", "h264_ac3", "h264_eac3", "h264_mp3"])
def test_the_demuxer_reads_what_ffmpeg_writes(name: str, flags: str, tmp_path: Path) -> None:
    file, fragmented = source(name, tmp_path), tmp_path / "fragmented.mp4"
    flags = f"{flags}+delay_moov" if "ac3" in name else flags  # ffmpeg has to see a frame of those first
    ffmpeg.run("-copyts", "-i", file, "-map", "0", "-c", "copy", "-movflags", flags, fragmented, limit_s=LIMIT_S)
    events = list(Fmp4Demuxer().feed(fragmented.read_bytes()))
    assert isinstance(events[0], TracksChanged)
    sent_tracks, sent = demuxed(file)
    got_tracks, got = events[0].tracks, [event for event in events if isinstance(event, AccessUnit)]
    for kind in (Kind.VIDEO, Kind.AUDIO):
        sent_track, got_track = sent_tracks.first(kind), got_tracks.first(kind)
        assert sent_track is not None
        assert got_track is not None
        assert (got_track.codec, got_track.sample_rate_hz, got_track.channels) == (
            sent_track.codec,
            sent_track.sample_rate_hz,
            sent_track.channels,
        )
        expected = [unit for unit in sent if unit.track_id == sent_track.track_id]
        found = [unit for unit in got if unit.track_id == got_track.track_id]
        # ffmpeg's MP4 has no temporal delimiters, its FLV has
        assert [unit.payload for unit in found] == [unit.payload.removeprefix(TEMPORAL_DELIMITER) for unit in expected]
        if kind is Kind.VIDEO:
            assert [unit.random_access for unit in found] == [unit.random_access for unit in expected]
            shift = found[1].pts - expected[1].pts  # ffmpeg lets a track that begins later begin at 0, with a longer first sample
            assert all(abs(new.pts - old.pts - shift) < TICKS_PER_MS for new, old in zip(found[1:], expected[1:], strict=True))
