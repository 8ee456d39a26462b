"""Connections that are made: what is looked up, and how often."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

import pytest

from lalmesh.client import ClientOptions, ConnectionFailed
from lalmesh.client.load import _wire
from lalmesh.client.load._wire import Dialler


class Socket:
    """One that is connected."""

    def setsockopt(self, *option: int) -> None:
        """Whatever it is."""


async def test_a_name_that_was_not_found_is_looked_up_again_and_one_that_was_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def look_up(host: str, port: int, **_: object) -> list[object]:
        asked.append(host)
        if len(asked) == 1:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [host]

    async def connect_first(*_: Any) -> socket.socket:
        return cast(socket.socket, Socket())

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    monkeypatch.setattr(_wire, "connect_first", connect_first)
    dialler = Dialler(ClientOptions())
    fared = await asyncio.gather(*(dialler.dial("h", 1, tls=False) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in fared] == [ConnectionFailed] * 3
    assert asked == ["h"]
    for _ in range(2):
        await dialler.dial("h", 1, tls=False)
    assert asked == ["h", "h"]
