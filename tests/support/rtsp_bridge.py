"""Takes connections of plain RTSP clients and carries them on by other ways: ``python -m support.rtsp_bridge FILE NAME=URL ...``.

FILE gets the port of each NAME, as JSON; ``NAME: 461`` is said where the server refuses a transport. A URL is one of

- ``ws://`` and ``wss://``: what the client says goes in binary messages, and so has to come back; with the fragment ``#text``, its
  requests go as text, each in a message, as players in browsers send them;
- ``rtsps://``: TLS for clients that would not ask for UDP if they knew;
- ``rtsp://``: as it is; with the fragment ``#foreign-nonce``, the first challenges name a nonce that the server never made.

Certificates are not checked. It runs until it is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import aiohttp

from lalmesh.protocol.rtsp import InterleavedFrame, MessageReader, serialize_frame

READ_BYTES = 64 << 10
_NONCE = re.compile(rb'nonce="([0-9a-f]+)"')

Carry = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Way:
    """Where the connections of one port go."""

    def __init__(self, name: str, url: SplitResult) -> None:
        self.url = url
        self._name = name

    async def answer(self, data: bytes, client: asyncio.StreamWriter) -> None:
        """Pass on what the server says."""
        if b"RTSP/1.0 461" in data:
            print(f"{self._name}: 461", flush=True)
        client.write(data)
        await client.drain()


async def _copy(reader: asyncio.StreamReader, take: Callable[[bytes], Awaitable[None]]) -> None:
    """Until the end."""
    while data := await reader.read(READ_BYTES):
        await take(data)


def with_foreign_nonces(data: bytes) -> bytes:
    """The same with other nonces of the same length."""
    return _NONCE.sub(lambda found: b'nonce="' + found[1][::-1] + b'"', data)


async def _by_tcp(client: asyncio.StreamReader, answers: asyncio.StreamWriter, way: Way) -> None:
    tls = _unchecked() if way.url.scheme == "rtsps" else None
    server, requests = await asyncio.open_connection(way.url.hostname, way.url.port, ssl=tls)
    is_first = way.url.fragment == "foreign-nonce"

    async def ask(data: bytes) -> None:
        requests.write(data)
        await requests.drain()

    async def answer(data: bytes) -> None:
        nonlocal is_first
        if is_first and b"WWW-Authenticate" in data:
            data, is_first = with_foreign_nonces(data), False
        await way.answer(data, answers)

    with contextlib.closing(requests):
        await _either(asyncio.create_task(_copy(client, ask)), asyncio.create_task(_copy(server, answer)))


async def _by_socket(client: asyncio.StreamReader, answers: asyncio.StreamWriter, way: Way) -> None:
    url = way.url._replace(fragment="").geturl()
    reader = MessageReader()

    async def ask_in_texts(data: bytes) -> None:
        for message in reader.feed(data):
            if isinstance(message, InterleavedFrame):
                await socket.send_bytes(serialize_frame(message.channel, message.payload))
            else:
                await socket.send_str(message.serialize().decode())

    async def receive() -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY:
                raise ConnectionError(f"a message that is not binary: {message}")
            await way.answer(message.data, answers)

    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=("rtsp",), ssl=_unchecked(), max_msg_size=0) as socket,
    ):
        ask = ask_in_texts if way.url.fragment == "text" else socket.send_bytes
        await _either(asyncio.create_task(_copy(client, ask)), asyncio.create_task(receive()))


async def _either(*tasks: asyncio.Task[None]) -> None:
    """Until one of them ends; an error of it is raised."""
    done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    for task in done:
        task.result()


def _unchecked() -> ssl.SSLContext:
    """Without the system's authorities: to read them is 30 ms of processor, which each client of a busy machine would wait for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _carrier(way: Way) -> Carry:
    go = _by_socket if way.url.scheme in ("ws", "wss") else _by_tcp

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            try:
                await go(reader, writer, way)
            except (OSError, aiohttp.ClientError) as error:
                print(f"{way.url.geturl()}: {error!r}", flush=True)

    return carry


async def main(file: Path, ways: list[str]) -> None:
    """Carry connections until the process is ended."""
    ports: dict[str, int] = {}
    async with contextlib.AsyncExitStack() as stack:
        for each in ways:
            name, _, url = each.partition("=")
            carry = _carrier(Way(name, urlsplit(url)))
            server = await stack.enter_async_context(await asyncio.start_server(carry, "127.0.0.1", 0))
            ports[name] = server.sockets[0].getsockname()[1]
        part = file.with_suffix(".part")
        part.write_text(json.dumps(ports))
        part.rename(file)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
