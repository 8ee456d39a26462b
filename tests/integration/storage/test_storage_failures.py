"""What storages do when they cannot: errors and deadlines."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.s3 import S3Server

from lalmesh.errors import UnsupportedError
from lalmesh.runtime.storage import StorageOptions, StorageUnavailable, open_storage

DEADLINE_S = 0.5
HANGING_S = 2.0  #: deadline where nothing answers; what takes two of them takes long enough to be told from a busy machine
READERS_S = 1.0
ROUNDS = 10  #: of the loop, in the tenth of a second or more that 200 MiB take


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    with S3Server(tmp_path / "s3") as running:
        yield running


async def test_a_store_that_stops_answering_is_unavailable_in_time_and_then_there_again(server: S3Server) -> None:
    storage = open_storage(server.url, server.options(deadline_s=HANGING_S))
    await storage.put("a", b"1")
    server.freeze()
    calls = storage.put("a", b"2"), storage.get("a"), storage.list("a"), storage.size("a"), storage.delete(["a"])
    began = time.monotonic()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [StorageUnavailable] * len(calls)
    assert HANGING_S <= time.monotonic() - began < 2 * HANGING_S
    server.thaw()
    # What was given up may still be carried out, in any order: so another object.
    async with asyncio.timeout(30):
        while True:
            try:
                await storage.put("b", b"3")
                break
            except StorageUnavailable:
                await asyncio.sleep(0.1)
    assert await storage.get("b") == b"3"


async def test_a_store_that_is_gone_is_unavailable(server: S3Server) -> None:
    storage = open_storage(server.url, server.options(deadline_s=DEADLINE_S))
    server.stop()
    with pytest.raises(StorageUnavailable, match="cannot store a"):
        await storage.put("a", b"1")


async def test_a_bucket_that_is_not_there_is_unavailable(server: S3Server) -> None:
    storage = open_storage("s3://nosuch", server.options())
    for call in (storage.put("a", b"1"), storage.get("a"), storage.get_range("a", 0, 1), storage.list("a"), storage.delete(["a"])):
        with pytest.raises(StorageUnavailable):
            await call


async def test_a_reader_of_a_folder_never_sees_half_an_object(tmp_path: Path) -> None:
    storage = open_storage(f"file://{tmp_path}")
    versions = [bytes([number]) * (1 << 20) for number in range(2)]
    await storage.put("a", versions[0])
    stop = time.monotonic() + READERS_S

    async def write() -> None:
        while time.monotonic() < stop:
            for version in versions:
                await storage.put("a", version)

    async def read() -> None:
        while time.monotonic() < stop:
            assert await storage.get("a") in versions
            assert [found.path for found in await storage.list("")] == ["a"]

    await asyncio.gather(write(), read())
    assert os.listdir(tmp_path) == ["a"]


async def test_the_loop_goes_on_while_a_folder_is_written(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    local = tmp_path / "local.bin"
    local.write_bytes(bytes(200 << 20))
    rounds, task = 0, asyncio.create_task(storage.put_file("large", local))
    while not task.done():
        rounds += 1
        await asyncio.sleep(0.001)
    await task
    assert rounds > ROUNDS  # two, if the loop did the writing


def test_other_kinds_of_urls_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="ftp"):
        open_storage("ftp://host/path")


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailable, match="file"):
        open_storage(str(tmp_path / "file" / "below"))


async def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "in"), StorageOptions(deadline_s=DEADLINE_S))
    with pytest.raises(StorageUnavailable):
        await storage.put("../out", b"x")
    assert not (tmp_path / "out").exists()
