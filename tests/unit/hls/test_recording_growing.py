from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from support.hls_fakes import FakeStorage
from support.recordings import EPOCH, STREAM, VIDEO, pictures, run
from support.virtual_time import in_virtual_time

from lalmesh.container.flv import TagReader
from lalmesh.media import TrackSet
from lalmesh.runtime.storage import Storage, StorageUnavailable, open_storage
from services.hls.recording import (
    GROWING_FOLDER,
    RECORD_FOLDER,
    EndReason,
    RecordFormat,
    RecordingDropped,
    RecordingEvent,
    RecordingFinished,
    Recordings,
    RecordingSettings,
    RecordingStored,
    RecordRule,
    RecordRules,
    Rescue,
    Spool,
    recover,
)
from services.hls.recording import _growing as growing
from services.hls.recording import _recordings as recordings
from services.hls.recording import _upload as upload
from services.hls.recording import _writing as writing
from services.hls.recording._events import Completion, Parts, Restored
from services.hls.recording._formats import FORMATS
from services.hls.recording._transport import TsFile
from services.hls.recording._turn import SETTLE_S

TRACKS = TrackSet((VIDEO,), 1)
NAME = "live/a/20251125T231728.123Z-1764.12-2.ts"
RULE = RecordRule(pattern="*", formats=(RecordFormat.FLV, RecordFormat.HLS))
KEEPING = RecordRules([RecordRule(pattern="*", formats=(RecordFormat.TS,), keep_s=1)])
FAR_US = 1 << 62
HEAD_BYTES = 36_000  #: the room for the index
PICTURE_BYTES = 100 + 5 + 15
SETTINGS = RecordingSettings(upload_s=0.02, sweep_s=0.02)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "WRITE_S", 0.01)
    monkeypatch.setattr(upload, "FIRST_PAUSE_S", 0.05)


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


class Away(FakeStorage):
    """Storage that may refuse to be read, or to take files."""

    def __init__(self, *, refuses_files: bool = False) -> None:
        super().__init__()
        self.unreadable, self.refuses_files = "", refuses_files

    async def put_file(self, path: str, local_file: Path) -> None:
        if self.refuses_files:
            raise StorageUnavailable("no network", retry_after_s=1)
        await super().put_file(path, local_file)

    async def get(self, path: str) -> bytes | None:
        if self.unreadable and self.unreadable in path:
            raise StorageUnavailable("no network", retry_after_s=1)
        return await super().get(path)


class Held(FakeStorage):
    """Storage that takes pieces when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.let = asyncio.Event(), asyncio.Event()

    async def put(self, path: str, data: bytes) -> None:
        if path.startswith(GROWING_FOLDER):
            self.asked.set()
            await self.let.wait()
        await super().put(path, data)


class Timed(FakeStorage):
    """Storage with the loop's clock."""

    async def put(self, path: str, data: bytes) -> None:
        self.now_us = round(asyncio.get_running_loop().time() * 1_000_000)
        await super().put(path, data)


async def rescued(rescue: Rescue, before_us: int = FAR_US) -> list[RecordingFinished]:
    return [finished async for finished in rescue.look(before_us)]


def transport_stream() -> bytes:
    parts: Parts = []
    muxer = TsFile(TRACKS)
    for unit in pictures(0, 30):
        muxer.add(unit, parts)
    return b"".join(parts)


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


async def test_pieces_go_too_where_growing_files_are_looked_at_while_the_stored_one_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(open_storage("memory://"), tmp_path, replace(SETTINGS, upload_s=0))
    removed, looked_at, remove = threading.Event(), threading.Event(), node.spool.remove

    def remove_slowly(path: str) -> None:
        remove(path)
        removed.set()
        assert looked_at.wait(10)

    monkeypatch.setattr(node.spool, "remove", remove_slowly)
    stream = node.recordings.record(STREAM, RULE, EPOCH)
    stream.receive(run(pictures(0, 60), TRACKS))
    while not await node.recordings.growing.upload():  # noqa: ASYNC110 -- until the disk has it, which tells nobody
        await asyncio.sleep(0.005)
    await stream.close(EndReason.STOPPED)
    await until(removed.is_set)
    await node.recordings.growing.upload()
    looked_at.set()
    await until_empty(node.storage, GROWING_FOLDER)
    await node.lose()


@pytest.mark.parametrize("pieces_before", [0, 1])
async def test_a_piece_that_arrives_after_the_whole_goes_too(tmp_path: Path, pieces_before: int) -> None:
    node = Node(storage := Held(), tmp_path)
    stream = node.recordings.record(STREAM, RULE, EPOCH)
    for first in range(0, 60 * pieces_before, 60):
        storage.let.set()
        stream.receive(run(pictures(first, first + 60), TRACKS))
        await until_listed(storage, GROWING_FOLDER, HEAD_BYTES + (first + 60) * PICTURE_BYTES)
    storage.let.clear()
    storage.asked.clear()
    stream.receive(run(pictures(60 * pieces_before, 60 * pieces_before + 60), TRACKS))
    await storage.asked.wait()
    await stream.close(EndReason.STOPPED)
    await until(lambda: len(node.events) == 2)
    storage.let.set()
    await until(lambda: node.recordings.growing.counters.pieces > pieces_before)
    await until_empty(storage, GROWING_FOLDER)
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
    rescue = Rescue(storage, spool, growing.GrowingUploads(storage, spool))
    assert await rescued(rescue) == []  # the first time they are only suspected
    [finished] = await rescued(rescue)
    assert 0 < finished.size_bytes <= 39_000
    assert await rescued(rescue) == []  # it is in the spool already


async def test_pieces_in_which_nothing_can_be_played_are_removed(tmp_path: Path) -> None:
    storage = open_storage("memory://")
    name = "live/a/20251125T231728.123Z-1764.12-2.mp4"
    await storage.put(f"{GROWING_FOLDER}/{name}/{0:015}", b"nothing")
    await storage.put(f"{GROWING_FOLDER}/live/a/other/{0:015}", b"not ours")
    spool = Spool(tmp_path)
    rescue = Rescue(storage, spool, growing.GrowingUploads(storage, spool))
    for before_us, left in ((0, 2), (FAR_US, 2), (FAR_US, 1)):
        assert await rescued(rescue, before_us) == []
        assert len(await storage.list(GROWING_FOLDER)) == left
    assert os.listdir(tmp_path) == []


async def test_a_file_that_goes_on_once_storage_is_back_is_not_taken_from_its_node(tmp_path: Path) -> None:
    storage, spool = open_storage("memory://"), Spool(tmp_path)
    name = f"{GROWING_FOLDER}/live/a/20251125T231728.123Z-1764.12-2.ts"
    await storage.put(f"{name}/{0:015}", b"first")
    rescue = Rescue(storage, spool, growing.GrowingUploads(storage, spool))
    assert await rescued(rescue) == []
    await storage.put(f"{name}/{5:015}", b"next")
    assert await rescued(rescue) == []
    assert len(await storage.list(GROWING_FOLDER)) == 2


async def test_pieces_that_cannot_be_read_now_are_put_together_later(tmp_path: Path) -> None:
    storage, spool = Away(), Spool(tmp_path)
    await storage.put(f"{GROWING_FOLDER}/{NAME}/{0:015}", transport_stream())
    rescue = Rescue(storage, spool, growing.GrowingUploads(storage, spool))
    await rescued(rescue)
    storage.unreadable = NAME
    with pytest.raises(StorageUnavailable):
        await rescued(rescue)
    assert os.listdir(tmp_path) == []
    storage.unreadable = ""
    await rescued(rescue)
    assert [finished.path for finished in await rescued(rescue)] == [NAME]


async def test_a_file_that_is_put_together_is_told_of_whatever_becomes_of_the_next(tmp_path: Path) -> None:
    storage, told, other = Away(), list[RecordingEvent](), NAME.replace("-2.ts", "-3.ts")
    for path in (NAME, other):
        await storage.put(f"{GROWING_FOLDER}/{path}/{0:015}", transport_stream())
    node = Recordings(storage, Spool(tmp_path), RecordRules([RULE]), told.append, clock=lambda: 1e11)
    await node.sweep()
    storage.unreadable = other
    with pytest.raises(StorageUnavailable):
        await node.sweep()
    assert [event.path for event in told if isinstance(event, RecordingFinished)] == [NAME]
    assert node.rescued_files == 1


async def test_pieces_of_a_file_that_came_to_nothing_go(tmp_path: Path) -> None:
    storage, spool = FakeStorage(), Spool(tmp_path)
    uploads = growing.GrowingUploads(storage, spool)
    spool.begin(NAME, b"nothing").close()
    assert await uploads.upload() == 7
    spool.abandon(NAME)
    assert await uploads.upload() == 0
    assert not uploads.release(NAME)  # it is not remembered
    rescue = Rescue(storage, spool, uploads)
    assert [await rescued(rescue) for _ in range(2)] == [[], []]
    assert await storage.list(GROWING_FOLDER) == []


async def test_a_file_that_cannot_be_read_does_not_keep_the_others_from_going_up(tmp_path: Path) -> None:
    storage, spool = open_storage("memory://"), Spool(tmp_path)
    bad, good = "live/a/20251125T231728.123Z-1764.12-1.ts", "live/a/20251125T231728.123Z-1764.12-2.ts"
    spool.begin(good, b"good").close()
    spool.path(bad, growing=True).symlink_to(tmp_path)  # a folder: it can be listed, and not be read
    uploads = growing.GrowingUploads(storage, spool)
    assert await uploads.upload() == 4
    assert uploads.counters.failures == 1


async def test_a_file_that_is_never_taken_does_not_keep_the_others_from_going_up(tmp_path: Path) -> None:
    class Refusing(FakeStorage):
        async def put(self, path: str, data: bytes) -> None:
            if data == b"bad":
                raise StorageUnavailable("not this one", retry_after_s=1)
            await super().put(path, data)

    storage, spool = Refusing(), Spool(tmp_path)
    for number, data in enumerate((b"bad", b"good", b"bad", b"good")):
        spool.begin(f"live/a/20251125T231728.123Z-1764.12-{number}.ts", data).close()
    uploads = growing.GrowingUploads(storage, spool)
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            await uploads.upload()
    assert list(storage.objects.values()) == [b"good", b"good"]
    assert uploads.counters.failures == 3
    spool.path("live/a/20251125T231728.123Z-1764.12-0.ts", growing=True).unlink()
    storage.away = True
    with pytest.raises(StorageUnavailable):
        await uploads.upload()
    assert len(uploads._refused) == 1


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


async def test_what_this_process_records_while_it_recovers_is_told_of_once(tmp_path: Path) -> None:
    spool, path = Spool(tmp_path), NAME
    file = spool.begin(path, transport_stream())
    assert recover(spool) == []
    file.complete(Completion())
    assert recover(spool) == []
    assert [found.path for found in recover(Spool(tmp_path))] == [path]  # of the next process
    spool.remove(path)
    assert not spool.has_begun(path)


async def test_what_is_found_at_the_start_is_told_of_once_though_uploads_begin_again(tmp_path: Path) -> None:
    Spool(tmp_path).begin(NAME, transport_stream()).complete(Completion())
    node = Node(Away(refuses_files=True), tmp_path)
    await until(lambda: node.recordings.uploader.counters.failures > 0)
    await node.lose()
    again = asyncio.create_task(node.recordings.run())  # as after a bug of ours
    await until(lambda: node.recordings.uploader.counters.failures > 1)
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)
    assert [type(event) for event in node.events] == [RecordingFinished]


async def test_of_what_is_found_at_the_start_the_oldest_goes_where_the_spool_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, walks = transport_stream(), list[str]()
    oldest = "live/b/20251120T231728.123Z-1764.12-2.ts"
    for path in ("live/a/20251127T231728.123Z-1764.12-2.ts", oldest, "live/c/20251124T231728.123Z-1764.12-2.ts"):
        Spool(tmp_path).begin(path, data).complete(Completion())
    node = Node(FakeStorage(), tmp_path, RecordingSettings(spool_max_bytes=len(data) * 5 // 2))

    def used_bytes() -> int:
        walks.append("whole")
        return 3 * len(data)

    monkeypatch.setattr(node.recordings.uploader, "run", asyncio.Event().wait)  # nothing is uploaded meanwhile
    monkeypatch.setattr(node.spool, "used_bytes", used_bytes)
    await until(lambda: len(node.events) == 4)
    await node.lose()
    [dropped] = [event for event in node.events if isinstance(event, RecordingDropped)]
    assert dropped.recording.path == oldest
    assert walks == ["whole"]


async def test_a_file_that_a_bug_of_ours_trips_over_does_not_keep_the_others_from_being_recovered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (NAME, NAME.replace(".ts", ".mp4")):
        Spool(tmp_path).begin(path, transport_stream()).close()

    def failing(read: Callable[[int, int], bytes], size: int) -> Restored:
        raise RuntimeError("a bug")

    monkeypatch.setitem(FORMATS, RecordFormat.MP4, replace(FORMATS[RecordFormat.MP4], restore=failing))
    assert [found.path for found in recover(Spool(tmp_path))] == [NAME]
    assert "a bug" in caplog.text


async def test_a_file_that_grows_makes_the_oldest_go_where_the_spool_has_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "MEASURE_S", 0.02)
    node = Node(Away(refuses_files=True), tmp_path, RecordingSettings(spool_max_bytes=2 * HEAD_BYTES + 200 * PICTURE_BYTES))
    first = node.recordings.record(STREAM, RULE, EPOCH)
    first.receive(run(pictures(0, 60), TRACKS))
    await first.close(EndReason.STOPPED)
    second = node.recordings.record(STREAM, RULE, EPOCH)
    second.receive(run(pictures(0, 60), TRACKS))
    await until(lambda: node.recordings.uploader.spool_bytes > 2 * HEAD_BYTES)
    assert not any(isinstance(event, RecordingDropped) for event in node.events)
    second.receive(run(pictures(60, 200), TRACKS))
    await until(lambda: any(isinstance(event, RecordingDropped) for event in node.events))
    await until(lambda: node.recordings.uploader.spool_bytes < 2 * HEAD_BYTES + 200 * PICTURE_BYTES)
    await second.close(EndReason.STOPPED)
    await node.lose()


@in_virtual_time
async def test_of_two_nodes_one_sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, swept = Timed(), list[int]()

    async def sweep(number: int) -> None:
        swept.append(number)

    def node() -> Recordings:
        return Recordings(storage, Spool(tmp_path), KEEPING, list[RecordingEvent]().append, clock=asyncio.get_running_loop().time)

    nodes = [node() for _ in range(2)]
    for number, recordings_of_one in enumerate(nodes):
        monkeypatch.setattr(recordings_of_one, "sweep", partial(sweep, number))
    tasks = [asyncio.create_task(recordings_of_one._sweep()) for recordings_of_one in nodes]
    await asyncio.sleep(3 * (RecordingSettings().sweep_s + SETTLE_S) + 1)
    for task in tasks:
        task.cancel()
    assert len(swept) == 3
    assert len(set(swept)) == 1


async def test_a_sweep_removes_what_the_rules_let_go_here_and_elsewhere(tmp_path: Path) -> None:
    async def also(rules: RecordRules, now_s: float) -> int:
        return 2

    storage, told = FakeStorage(), list[RecordingEvent]()
    await storage.put(f"{RECORD_FOLDER}/{NAME}", b"x")
    node = Recordings(storage, Spool(tmp_path), KEEPING, told.append, clock=lambda: 1e11, sweep_too=also)
    await node.sweep()
    assert node.removed_files == 3
    assert await storage.list(RECORD_FOLDER) == []


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
