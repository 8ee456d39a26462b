"""Publishing to a server that has its publishers log in as Adobe's servers do; ffmpeg, which can, shows that it is right."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.adobe_server import AdobeServer
from support.ffmpeg import Publisher
from support.media import media

from lalmesh.client import Counts, RefusedNotAuthorized, push

LIMIT_S = 30.0


async def test_ffmpeg_is_let_in(tmp_path: Path) -> None:
    with ExitStack() as stack:
        async with AdobeServer("cam", "pass") as server:
            stack.enter_context(Publisher(media("h264_aac"), server.url("cam:pass"), log=tmp_path / "push.log"))
            async with asyncio.timeout(LIMIT_S):
                await server.came.wait()
        assert server.connects == 3


async def test_our_client_is_let_in_as_well() -> None:
    async with AdobeServer("cam", "p@ss word") as server:
        counts = Counts()
        await push(media("h264_aac"), server.url("cam:p%40ss%20word"), counts, fast=True)
        assert server.connects == 3
        assert server.messages == counts.tags > 0


@pytest.mark.parametrize(("login", "connects"), [("cam:wrong", 3), ("other:pass", 2), ("", 1)])
async def test_who_may_not_come_in_is_told_so_and_asks_no_more(login: str, connects: int) -> None:
    async with AdobeServer("cam", "pass") as server:
        with pytest.raises(RefusedNotAuthorized) as refused:
            await push(media("h264_aac"), server.url(login), Counts())
        assert server.connects == connects
    assert "pass" not in str(refused.value)
    assert "wrong" not in str(refused.value)
