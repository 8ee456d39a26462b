from __future__ import annotations

from dataclasses import replace

import pytest
from support.recordings import (
    AUDIO,
    AUDIO_TICKS,
    AV,
    FRAME_TICKS,
    STARTED_US,
    VIDEO,
    FilesInMemory,
    pictures,
    recorder,
    run,
    with_audio,
)

from lalmesh.amf import parse_amf0
from lalmesh.container.flv import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, BodyDemuxer, Tag, TagReader
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Codec, Track, TrackSet
from services.hls.recording import EndReason, FileLimits, Recorder, RecordRule
from services.hls.recording._events import BeginFile, BreakFile, EndFile
from services.hls.recording._recorder import MAX_HELD_TICKS, MAX_LATE_TICKS

VIDEO_ONLY = TrackSet((VIDEO,), 1)
CHANGED = TrackSet((replace(VIDEO, configuration=VIDEO.configuration + b"\0", version=1), AUDIO), 2)


def limits(seconds: float = 86_400, size_bytes: int = 0) -> FileLimits:
    return FileLimits(int(seconds * TICKS_PER_SECOND), size_bytes)


def record(recording: Recorder, *runs: object, reason: EndReason = EndReason.ENDED) -> FilesInMemory:
    files = FilesInMemory()
    for one in runs:
        files.perform(recording.receive(one))  # type: ignore[arg-type]
    files.perform(recording.end(reason))
    return files


def tags(data: bytes | bytearray) -> list[Tag]:
    return [tag for tag in TagReader().feed(bytes(data)) if tag.type_id != TAG_SCRIPT and tag.body[1:2] != b"\0"]


def times(data: bytes | bytearray, type_id: int) -> list[int]:
    return [tag.timestamp_ms for tag in tags(data) if tag.type_id == type_id]


def reasons(files: FilesInMemory) -> list[EndReason]:
    return [ended.finished.reason for ended in files.ended]


def test_a_file_begins_at_a_random_access_point_and_its_times_at_zero() -> None:
    files = record(recorder(), run(with_audio(pictures(10, 60, base=77 * TICKS_PER_SECOND))))
    [data] = files.files.values()
    assert times(data, TAG_VIDEO) == [n * 40 for n in range(35)]
    assert times(data, TAG_AUDIO)[0] < 23
    assert len(tags(data)[0].body) > 10


def test_audio_that_comes_a_little_late_is_in_the_file_and_begins_it() -> None:
    units = with_audio(pictures(0, 50, base=TICKS_PER_SECOND), early_ticks=-1000)
    late = replace_dts(units, 2, -500)
    files = record(recorder(), run(late))
    [data] = files.files.values()
    assert times(data, TAG_AUDIO)[0] == 0
    assert times(data, TAG_VIDEO)[0] == 500 // 90
    assert len(times(data, TAG_AUDIO)) == sum(unit.track_id == 2 for unit in late)


def replace_dts(units: list[AccessUnit], track_id: int, ticks: int) -> list[AccessUnit]:
    return [replace(unit, dts=unit.dts + ticks) if unit.track_id == track_id else unit for unit in units]


def test_the_name_tells_when_the_first_unit_was_received() -> None:
    [path] = record(recorder(), run(pictures(0, 50))).files
    assert path == "live%2Feu/cam%201/20251125T231728.123Z-1764.12-0.flv"


def test_a_finished_file_tells_its_length_and_size() -> None:
    files = record(recorder(), run(with_audio(pictures(0, 75))), reason=EndReason.STOPPED)
    [finished] = [ended.finished for ended in files.ended]
    assert finished.duration_ms == pytest.approx(3000, abs=23)
    assert finished.size_bytes == len(files.files[finished.path])
    assert (finished.reason, finished.started_us, finished.missing) == (EndReason.STOPPED, STARTED_US, 0)


def test_units_one_by_one_give_the_same_file_as_all_at_once() -> None:
    units = with_audio(pictures(0, 60))
    whole = record(recorder(), run(units))
    apart = record(recorder(), *(run([unit]) for unit in units))
    assert whole.files == apart.files


def test_a_long_file_makes_way_for_the_next_at_a_random_access_point() -> None:
    files = record(recorder(limits=limits(1.5)), run(with_audio(pictures(0, 125))))
    assert reasons(files) == [EndReason.TIME, EndReason.TIME, EndReason.ENDED]
    assert [len(times(data, TAG_VIDEO)) for data in files.files.values()] == [50, 50, 25]
    assert all(times(data, TAG_VIDEO)[0] < 23 for data in files.files.values())
    assert [path.rpartition("-")[2] for path in files.files] == ["0.flv", "1.flv", "2.flv"]


def test_no_unit_is_lost_between_two_files() -> None:
    units = with_audio(pictures(0, 250), early_ticks=1800)[1:]  # the first is audio, and no file begins with that
    files = record(recorder(limits=limits(1)), run(units))
    assert len(files.files) == 10
    assert sum(len(tags(data)) for data in files.files.values()) == len(units)
    assert sum(ended.finished.missing for ended in files.ended) == 0


def test_a_large_file_makes_way_for_the_next_at_a_random_access_point() -> None:
    files = record(recorder(limits=limits(size_bytes=42_000)), run(pictures(0, 200), VIDEO_ONLY))
    assert reasons(files) == [EndReason.SIZE, EndReason.SIZE, EndReason.SIZE, EndReason.ENDED]


def test_a_file_without_a_random_access_point_ends_at_its_bound_and_the_rest_is_counted() -> None:
    late = MAX_LATE_TICKS // TICKS_PER_SECOND + 10
    units = [replace(unit, random_access=unit.dts == 0) for unit in pictures(0, 25 * (late + 5), size=20)]
    begun = pictures(25 * (late + 5), 25 * (late + 6), size=20)
    files = record(recorder(limits=limits(10)), run([*units, *begun], VIDEO_ONLY))
    assert reasons(files) == [EndReason.NO_RANDOM_ACCESS, EndReason.ENDED]
    assert files.ended[1].finished.missing == 5 * 25


def test_a_file_far_over_its_size_ends_too() -> None:
    units = [replace(unit, random_access=unit.dts == 0) for unit in pictures(0, 1000)]
    files = record(recorder(limits=limits(size_bytes=40_000)), run(units, VIDEO_ONLY))
    assert reasons(files) == [EndReason.NO_RANDOM_ACCESS]
    assert 80_000 <= files.ended[0].finished.size_bytes < 81_000


def test_two_publications_are_two_files() -> None:
    files = record(recorder(), run(pictures(0, 50)), run(pictures(3, 50, base=99), number=2))
    assert reasons(files) == [EndReason.PUBLICATION, EndReason.ENDED]
    assert [path.rpartition("Z-")[2] for path in files.files] == ["1764.12-0.flv", "1764.12-1.flv"]
    assert len(times(list(files.files.values())[1], TAG_VIDEO)) == 25


def test_two_configurations_are_two_files() -> None:
    files = record(recorder(), run(pictures(0, 50)), run(pictures(60, 100), CHANGED))
    assert reasons(files) == [EndReason.CONFIGURATION, EndReason.ENDED]
    assert len(times(list(files.files.values())[1], TAG_VIDEO)) == 25


def test_new_script_data_begins_no_file() -> None:
    told = TrackSet((*AV.tracks, Track(track_id=3, codec=Codec.SCRIPT, configuration=b"")), 2)
    again = TrackSet((*AV.tracks, Track(track_id=3, codec=Codec.SCRIPT, version=1)), 3)
    files = record(recorder(), run(pictures(0, 50)), run(pictures(50, 60), told), run(pictures(60, 75), again))
    assert reasons(files) == [EndReason.ENDED]
    assert len(times(next(iter(files.files.values())), TAG_VIDEO)) == 75


def test_a_track_that_comes_a_moment_later_is_in_the_first_file() -> None:
    units = with_audio(pictures(0, 50))
    files = record(recorder(), run(units[:1], VIDEO_ONLY), run(units[1:]))
    [data] = files.files.values()
    assert len(tags(data)) == len(units)
    assert data[4] == 5  # audio and video


def test_sound_that_comes_before_the_first_picture_begins_no_file() -> None:
    sound = TrackSet((AUDIO,), 1)
    first = [AccessUnit(2, n * AUDIO_TICKS, 0, True, b"\x21\x10\x04", n, STARTED_US) for n in range(3)]
    files = record(recorder(), run(first, sound), run(with_audio(pictures(0, 50, base=3 * AUDIO_TICKS))))
    [data] = files.files.values()
    assert (data[4], times(data, TAG_VIDEO)[0]) == (5, 0)


def test_a_hole_after_a_break_is_counted_into_the_next_file() -> None:
    recording, files = recorder(), FilesInMemory()
    recording.receive(run(pictures(0, 30)))
    recording.break_off(EndReason.DISK_FULL, 0)
    files.perform(recording.receive(run(pictures(35, 80), missing=5)))
    files.perform(recording.end(EndReason.ENDED))
    assert [ended.finished.missing for ended in files.ended] == [5 + 15]


def test_a_track_that_never_comes_is_waited_for_no_longer_than_a_second() -> None:
    recording = recorder()
    last = MAX_HELD_TICKS // FRAME_TICKS
    assert recording.receive(run(pictures(0, last))) == []
    assert isinstance(recording.receive(run(pictures(last, last + 1)))[0], BeginFile)


def test_what_is_held_becomes_a_file_at_the_end() -> None:
    files = record(recorder(), run(pictures(0, 3)))
    assert [len(times(data, TAG_VIDEO)) for data in files.files.values()] == [3]


def test_a_stream_of_audio_alone_is_recorded_and_split_anywhere() -> None:
    units = [AccessUnit(2, n * AUDIO_TICKS, 0, True, b"\x21\x10\x04", n, STARTED_US) for n in range(200)]
    files = record(recorder(limits=limits(2)), run(units, TrackSet((AUDIO,), 1)))
    assert reasons(files) == [EndReason.TIME, EndReason.TIME, EndReason.ENDED]
    assert sum(len(tags(data)) for data in files.files.values()) == 200


def test_a_track_that_the_format_cannot_carry_is_left_out_and_named() -> None:
    opaque = TrackSet((VIDEO, Track(track_id=9, codec=Codec.OPAQUE)), 1)
    mixed = [*pictures(0, 30), AccessUnit(9, 30 * FRAME_TICKS, 0, True, b"x")]
    files = record(recorder(), run(mixed, opaque))
    assert len(tags(next(iter(files.files.values())))) == 30


def test_a_stream_that_the_format_cannot_carry_at_all_gives_no_file() -> None:
    opaque = TrackSet((Track(track_id=1, codec=Codec.OPAQUE),), 1)
    assert record(recorder(), run(pictures(0, 30), opaque)).files == {}


def test_missing_units_are_counted_into_the_file_that_lacks_them() -> None:
    files = record(recorder(), run(pictures(0, 30)), run(pictures(35, 60), missing=5))
    assert [ended.finished.missing for ended in files.ended] == [5]


def test_after_a_break_the_next_file_begins_at_a_random_access_point() -> None:
    recording, files = recorder(), FilesInMemory()
    files.perform(recording.receive(run(pictures(0, 30))))
    assert recording.break_off(EndReason.DISK_FULL, 7) == [BreakFile(EndReason.DISK_FULL, 7)]
    files.open = ""
    files.perform(recording.receive(run(pictures(30, 80))))
    files.perform(recording.end(EndReason.ENDED))
    [ended] = files.ended
    assert ended.finished.missing == 20
    assert len(times(files.files[ended.finished.path], TAG_VIDEO)) == 30


def test_a_break_without_a_file_is_counted_into_the_next() -> None:
    recording = recorder()
    assert recording.break_off(EndReason.DISK_SLOW, 4) == []
    files = record(recording, run(pictures(0, 30)))
    assert [ended.finished.missing for ended in files.ended] == [4]


def test_the_limits_of_a_rule_have_an_upper_bound() -> None:
    assert FileLimits.of(RecordRule(pattern="*", formats=())) == FileLimits()
    assert FileLimits.of(RecordRule(pattern="*", formats=(), segment_s=60, segment_bytes=5)) == FileLimits(60 * TICKS_PER_SECOND, 5)
    assert FileLimits.of(RecordRule(pattern="*", formats=(), segment_s=10**9)).ticks == FileLimits().ticks


def test_the_metadata_tells_duration_size_and_where_to_seek() -> None:
    files = record(recorder(), run(with_audio(pictures(0, 75))))
    [(path, data)] = files.files.items()
    [script] = [tag for tag in TagReader().feed(bytes(data)) if tag.type_id == TAG_SCRIPT]
    name, members, *padding = parse_amf0(script.body)
    assert (name, set(padding)) == ("onMetaData", {None})
    assert isinstance(members, dict)
    assert members["duration"] == pytest.approx(3.0, abs=0.023)
    assert members["filesize"] == len(data)
    keyframes = members["keyframes"]
    assert isinstance(keyframes, dict)
    assert keyframes["times"] == [0.0, 0.0, 1.0, 2.0]
    positions = keyframes["filepositions"]
    assert isinstance(positions, list)
    for position in positions:
        assert isinstance(position, float)
        at = int(position)
        assert (data[at], data[at + 11]) == (TAG_VIDEO, 0x17)
    assert BodyDemuxer().demux(TAG_SCRIPT, 0, script.body)
    assert isinstance(files.ended[0], EndFile)
    assert path
