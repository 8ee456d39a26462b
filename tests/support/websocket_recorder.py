"""Plays WebSocket-FLV into files, several at once: ``python -m support.websocket_recorder URL FILE [URL FILE ...]``.

It ends with status 0 once the server has closed every socket in order; certificates are not checked.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp

LIMIT_S = 60.0  #: for everything


async def record(session: aiohttp.ClientSession, url: str, file: Path) -> None:
    """Write the binary messages of `url` to `file`, one after the other."""
    async with session.ws_connect(url, ssl=False, max_msg_size=0) as socket:
        with file.open("wb", buffering=0) as output:
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.BINARY:
                    raise SystemExit(f"{url}: {message}")
                output.write(message.data)
        if socket.close_code != aiohttp.WSCloseCode.GOING_AWAY:
            raise SystemExit(f"{url}: closed with {socket.close_code}")


async def main(arguments: list[str]) -> None:
    """Record all pairs."""
    async with asyncio.timeout(LIMIT_S), aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for url, file in zip(arguments[::2], arguments[1::2], strict=True):
            group.create_task(record(session, url, Path(file)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
