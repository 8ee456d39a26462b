"""FLV files: reading them as tags, and writing one that is whole at every moment."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

from lalmesh.container.flv import TAG_AUDIO, TAG_VIDEO, Tag, TagReader, flv_header, previous_tag_size, tag_header

READ_BYTES = 256 << 10  #: of a file at a time
MAX_HELD_MS = 1000  #: of media that wait for the second track before the header is written without it
MAX_HELD_BYTES = 16 << 20  #: the same: two of the largest messages of RTMP
FLAGS_AT = 4  #: where the header says which tracks there are


async def read_tags(path: Path | None) -> AsyncGenerator[Tag, None]:
    """Give the tags of a file, or of standard input where `path` is None. A tag that is cut off at the end is left out.

    Raises:
        OSError: it cannot be read.
        RemoteProtocolError, UnsupportedError: it is no FLV.
    """
    reader = TagReader()
    async with aclosing(_chunks(path)) as chunks:
        async for data in chunks:
            for tag in reader.feed(data):
                yield tag


async def _chunks(path: Path | None) -> AsyncGenerator[bytes, None]:
    if path is None and not stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode):
        async with aclosing(_pipe_chunks()) as chunks:
            async for data in chunks:
                yield data
        return
    file = sys.stdin.buffer if path is None else await asyncio.to_thread(path.open, "rb")
    with file:
        while data := await asyncio.to_thread(file.read, READ_BYTES):
            yield data


async def _pipe_chunks() -> AsyncGenerator[bytes, None]:
    """Standard input that may have nothing to give for a long time: no thread waits for it, so that nothing waits for a thread."""
    reader = asyncio.StreamReader(limit=READ_BYTES)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    try:
        while data := await reader.read(READ_BYTES):
            yield data
    finally:
        transport.close()


class FlvWriter:
    """Write tags as a FLV file. Every write is of whole tags, so that the file is good wherever it ends.

    The header says which tracks there are, so it waits until both have come, or `MAX_HELD_MS` of one. A track that comes later is
    entered into the header where the file can be sought in.
    """

    def __init__(self, file: BinaryIO, *, seekable: bool) -> None:
        """Write to `file`, which has no buffer of its own and is at its start; the caller closes it."""
        self._file = file
        self._seekable = seekable
        self._held: list[Tag] = []
        self._held_bytes = 0
        self._types: set[int] = set()
        self._written_bytes = 0
        self.opened = False  #: whether the header has been written

    def write(self, tag: Tag) -> None:
        """Write one tag, or hold it until the header can be written.

        Raises:
            OSError: it cannot be written; the file then ends before it, where it can be cut.
        """
        new_track = tag.type_id in (TAG_AUDIO, TAG_VIDEO) and tag.type_id not in self._types
        if new_track:
            self._types.add(tag.type_id)
        if self.opened:
            if new_track:
                self._mend_header()
            self._append(_tag_bytes(tag))
            return
        self._held.append(tag)
        self._held_bytes += len(tag.body)
        if len(self._types) == 2 or self._held_bytes >= MAX_HELD_BYTES or self._held_span_ms() >= MAX_HELD_MS:
            self._open()

    def close(self) -> None:
        """Write what is held; nothing at all where nothing came.

        Raises:
            OSError: as `write`.
        """
        if self._held:
            self._open()

    def _held_span_ms(self) -> int:
        times = [tag.timestamp_ms for tag in self._held if tag.type_id in self._types]
        return (times[-1] - times[0]) & 0x7FFFFFFF if times else 0

    def _header(self) -> bytes:
        return flv_header(TAG_AUDIO in self._types, TAG_VIDEO in self._types)

    def _open(self) -> None:
        self.opened = True
        held, self._held = self._held, []
        self._append(b"".join((self._header(), *map(_tag_bytes, held))))

    def _mend_header(self) -> None:
        if self._seekable:
            self._file.seek(FLAGS_AT)
            self._file.write(self._header()[FLAGS_AT : FLAGS_AT + 1])
            self._file.seek(self._written_bytes)

    def _append(self, data: bytes) -> None:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            if self._seekable:
                self._file.truncate(self._written_bytes)
            raise
        self._written_bytes += len(data)


def _tag_bytes(tag: Tag) -> bytes:
    size = len(tag.body)
    return tag_header(tag.type_id, tag.timestamp_ms, size) + tag.body + previous_tag_size(size)
