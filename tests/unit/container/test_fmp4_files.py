from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.flv_captures import capture

from lalmesh.codec import build_track
from lalmesh.container.fmp4 import (
    MAX_INDEX_ENTRIES,
    FileContents,
    FileEnd,
    Fmp4Demuxer,
    FragmentBuilder,
    FragmentedFile,
    RandomAccessEntry,
    file_contents,
    mfra,
    recover_file,
    whole_fragments_end,
)
from lalmesh.container.fmp4._boxes import box, child
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import AccessUnit, Codec, TrackSet

NAME = "h264-aac-bframes"


def reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda at, size: data[at : at + size]


def written(name: str = NAME, *, units_a_fragment: int = 4) -> tuple[bytes, FragmentedFile, list[int]]:
    """What was written, the file, and its size after each fragment."""
    tracks, units = capture(name)
    file, builder = FragmentedFile(tracks), FragmentBuilder()
    parts, ends = list[bytes | memoryview](), list[int]()
    for at in range(0, len(units), units_a_fragment):
        for unit in units[at : at + units_a_fragment]:
            builder.add(unit, tracks)
        parts += file.append(builder.take())
        ends.append(file.size_bytes)
    return b"".join(parts), file, ends


def finished(data: bytes, end: FileEnd) -> bytes:
    return end.head + data[len(end.head) : end.keep_bytes] + end.tail


def test_an_index_is_that_of_the_standard() -> None:
    entries = [RandomAccessEntry(1, 0x1_0000_0002, 900), RandomAccessEntry(1, 90_000, 2000, 2, 3)]
    assert mfra(entries) == bytes.fromhex(
        "0000005c 6d667261"  # ISO/IEC 14496-12 §8.8.9
        "00000044 74667261 01000000 00000001 00000003 00000002"  # §8.8.10: track, one, one and four bytes for numbers, two entries
        "0000000100000002 0000000000000384 01 01 00000001"
        "0000000000015f90 00000000000007d0 02 01 00000003"
        "00000010 6d66726f 00000000 0000005c"  # §8.8.11: the size of it all
    )
    assert mfra([]) == b""


def test_a_file_is_an_init_segment_and_fragments_that_a_demuxer_reads() -> None:
    data, file, _ = written()
    events = Fmp4Demuxer().feed(data)
    units = [event for event in events if isinstance(event, AccessUnit)]
    assert sorted(unit.payload for unit in units) == sorted(unit.payload for unit in capture(NAME)[1])
    assert min(unit.dts for unit in units) == 0
    assert file.size_bytes == len(data)


def test_what_is_from_before_the_file_began_is_left_out() -> None:
    tracks, units = capture(NAME)
    file, builder = FragmentedFile(tracks), FragmentBuilder()
    for dts in (90_000, 93_600, 89_000):
        builder.add(replace(units[0], dts=dts), tracks)
        file.append(builder.take())
    assert (file.left_out, file.duration_ticks) == (1, 7200)


def test_times_may_be_kept() -> None:
    tracks, units = capture(NAME)
    file, builder = FragmentedFile(tracks, time_offset=0), FragmentBuilder()
    builder.add(replace(units[0], dts=90_000), tracks)
    (unit,) = [one for one in Fmp4Demuxer().feed(b"".join(file.append(builder.take()))) if isinstance(one, AccessUnit)]
    assert unit.dts == 90_000


def test_a_finished_file_knows_its_duration_and_where_to_seek() -> None:
    data, file, _ = written()
    whole = finished(data, file.finish())
    mehd = child(whole, b"moov", b"mvex", b"mehd")
    assert mehd is not None
    assert int.from_bytes(mehd[4:], "big") == file.duration_ticks == 103_880
    keys = [unit for unit in capture(NAME)[1] if unit.track_id == 1 and unit.random_access]
    contents = file_contents(reader(whole), len(whole))
    assert [entry.time for entry in contents.entries] == [unit.pts - capture(NAME)[1][0].dts for unit in keys]
    assert all(whole[entry.moof_offset + 4 : entry.moof_offset + 8] == b"moof" for entry in contents.entries)


@pytest.mark.parametrize("units_a_fragment", [1, 4, 100])
def test_what_a_scan_finds_is_what_was_written(units_a_fragment: int) -> None:
    data, file, _ = written(units_a_fragment=units_a_fragment)
    contents = file_contents(reader(data), len(data))
    assert mfra(contents.entries) == file.finish().tail
    assert contents.duration_ticks == file.duration_ticks


def test_the_place_of_a_point_is_its_traf_and_its_sample_there() -> None:
    contents = FileContents()
    contents.begin_fragment(500)
    contents.add(1, 0, 0, 10, is_point=False)
    contents.add(1, 10, 15, 10, is_point=True)
    contents.add(1, 20, 20, 10, is_point=True)  # one of a track is enough
    contents.add(2, 0, 5, 30, is_point=True)
    contents.add(2, 40, 40, 30, is_point=True)
    assert contents.entries == [RandomAccessEntry(1, 15, 500, 1, 2), RandomAccessEntry(2, 5, 500, 2, 1)]
    assert contents.duration_ticks == 70


def test_a_file_of_audio_needs_no_index() -> None:
    data, file, _ = written("mp3")
    assert file.finish().tail == b""
    assert recover_file(reader(data), len(data)) == file.finish()


def test_a_file_cut_anywhere_is_mended() -> None:
    data, _, ends = written(units_a_fragment=10)
    for size in {*range(0, len(data), 97), *ends, *(end - 1 for end in ends)}:
        whole = max((end for end in ends if end <= size), default=None)
        end = recover_file(reader(data[:size]), size)
        assert (end is None) == (whole is None)
        if end is not None:
            assert end.keep_bytes == whole


def test_a_mended_file_is_the_one_that_would_have_been_finished() -> None:
    data, file, _ = written()
    assert recover_file(reader(data + b"\0\0\1\0moof..."), len(data) + 11) == file.finish()
    whole = finished(data, file.finish())
    assert recover_file(reader(whole), len(whole)) == file.finish()


def test_without_a_fragment_the_init_segment_is_kept() -> None:
    data, file, _ = written()
    init = len(file.finish().head)
    assert [whole_fragments_end(reader(data[:size]), size) for size in (0, 7, init - 1, init, init + 200)] == [0, 0, 0, init, init]
    assert recover_file(reader(data[:init]), init) is None


def test_an_mdat_without_its_moof_is_no_fragment() -> None:
    data, _, _ = written()
    lost = data + box(b"free") + box(b"mdat", b"x")
    assert whole_fragments_end(reader(lost), len(lost)) == len(data)


def test_a_foreign_file_without_fields_for_a_duration_keeps_its_head() -> None:
    data, _, _ = written()
    init = data[: data.index(b"moof") - 4].replace(b"mehd", b"free")
    end = recover_file(reader(init + data[len(init) :]), len(data))
    assert end is not None
    assert end.head == init


def test_nothing_carried_writes_nothing() -> None:
    file = FragmentedFile(TrackSet((build_track(1, Codec.PCMA),)))
    assert file.append([]) == []
    assert file.finish() == FileEnd(keep_bytes=0, head=b"", tail=b"", duration_ticks=0)


def test_the_first_frames_complete_the_tracks() -> None:
    assert written("ac3-enhanced")[1].tracks.tracks[0].configuration
    video = written("vp9-flac-enhanced")[1].tracks.tracks[0]
    assert (video.width, video.height) == (96, 64)


def test_a_long_index_is_thinned() -> None:
    contents = FileContents()
    for second in range(MAX_INDEX_ENTRIES * 2 + 5):
        contents.begin_fragment(second)
        contents.add(1, second, second, 1, is_point=True)
    times = [entry.time for entry in contents.entries]
    assert len(times) <= MAX_INDEX_ENTRIES
    assert times == list(range(0, MAX_INDEX_ENTRIES * 2 + 5, 4))


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_mended_or_refused(noise: bytes, after_init: bool) -> None:
    data = (written()[0][:1500] if after_init else b"") + noise
    try:
        end = recover_file(reader(data), len(data))
    except (RemoteProtocolError, UnsupportedError):
        return
    assert end is None or end.keep_bytes <= len(data)
