"""How long a session may take to begin, and what is said of one that does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest
from support.virtual_time import in_virtual_time

from lalmesh.client import ClientOptions, TimedOut
from lalmesh.client._link import Mode
from lalmesh.client.load._begin import begin
from lalmesh.client.load._rtsp_talk import rtsp_player, rtsp_publisher
from lalmesh.client.load._talks import RtmpTalk, Talk
from lalmesh.client.load._wire import Dialler, Wire

OPTIONS = ClientOptions(handshake_timeout_s=15, first_media_timeout_s=10)


class Silent(Dialler):
    """A server that lets everybody connect, and says nothing; it is dialler and connection in one."""

    async def dial(self, host: str, port: int, *, tls: bool) -> Wire:
        return cast(Wire, self)

    def on_readable(self, call: object) -> None:
        """Nothing comes."""

    def send(self, data: bytes) -> bool:
        return True

    def read(self) -> bytes | None:
        return None

    def close(self) -> None:
        """It is given up."""


Make = Callable[[str, Talk | None], Talk]

RTMP, RTSP = "rtmp://h/live/a", "rtsp://h/live/a"
TALKS: dict[str, tuple[Mode, str, Make]] = {
    "RTMP, published": ("publish", RTMP, lambda url, _: RtmpTalk(url, "publish")),
    "RTSP, published": ("publish", RTSP, lambda url, _: rtsp_publisher(url, b"", (), None)),
    "RTMP, played": ("play", RTMP, lambda url, _: RtmpTalk(url, "play")),
    "RTSP, played": ("play", RTSP, lambda url, _: rtsp_player(url, None)),
}


@pytest.mark.parametrize(("mode", "url", "make"), TALKS.values(), ids=TALKS)
@in_virtual_time
async def test_a_server_that_never_answers_is_told_by_what_was_waited_for(mode: Mode, url: str, make: Make) -> None:
    what, limit_s = ("answer to publish", 15) if mode == "publish" else ("first media", 25)
    began_s = asyncio.get_running_loop().time()
    with pytest.raises(TimedOut, match=f"no {what} within {limit_s} s"):
        await begin(url, mode, make, Silent(OPTIONS), lambda events, size, now_s: None)
    assert asyncio.get_running_loop().time() - began_s == pytest.approx(limit_s)
