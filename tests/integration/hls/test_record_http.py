"""``/record/`` over HTTP: lists, ranges, and storage that is away."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp import web
from support.hls_fakes import FakeStorage

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.storage import StorageUnavailable
from services.hls.record_http import RecordHttp
from services.hls.recording import RecordFormat, RecordingName, stored_path

STREAM = StreamKey.of("live/eu", "cam 1")
DATA = bytes(range(256)) * 20_000  #: five reads of storage


class LateFailure(FakeStorage):
    """Storage whose second read fails."""

    reads = 0

    async def get_range(self, path: str, start: int, end: int) -> bytes | None:
        self.reads += 1
        if self.reads > 1:
            raise StorageUnavailable("no network", retry_after_s=1)
        return await super().get_range(path, start, end)


class Site:
    def __init__(self, storage: FakeStorage, session: aiohttp.ClientSession, url: str) -> None:
        self.storage, self.session, self.url = storage, session, url

    async def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, self.url + path, headers=sent) as answer:
            return answer.status, await answer.read(), {name.lower(): value for name, value in answer.headers.items()}


def name(number: int) -> RecordingName:
    started_us = 1_764_112_648_123_000 + number * 1_000_000
    return RecordingName(stream=STREAM, started_us=started_us, epoch=Epoch(1, 2), number=number, format=RecordFormat.MP4)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def site(stack: AsyncExitStack, storage: FakeStorage) -> Site:
    for number in range(3):
        await storage.put(stored_path(name(number).path), DATA)
    app = web.Application()
    app.router.add_get("/{path:.*}", RecordHttp(storage).get)
    runner = web.AppRunner(app)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    session = await stack.enter_async_context(aiohttp.ClientSession())
    return Site(storage, session, f"http://127.0.0.1:{runner.addresses[0][1]}")


async def test_lists_come_in_pages(stack: AsyncExitStack) -> None:
    web_site = await site(stack, FakeStorage())
    status, body, _ = await web_site.ask("/record/?limit=2")
    page = json.loads(body)
    assert status == 200
    assert [item["url"] for item in page["items"]] == [f"/record/live/eu/cam%201/{name(number).file}" for number in range(2)]
    last = json.loads((await web_site.ask(page["next"]))[1])
    assert [(item["started_us"], item["size_bytes"]) for item in last["items"]] == [(name(2).started_us, len(DATA))]
    assert last["next"] is None
    page = json.loads((await web_site.ask("/record/live/eu/cam%201/?limit=2"))[1])
    assert page["next"].startswith("/record/live/eu/cam%201/?limit=2&after=")
    assert json.loads((await web_site.ask(page["next"]))[1]) == last
    assert json.loads((await web_site.ask("/record/live/b/"))[1]) == {"items": [], "next": None}


@pytest.mark.parametrize(
    "path",
    ["?limit=0", "?limit=1001", "?limit=x", f"?limit=000000001{'0' * 4400}", "?limit=1000000000", "cam/", "%ff/cam/", "a//b/"],
)
async def test_a_list_of_what_cannot_be_is_refused(path: str, stack: AsyncExitStack) -> None:
    assert (await (await site(stack, FakeStorage())).ask(f"/record/{path}"))[0] == 400


async def test_a_file_is_given_whole_in_part_or_not_again(stack: AsyncExitStack) -> None:
    web_site = await site(stack, FakeStorage())
    path = f"/record/live/eu/cam%201/{name(0).file}"
    status, body, headers = await web_site.ask(path)
    assert (status, body, headers["content-type"]) == (200, DATA, "video/mp4")
    status, body, headers = await web_site.ask(path, Range="bytes=1048570-2097160")
    assert (status, body) == (206, DATA[1048570:2097161])
    assert headers["content-range"] == f"bytes 1048570-2097160/{len(DATA)}"
    assert (await web_site.ask(path, If_None_Match=headers["etag"]))[0] == 304
    status, body, headers = await web_site.ask(path, "HEAD", Range="bytes=0-9")
    assert (status, body, headers["content-length"]) == (200, b"", str(len(DATA)))  # ranges are of GET (RFC 9110 §14.2)
    assert (await web_site.ask(path, Range=f"bytes={len(DATA)}-"))[0] == 416
    assert (await web_site.ask("/record/live/eu/cam%201/other.mp4"))[0] == 404
    assert (await web_site.ask(f"/record/{name(0).file}"))[0] == 400


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("If-None-Match", "{tag}", 304),
        ("If-None-Match", 'W/{tag}, "other"', 304),
        ("If-None-Match", '"other"', 200),
        ("If-None-Match", "*", 304),
        ("If-Match", "{tag}", 200),
        ("If-Match", '"other"', 412),
        ("If-Match", "W/{tag}", 412),
        ("If-Modified-Since", "{date}", 304),
        ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT", 200),
        ("If-Unmodified-Since", "{date}", 200),
        ("If-Unmodified-Since", "Wed, 31 Dec 1969 23:59:59 GMT", 412),
        ("If-Modified-Since", "no date", 200),
    ],
)
async def test_conditions_are_kept(header: str, value: str, status: int, stack: AsyncExitStack) -> None:
    storage = FakeStorage()
    storage.now_us = 1_764_112_648_000_000
    web_site = await site(stack, storage)
    path = f"/record/live/eu/cam%201/{name(0).file}"
    _, _, headers = await web_site.ask(path)
    asked = {header: value.format(tag=headers["etag"], date=headers["last-modified"])}
    assert (await web_site.ask(path, **asked))[0] == status


async def test_storage_that_is_away_is_told(stack: AsyncExitStack) -> None:
    web_site = await site(stack, FakeStorage())
    web_site.storage.away = True
    for path in ("", f"live/eu/cam%201/{name(0).file}"):
        status, _, headers = await web_site.ask(f"/record/{path}")
        assert (status, headers["retry-after"]) == (503, "1")


async def test_a_file_that_cannot_be_read_to_its_end_is_broken_off(stack: AsyncExitStack) -> None:
    web_site = await site(stack, LateFailure())
    with pytest.raises(aiohttp.ClientError):
        await web_site.ask(f"/record/live/eu/cam%201/{name(0).file}")
