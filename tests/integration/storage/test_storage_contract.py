"""What every storage owes its callers: the same tests for a folder, for memory and for S3."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.s3 import S3Server

from lalmesh.names import StreamKey
from lalmesh.runtime.storage import Storage, StoredObject, _interface, delete_all, list_all, open_storage

prefixes = (f"contract{number}" for number in itertools.count())
SECOND_US = 1_000_000
CLOCKS_APART_S = 5  #: S3 tells whole seconds


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(params=["folder", "memory", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    match request.param:
        case "folder":
            return open_storage(str(tmp_path / "made" / "when opened"))
        case "memory":
            return open_storage("memory://")
        case _:
            server: S3Server = request.getfixturevalue("server")
            return open_storage(f"{server.url}/{next(prefixes)}", server.options())


async def paths(storage: Storage, prefix: str, *, after: str = "", limit: int = 1000) -> list[str]:
    return [found.path for found in await storage.list(prefix, after=after, limit=limit)]


async def test_what_was_put_can_be_read(storage: Storage) -> None:
    await storage.put("hls/live/a.ts", b"segment")
    assert await storage.get("hls/live/a.ts") == b"segment"
    assert await storage.size("hls/live/a.ts") == 7


async def test_what_was_never_put_is_none(storage: Storage) -> None:
    await storage.put("there", b"1")
    assert await storage.get("not/there") is None
    assert await storage.get_range("not/there", 0, 5) is None
    assert await storage.get_range("not/there", 0, 0) is None
    assert await storage.size("not/there") is None
    assert await storage.stat("not/there") is None


async def test_a_second_put_replaces_the_first(storage: Storage) -> None:
    await storage.put("a", b"first and longer")
    await storage.put("a", b"second")
    assert await storage.get("a") == b"second"


async def test_an_object_may_be_empty(storage: Storage) -> None:
    await storage.put("empty", b"")
    assert await storage.get("empty") == b""
    assert await storage.size("empty") == 0
    assert await storage.get_range("empty", 0, 10) == b""


async def test_a_range_ends_where_the_object_does(storage: Storage) -> None:
    await storage.put("a", b"0123456789")
    assert await storage.get_range("a", 2, 5) == b"234"
    assert await storage.get_range("a", 8, 50) == b"89"
    assert await storage.get_range("a", 10, 12) == b""
    assert await storage.get_range("a", 11, 12) == b""
    assert await storage.get_range("a", 4, 4) == b""


async def test_a_file_is_stored_whether_small_or_of_many_parts(storage: Storage, tmp_path: Path) -> None:
    for size in (0, 10, 20 << 20):
        local = tmp_path / f"{size}.bin"
        local.write_bytes(bytes(range(256)) * (size // 256) + bytes(size % 256))
        await storage.put_file(f"files/{size}", local)
        assert await storage.size(f"files/{size}") == size
        assert await storage.get_range(f"files/{size}", max(0, size - 5), size) == local.read_bytes()[-5:]


async def test_a_listing_is_by_path_and_of_whole_parts(storage: Storage) -> None:
    for path in ("a/b/2", "a/b/10", "a/bc", "a/b.x", "a/b/c/d"):
        await storage.put(path, b"x")
    assert await paths(storage, "a/b") == ["a/b/10", "a/b/2", "a/b/c/d"]
    assert await paths(storage, "nothing") == []


async def test_a_listing_comes_in_pages(storage: Storage) -> None:
    for number in range(7):
        await storage.put(f"page/{number}", b"x")
    assert await paths(storage, "page", limit=3) == ["page/0", "page/1", "page/2"]
    assert await paths(storage, "page", after="page/2", limit=3) == ["page/3", "page/4", "page/5"]
    assert await paths(storage, "page", after="page/6") == []
    assert [found.path async for found in list_all(storage, "page", limit=3)] == [f"page/{number}" for number in range(7)]


async def test_a_listing_tells_size_and_time(storage: Storage) -> None:
    await storage.put("told/a", b"12345")
    [found] = await storage.list("told")
    assert (found.path, found.size_bytes) == ("told/a", 5)
    assert abs(found.modified_us / SECOND_US - time.time()) < CLOCKS_APART_S
    assert isinstance(await storage.stat("told/a"), StoredObject)


async def test_the_empty_prefix_lists_everything(storage: Storage) -> None:
    await storage.put("x/y", b"1")
    await storage.put("z", b"1")
    assert await paths(storage, "") == ["x/y", "z"]


async def test_stream_names_of_any_kind_come_back_from_a_listing(storage: Storage) -> None:
    keys = [StreamKey.of("live/eu", "cam 1%2F"), StreamKey.of("ü?#", "a+b&c=d"), StreamKey.of("a", "~'()*!@:$,;")]
    for key in keys:
        await storage.put(f"record/{key.quoted()}/f.ts", b"x")
    found = [path.removeprefix("record/").removesuffix("/f.ts") for path in await paths(storage, "record")]
    assert sorted(map(StreamKey.from_quoted, found)) == sorted(keys)
    assert await paths(storage, f"record/{keys[0].quoted()}") == [f"record/{keys[0].quoted()}/f.ts"]
    assert await storage.get(f"record/{keys[1].quoted()}/f.ts") == b"x"


async def test_deleting_removes_and_does_not_mind_what_is_not_there(storage: Storage) -> None:
    for number in range(3):
        await storage.put(f"gone/{number}", b"x")
    await storage.delete(["gone/0", "gone/never", "gone/1"])
    await storage.delete(["gone/0"])
    await storage.delete([])
    assert await paths(storage, "gone") == ["gone/2"]


async def test_more_than_one_call_removes_are_removed(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_interface, "DELETED_AT_ONCE", 2)
    for number in range(6):
        await storage.put(f"gone/{number}", b"x")
    await delete_all(storage, [f"gone/{number}" for number in range(5)])
    await delete_all(storage, [])
    assert await paths(storage, "gone") == ["gone/5"]


async def test_many_calls_run_at_once(storage: Storage) -> None:
    await asyncio.gather(*(storage.put(f"many/{number:02}", bytes([number])) for number in range(50)))
    assert await asyncio.gather(*(storage.get(f"many/{number:02}") for number in range(50))) == [bytes([n]) for n in range(50)]
