from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from support.recordings import EPOCH, STREAM, VIDEO, pictures, run

from lalmesh.container.flv import TagReader
from lalmesh.media import TrackSet
from lalmesh.runtime.storage import Storage, open_storage
from services.hls.recording import (
    GROWING_FOLDER,
    RECORD_FOLDER,
    EndReason,
    RecordFormat,
    RecordingDropped,
    RecordingFinished,
    Recordings,
    RecordingSettings,
    RecordingStored,
    RecordRule,
    RecordRules,
    Spool,
)
from services.hls.recording import _growing as growing
from services.hls.recording import _writing as writing
from services.hls.recording._events import Completion

TRACKS = TrackSet((VIDEO,), 1)
RULE = RecordRule(pattern="*", formats=(RecordFormat.FLV, RecordFormat.HLS))
FAR_US = 1 << 62
HEAD_BYTES = 36_000  #: the room for the index
PICTURE_BYTES = 100 + 5 + 15
SETTINGS = RecordingSettings(upload_s=0.02, sweep_s=0.02)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "WRITE_S", 0.01)


class Node:
    """The recordings of one node with a spool of its own."""

    def __init__(self, storage: Storage, folder: Path, settings: RecordingSettings = SETTINGS, now_s: float = 0) -> None:
        self.events: list[object] = []
        self.storage, self.spool = storage, Spool(folder)
        self.recordings = Recordings(storage, self.spool, RecordRules([RULE]), self.events.append, settings, clock=lambda: now_s)
        self.task = asyncio.create_task(self.recordings.run())

    async def lose(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def paths(self, folder: str) -> list[str]:
        return [found.path for found in await self.storage.list(folder)]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 -- what is waited for happens in another thread
            await asyncio.sleep(0.005)


async def until_listed(storage: Storage, folder: str, least_bytes: int) -> None:
    async with asyncio.timeout(10):
        while sum(found.size_bytes for found in await storage.list(folder)) < least_bytes:  # noqa: ASYNC110 -- a storage tells nobody
            await asyncio.sleep(0.005)


async def until_empty(storage: Storage, folder: str) -> None:
    async with asyncio.timeout(10):
        while await storage.list(folder):  # noqa: ASYNC110 -- the same
            await asyncio.sleep(0.005)


async def test_a_recording_goes_from_units_to_shared_storage(tmp_path: Path) -> None:
    node = Node(open_storage("memory://"), tmp_path)
    stream = node.recordings.record(STREAM, RULE, EPOCH)
    stream.receive(run(pictures(0, 60), TRACKS))
    await stream.close(EndReason.STOPPED)
    await until(lambda: len(node.events) == 2)
    finished, stored = node.events
    assert isinstance(finished, RecordingFinished)
    assert stored == RecordingStored(finished)
    assert await node.paths(RECORD_FOLDER) == [f"{RECORD_FOLDER}/{finished.path}"]
    await node.lose()


async def test_a_growing_file_goes_up_in_pieces_that_go_when_the_whole_is_there(tmp_path: Path) -> None:
    node = Node(open_storage("memory://"), tmp_path)
    stream = node.recordings.record(STREAM, RULE, EPOCH)
    for first in (0, 60, 120):
        stream.receive(run(pictures(first, first + 60), TRACKS))
        await until_listed(node.storage, GROWING_FOLDER, HEAD_BYTES + (first + 60) * PICTURE_BYTES)
    assert len(await node.paths(GROWING_FOLDER)) >= 3
    await stream.close(EndReason.STOPPED)
    await until(lambda: len(node.events) == 2)
    await until_empty(node.storage, GROWING_FOLDER)
    await node.lose()


async def test_what_a_lost_machine_left_is_rescued_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "PIECE_BYTES", 10_000)
    storage = open_storage("memory://")
    lost = Node(storage, tmp_path / "a")
    stream = lost.recordings.record(STREAM, RULE, EPOCH)
    stream.receive(run(pictures(0, 60), TRACKS))
    await until_listed(storage, GROWING_FOLDER, HEAD_BYTES + 60 * PICTURE_BYTES)
    await lost.lose()
    other = Node(storage, tmp_path / "b", now_s=1e11)
    await until(lambda: len(other.events) == 2)
    finished, stored = other.events
    assert isinstance(finished, RecordingFinished)
    assert (finished.reason, finished.stream, finished.duration_ms) == (EndReason.RECOVERED, STREAM, 60 * 40)
    assert stored == RecordingStored(finished)
    data = await storage.get(f"{RECORD_FOLDER}/{finished.path}")
    assert data is not None
    assert len(list(TagReader().feed(data))) == 62
    await until_empty(storage, GROWING_FOLDER)
    await other.lose()
    await stream.close(EndReason.STOPPED)


async def test_pieces_with_a_hole_give_what_is_before_it(tmp_path: Path) -> None:
    storage, spool = open_storage("memory://"), Spool(tmp_path)
    node = Node(storage, tmp_path / "a")
    stream = node.recordings.record(STREAM, RULE, EPOCH)
    stream.receive(run(pictures(0, 60), TRACKS))
    await stream.close(EndReason.STOPPED)
    await until(lambda: len(node.events) == 2)
    await node.lose()
    [path] = await node.paths(RECORD_FOLDER)
    data = await storage.get(path)
    assert data is not None
    await storage.delete([path])
    name = path.removeprefix(f"{RECORD_FOLDER}/")
    for at in (0, 40_000, 41_000):
        await storage.put(f"{GROWING_FOLDER}/{name}/{at:015}", data[at : at + 500] if at else data[:39_000])
    uploads = growing.GrowingUploads(storage, spool)
    [finished] = await uploads.rescue(FAR_US)
    assert 0 < finished.size_bytes <= 39_000
    assert await uploads.rescue(FAR_US) == []  # it is in the spool already


async def test_pieces_in_which_nothing_can_be_played_are_removed(tmp_path: Path) -> None:
    storage = open_storage("memory://")
    name = "live/a/20251125T231728.123Z-1764.12-2.mp4"
    await storage.put(f"{GROWING_FOLDER}/{name}/{0:015}", b"nothing")
    await storage.put(f"{GROWING_FOLDER}/live/a/other/{0:015}", b"not ours")
    uploads = growing.GrowingUploads(storage, Spool(tmp_path))
    assert await uploads.rescue(0) == []
    assert len(await storage.list(GROWING_FOLDER)) == 2
    assert await uploads.rescue(FAR_US) == []
    assert len(await storage.list(GROWING_FOLDER)) == 1


async def test_what_a_crash_left_is_recovered_and_stored_at_the_next_start(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    first = Node(open_storage("memory://"), tmp_path / "other")
    stream = first.recordings.record(STREAM, RULE, EPOCH)
    stream.receive(run(pictures(0, 60), TRACKS))
    await until(lambda: any(file.size_bytes > HEAD_BYTES + 60 * PICTURE_BYTES for file in first.spool.files()))
    [file] = first.spool.files()
    target = spool.path(file.name.path, growing=True)
    target.parent.mkdir(parents=True)
    target.write_bytes(file.path.read_bytes()[:-50])
    await stream.close(EndReason.STOPPED)
    await first.lose()
    node = Node(open_storage("memory://"), tmp_path)
    await until(lambda: any(isinstance(event, RecordingStored) for event in node.events))
    assert not any(isinstance(event, RecordingDropped) for event in node.events)
    await node.lose()


async def test_files_come_and_go_while_the_spool_is_listed(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    name = "live/a/20251125T231728.123Z-1764.12-{}.flv"

    def make(count: int) -> None:
        for number in range(count):
            spool.begin(name.format(number), b"x").complete(Completion())
            spool.remove(name.format(number))

    making = asyncio.create_task(asyncio.to_thread(make, 40))
    while not making.done():
        assert len(await asyncio.to_thread(list, spool.files())) <= 1
    await making
