"""From units to a recording on S3, through an outage of the store, and back by ranges."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import frames
from support.media import media
from support.recordings import EPOCH, STREAM, runs_of_file
from support.s3 import S3Server

from lalmesh.runtime.storage import Storage, open_storage
from services.hls.recording import (
    GROWING_FOLDER,
    Catalogue,
    EndReason,
    RecordFormat,
    RecordingFinished,
    Recordings,
    RecordingSettings,
    RecordingStored,
    RecordRule,
    RecordRules,
    Spool,
    answer_range,
    stored_path,
)
from services.hls.recording._recordings import LEAST_RESCUE_S

RULE = RecordRule(pattern="*", formats=(RecordFormat.FLV, RecordFormat.MP4, RecordFormat.TS))
PIECES = RecordingSettings(upload_s=0.1, sweep_s=0.2)
DEADLINE_S = 0.5
LIMIT_S = 40.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    with S3Server(tmp_path / "s3") as running:
        yield running


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not holds():  # noqa: ASYNC110 -- what is waited for happens in another process
            await asyncio.sleep(0.02)


async def test_recordings_survive_a_store_that_is_away_while_they_are_made(server: S3Server, tmp_path: Path) -> None:
    storage = open_storage(server.url, server.options(deadline_s=DEADLINE_S))
    events: list[object] = []
    recordings = Recordings(storage, Spool(tmp_path / "spool"), RecordRules([RULE]), events.append, PIECES)
    task = asyncio.create_task(recordings.run())
    server.freeze()
    stream = recordings.record(STREAM, RULE, EPOCH)
    for run in runs_of_file(media("h264_b3_aac")):
        stream.receive(run)
    await stream.close(EndReason.ENDED)
    assert sum(isinstance(event, RecordingFinished) for event in events) == 3
    await until(lambda: recordings.uploader.counters.failures > 0)
    server.thaw()
    await until(lambda: sum(isinstance(event, RecordingStored) for event in events) == 3)
    await until(lambda: not list((tmp_path / "spool").iterdir()))  # that they are stored is told before they are removed here
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await check_stored(Catalogue(storage), tmp_path)


async def test_what_a_lost_machine_had_uploaded_is_a_recording_again(server: S3Server, tmp_path: Path) -> None:
    storage = open_storage(server.url, server.options())
    runs = list(runs_of_file(media("h264_b3_aac")))
    lost = Recordings(storage, Spool(tmp_path / "lost"), RecordRules([RULE]), list[object]().append, PIECES)
    task = asyncio.create_task(lost.run())
    stream = lost.record(STREAM, RULE, EPOCH)
    for run in runs[: len(runs) // 2]:
        stream.receive(run)
    await until(lambda: lost.growing.counters.pieces >= 3 and lost.growing.counters.piece_bytes > 200_000)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    events: list[object] = []
    later = time.time() + 10 * LEAST_RESCUE_S
    other = Recordings(storage, Spool(tmp_path / "other"), RecordRules([RULE]), events.append, PIECES, clock=lambda: later)
    task = asyncio.create_task(other.run())
    await until(lambda: sum(isinstance(event, RecordingStored) for event in events) == 3)
    await until_empty(storage, GROWING_FOLDER)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert other.rescued_files == 3
    for found in (await Catalogue(storage).page(STREAM)).recordings:
        data = await storage.get(stored_path(found.name.path))
        assert data is not None
        local = tmp_path / f"rescued.{found.name.format.value}"
        await asyncio.to_thread(local.write_bytes, data)
        assert len(frames.of_file(local).track("video")) > 50
    await stream.close(EndReason.STOPPED)


async def until_empty(storage: Storage, folder: str) -> None:
    async with asyncio.timeout(LIMIT_S):
        while await storage.list(folder):  # noqa: ASYNC110 -- a storage tells nobody
            await asyncio.sleep(0.05)


async def check_stored(catalogue: Catalogue, folder: Path) -> None:
    page = await catalogue.page(STREAM)
    assert len(page.recordings) == 3
    for recording in page.recordings:
        file = await catalogue.find(recording.name.path)
        assert file is not None
        local = folder / f"got.{recording.name.format.value}"
        data = b"".join([piece async for piece in catalogue.read(file, 0, file.size_bytes)])
        await asyncio.to_thread(local.write_bytes, data)
        assert len(frames.of_file(local).track("video")) == 200
        answer = answer_range("bytes=-1000", file.size_bytes, entity_tag=file.entity_tag)
        assert b"".join([piece async for piece in catalogue.read(file, answer.start, answer.end)]) == data[-1000:]
