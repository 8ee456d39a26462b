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


class Kept(Answering):
    """A server that keeps its connections, of which each has its own script of what comes; None: it is closed."""

    def __init__(self, *scripts: list[bytes | None]) -> None:
        super().__init__(OK)
        self._scripts = list(scripts)

    async def dial(self, host: str, port: int, *, tls: bool) -> Wire:
        self._said = self._play(self._scripts.pop(0))
        return cast(Wire, self)

    def _play(self, script: list[bytes | None]) -> Iterator[bytes]:
        for data in script:
            if data is None:
                raise ConnectionFailed("closed by the server")
            yield data


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd"


async def test_a_connection_that_was_closed_while_it_was_idle_is_made_again() -> None:
    asking = HttpAsking(Kept([WHOLE, None], [WHOLE]))
    for _ in range(2):
        assert (await asking.get(URL, keep_bytes=4, limit_s=10)).body == b"abcd"


@pytest.mark.parametrize("came", [WHOLE[:9], WHOLE[:-2]])
async def test_an_answer_that_is_cut_off_is_a_failure(came: bytes) -> None:
    asking = HttpAsking(Kept([WHOLE, came, None], [WHOLE]))
    await asking.get(URL, keep_bytes=4, limit_s=10)
    with pytest.raises(ConnectionFailed):
        await asking.get(URL, keep_bytes=4, limit_s=10)
    assert (await asking.get(URL, keep_bytes=4, limit_s=10)).body == b"abcd", "the next one has a connection of its own"


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
