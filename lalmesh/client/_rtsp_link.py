"""One RTSP connection of a client: bytes between a socket and an `RtspClient`, packets between both and the media, timers.

No task lives here: what comes goes through the cores into a queue, and who waits is woken. The queue is bounded by not reading on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from typing import Final, Literal, assert_never

from lalmesh.client._destinations import is_denied
from lalmesh.client._errors import ConnectionFailed, rtsp_refusal
from lalmesh.client._link import MAX_QUEUED_BYTES, ClientLink, Mode
from lalmesh.client._rtsp_media import Report, RtspMedia
from lalmesh.client._rtsp_ways import PacketWays
from lalmesh.errors import LalmeshError, RemoteProtocolError, UnsupportedError
from lalmesh.protocol.rtsp import (
    Announced,
    ClientEvent,
    Described,
    Ended,
    Failed,
    FellBackToTcp,
    PacketReceived,
    Redirected,
    RtspClient,
    RtspUrl,
    Started,
    TrackRequest,
    TrackSetUp,
    Transport,
)

log = logging.getLogger(__name__)

US_PER_SECOND: Final = 1_000_000

#: whether packets go by UDP; ``try``: on the connection where the server does not do UDP
UdpChoice = Literal["no", "try", "only"]


class RtspLink(ClientLink):
    """One connection. Make it inside a running loop."""

    def __init__(
        self, client: RtspClient, media: RtspMedia, mode: Mode, *, url: RtspUrl, udp: UdpChoice, denied: Container[str] = ()
    ) -> None:
        """Set up what `media` wants of the stream at `url`, which `client` asks for; nothing is sent to `denied` addresses."""
        super().__init__(mode)
        self._client = client
        self._media = media
        self._url = url
        self._udp = udp
        self._denied = denied
        self._ways = PacketWays(self._gather, self._datagrams, sends=mode == "publish")
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = 0.0  # when it runs: uvloop's handle of one that is due at once does not say
        self._gathered: list[bytes] = []  # frames to be written in this turn of the loop
        self._heard = asyncio.Event()  # a packet came, or it is over

    @property
    def is_udp(self) -> bool:
        """Packets go by UDP."""
        return self._ways.is_udp

    # bytes

    def _feed(self, data: memoryview) -> None:
        now_s = self._loop.time()
        for event in self._client.feed(data, now_s):
            self._handle(event, now_s)
        self._after_turn()

    def _flush(self) -> None:
        data = self._client.data_to_send() + b"".join(self._gathered)
        self._gathered.clear()
        self._write(data)

    def _gather(self, frames: list[bytes]) -> None:
        if not self._gathered:
            self._loop.call_soon(self._flush)
        self._gathered += frames

    def _say_goodbye(self) -> None:
        self._send_reports(self._media.goodbyes())
        self._flush()  # before the session is over
        self._client.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, and the session with it: that of our servers and of most others is of one connection."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)
        self._ways.close()

    # the core

    def _handle(self, event: ClientEvent, now_s: float) -> None:
        match event:
            case PacketReceived(track, is_rtcp, payload):
                self._receive(track, (payload,), is_rtcp, now_s)
            case Described() | Announced():
                self._set_up(event)
            case TrackSetUp(track, transport):
                self._choose(track, transport)
            case FellBackToTcp():
                self._fall_back()
            case Started():
                self._begin(now_s)
            case Redirected(url, is_proxy):
                self._redirect(url, is_proxy=is_proxy)
            case Failed(method, status, reason):
                self._fail(rtsp_refusal(status, reason, method))
            case Ended(reason):
                self._over(reason)
            case _:
                assert_never(event)

    def _set_up(self, event: Described | Announced) -> None:
        wanted = self._media.wanted(event, self._url)
        requests = [TrackRequest(url) for url in wanted.urls]
        if self._udp != "no" and self._transport is not None:
            local = self._transport.get_extra_info("sockname")
            pairs = self._ways.open_ports(local, len(requests))
            requests = [TrackRequest(url, pair) for url, pair in zip(wanted.urls, pairs, strict=True)]
        self._client.setup(requests, url=wanted.url)

    def _choose(self, track: int, transport: Transport) -> None:
        if is_denied(transport.source, self._denied):
            raise RemoteProtocolError("packets from a network that must not be reached", section="RFC 2326 §12.39")
        if self._transport is not None:
            self._ways.choose(track, transport, self._transport.get_extra_info("peername"))
            self._media.set_up(track, is_udp=not transport.is_tcp)
            self._ways.punch()

    def _fall_back(self) -> None:
        if self._udp == "only":
            raise rtsp_refusal(461, "UDP is not possible", "SETUP")
        log.info("%s does not do UDP: taking the connection", self._url)
        self._ways.close()

    def _begin(self, now_s: float) -> None:
        self._ways.punch()
        self._send_reports(self._media.greetings(int(now_s * US_PER_SECOND)))
        self._start(None)

    def _redirect(self, url: str, *, is_proxy: bool) -> None:
        if is_proxy:
            raise UnsupportedError(f"RTSP through a proxy, {url}")
        if self.started.done():
            self._over(f"redirected to {url}")
        else:
            self._start(url)

    def _over(self, reason: str) -> None:
        if self._is_playing():
            self._end(reason)
        else:
            self._fail(ConnectionFailed(f"ended by the server: {reason}"))

    def _end(self, reason: str) -> None:
        if not self.ended:
            self._take_rest()
            with suppress(UnsupportedError):  # likewise
                self._media.flush(self._now_us())
        super()._end(reason)
        self._heard.set()

    def _fail(self, error: LalmeshError) -> None:
        super()._fail(error)
        self._heard.set()

    # packets and time

    def _now_us(self) -> int:
        return int(self._loop.time() * US_PER_SECOND)

    def _datagrams(self, track: int, datagrams: list[bytes], is_rtcp: bool) -> None:
        try:
            self._receive(track, datagrams, is_rtcp, self._loop.time())
        except UnsupportedError as error:
            self._fail(error)
            return
        self._after_turn()

    def _receive(self, track: int, packets: Sequence[bytes], is_rtcp: bool, now_s: float) -> None:
        now_us = int(now_s * US_PER_SECOND)
        for packet in packets:
            self._media.receive(track, packet, now_us, is_rtcp=is_rtcp)
        if not is_rtcp:
            self._heard.set()

    def _take_rest(self) -> None:
        """Nothing more comes: a goodbye, or the end of the connection, may have overtaken the last datagrams."""
        with suppress(UnsupportedError):  # it is over anyway
            for track, datagrams in self._ways.rest():
                self._receive(track, datagrams, False, self._loop.time())

    def _after_turn(self) -> None:
        if self._media.untaken_bytes:
            self._changed.set()
        if self._media.is_over:
            self._over("goodbye")
        if self._media.untaken_bytes > MAX_QUEUED_BYTES:
            self._pause_reading()
            self._ways.pause()
        with suppress(ConnectionFailed):  # it has ended then: a server that asks without end has to take what it is answered
            self._check_unsent()
        self._schedule()

    def _schedule(self) -> None:
        """Have the timer run when something is due; one that runs no later stays."""
        times_s = [self._client.next_timer_s]
        if (timer_us := self._media.next_timer_us) is not None:
            times_s.append(timer_us / US_PER_SECOND)
        due_s = min((time_s for time_s in times_s if time_s is not None), default=None)
        if due_s is None or self._transport is None:
            return
        if self._timer is not None:
            if self._timer_s <= due_s:
                return
            self._timer.cancel()
        self._timer, self._timer_s = self._loop.call_at(due_s, self._due), due_s

    def _due(self) -> None:
        self._timer = None
        self._client.handle_timer(self._loop.time())
        try:
            reports = self._media.handle_timer(self._now_us())
        except UnsupportedError as error:
            self._fail(error)
            return
        self._send_reports(reports)
        self._flush()
        self._after_turn()

    def _send_reports(self, reports: Iterable[Report]) -> None:
        for report in reports:
            self._ways.send(report.track, (report.data,), is_rtcp=True)

    # who uses it

    def send(self, track: int, packets: Iterable[bytes], *, is_rtcp: bool = False) -> None:
        """Publish packets of a track, in one write with what else is sent in this turn of the loop.

        Raises:
            LalmeshError: what ended the connection.
        """
        self.check()
        self._ways.send(track, packets, is_rtcp=is_rtcp)
        self._schedule()
        self._check_unsent()

    async def drain(self) -> None:
        """Wait until there is room to send.

        Raises:
            LalmeshError: what ended the connection.
        """
        self._flush()  # who sends and drains without end lets nobody else do it
        await self._ways.drain()
        await super().drain()

    async def hears(self, limit_s: float) -> bool:
        """Whether a packet came within `limit_s` seconds, or the connection ended, which is not for want of one."""
        try:
            async with asyncio.timeout(limit_s):
                await self._heard.wait()
        except TimeoutError:
            return False
        return True

    async def wait_untaken(self) -> None:
        """Wait until there is media to take, or the stream is over.

        Raises:
            LalmeshError: what ended the connection; raised only when there is no media before it.
        """
        while not self._media.untaken_bytes and not self.ended:
            self.check()
            self._read_on()
            self._changed.clear()
            await self._changed.wait()

    def _read_on(self) -> None:
        if self._paused:
            self._ways.resume()
        super()._read_on()
