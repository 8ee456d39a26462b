"""The HTTP listener of an hls node takes so many connections and no more."""

from __future__ import annotations

import asyncio
from typing import cast

from prometheus_client import CollectorRegistry

from services.hls.answer import Answer
from services.hls.cors import CorsPolicy
from services.hls.http import HlsHttp
from services.hls.metrics import HlsMetrics
from services.hls.service import HlsService
from services.hls.sessions import Players

REQUEST = b"GET /hls/live/a.m3u8 HTTP/1.1\r\nHost: hls\r\n\r\n"


class Answering:
    async def answer(self, path: str, query: str) -> Answer:
        return Answer(200, b"yes")


async def ask(port: int) -> tuple[asyncio.StreamWriter, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST)
    async with asyncio.timeout(5):
        return writer, await reader.readline()


async def test_a_connection_over_the_limit_is_told_to_try_again() -> None:
    service = cast(HlsService, Answering())
    http = HlsHttp(service, Players(30.0, lambda: 0.0), HlsMetrics(CollectorRegistry()), CorsPolicy(()), connections=2)
    await http.start("127.0.0.1", 0)
    connections: list[asyncio.StreamWriter] = []

    async def answered() -> bytes:
        writer, line = await ask(http.port)
        connections.append(writer)
        return line

    try:
        assert [await answered() for _ in range(2)] == [b"HTTP/1.1 200 OK\r\n"] * 2
        assert await answered() == b"HTTP/1.1 503 Service Unavailable\r\n"
        connections[0].close()
        await connections[0].wait_closed()
        await asyncio.sleep(0.05)  # for the other side to notice
        assert await answered() == b"HTTP/1.1 200 OK\r\n"
    finally:
        for writer in connections:
            writer.close()
        await http.stop()
