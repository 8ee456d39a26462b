from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hls_fakes import FakeStorage

from lalmesh.errors import InvalidName
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.storage import MAX_LISTED, StorageUnavailable, StoredObject, open_storage
from services.hls.recording import (
    Catalogue,
    RecordFormat,
    RecordingName,
    RecordRule,
    RecordRules,
    StoredRecording,
    outdated,
    stored_path,
    sweep,
)
from services.hls.recording import _catalogue as catalogues
from services.hls.recording import _retention as retention

SECOND_US = 1_000_000
NOW_US = 2_000_000_000 * SECOND_US


def name(stream: str, age_s: int) -> RecordingName:
    return RecordingName(
        stream=StreamKey.parse(stream),
        started_us=NOW_US - age_s * SECOND_US,
        epoch=Epoch(1, 1),
        number=0,
        format=RecordFormat.FLV,
    )


def stored(stream: str, age_s: int, size_bytes: int = 100) -> StoredRecording:
    return StoredRecording(name(stream, age_s), size_bytes, NOW_US - age_s * SECOND_US)


def rule(pattern: str, *, keep_s: int = 0, keep_bytes: int = 0) -> RecordRule:
    return RecordRule(pattern=pattern, formats=(RecordFormat.FLV,), keep_s=keep_s, keep_bytes=keep_bytes)


def ages(gone: list[StoredRecording]) -> list[int]:
    return [(NOW_US - recording.name.started_us) // SECOND_US for recording in gone]


def test_what_is_too_old_goes() -> None:
    recordings = [stored("live/a", age) for age in (10, 50, 51, 70)]
    assert ages(outdated(recordings, RecordRules([rule("live/*", keep_s=50)]), NOW_US)) == [70, 51]


def test_the_oldest_go_where_the_rest_does_not_fit() -> None:
    recordings = [stored(f"live/{age % 2}", age, 100) for age in (1, 2, 3, 4, 5)]
    assert ages(outdated(recordings, RecordRules([rule("live/*", keep_bytes=350)]), NOW_US)) == [5, 4]


def test_a_recording_larger_than_the_bound_goes_and_all_before_it() -> None:
    recordings = [stored("live/a", 1, 10), stored("live/a", 2, 1000), stored("live/a", 3, 10)]
    assert ages(outdated(recordings, RecordRules([rule("*", keep_bytes=500)]), NOW_US)) == [3, 2]


def test_each_rule_has_its_own_bound_and_the_first_that_matches_holds() -> None:
    recordings = [stored("a/x", 5), stored("b/x", 5)]
    rules = RecordRules([rule("a/*", keep_s=1), rule("*", keep_s=100)])
    assert [gone.name.stream.app for gone in outdated(recordings, rules, NOW_US)] == ["a"]


def test_what_no_rule_bounds_is_kept() -> None:
    assert outdated([stored("a/x", 10**9)], RecordRules([rule("*")]), NOW_US) == []
    assert outdated([stored("a/x", 10**9)], RecordRules([rule("b/*", keep_s=1)]), NOW_US) == []


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 300)), max_size=30), st.integers(0, 400), st.integers(0, 2000))
def test_what_is_kept_is_within_the_bounds(made: list[tuple[int, int]], keep_s: int, keep_bytes: int) -> None:
    recordings = [stored("live/a", age, size) for age, size in made]
    gone = outdated(recordings, RecordRules([rule("*", keep_s=keep_s, keep_bytes=keep_bytes)]), NOW_US)
    kept = list(recordings)
    for recording in gone:
        kept.remove(recording)
    assert not keep_bytes or sum(recording.size_bytes for recording in kept) <= keep_bytes
    assert not keep_s or all(age <= keep_s for age in ages(kept))


async def test_a_sweep_removes_from_the_storage_and_leaves_other_objects() -> None:
    storage = open_storage("memory://")
    for age in (1, 2, 3):
        await storage.put(stored_path(name("live/a", age).path), bytes(100))
    await storage.put("record/live/a/notes.txt", b"x")
    await storage.put("hls/live/a/1.ts", b"x")
    assert await sweep(storage, RecordRules([rule("*", keep_bytes=200)]), NOW_US) == 1
    assert await sweep(storage, RecordRules([rule("*", keep_bytes=200)]), NOW_US) == 0
    assert len(await storage.list("")) == 4


async def test_more_than_a_sweep_remembers_are_swept_even_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MAX_SWEPT", 3)
    storage = open_storage("memory://")
    for age in range(1, 8):
        await storage.put(stored_path(name("live/a", age).path), bytes(100))
    assert await sweep(storage, RecordRules([rule("*", keep_bytes=200)]), NOW_US) == 5
    assert await sweep(storage, RecordRules([rule("other/*", keep_bytes=1)]), NOW_US) == 0


async def test_storage_is_left_alone_where_no_rule_bounds_anything() -> None:
    storage = FakeStorage()
    storage.away = True
    assert await sweep(storage, RecordRules([rule("*")]), NOW_US) == 0


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 300), st.booleans()), max_size=20), st.integers(0, 900))
def test_what_goes_of_some_goes_of_all(made: list[tuple[int, int, bool]], keep_bytes: int) -> None:
    rules = RecordRules([rule("*", keep_s=400, keep_bytes=keep_bytes)])
    recordings = [(replace(stored("live/a", age, size), name=replace(name("live/a", age), number=number)), among)
                  for number, (age, size, among) in enumerate(made)]  # fmt: skip
    gone = outdated([recording for recording, _ in recordings], rules, NOW_US)
    assert set(outdated([recording for recording, among in recordings if among], rules, NOW_US)) <= set(gone)


@pytest.mark.parametrize("after", ["..", "a//b", "/a", "a/\n", "a" * 1025])
async def test_a_page_that_begins_nowhere_is_refused(after: str) -> None:
    with pytest.raises(InvalidName):
        await Catalogue(open_storage("memory://")).page(after=after)


async def test_the_catalogue_lists_a_stream_in_pages_by_time() -> None:
    storage = open_storage("memory://")
    for age in (30, 20, 10):
        await storage.put(stored_path(name("live/eu/a", age).path), bytes(age))
    await storage.put(stored_path(name("live/b", 5).path), b"x")
    catalogue, stream = Catalogue(storage), StreamKey.parse("live/eu/a")
    first = await catalogue.page(stream, limit=2)
    assert [recording.size_bytes for recording in first.recordings] == [30, 20]
    second = await catalogue.page(stream, after=first.after, limit=2)
    assert [recording.size_bytes for recording in second.recordings] == [10]
    assert second.after == ""
    assert len((await catalogue.page()).recordings) == 4


class Counting(FakeStorage):
    """Counts listings."""

    listings = 0

    async def list(self, prefix: str, *, after: str = "", limit: int = MAX_LISTED) -> list[StoredObject]:
        self.listings += 1
        return await super().list(prefix, after=after, limit=limit)


async def test_a_page_is_listed_once_a_second_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Counting()
    await storage.put(stored_path(name("live/a", 9).path), b"x")
    for fresh_s, listings in ((1000.0, 1), (-1.0, 2)):
        monkeypatch.setattr(catalogues, "FRESH_S", fresh_s)
        catalogue, storage.listings = Catalogue(storage), 0
        pages = await asyncio.gather(*(catalogue.page(limit=5) for _ in range(20)))
        assert (storage.listings, {len(page.recordings) for page in pages}) == (1, {1})
        await storage.put(stored_path(name("live/a", 8).path), b"x")
        assert len((await catalogue.page(limit=5)).recordings) == listings
        assert storage.listings == listings
        assert len((await catalogue.page(limit=6)).recordings) == 2
        await storage.delete([stored_path(name("live/a", 8).path)])


async def test_what_storage_did_not_tell_is_asked_again() -> None:
    storage = FakeStorage()
    catalogue, storage.away = Catalogue(storage), True
    with pytest.raises(StorageUnavailable):
        await catalogue.page()
    storage.away = False
    assert (await catalogue.page()).recordings == ()


async def test_few_pages_are_remembered() -> None:
    catalogue = Catalogue(FakeStorage())
    for limit in range(1, 2 * catalogues.MAX_KNOWN):
        await catalogue.page(limit=limit)
    assert len(catalogue._known) == catalogues.MAX_KNOWN


async def test_the_catalogue_reads_what_a_range_asks_for() -> None:
    storage, path = open_storage("memory://"), name("live/a", 1).path
    data = bytes(range(256)) * 10_000
    await storage.put(stored_path(path), data)
    catalogue = Catalogue(storage)
    file = await catalogue.find(path)
    assert file is not None
    assert (file.size_bytes, file.content_type) == (len(data), "video/x-flv")
    assert b"".join([piece async for piece in catalogue.read(file, 5, 2_000_000)]) == data[5:2_000_000]


async def test_the_catalogue_finds_nothing_under_other_names() -> None:
    storage = open_storage("memory://")
    await storage.put("record/live/a/notes.txt", b"x")
    catalogue = Catalogue(storage)
    assert await catalogue.find("live/a/notes.txt") is None
    assert await catalogue.find("../hls/secret") is None
    assert await catalogue.find(name("live/a", 1).path) is None
