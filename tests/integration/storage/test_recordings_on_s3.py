"""From units to a recording on S3, through an outage of the store, and back by ranges."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import frames
from support.media import media
from support.recordings import EPOCH, STREAM, runs_of_file
from support.s3 import S3Server

from lalmesh.runtime.storage import open_storage
from services.hls.recording import (
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
)

RULE = RecordRule(pattern="*", formats=(RecordFormat.FLV, RecordFormat.MP4, RecordFormat.TS))
DEADLINE_S = 0.5
LIMIT_S = 20.0


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
    settings = RecordingSettings(upload_s=0.1, sweep_s=0.2)
    recordings = Recordings(storage, Spool(tmp_path / "spool"), RecordRules([RULE]), events.append, settings)
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
    assert await asyncio.to_thread(lambda: list((tmp_path / "spool").iterdir())) == []
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await check_stored(Catalogue(storage), tmp_path)


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
