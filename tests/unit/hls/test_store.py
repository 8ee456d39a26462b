"""A worker's way to storage: whose stream it is shows from the start."""

from __future__ import annotations

import asyncio

from support.hls_fakes import STREAM, FakeStorage
from support.virtual_time import in_virtual_time, settle

from lalmesh.runtime.ownership import Epoch
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
        self.task = asyncio.create_task(self.writer.run())

    def add(self, number: int) -> None:
        name = f"1000.1-{number}.ts"
        self.writer.add(Job(number, [MadeFile(name, b"segment", number, stored=True)], b"{}", []))


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
    assert (writer.counters.failures, writer.task.done()) == (1, False)
    storage.away = False
    writer.add(7)
    await settle()
    assert layout.owner_path(STREAM, FIRST) in storage.objects
    assert writer.stored == [7]
    writer.task.cancel()
