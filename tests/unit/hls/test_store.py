"""A worker's way to storage: whose stream it is shows from the start."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from support.hls_fakes import STREAM, FakeStorage
from support.virtual_time import in_virtual_time, settle

from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.storage import StorageUnavailable
from services.hls import layout
from services.hls.rendition import MadeFile
from services.hls.store import Job, StorageWriter, StoreCounters

FIRST, SECOND = Epoch(1000, 1), Epoch(1000, 2)


class Writer:
    """A writer that runs, and what it has told."""

    def __init__(self, storage: FakeStorage, epoch: Epoch) -> None:
        self.stored: list[int] = []
        self.outdated: list[Epoch] = []
        self.counters = StoreCounters()
        self.writer = StorageWriter(storage, STREAM, epoch, self.counters, self.stored.append, self.outdated.append)
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        with contextlib.suppress(StorageUnavailable):
            await self.writer.mark()
        await self.writer.run()

    def add(self, number: int, *outdated: str) -> None:
        name = f"1000.1-{number}.ts"
        self.writer.add(Job(number, [MadeFile(name, b"segment", number, stored=True)], b"{}", list(outdated)))


class Undeletable(FakeStorage):
    """Removes nothing while `is_full`."""

    is_full = True

    async def delete(self, paths: Sequence[str]) -> None:
        if self.is_full and any(path.endswith(".ts") for path in paths):
            raise StorageUnavailable("read only", retry_after_s=1.0)
        await super().delete(paths)


@in_virtual_time
async def test_a_successor_stops_the_worker_before_it_with_nothing_stored_yet() -> None:
    storage = FakeStorage()
    before = Writer(storage, FIRST)
    before.add(7)
    await settle()
    after = Writer(storage, SECOND)
    await settle()
    before.add(8)
    await settle()
    assert (before.stored, before.outdated, after.outdated) == ([7], [SECOND], [])
    assert storage.names(".ts") == ["1000.1-7.ts"]
    assert before.task.done()
    after.task.cancel()


@in_virtual_time
async def test_only_the_newest_marker_stays() -> None:
    storage = FakeStorage()
    writers = [Writer(storage, epoch) for epoch in (FIRST, SECOND)]
    await settle()
    assert list(storage.objects) == [layout.owner_path(STREAM, SECOND)]
    late = Writer(storage, FIRST)
    await settle()
    assert late.outdated == [SECOND]
    for writer in (*writers, late):
        writer.task.cancel()


@in_virtual_time
async def test_a_marker_that_cannot_be_put_comes_with_the_first_segment() -> None:
    storage = FakeStorage()
    storage.away = True
    writer = Writer(storage, FIRST)
    await settle()
    assert not writer.task.done()
    storage.away = False
    writer.add(7)
    await settle()
    assert layout.owner_path(STREAM, FIRST) in storage.objects
    assert writer.stored == [7]
    writer.task.cancel()


@in_virtual_time
async def test_what_a_worker_is_told_is_stored_its_successor_has_seen() -> None:
    storage = FakeStorage()
    before = Writer(storage, FIRST)
    await settle()
    put = storage.put

    async def put_as_the_successor_comes(path: str, data: bytes) -> None:
        await put(path, data)
        if path == layout.state_path(STREAM, FIRST):
            await put(layout.owner_path(STREAM, SECOND), b"")  # it reads the state after this

    storage.put = put_as_the_successor_comes  # type: ignore[method-assign]
    before.add(7)
    await settle()
    assert (before.stored, before.outdated) == ([], [SECOND])
    assert layout.state_path(STREAM, FIRST) in storage.objects


@in_virtual_time
async def test_a_file_that_cannot_be_removed_is_tried_again_with_the_next_segment_and_holds_nothing_up() -> None:
    storage = Undeletable()
    writer = Writer(storage, FIRST)
    for number in (7, 8, 9):
        writer.add(number, f"1000.1-{number - 1}.ts")
        await settle()
    assert (writer.stored, writer.counters.segments, writer.writer.waiting) == ([7, 8, 9], 3, 0)
    storage.is_full = False
    writer.add(10)
    await settle()
    assert storage.names(".ts") == ["1000.1-10.ts", "1000.1-9.ts"]
    writer.task.cancel()


@in_virtual_time
async def test_of_segments_that_are_given_up_nothing_waits() -> None:
    storage = FakeStorage()
    writer = Writer(storage, FIRST)
    storage.away = True
    await settle()
    for number in range(100):
        writer.add(number, f"1000.0-{number}.ts")
        writer.writer.give_up(number - 2)
        await settle(3)
    assert writer.writer.waiting <= 4
    assert writer.counters.lost_segments == 98
    writer.task.cancel()
