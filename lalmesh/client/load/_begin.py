"""How a session begins: dial, talk, follow where the server sends us, until media flow or there is a reason why they do not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from lalmesh.client._errors import ConnectionFailed, Refused, TimedOut
from lalmesh.client._link import Mode
from lalmesh.client._options import ClientOptions
from lalmesh.client.load._rtsp_talk import Ports, RtspTalk
from lalmesh.client.load._talks import RtmpTalk, Talk
from lalmesh.client.load._wire import Dialler, Wire
from lalmesh.media import MediaEvent

_Talk = TypeVar("_Talk", bound=Talk)

#: Makes the talk for a URL; the second is the one before, where the server only asked who we are.
MakeTalk = Callable[[str, _Talk | None], _Talk]
Take = Callable[[list[MediaEvent], int, float], None]  #: media, bytes that they came in, and when


async def begin(url: str, mode: Mode, make: MakeTalk[_Talk], dialler: Dialler, take: Take) -> tuple[Wire, _Talk]:
    """A connection on which media flow, or may; those that came with the first read of them have been given to `take`.

    Raises:
        LalmeshError: they do not.
    """
    options, before, redirects = dialler.options, None, 0
    while redirects <= options.max_redirects:
        talk = make(url, before)
        wire = await dialler.dial(talk.host, talk.port, tls=talk.is_encrypted)
        try:
            await _converse(wire, talk, *_awaited(mode, options), take)
        except Refused as refused:
            drop(wire, talk)
            if not isinstance(talk, RtmpTalk) or not talk.may_ask_again(refused):
                raise
            before = talk
            continue
        except BaseException:
            drop(wire, talk)
            raise
        if talk.has_begun:
            return wire, talk
        drop(wire, talk)
        url, before, redirects = talk.redirect, None, redirects + 1
    raise ConnectionFailed(f"over {options.max_redirects} redirects")


def drop(wire: Wire, talk: Talk) -> None:
    """Give a connection up, and the ports of its packets."""
    if isinstance(talk, RtspTalk) and talk.ports is not None:
        talk.ports.close()
    wire.close()


def _awaited(mode: Mode, options: ClientOptions) -> tuple[str, float]:
    """What has to come, and within how many seconds."""
    if mode == "publish":
        return "answer to publish", options.handshake_timeout_s
    return "first media", options.handshake_timeout_s + options.first_media_timeout_s


async def _converse(wire: Wire, talk: Talk, awaited: str, limit_s: float, take: Take) -> None:
    """Talk until media flow, or may, or the server has sent us elsewhere."""
    woken = asyncio.Event()
    failure: list[Exception] = []
    if isinstance(talk, RtspTalk) and talk.ports is not None:
        _hear_ports(talk, talk.ports, wire, take, woken, failure)
    wire.on_readable(woken.set)
    wire.send(talk.data_to_send())
    try:
        async with asyncio.timeout(limit_s):
            while not (talk.has_begun or talk.redirect or talk.ended):
                if failure:
                    raise failure[0]
                data = _read(wire, talk)
                if data is None:
                    woken.clear()
                    await woken.wait()
                    continue
                now_s = time.monotonic()
                take(talk.feed(data, now_s), len(data), now_s)
                wire.send(talk.data_to_send())
    except TimeoutError:
        talk.no_more()
        raise TimedOut(awaited, limit_s) from None
    finally:
        wire.on_readable(None)
    if talk.ended and not talk.has_begun:
        raise ConnectionFailed(talk.ended)


def _read(wire: Wire, talk: Talk) -> bytes | None:
    try:
        return wire.read()
    except ConnectionFailed:
        talk.no_more()
        raise


def _hear_ports(talk: RtspTalk, ports: Ports, wire: Wire, take: Take, woken: asyncio.Event, failure: list[Exception]) -> None:
    """What comes by UDP goes to `talk`, for as long as the ports are read."""

    def hear(track: int, packets: list[bytes], is_rtcp: bool) -> None:
        now_s = time.monotonic()
        try:
            events = talk.receive(track, packets, now_s, is_rtcp=is_rtcp)
        except Exception as error:  # raised where somebody waits
            failure.append(error)
        else:
            take(events, sum(map(len, packets)), now_s)
        woken.set()

    ports.connected(wire.local, wire.peer, hear)
