"""``/record/``: lists of finished recordings, and the recordings, whole or in ranges. Any hls node answers: all is in storage."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from aiohttp import web

from lalmesh.errors import InvalidName
from lalmesh.names import StreamKey
from lalmesh.runtime.http_gate import in_chunks, send
from lalmesh.runtime.record_paths import RECORDINGS, parse_record_path
from lalmesh.runtime.storage import Storage, StorageUnavailable
from services.hls.answer import RETRY_AFTER_S, UNCACHED
from services.hls.kept import find_kept
from services.hls.recording import Catalogue, RecordingName, StoredFile, StoredRecording, answer_range

log = logging.getLogger(__name__)

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000  #: recordings of one page: 400 KB of JSON
MAX_LIMIT_CHARS = 9  #: of the number in a query: Python refuses to convert more than 4,300 digits
FILE_CACHING = "public, max-age=60"  #: what a lost machine left may be stored again, and longer
_SECOND_US = 1_000_000


class RecordHttp:
    """The handler of everything under ``/record/``."""

    def __init__(self, storage: Storage, *, match_app: bool = True) -> None:
        """Show what is in `storage`. Without `match_app` applications mean nothing, whatever the URL says."""
        self._match_app = match_app
        self._storage = storage
        self._catalogue = Catalogue(storage)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer a GET or HEAD."""
        try:
            wanted = parse_record_path(request.rel_url.raw_path, match_app=self._match_app)
            if wanted.stream is None or not wanted.file:
                return await self._list(request, wanted.stream)
            path = f"{wanted.stream.quoted()}/{wanted.file}"
            found = await self._catalogue.find(path) or await find_kept(self._storage, wanted.stream, wanted.file)
            return await self._file(request, found) if found else _refused(404, "no such recording")
        except InvalidName as error:
            return _refused(400, str(error))
        except StorageUnavailable as error:
            return _refused(503, str(error))

    async def _list(self, request: web.Request, stream: StreamKey | None) -> web.Response:
        """A page: of one stream's recordings by time, or of all by stream."""
        limit = request.query.get("limit", str(DEFAULT_LIMIT))
        if not (limit.isascii() and limit.isdigit() and len(limit) <= MAX_LIMIT_CHARS and 1 <= int(limit) <= MAX_LIMIT):
            return _refused(400, f"limit has to be from 1 to {MAX_LIMIT}")
        page = await self._catalogue.page(stream, after=request.query.get("after", ""), limit=int(limit))
        following = f"{request.rel_url.raw_path}?limit={limit}&after={quote(page.after, safe='')}" if page.after else None
        body = {"items": [_described(found) for found in page.recordings], "next": following}
        return web.json_response(body, headers={"Cache-Control": UNCACHED})

    async def _file(self, request: web.Request, file: StoredFile) -> web.StreamResponse:
        headers = {
            "Content-Type": file.content_type,
            "Cache-Control": FILE_CACHING,
            "Last-Modified": _http_date(file.modified_us),
            "ETag": file.entity_tag,
        }
        condition = _condition(request, file)
        if condition != 200:
            return web.Response(status=condition, headers=headers)
        answer = answer_range(
            request.headers.get("Range", "") if request.method == "GET" else "",  # RFC 9110 §14.2: of no other method
            file.size_bytes,
            entity_tag=file.entity_tag,
            if_range=request.headers.get("If-Range", ""),
        )
        response = web.StreamResponse(status=answer.status, headers={**headers, **answer.headers})
        response.content_length = answer.end - answer.start
        if request.method == "HEAD" or answer.start == answer.end:
            await response.prepare(request)
            return response
        return await self._send(request, response, file, answer.start, answer.end)

    async def _send(
        self, request: web.Request, response: web.StreamResponse, file: StoredFile, start: int, end: int
    ) -> web.StreamResponse:
        """Send bytes of a file. Where some cannot be read the connection breaks off, so that nobody takes them for the whole."""
        pieces = self._catalogue.read(file, start, end)
        first = await anext(pieces, b"")  # storage that is away is told as such
        await send(request, response, _all_of(file, end - start, first, pieces))
        return response


async def _all_of(file: StoredFile, size: int, first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[memoryview]:
    """The `size` bytes that were promised.

    Raises:
        ConnectionAbortedError: the rest cannot be read.
    """
    piece = first
    try:
        while piece:
            size -= len(piece)
            async for chunk in in_chunks(piece):
                yield chunk
            piece = await anext(others, b"")
    except StorageUnavailable as error:
        log.warning("recording %s broken off: %s", file.path, error)
    if size:
        raise ConnectionAbortedError(f"{size} bytes of {file.path} are missing")


def _condition(request: web.Request, file: StoredFile) -> int:
    """What the conditions of a request come to: 412, 304, or 200 to go on (RFC 9110 §13.2.2)."""
    tag, modified_s = file.entity_tag.strip('"'), file.modified_us // _SECOND_US
    if request.if_match is not None:
        if not any(one.value == "*" or (one.value == tag and not one.is_weak) for one in request.if_match):
            return 412
    elif request.if_unmodified_since is not None and modified_s > request.if_unmodified_since.timestamp():
        return 412
    if request.if_none_match is not None:
        return 304 if any(one.value in ("*", tag) for one in request.if_none_match) else 200
    since = request.if_modified_since
    return 304 if since is not None and modified_s <= since.timestamp() else 200


def record_url(name: RecordingName) -> str:
    """Where a recording is, from the root."""
    return f"{RECORDINGS}{quote(str(name.stream), safe='/')}/{name.file}"


def _described(found: StoredRecording) -> dict[str, Any]:
    name = found.name
    return {
        "url": record_url(name),
        "stream": str(name.stream),
        "app": name.stream.app,
        "name": name.stream.name,
        "format": name.format.value,
        "size_bytes": found.size_bytes,
        "started_us": name.started_us,
        "stored_us": found.modified_us,
    }


def _http_date(unix_us: int) -> str:
    return format_datetime(datetime.fromtimestamp(unix_us // _SECOND_US, UTC), usegmt=True)


def _refused(status: int, reason: str) -> web.Response:
    headers = {"Cache-Control": UNCACHED} | ({"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {})
    return web.Response(status=status, text=f"{reason}\n", headers=headers)
