from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from support.recordings import FRAME_TICKS, STREAM, VIDEO, FilesInMemory, pictures, recorder, run

from lalmesh.container.flv import TagReader
from lalmesh.container.mpegts import PACKET_BYTES
from lalmesh.media import AccessUnit, TrackSet
from services.hls.recording import (
    EndReason,
    RecordedStream,
    Recorder,
    RecordFormat,
    RecordingCounters,
    RecordingFinished,
    Spool,
    StreamRecording,
    recover,
)
from services.hls.recording import _recordings as recordings
from services.hls.recording import _writing as writing
from services.hls.recording._formats import FORMATS as MADE
from services.hls.recording._spool import open_new
from services.hls.recording._transport import WINDOW_PACKETS

TRACKS = TrackSet((VIDEO,), 1)
FORMATS = [RecordFormat.FLV, RecordFormat.MP4, RecordFormat.TS]
LIMIT_S = 30.0
HEAD_BYTES = 36_000  #: the room for the index
PICTURE_BYTES = 100 + 5 + 15  #: with its tag


class FakeFile:
    """A file whose disk has room for `room` bytes, or fails as `fail` says."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._file, self._disk = open_new(path), disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def close(self) -> None:
        self._file.close()
        if self._disk.loses:
            raise OSError(errno.EIO, "lost")

    def write(self, data: bytes) -> int:
        if self._disk.bug:
            raise RuntimeError("a bug")
        if self._disk.blocked is not None:
            self._disk.waiting += 1
            asyncio.run_coroutine_threadsafe(self._disk.blocked.wait(), self._disk.loop).result()
        if len(data) > self._disk.room:
            self._file.write(data[: self._disk.room])
            raise OSError(self._disk.error, "no")
        self._disk.room -= len(data)
        return self._file.write(data)


class Disk:
    def __init__(self, room: int = 1 << 40, error: int = errno.ENOSPC) -> None:
        self.room, self.error = room, error
        self.blocked: asyncio.Event | None = None
        self.waiting = 0  #: calls that were blocked
        self.bug = False
        self.loses = False  #: what it has taken, as it says when a file is closed
        self.loop = asyncio.get_running_loop()

    def open(self, path: Path) -> BinaryIO:
        return cast(BinaryIO, FakeFile(path, self))


class Recorded:
    """A stream that is recorded into `folder`."""

    def __init__(
        self,
        folder: Path,
        opener: Callable[[Path], BinaryIO] = open_new,
        max_waiting_bytes: int = 32 << 20,
        counters: RecordingCounters | None = None,
    ) -> None:
        self.finished: list[RecordingFinished] = []
        self.spool = Spool(folder, opener=opener)
        self.recording = StreamRecording(
            recorder(), self.spool, self.finished.append, counters, max_waiting_bytes=max_waiting_bytes
        )
        self.task = asyncio.create_task(self.recording.run())

    async def close(self) -> None:
        self.recording.close(EndReason.ENDED)
        async with asyncio.timeout(LIMIT_S):
            await self.task

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not holds():  # noqa: ASYNC110 -- what is waited for happens in another thread
                await asyncio.sleep(0.005)

    def tags(self, finished: RecordingFinished) -> int:
        return len(list(TagReader().feed(self.spool.path(finished.path).read_bytes())))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "WRITE_S", 0.02)
    monkeypatch.setattr(writing, "FIRST_PAUSE_S", 0.05)


async def test_what_is_recorded_is_a_file_in_the_spool(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.recording.receive(run(pictures(0, 50), TRACKS))
    await recorded.close()
    [finished] = recorded.finished
    assert (finished.stream, finished.reason) == (STREAM, EndReason.ENDED)
    assert recorded.spool.path(finished.path).stat().st_size == finished.size_bytes
    assert recorded.tags(finished) == 52
    assert recorded.recording.counters.written_bytes == finished.size_bytes


async def test_a_growing_file_is_on_the_disk_soon(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.recording.receive(run(pictures(0, 50), TRACKS))
    await recorded.until(
        lambda: any(file.growing and file.size_bytes > HEAD_BYTES + 50 * PICTURE_BYTES for file in recorded.spool.files())
    )
    assert recover(recorded.spool) == []  # it is somebody's
    await recorded.close()


async def test_a_full_disk_ends_the_file_where_it_is_whole(tmp_path: Path) -> None:
    disk = Disk(room=40_500)
    recorded = Recorded(tmp_path, disk.open)
    recorded.recording.receive(run(pictures(0, 26), TRACKS))
    await recorded.until(lambda: any(file.size_bytes > HEAD_BYTES + 26 * PICTURE_BYTES for file in recorded.spool.files()))
    recorded.recording.receive(run(pictures(26, 26 + 40), TRACKS))
    await recorded.until(lambda: bool(recorded.finished))
    [finished] = recorded.finished
    assert (finished.reason, finished.missing) == (EndReason.DISK_FULL, 40)
    assert recorded.tags(finished) == 28
    assert finished.duration_ms == 26 * 40
    assert recorded.recording.counters.lost_units == 40
    await recorded.close()


async def test_a_file_that_cannot_be_made_is_not_remembered(tmp_path: Path) -> None:
    spool = Spool(tmp_path, opener=Disk(room=5).open)
    with pytest.raises(OSError, match="no"):
        spool.begin("live/a/1.ts", bytes(10))
    assert not spool.holds("live/a/1.ts")
    assert os.listdir(tmp_path) == []


async def test_a_file_in_which_nothing_can_be_played_is_not_remembered(tmp_path: Path) -> None:
    begun: list[Path] = []
    disk = Disk(room=HEAD_BYTES + 2000)  # for no picture

    def note(path: Path) -> BinaryIO:
        begun.append(path)
        return disk.open(path)

    recorded = Recorded(tmp_path, note)
    recorded.recording.receive(run(pictures(0, 26), TRACKS))
    await recorded.close()
    assert recorded.finished == []
    [growing] = begun
    assert not recorded.spool.holds(str(growing.relative_to(tmp_path)).removesuffix(".growing"))


async def test_recording_goes_on_once_the_disk_has_room_again(tmp_path: Path) -> None:
    disk = Disk(room=0)
    recorded = Recorded(tmp_path, disk.open)
    recorded.recording.receive(run(pictures(0, 26), TRACKS))
    await recorded.until(lambda: recorded.recording.counters.broken_files == 1)
    recorded.recording.receive(run(pictures(26, 27), TRACKS))
    assert list(recorded.spool.files()) == []
    disk.room = 1 << 40
    await asyncio.sleep(0.1)
    recorded.recording.receive(run(pictures(27, 77), TRACKS))
    await recorded.close()
    [finished] = recorded.finished
    assert finished.reason is EndReason.ENDED
    assert finished.missing == 26 + 1 + 23


@pytest.mark.parametrize(("error", "reason"), [(errno.EFBIG, EndReason.DISK_FULL), (errno.EIO, EndReason.DISK_ERROR)])
async def test_the_reason_tells_what_the_disk_said(tmp_path: Path, error: int, reason: EndReason) -> None:
    disk = Disk(room=40_500, error=error)
    recorded = Recorded(tmp_path, disk.open)
    recorded.recording.receive(run(pictures(0, 26), TRACKS))
    await recorded.until(lambda: any(file.size_bytes > HEAD_BYTES + 26 * PICTURE_BYTES for file in recorded.spool.files()))
    recorded.recording.receive(run(pictures(26, 100), TRACKS))
    await recorded.close()
    assert [finished.reason for finished in recorded.finished] == [reason]


async def test_a_slow_disk_makes_nobody_wait_and_costs_a_bounded_amount_of_memory(tmp_path: Path) -> None:
    disk = Disk()
    recorded = Recorded(tmp_path, disk.open, max_waiting_bytes=100_000)
    recorded.recording.receive(run(pictures(0, 50), TRACKS))
    await recorded.until(lambda: any(file.size_bytes > HEAD_BYTES + 50 * PICTURE_BYTES for file in recorded.spool.files()))
    disk.blocked = asyncio.Event()
    for first in range(50, 2000, 50):
        recorded.recording.receive(run(pictures(first, first + 50), TRACKS))
    assert recorded.recording._waiting_bytes <= 100_000
    disk.blocked.set()
    disk.blocked = None
    await recorded.until(lambda: bool(recorded.finished) and not recorded.recording._waiting_bytes)
    recorded.recording.receive(run(pictures(2000, 2050), TRACKS))
    await recorded.close()
    assert [finished.reason for finished in recorded.finished] == [EndReason.DISK_SLOW, EndReason.ENDED]
    held = sum(recorded.tags(finished) - 2 for finished in recorded.finished)
    assert held + recorded.recording.counters.lost_units == 2050
    assert sum(finished.missing for finished in recorded.finished) == recorded.recording.counters.lost_units


def grown(record_format: RecordFormat) -> tuple[str, bytes]:
    """The path and the bytes of a file that nobody finished."""
    files, recording = FilesInMemory(), recorder(record_format)
    for first in range(0, 120, 10):
        files.perform(recording.receive(run(pictures(first, first + 10, size=20), TRACKS)))
    [(path, data)] = files.files.items()
    return path, bytes(data)


async def test_a_run_that_is_large_by_itself_is_recorded_where_nothing_waits(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path, max_waiting_bytes=1000)
    recorded.recording.receive(run(pictures(0, 50), TRACKS))
    await recorded.close()
    assert [(finished.reason, finished.missing) for finished in recorded.finished] == [(EndReason.ENDED, 0)]


def read_of(data: bytes, offset: int, count: int) -> bytes:
    return data[offset : offset + count]


@pytest.mark.parametrize("record_format", FORMATS)
def test_every_prefix_of_a_growing_file_is_made_whole_or_holds_nothing(record_format: RecordFormat) -> None:
    _, data = grown(record_format)
    before = 0
    for size in [*range(500), *range(500, len(data) - 1000, 211), *range(len(data) - 1000, len(data) + 1)]:
        found = MADE[record_format].restore(partial(read_of, data[:size]), size)
        assert 0 <= found.end <= size
        assert found.duration_ms >= before
        before = found.duration_ms
    assert before >= 2000


@pytest.mark.parametrize("record_format", FORMATS)
def test_what_a_crash_left_in_the_spool_is_recovered_or_removed(record_format: RecordFormat, tmp_path: Path) -> None:
    path, data = grown(record_format)
    for size in (0, 3, len(data) // 2, len(data) - 1, len(data)):
        spool = Spool(tmp_path / str(size))
        growing = spool.path(path, growing=True)
        growing.parent.mkdir(parents=True)
        growing.write_bytes(data[:size])
        recovered = recover(spool)
        assert not growing.exists()
        assert len(recovered) == spool.path(path).exists()
        assert recovered or size < len(data) - 1
        for found in recovered:
            assert (found.reason, found.size_bytes) == (EndReason.RECOVERED, spool.path(path).stat().st_size)


async def test_a_unit_that_the_format_has_no_room_for_ends_the_file_and_disturbs_nobody(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.recording.receive(run(pictures(0, 50), TRACKS))
    recorded.recording.receive(run([AccessUnit(1, 50 * FRAME_TICKS, 0, False, bytes(1 << 24))], TRACKS))
    recorded.recording.receive(run(pictures(51, 100), TRACKS))
    await asyncio.sleep(0.1)
    recorded.recording.receive(run(pictures(100, 150), TRACKS))
    await recorded.close()
    assert [finished.reason for finished in recorded.finished] == [EndReason.MEDIA, EndReason.ENDED]
    assert [finished.missing for finished in recorded.finished] == [1, 49]


async def test_a_unit_that_no_room_is_for_is_found_at_the_end_too(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.recording.receive(run([AccessUnit(1, 0, 0, True, bytes((1 << 24) - 4))]))  # held: the sound has not come
    await recorded.close()
    assert recorded.recording.counters.lost_units == 1
    assert list(recorded.spool.files()) == []


async def test_a_bug_in_the_recorder_ends_the_file_and_disturbs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recorded = Recorded(tmp_path)
    recorded.recording.receive(run(pictures(0, 50), TRACKS))
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "receive", lambda self, run: 1 // 0)
        recorded.recording.receive(run(pictures(50, 60), TRACKS))
    await asyncio.sleep(0.1)
    recorded.recording.receive(run(pictures(60, 150), TRACKS))
    await recorded.close()
    assert [finished.reason for finished in recorded.finished] == [EndReason.MEDIA, EndReason.ENDED]
    assert recorded.recording.counters.lost_units == 10
    assert "ZeroDivisionError" in caplog.text


async def test_a_bug_beside_the_disk_ends_the_file_and_the_next_begins(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()
    recorded = Recorded(tmp_path, disk.open)
    recorded.recording.receive(run(pictures(0, 50), TRACKS))
    await recorded.until(lambda: any(file.size_bytes > HEAD_BYTES + 50 * PICTURE_BYTES for file in recorded.spool.files()))
    disk.bug = True
    recorded.recording.receive(run(pictures(50, 60), TRACKS))
    await recorded.until(lambda: recorded.recording.counters.broken_files == 1)
    disk.bug = False
    await asyncio.sleep(0.1)
    recorded.recording.receive(run(pictures(75, 100), TRACKS))
    await recorded.close()
    assert [(finished.reason, finished.missing) for finished in recorded.finished] == [
        (EndReason.DISK_ERROR, 10),
        (EndReason.ENDED, 0),
    ]
    assert "a bug" in caplog.text


async def test_a_disk_that_loses_a_file_costs_that_file(tmp_path: Path) -> None:
    disk = Disk(room=40_500)
    disk.loses = True
    recorded = Recorded(tmp_path, disk.open)
    recorded.recording.receive(run(pictures(0, 100), TRACKS))
    await recorded.until(lambda: recorded.recording.counters.broken_files == 1)
    disk.room, disk.loses = 1 << 40, False
    await asyncio.sleep(0.1)
    recorded.recording.receive(run(pictures(100, 150), TRACKS))
    await recorded.close()
    assert [(finished.reason, finished.missing) for finished in recorded.finished] == [(EndReason.ENDED, 100)]


async def test_what_a_disk_that_hangs_does_not_take_is_given_up_and_the_rest_made_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "CLOSE_S", 0.05)
    disk = Disk()
    recorded = Recorded(tmp_path, disk.open)
    recorded.recording.receive(run(pictures(0, 50), TRACKS))
    await recorded.until(lambda: any(file.size_bytes > HEAD_BYTES + 50 * PICTURE_BYTES for file in recorded.spool.files()))
    disk.blocked = asyncio.Event()
    recorded.recording.receive(run(pictures(50, 60), TRACKS))
    await recorded.until(lambda: disk.waiting > 0)
    recorded.recording.receive(run(pictures(60, 70), TRACKS))
    closing = asyncio.create_task(RecordedStream([recorded.recording], [recorded.task]).close(EndReason.STOPPED))
    await recorded.until(lambda: recorded.recording.counters.lost_units == 10)
    assert recorded.recording.counters.waiting_bytes == 10 * PICTURE_BYTES  # what hangs
    disk.blocked.set()
    await closing
    assert [(finished.reason, finished.missing) for finished in recorded.finished] == [(EndReason.DISK_SLOW, 10)]
    assert recorded.tags(recorded.finished[0]) == 62
    assert recorded.recording.counters.waiting_bytes == 0


async def test_what_all_recordings_together_have_waiting_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MAX_ALL_WAITING_BYTES", 200_000)
    disk, counters = Disk(), RecordingCounters()
    disk.blocked = asyncio.Event()
    streams = [Recorded(tmp_path / str(number), disk.open, counters=counters) for number in range(10)]
    for first in range(0, 1000, 50):
        for recorded in streams:
            recorded.recording.receive(run(pictures(first, first + 50), TRACKS))
    assert counters.waiting_bytes <= 200_000 + len(streams) * 50_000  # each may have its first
    assert counters.lost_units > 0
    disk.blocked.set()
    disk.blocked = None
    for recorded in streams:
        await recorded.close()
    assert counters.waiting_bytes == 0


def test_a_transport_stream_that_ends_with_one_large_picture_tells_its_length() -> None:
    files, recording = FilesInMemory(), recorder(RecordFormat.TS)
    files.perform(recording.receive(run(pictures(0, 26), TRACKS)))
    size = 3 * WINDOW_PACKETS * PACKET_BYTES
    large = AccessUnit(1, 26 * FRAME_TICKS, 0, False, (size - 4).to_bytes(4, "big") + bytes(size - 4))
    files.perform(recording.receive(run([large], TRACKS)))
    files.perform(recording.end(EndReason.ENDED))
    [data] = files.files.values()
    found = MADE[RecordFormat.TS].restore(partial(read_of, bytes(data)), len(data))
    assert found.end == len(data)
    assert found.duration_ms == pytest.approx(27 * 40, abs=40)


async def test_a_complete_file_found_at_the_start_is_told_of(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.recording.receive(run(pictures(0, 50), TRACKS))
    await recorded.close()
    [found] = recover(Spool(tmp_path))  # of the next process
    [finished] = recorded.finished
    assert (found.path, found.size_bytes, found.duration_ms) == (finished.path, finished.size_bytes, finished.duration_ms)
