from __future__ import annotations

from itertools import pairwise
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from lalmesh.amf import parse_amf0
from lalmesh.container.flv import FlvRecording, TagReader, restore_flv
from lalmesh.container.flv._keyframes import INDEX_EVERY_MS, KeyframeIndex
from lalmesh.container.flv._recording import METADATA_AT
from lalmesh.media import AccessUnit, Codec, Track, TrackSet

VIDEO = Track(track_id=1, codec=Codec.H264, configuration=b"avcC", width=320, height=180)
AUDIO = Track(track_id=2, codec=Codec.AAC, configuration=b"\x12\x10")
TRACKS = TrackSet((VIDEO, AUDIO), 1)
MS = 90


def recorded(pictures: int = 50, *, tracks: TrackSet = TRACKS, index_entries: int = 100, finish: bool = True) -> bytes:
    recording = FlvRecording(tracks, index_entries=index_entries)
    parts: list[bytes | memoryview] = [recording.open()]
    for n in range(pictures):
        recording.add(AccessUnit(1, n * 40 * MS, 0, n % 25 == 0, bytes((n & 0xFF,)) * 10), parts)
        recording.add(AccessUnit(2, n * 40 * MS, 0, True, b"sound"), parts)
    data = bytearray(b"".join(parts))
    assert recording.size_bytes == len(data)
    if finish:
        at, patch = recording.finish(pictures * 40)
        data[at : at + len(patch)] = patch
    return bytes(data)


def restored(data: bytes) -> bytes:
    found = restore_flv(lambda offset, count: data[offset : offset + count], len(data))
    whole = bytearray(data[: found.end])
    if found.patch is not None:
        at, patch = found.patch
        whole[at : at + len(patch)] = patch
    return bytes(whole)


def entries(index: KeyframeIndex) -> list[tuple[float, float]]:
    value = cast(dict[str, list[float]], index.value(13))
    [first, *rest] = zip(value["times"], value["filepositions"], strict=True)
    assert first == (0.0, 13.0)
    return rest


def test_finishing_changes_no_size_and_nothing_behind_the_metadata() -> None:
    begun, done = recorded(finish=False), recorded()
    end = begun.index(b"avcC") - 16
    assert len(begun) == len(done)
    assert begun[end:] == done[end:]
    assert begun[:METADATA_AT] == done[:METADATA_AT]


def test_a_finished_file_is_restored_as_it_is() -> None:
    assert restored(recorded()) == recorded()


def test_an_unfinished_file_becomes_the_finished_one() -> None:
    assert restored(recorded(finish=False)) == recorded()


def test_audio_alone_has_an_index_too() -> None:
    recording = FlvRecording(TrackSet((AUDIO,), 1), index_entries=10)
    parts: list[bytes | memoryview] = [recording.open()]
    for n in range(100):
        recording.add(AccessUnit(2, n * 23 * MS, 0, True, b"sound"), parts)
    at, patch = recording.finish(2300)
    data = bytearray(b"".join(parts))
    begun = bytes(data)
    data[at : at + len(patch)] = patch
    assert restored(begun) == bytes(data)
    assert b"keyframes" in patch


def test_every_prefix_is_restored_to_whole_tags_or_to_nothing() -> None:
    data = recorded(3, index_entries=4, finish=False)
    whole = list(TagReader().feed(data))
    for size in range(len(data)):
        found = restored(data[:size])
        tags = list(TagReader().feed(found))
        assert tags[1:] == whole[1 : len(tags)] if tags else found == b""
        assert not found or sum(15 + len(tag.body) for tag in tags) + 13 == len(found)


def test_what_never_reached_the_disk_is_no_tag() -> None:
    data = recorded(5, finish=False)
    assert restored(data + bytes(5000)) == restored(data)


def test_metadata_that_was_half_replaced_is_made_anew() -> None:
    begun, done = recorded(finish=False), recorded()
    for torn in (20, 40, 60, 100, 200):
        found = restored(done[:torn] + begun[torn:])
        [script] = [tag for tag in TagReader().feed(found) if tag.type_id == 18]
        members = parse_amf0(script.body)[1]
        assert isinstance(members, dict)
        assert members["filesize"] == len(begun)


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: recorded(2, index_entries=2)[:-20] + tail))
def test_any_bytes_are_restored_to_a_file_or_to_nothing(data: bytes) -> None:
    found = restored(data)
    assert found == b"" or list(TagReader().feed(found))


@given(st.lists(st.integers(0, 5000), max_size=200), st.integers(2, 16).map(lambda half: half * 2))
def test_an_index_is_bounded_spread_out_and_in_order(steps: list[int], capacity: int) -> None:
    index, time_ms, offered = KeyframeIndex(capacity), 0, []
    for position, step in enumerate(steps):
        time_ms += step
        offered.append((time_ms / 1000, float(position)))
        index.add(time_ms, position)
    kept = entries(index)
    assert len(kept) <= capacity
    assert kept == sorted(kept)
    assert set(kept) <= set(offered)
    assert kept[:1] == offered[:1]
    assert all(round((late - early) * 1000) >= INDEX_EVERY_MS for (early, _), (late, _) in pairwise(kept))


def test_a_long_file_keeps_an_index_over_all_of_it() -> None:
    index = KeyframeIndex(100)
    for n in range(10_000):
        index.add(n * 1000, n)
    times = [time for time, _ in entries(index)]
    assert 50 <= len(times) <= 100
    assert times[0] == 0.0
    assert times[-1] > 9_800
