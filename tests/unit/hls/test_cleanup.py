"""What is removed from storage, and what never is."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

import pytest
from support.hls_fakes import STREAM, FakeStorage
from support.virtual_time import in_virtual_time

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.storage import Storage, StoredObject
from services.hls import cleanup, layout
from services.hls.cleanup import SWEEP_S, keep_sweeping, remove_files, sweep

DAY_S = 86_400.0


def stored(*epochs: int, now_us: int = 0) -> FakeStorage:
    storage = FakeStorage()
    storage.now_us = now_us
    for revision in epochs:
        epoch = Epoch(1, revision)
        paths = [layout.file_path(STREAM, f"1.{revision}-{name}") for name in ("5.ts", "5.m4s", "init0.mp4")]
        for path in (*paths, layout.owner_path(STREAM, epoch), layout.state_path(STREAM, epoch)):
            asyncio.run(storage.put(path, b"x"))
    return storage


def test_segments_go_and_how_far_numbers_went_stays() -> None:
    storage = stored(3)
    assert asyncio.run(remove_files(storage, STREAM, Epoch(1, 3))) == 3
    assert storage.names("3") == ["00000000000000000001.00000000000000000003"] * 2


def test_nothing_goes_that_a_later_worker_may_list() -> None:
    storage = stored(3, 4)
    assert asyncio.run(remove_files(storage, STREAM, Epoch(1, 3))) == 0
    storage = stored(3)
    asyncio.run(storage.put(layout.owner_path(STREAM, Epoch(1, 4)), b""))
    assert asyncio.run(remove_files(storage, STREAM, Epoch(1, 3))) == 0, "one that has begun and stored nothing yet"


def test_what_a_crashed_process_left_is_swept_once_it_is_of_no_use() -> None:
    now_us = time.time_ns() // 1000
    old, fresh = stored(3, now_us=now_us - 200_000_000), stored(3, now_us=now_us - 20_000_000)
    assert asyncio.run(sweep(old, 36.0, DAY_S)) == 3
    assert asyncio.run(sweep(old, 36.0, DAY_S)) == 0
    assert len(old.objects) == 2, "how far numbers went stays"
    assert asyncio.run(sweep(fresh, 36.0, DAY_S)) == 0


def test_how_far_numbers_went_is_forgotten_when_nothing_came_for_as_long_as_it_is_remembered() -> None:
    now_us = time.time_ns() // 1000
    storage = stored(3, now_us=now_us - 3700_000_000)
    assert asyncio.run(sweep(storage, 36.0, 3800.0)) == 3
    assert asyncio.run(sweep(storage, 36.0, 3600.0)) == 2
    assert storage.objects == {}


def test_nothing_is_forgotten_before_segments_are_of_no_use() -> None:
    storage = stored(3, now_us=time.time_ns() // 1000 - 70_000_000)
    assert asyncio.run(sweep(storage, 36.0, 60.0)) == 0
    assert len(storage.objects) == 5


def test_of_a_worker_that_begins_while_its_stream_is_forgotten_all_stays() -> None:
    storage = stored(3, now_us=time.time_ns() // 1000 - 3700_000_000)
    marker = layout.owner_path(STREAM, Epoch(1, 4))

    async def appears(prefix: str, **_: object) -> list[StoredObject]:
        if prefix == layout.owner_folder(STREAM) and marker not in storage.objects:
            await storage.put(marker, b"")
        return await FakeStorage.list(storage, prefix)

    storage.list = appears  # type: ignore[method-assign]
    asyncio.run(sweep(storage, 36.0, 3600.0))
    assert marker in storage.objects


def test_foreign_files_are_let_be() -> None:
    storage = stored(3)
    for path in ("hls/README", "hls/%00/x/1.1-1.ts", "hls/live/a/notes.txt", "record/live/a/x.flv"):
        asyncio.run(storage.put(path, b"x"))
    asyncio.run(sweep(storage, 36.0, 60.0))
    assert all(path in storage.objects for path in ("hls/README", "hls/live/a/notes.txt", "record/live/a/x.flv"))


def test_what_is_stored_is_not_looked_at_in_the_threads_of_live_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[int] = set()
    stream_of = layout.stream_of

    def watched(path: str) -> StreamKey | None:
        threads.add(threading.get_ident())
        return stream_of(path)

    monkeypatch.setattr(layout, "stream_of", watched)
    assert asyncio.run(sweep(stored(3), 36.0, DAY_S)) == 5
    assert threads
    assert threading.get_ident() not in threads


@in_virtual_time
async def test_storage_is_swept_again_whatever_went_wrong_the_last_time(monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[float] = []

    async def failing(storage: Storage, useful_s: float, remember_s: float) -> int:
        swept.append(asyncio.get_running_loop().time())
        raise ValueError("a bug")

    monkeypatch.setattr(cleanup, "sweep", failing)
    sweeping = asyncio.create_task(keep_sweeping(FakeStorage(), 60.0, DAY_S))
    await asyncio.sleep(2 * SWEEP_S + 1)
    sweeping.cancel()
    assert [later - earlier for earlier, later in itertools.pairwise(swept)] == [SWEEP_S, SWEEP_S]
