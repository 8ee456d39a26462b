"""A folder as storage: what it adds to what every storage owes its callers."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.runtime.storage import StorageOptions, StorageUnavailable, list_all, list_pages, open_storage
from lalmesh.runtime.storage import _folder as folder_storage
from lalmesh.runtime.storage._interface import Walked
from services.hls.storage import LateStorage

DAY_S = 86_400
PARTS = st.text("ab.-%", min_size=1, max_size=3).filter(lambda part: part not in (".", ".."))
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is waited for until the disk has it."""
    known: list[Path] = []
    sync = folder_storage.sync

    def note(path: Path) -> None:
        known.append(path)
        sync(path)

    monkeypatch.setattr(folder_storage, "sync", note)
    return known


async def test_a_file_is_stored_without_being_copied_and_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, local, known = open_storage(str(tmp_path / "media")), tmp_path / "local", synced(monkeypatch)
    local.write_bytes(b"recording")
    for _ in range(2):  # again over itself, too
        await storage.put_file("record/live/a/1.flv", local)
        assert os.listdir(tmp_path / "media" / "record" / "live" / "a") == ["1.flv"]
    stored = tmp_path / "media" / "record" / "live" / "a" / "1.flv"
    assert stored.stat().st_ino == local.stat().st_ino
    assert known[1:5] == [*stored.parents][:4]
    assert known[4] == tmp_path / "media"
    local.unlink()
    assert await storage.get("record/live/a/1.flv") == b"recording"


async def test_a_stored_file_is_as_old_as_it_is_in_the_storage(tmp_path: Path) -> None:
    storage, local = open_storage(str(tmp_path / "media")), tmp_path / "local"
    local.write_bytes(b"waited for two days")
    os.utime(local, (0, time.time() - 2 * DAY_S))
    await storage.put_file("a/1.flv", local)
    [found] = await storage.list("a")
    assert time.time() - found.modified_us / 1_000_000 < DAY_S


async def test_a_file_of_another_file_system_is_copied_and_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, other: Path) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    storage, local, known = open_storage(str(tmp_path / "media")), tmp_path / "local", synced(monkeypatch)
    local.write_bytes(b"recording")
    await storage.put_file("a/1.flv", local)
    assert await storage.get("a/1.flv") == b"recording"
    assert known == [tmp_path / "media" / "a" / "1.flv", tmp_path / "media" / "a", tmp_path / "media"]


async def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "media"))
    with pytest.raises(StorageUnavailable):
        await storage.put_file("a/1.flv", tmp_path / "none")


@pytest.mark.parametrize("path", ["../out", "a/../../out", "a//b", ".", "/etc/out"])
async def test_nothing_outside_the_folder_is_written_or_listed(path: str, tmp_path: Path) -> None:
    storage, local = open_storage(str(tmp_path / "media")), tmp_path / "local"
    local.write_bytes(b"x")
    with pytest.raises(StorageUnavailable):
        await storage.put_file(path, local)
    with pytest.raises(StorageUnavailable):
        await storage.list(path)
    assert sorted(os.listdir(tmp_path)) == ["local", "media"]


async def test_what_a_killed_process_left_is_not_listed_and_goes_after_a_day(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    await storage.put("a/1.ts", b"whole")
    young, old = tmp_path / "a" / "1.ts#1", tmp_path / "a" / "2.ts#12"
    for left in (young, old):
        left.write_bytes(b"hal")
    os.utime(old, (0, time.time() - DAY_S - 60))
    assert [found.path for found in await storage.list("")] == ["a/1.ts"]
    assert sorted(os.listdir(tmp_path / "a")) == ["1.ts", "1.ts#1"]


@given(st.sets(PATHS, max_size=12), st.integers(1, 4), PATHS)
async def test_a_listing_is_by_path_whatever_the_names_and_the_pages(
    tmp_path_factory: pytest.TempPathFactory, paths: set[str], limit: int, after: str
) -> None:
    folder = tmp_path_factory.mktemp("listed")
    stored = sorted(path for path in paths if not any(other.startswith(f"{path}/") for other in paths))
    for path in stored:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x")
    storage = open_storage(str(folder))
    assert [found.path async for found in list_all(storage, "", limit=limit)] == stored
    paged, page = list[str](), await storage.list("", limit=limit)
    while page:
        paged += [found.path for found in page]
        page = await storage.list("", after=paged[-1], limit=limit)
    assert paged == stored
    assert [found.path for found in await storage.list("", after=after)] == [path for path in stored if path > after]
    prefix = after.partition("/")[0]
    assert [found.path for found in await storage.list(prefix)] == [path for path in stored if path.startswith(f"{prefix}/")]


async def test_all_pages_together_read_each_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage(str(tmp_path))
    for number in range(20):
        await storage.put(f"record/live/cam{number % 2}/{number:02}.ts", b"x")
    read, scandir = list[str](), os.scandir

    def note(folder: str) -> Any:
        read.append(os.path.relpath(folder, tmp_path))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", note)
    pages = [len(page) async for page in list_pages(storage, "record", limit=3)]
    assert pages == [3, 3, 3, 3, 3, 3, 2]
    assert read == ["record", "record/live", "record/live/cam0", "record/live/cam1"]


async def test_a_storage_that_is_opened_late_is_walked_once_too_and_made_by_no_listing(tmp_path: Path) -> None:
    storage = LateStorage(str(tmp_path / "media"))
    assert [page async for page in list_pages(storage, "a")] == []
    assert not (tmp_path / "media").exists()
    for number in range(3):
        await storage.put(f"a/{number}.ts", b"x")
    assert [len(page) async for page in list_pages(storage, "a", limit=2)] == [2, 1]
    assert isinstance(storage, Walked)


async def test_what_goes_or_comes_while_a_folder_is_walked_ends_no_walk(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    for number in range(6):
        await storage.put(f"a/{number}.ts", b"x")
    await storage.put("b/1.ts", b"x")
    found: list[str] = []
    async for page in list_pages(storage, "", limit=2):
        found += [each.path for each in page]
        await storage.delete(["a/1.ts", "a/3.ts", "b/1.ts"])
        await storage.put("a/9.ts", b"x")
    assert found == ["a/0.ts", "a/1.ts", "a/2.ts", "a/4.ts", "a/5.ts"]


async def test_a_folder_that_cannot_be_read_is_told_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage(str(tmp_path), StorageOptions(deadline_s=0.2))
    await storage.put("a/1.ts", b"x")
    await storage.put("b/1.ts", b"x")
    free, scandir = threading.Event(), os.scandir

    def hang(folder: str) -> Any:
        if folder.endswith("/b"):
            free.wait(60)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", hang)
    pages = list_pages(storage, "", limit=1)
    assert [found.path for found in await anext(pages)] == ["a/1.ts"]
    with pytest.raises(StorageUnavailable):
        await anext(pages)
    free.set()
    with pytest.raises(StorageUnavailable):
        await anext(list_pages(storage, "../b"))


async def test_a_file_system_that_hangs_holds_up_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()
    monkeypatch.setattr(folder_storage, "list_folder", lambda *_: free.wait(60) and [])
    storage = open_storage(str(tmp_path), StorageOptions(deadline_s=0.2))
    asked = await asyncio.gather(*(storage.list("") for _ in range(100)), return_exceptions=True)
    assert all(isinstance(answer, StorageUnavailable) for answer in asked)
    async with asyncio.timeout(30):
        assert await asyncio.to_thread(lambda: True)
    free.set()


async def test_a_link_that_leads_in_a_circle_does_not_make_a_listing_endless(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    await storage.put("a/1.ts", b"x")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "a" / "nowhere").symlink_to(tmp_path / "none")
    assert len(await storage.list("")) <= folder_storage.MAX_DEPTH
