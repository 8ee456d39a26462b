from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.storage import Storage, StorageUnavailable, open_storage
from services.hls.recording import (
    EndReason,
    RecordFormat,
    RecordingDropped,
    RecordingFinished,
    RecordingName,
    RecordingStored,
    Spool,
    Uploader,
    stored_path,
)
from services.hls.recording import _upload as upload


class Broken:
    """A storage that refuses files while `refuses`."""

    def __init__(self) -> None:
        self.storage: Storage = open_storage("memory://")
        self.refuses = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.storage, name)

    async def put_file(self, path: str, local_file: Path) -> None:
        if self.refuses:
            raise StorageUnavailable("away", retry_after_s=1)
        await self.storage.put_file(path, local_file)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(upload, "LONGEST_PAUSE_S", 0.02)


def finished_file(spool: Spool, number: int, size_bytes: int = 1000) -> RecordingFinished:
    name = RecordingName(
        stream=StreamKey.of("live", "a"), started_us=number * 1_000_000, epoch=Epoch(1, 1), number=number, format=RecordFormat.TS
    )
    path = spool.path(name.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes([number]) * size_bytes)
    return RecordingFinished(
        stream=name.stream,
        path=name.path,
        format=name.format,
        size_bytes=size_bytes,
        duration_ms=1000,
        started_us=name.started_us,
        reason=EndReason.ENDED,
    )


@asynccontextmanager
async def running(uploader: Uploader) -> AsyncIterator[None]:
    task = asyncio.create_task(uploader.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 -- what is waited for happens in another thread
            await asyncio.sleep(0.005)


async def test_a_finished_file_is_stored_and_leaves_the_spool(tmp_path: Path) -> None:
    storage, spool, told = open_storage("memory://"), Spool(tmp_path), list[object]()
    uploader = Uploader(storage, spool, told.append, spool_max_bytes=1 << 30)
    finished = finished_file(spool, 1)
    async with running(uploader):
        await uploader.add(finished)
        assert await uploader.drain(5) == 0
    assert told == [RecordingStored(finished)]
    assert await storage.get(stored_path(finished.path)) == bytes([1]) * 1000
    assert os.listdir(tmp_path) == []


async def test_a_storage_that_is_away_is_tried_again_until_it_is_back(tmp_path: Path) -> None:
    broken, spool, told = Broken(), Spool(tmp_path), list[object]()
    uploader = Uploader(broken, spool, told.append, spool_max_bytes=1 << 30)
    async with running(uploader):
        for number in range(5):
            await uploader.add(finished_file(spool, number))
        await until(lambda: uploader.counters.failures >= 3)
        assert uploader.waiting_files == 5
        broken.refuses = False
        await until(lambda: len(told) == 5)
    assert uploader.counters.stored_files == 5
    assert len(await broken.storage.list("record")) == 5


async def test_a_storage_that_refuses_is_left_alone_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "FIRST_PAUSE_S", 60)
    spool = Spool(tmp_path)
    uploader = Uploader(Broken(), spool, list[object]().append, spool_max_bytes=1 << 30)
    async with running(uploader):
        await asyncio.sleep(0)
        await uploader.add(finished_file(spool, 1))
        await until(lambda: uploader.counters.failures > 0)
        await uploader.add(finished_file(spool, 2))
        await asyncio.sleep(0.05)
    assert uploader.counters.failures == 1


async def test_over_its_bound_the_spool_drops_the_oldest_and_says_so(tmp_path: Path) -> None:
    spool, told = Spool(tmp_path), list[object]()
    uploader = Uploader(Broken(), spool, told.append, spool_max_bytes=3500)
    made = [finished_file(spool, number) for number in range(3)]
    for finished in made:
        await uploader.add(finished)
    assert told == []
    more = [finished_file(spool, number) for number in (3, 4)]
    for finished in more:
        await uploader.add(finished)
    assert told == [RecordingDropped(made[0]), RecordingDropped(made[1])]
    assert (uploader.counters.dropped_files, uploader.counters.dropped_bytes) == (2, 2000)
    assert sorted(file.name.number for file in spool.files()) == [2, 3, 4]


async def test_of_files_that_come_together_the_oldest_goes_whatever_their_order(tmp_path: Path) -> None:
    spool, told = Spool(tmp_path), list[object]()
    uploader = Uploader(Broken(), spool, told.append, spool_max_bytes=2500)
    made = [finished_file(spool, number) for number in (3, 1, 2)]
    await uploader.add(*made)
    assert told == [RecordingDropped(made[1])]


async def test_more_files_than_are_remembered_stay_in_the_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MAX_WAITING_FILES", 2)
    spool = Spool(tmp_path)
    uploader = Uploader(Broken(), spool, list[object]().append, spool_max_bytes=1 << 30)
    await uploader.add(*(finished_file(spool, number) for number in range(3)))
    assert uploader.waiting_files == 2
    assert len(list(spool.files())) == 3


class Racing(Spool):
    """A spool in which another upload comes to its end while a file is removed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.uploader: Uploader | None = None
        self.stored = ""

    def remove(self, path: str) -> None:
        assert self.uploader is not None
        self.uploader._waiting.pop(self.stored, None)
        super().remove(path)


async def test_a_file_that_is_stored_while_another_is_dropped_is_not_dropped(tmp_path: Path) -> None:
    spool, told = Racing(tmp_path), list[object]()
    uploader = spool.uploader = Uploader(Broken(), spool, told.append, spool_max_bytes=500)
    first, second = finished_file(spool, 1), finished_file(spool, 2)
    spool.stored = second.path
    uploader._waiting |= {first.path: first, second.path: second}
    await uploader.keep_bound()
    assert told == [RecordingDropped(first)]


class Choosy(Broken):
    """A storage that never takes one of the files."""

    def __init__(self, refused: str) -> None:
        super().__init__()
        self.refused = refused

    async def put_file(self, path: str, local_file: Path) -> None:
        self.refuses = path == self.refused
        await super().put_file(path, local_file)


async def test_a_file_that_is_never_taken_holds_up_no_other(tmp_path: Path) -> None:
    spool, told = Spool(tmp_path), list[object]()
    made = [finished_file(spool, number) for number in range(4)]
    uploader = Uploader(Choosy(stored_path(made[0].path)), spool, told.append, spool_max_bytes=1 << 30, at_once=1)
    async with running(uploader):
        for finished in made:
            await uploader.add(finished)
        await until(lambda: len(told) == 3)
        await until(lambda: uploader.counters.failures >= 3)
    assert told == [RecordingStored(finished) for finished in made[1:]]
    assert uploader.waiting_files == 1


async def test_a_growing_file_counts_but_is_never_dropped(tmp_path: Path) -> None:
    spool, told = Spool(tmp_path), list[object]()
    growing = finished_file(spool, 9, 5000)
    spool.path(growing.path).rename(spool.path(growing.path, growing=True))
    uploader = Uploader(Broken(), spool, told.append, spool_max_bytes=3500)
    finished = finished_file(spool, 1)
    await uploader.add(finished)
    assert told == [RecordingDropped(finished)]
    assert spool.path(growing.path, growing=True).exists()


async def test_a_file_that_somebody_has_removed_is_not_waited_for(tmp_path: Path) -> None:
    spool, told = Spool(tmp_path), list[object]()
    uploader = Uploader(open_storage("memory://"), spool, told.append, spool_max_bytes=1 << 30)
    finished = finished_file(spool, 1)
    spool.remove(finished.path)
    async with running(uploader):
        await uploader.add(finished)
        assert await uploader.drain(5) == 0
    assert told == []
