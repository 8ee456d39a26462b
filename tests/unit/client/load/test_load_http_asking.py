"""What is kept of answers, and what is not."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import cast

import pytest

from lalmesh.client import ClientOptions, ConnectionFailed
from lalmesh.client.load._http_asking import HttpAnswer, HttpAsking
from lalmesh.client.load._http_reading import HttpUrl
from lalmesh.client.load._wire import Dialler, Wire
from lalmesh.errors import LimitExceeded

URL = HttpUrl.parse("http://h/a.m3u8")
OK, MISSING = b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 404 Not Found\r\n\r\n"
PIECE_BYTES = 32 << 10
PIECES = 512  #: 16 MB
LITTLE_BYTES = 2 << 20  #: far below all of them


class Answering(Dialler):
    """A server that answers with `head` and so many pieces, and closes; it is dialler and connection in one."""

    def __init__(self, head: bytes, pieces: int = PIECES) -> None:
        super().__init__(ClientOptions())
        self._head = head
        self._pieces = pieces
        self._said = self._all()
        self.read_bytes = 0

    async def dial(self, host: str, port: int, *, tls: bool) -> Wire:
        self._said = self._all()
        return cast(Wire, self)

    def _all(self) -> Iterator[bytes]:
        yield self._head
        for _ in range(self._pieces):
            self.read_bytes += PIECE_BYTES
            yield bytes(PIECE_BYTES)
        raise ConnectionFailed("closed by the server")

    def send(self, data: bytes) -> bool:
        return True

    def read(self) -> bytes | None:
        return next(self._said)

    def close(self) -> None:
        """Nobody reads any more."""


async def got(server: Answering, *, keep_bytes: int) -> HttpAnswer:
    return await HttpAsking(server).get(URL, keep_bytes=keep_bytes, limit_s=10)


@pytest.mark.parametrize("head", [OK, MISSING])
async def test_what_nobody_looks_at_is_not_held_until_it_is_whole(head: bytes) -> None:
    tracemalloc.start()
    try:
        answer = await got(Answering(head), keep_bytes=0)
        most_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most_bytes < LITTLE_BYTES
    assert answer.size_bytes == PIECES * PIECE_BYTES


async def test_the_first_words_of_a_refusal_are_kept() -> None:
    answer = await got(Answering(MISSING + b"no such stream\n", pieces=1), keep_bytes=0)
    assert answer.body.startswith(b"no such stream\n")
    assert (await got(Answering(OK + b"media", pieces=0), keep_bytes=0)).body == b""


async def test_what_is_longer_than_may_be_kept_is_given_up_at_once() -> None:
    server = Answering(OK)
    with pytest.raises(LimitExceeded, match="bytes of an answer"):
        await got(server, keep_bytes=PIECE_BYTES)
    assert server.read_bytes == 2 * PIECE_BYTES
    answer = await got(Answering(OK + b"all", pieces=1), keep_bytes=PIECE_BYTES + 3)
    assert answer.body == b"all" + bytes(PIECE_BYTES)
