"""Transport streams as ffmpeg reads and writes them: what is shown and heard is the same, and so are its times."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from support import ffmpeg, frames
from support.ffmpeg import FFMPEG, FFPROBE, OLD_FFMPEG, bounded
from support.media import media
from support.ts_units import muxed

from lalmesh.container.flv import BodyDemuxer, TagReader
from lalmesh.container.mpegts import TIME_OFFSET_TICKS, TsDemuxer
from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND, AccessUnit, Codec, Kind, TrackSet

DECODED = ("-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-")
RAW_AAC = ("-map", "0:a", "-c", "copy", "-bsf:a", "aac_adtstoasc", "-f", "framemd5", "-")
COPIED = ("-map", "0", "-c", "copy", "-f", "framemd5", "-")

#: what ffmpeg is to make a transport stream of: encoder options, and the codec that comes in
AUDIO = {
    Codec.MP2: ("-c:a", "mp2", "-b:a", "128k"),
    Codec.MP3: ("-c:a", "libmp3lame", "-b:a", "64k"),
    Codec.AC3: ("-c:a", "ac3", "-ac", "6", "-b:a", "384k"),
    Codec.EAC3: ("-c:a", "eac3", "-b:a", "128k"),
    Codec.OPUS: ("-c:a", "libopus", "-b:a", "64k"),
    Codec.AAC: ("-c:a", "aac", "-b:a", "64k"),
}


def source(name: str) -> tuple[TrackSet, list[AccessUnit]]:
    """Tracks and units of a FLV file, without its script data."""
    demuxer, units = BodyDemuxer(), list[AccessUnit]()
    for tag in TagReader().feed(media(name).read_bytes()):
        units += [event for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body) if isinstance(event, AccessUnit)]
    tracks = tuple(track for track in demuxer.tracks.tracks if track.kind is not Kind.DATA)
    return TrackSet(tracks), [unit for unit in units if unit.track_id in {track.track_id for track in tracks}]


def demuxed(wire: bytes) -> tuple[TsDemuxer, list[AccessUnit]]:
    demuxer = TsDemuxer()
    events = [*demuxer.feed(wire), *demuxer.flush()]
    assert not demuxer.counters.unsupported, demuxer.counters
    return demuxer, [event for event in events if isinstance(event, AccessUnit)]


def muxed_file(name: str, folder: Path, *, later_by: int = 0) -> Path:
    tracks, units = source(name)
    file = folder / "muxed.ts"
    moved = [AccessUnit(unit.track_id, unit.dts + later_by, unit.cts, unit.random_access, unit.payload) for unit in units]
    file.write_bytes(muxed(moved, tracks))
    return file


def rows(file: Path, kind: str, options: Sequence[str], binary: Path = FFMPEG) -> list[tuple[int, str]]:
    """Presentation time in ms after the first, and hash, of each picture or audio packet."""
    recording = frames.parse(ffmpeg.run("-copyts", "-i", file, *options, ffmpeg=binary))
    stream = recording.stream(kind)
    assert stream is not None
    found = recording.track(kind)
    return [(round((frame.pts - found[0].pts) * stream.time_base * 1000), frame.md5) for frame in found]


@pytest.mark.parametrize("binary", [FFMPEG, OLD_FFMPEG], ids=["new", "old"])
@pytest.mark.parametrize("name", ["h264_b3_aac", "hevc_aac", "h264"])
def test_ffmpeg_shows_the_pictures_that_were_muxed(name: str, binary: Path, tmp_path: Path) -> None:
    shown = rows(muxed_file(name, tmp_path), "video", DECODED, binary)
    assert shown == rows(media(name), "video", DECODED)


@pytest.mark.parametrize("name", ["h264_b3_aac", "hevc_aac", "aac"])
def test_ffmpeg_hears_the_audio_that_was_muxed(name: str, tmp_path: Path) -> None:
    heard = rows(muxed_file(name, tmp_path), "audio", RAW_AAC)
    wanted = rows(media(name), "audio", ("-map", "0:a", "-c", "copy", "-f", "framemd5", "-"))
    assert [md5 for _, md5 in heard] == [md5 for _, md5 in wanted]
    assert all(abs(got - time) <= 1 for (got, _), (time, _) in zip(heard, wanted, strict=True))


def test_tracks_stay_beside_each_other(tmp_path: Path) -> None:
    file = muxed_file("h264_b3_aac", tmp_path)
    recording = frames.parse(ffmpeg.run("-copyts", "-i", file, *COPIED))
    _, units = source("h264_b3_aac")
    for kind, track_id in (("video", 1), ("audio", 2)):
        wanted = [unit.dts + TIME_OFFSET_TICKS for unit in units if unit.track_id == track_id]
        assert [frame.dts for frame in recording.track(kind)] == wanted


@pytest.mark.parametrize("name", ["h264_b3_aac", "hevc_aac", "aac"])
def test_ffprobe_knows_the_tracks(name: str, tmp_path: Path) -> None:
    tracks, _ = source(name)
    command = bounded(20, [FFPROBE, "-v", "warning", "-of", "json", "-show_streams", muxed_file(name, tmp_path)])
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=30)
    assert done.stderr == b""
    streams = {stream["codec_type"]: stream for stream in json.loads(done.stdout)["streams"]}
    assert set(streams) == {track.kind.value for track in tracks.tracks}
    for track in tracks.tracks:
        seen = streams[track.kind.value]
        assert (seen.get("width", 0), seen.get("height", 0)) == (track.width, track.height)
        assert (int(seen.get("sample_rate", 0)), seen.get("channels", 0)) == (track.sample_rate_hz, track.channels)


def test_times_go_on_over_the_wrap(tmp_path: Path) -> None:
    file = muxed_file("h264_b3_aac", tmp_path, later_by=(1 << 33) - TIME_OFFSET_TICKS - 4 * TICKS_PER_SECOND)
    assert rows(file, "video", DECODED) == rows(media("h264_b3_aac"), "video", DECODED)


@pytest.mark.parametrize("name", ["h264_b3_aac", "hevc_aac", "h264_mp3", "aac"])
def test_what_ffmpeg_muxes_is_read_whole(name: str, tmp_path: Path) -> None:
    file = tmp_path / "ffmpeg.ts"
    ffmpeg.run("-i", media(name), "-map", "0", "-c", "copy", "-f", "mpegts", file)
    demuxer, got = demuxed(file.read_bytes())
    tracks, sent = source(name)
    for track in tracks.tracks:
        mine = [unit for unit in got if unit.track_id == track.track_id]
        theirs = [unit for unit in sent if unit.track_id == track.track_id]
        # ffmpeg sends the SEI of a hvcC before each random access picture
        assert all(one.payload.endswith(two.payload) for one, two in zip(mine, theirs, strict=True))
        assert track.codec is Codec.H265 or [unit.payload for unit in mine] == [unit.payload for unit in theirs]
        assert [unit.random_access for unit in mine] == [unit.random_access for unit in theirs]
        offsets = Counter(one.pts - two.pts for one, two in zip(mine, theirs, strict=True))
        # of audio only some packets keep their time: the others follow by their samples, where FLV has rounded each to whole ms
        assert max(offsets) - min(offsets) <= (0 if track.kind is Kind.VIDEO else 2 * TICKS_PER_MS)
        seen = demuxer.tracks.get(track.track_id)
        assert seen is not None
        assert (seen.codec, seen.width, seen.sample_rate_hz) == (track.codec, track.width, track.sample_rate_hz)


@pytest.mark.parametrize("codec", AUDIO)
def test_each_audio_codec_goes_through_and_is_the_same_to_ffmpeg(codec: Codec, tmp_path: Path) -> None:
    theirs, mine = tmp_path / "theirs.ts", tmp_path / "mine.ts"
    tone = ("-f", "lavfi", "-i", "sine=f=440:r=48000", "-t", "3", *AUDIO[codec])
    ffmpeg.run(*tone, "-f", "mpegts", theirs)
    demuxer, units = demuxed(theirs.read_bytes())
    assert [track.codec for track in demuxer.tracks.tracks] == [codec]
    mine.write_bytes(muxed(units, demuxer.tracks))
    assert len(units) > 90
    assert rows(mine, "audio", COPIED) == rows(theirs, "audio", COPIED)


def test_a_stream_may_be_joined_at_any_byte(tmp_path: Path) -> None:
    file = muxed_file("h264_b3_aac", tmp_path)
    file.write_bytes(file.read_bytes()[100_001:])
    shown = {md5 for _, md5 in rows(file, "video", DECODED)}
    assert len(shown & {md5 for _, md5 in rows(media("h264_b3_aac"), "video", DECODED)}) > 140
