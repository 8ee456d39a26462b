"""Plays streams over WebSocket into files, several at once: ``python -m support.websocket_recorder URL FILE [URL FILE ...]``.

Behind ``--once-live API`` each comes when that API says that its stream has units, as `support.http_recorder` does.
Text messages go into a file beside, with ``.text`` after its name, one a line.

It ends with status 0 once the server has closed every socket in order; certificates are not checked.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp

from support.http_recorder import when_due

LIMIT_S = 60.0  #: for everything


async def record(session: aiohttp.ClientSession, url: str, file: Path) -> None:
    """Write the binary messages of `url` to `file`, one after the other, and the texts to the file beside."""
    texts = file.with_name(f"{file.name}.text")
    async with session.ws_connect(url, ssl=False, max_msg_size=0) as socket:
        with file.open("wb", buffering=0) as output:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    with texts.open("a") as said:
                        said.write(f"{message.data}\n")
                elif message.type is aiohttp.WSMsgType.BINARY:
                    output.write(message.data)
                else:
                    raise ConnectionError(f"{url}: {message}")
        if socket.close_code != aiohttp.WSCloseCode.GOING_AWAY:
            raise ConnectionError(f"{url}: closed with {socket.close_code}")


async def main(arguments: list[str]) -> None:
    """Record all pairs."""
    due = when_due(arguments)
    async with asyncio.timeout(LIMIT_S), aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        while (each := await asyncio.to_thread(next, due, None)) is not None:
            group.create_task(record(session, each[0], Path(each[1])))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
