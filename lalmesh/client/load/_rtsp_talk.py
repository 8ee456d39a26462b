"""Playing and publishing by RTSP: the talk, and the ports that packets go through where they do not go on the connection."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Final, assert_never

from lalmesh.client._errors import ConnectionFailed, rtsp_refusal
from lalmesh.client._link import Mode
from lalmesh.client._rtsp_dial import parse_rtsp_url, redirected
from lalmesh.client._rtsp_link import US_PER_SECOND
from lalmesh.client._rtsp_media import RtspMedia, Wanted
from lalmesh.client._rtsp_ports import SocketAddress, UdpPair
from lalmesh.client._rtsp_receiving import RtspReceiving
from lalmesh.client._rtsp_ways import HOLE_PUNCH
from lalmesh.client._source import EventQueue
from lalmesh.client.load._http_answer import EndlessAnswer
from lalmesh.client.load._http_reading import HttpUrl
from lalmesh.client.load._logins import with_login
from lalmesh.client.load._talks import DEMUXERS, Talk
from lalmesh.errors import UnsupportedError
from lalmesh.media import MediaEvent
from lalmesh.protocol.http_auth import ClientAuth
from lalmesh.protocol.rtp import ReceiverSettings
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
    resolve_control,
    serialize_frame,
)

UNSUPPORTED_TRANSPORT: Final = 461
SUBPROTOCOL: Final = "rtsp"  #: of a WebSocket that carries it


class Ports:
    """UDP ports of one session, a pair for each track. Made before it is known where the server is."""

    def __init__(self) -> None:
        """Open none yet."""
        self.pairs: list[UdpPair] = []
        self._receive: Callable[[int, list[bytes], bool], None] = lambda track, packets, is_rtcp: None
        self._local: SocketAddress = ("", 0)
        self._server: SocketAddress = ("", 0)

    def connected(self, local: SocketAddress, server: SocketAddress, receive: Callable[[int, list[bytes], bool], None]) -> None:
        """The connection is between these; what comes is for `receive`: index of the track, packets, whether they are RTCP."""
        self._local, self._server, self._receive = local, server, receive

    def open(self, count: int) -> list[tuple[int, int]]:
        """Ports for so many tracks."""
        for track in range(count):
            self.pairs.append(UdpPair(self._local, partial(self._hear, track)))
        return [pair.ports for pair in self.pairs]

    def _hear(self, track: int, packets: list[bytes], is_rtcp: bool) -> None:
        self._receive(track, packets, is_rtcp)

    def choose(self, event: TrackSetUp, *, punches: bool) -> None:
        """The server chose its ports."""
        pair = self.pairs[event.track]
        pair.connect(self._server, event.transport)
        if punches:
            pair.send((HOLE_PUNCH,))

    def close(self) -> None:
        """Give them back."""
        for pair in self.pairs:
            pair.close()
        self.pairs.clear()


class RtspPublishing(RtspMedia):
    """The media of a publisher whose packets are made elsewhere."""

    def __init__(self, description: bytes, controls: Iterable[str]) -> None:
        """Describe them so."""
        self._description = description
        self._controls = tuple(controls)

    @property
    def description(self) -> bytes:
        """As `RtspMedia.description`."""
        return self._description

    def wanted(self, event: Described | Announced, url: RtspUrl) -> Wanted:
        """As `RtspMedia.wanted`."""
        return Wanted(tuple(resolve_control(str(url), control) for control in self._controls))

    def set_up(self, track: int, *, is_udp: bool) -> None:
        """As `RtspMedia.set_up`."""

    def receive(self, track: int, data: bytes, now_us: int, *, is_rtcp: bool) -> None:
        """As `RtspMedia.receive`: what servers report is not looked at."""

    def flush(self, now_us: int) -> None:
        """As `RtspMedia.flush`."""


class RtspTalk(Talk):
    """Does what `media` wants of the stream at a URL."""

    def __init__(self, url: str, mode: Mode, media: RtspMedia, queue: EventQueue, ports: Ports | None) -> None:
        """Ask; packets go on the connection, or through `ports`. What is played comes to `queue`.

        Raises:
            InvalidUrl, UnsupportedError: it is no such URL.
        """
        super().__init__()
        self._url = parse_rtsp_url(url)
        self.host, self.port, self.is_encrypted = self._url.host, self._url.port, self._url.tls
        if ports is not None and self.is_encrypted:
            raise UnsupportedError("RTSPS with packets by UDP, which nothing encrypts")
        self.ports = ports
        self._mode = mode
        self._media = media
        self._queue = queue
        auth = ClientAuth(self._url.user, self._url.password, os.urandom) if self._url.user else None
        self._client = RtspClient(self._url, mode, description=media.description, auth=auth)
        self._reports: list[bytes] = []

    def feed(self, data: bytes, now_s: float) -> list[MediaEvent]:
        """As `Talk.feed`."""
        for event in self._client.feed(data, now_s):
            self._handle(event, now_s)
        return self._note(self._queue.take())

    def receive(self, track: int, packets: list[bytes], now_s: float, *, is_rtcp: bool) -> list[MediaEvent]:
        """Take packets that came by UDP; the media in them."""
        for packet in packets:
            self._media.receive(track, packet, int(now_s * US_PER_SECOND), is_rtcp=is_rtcp)
        return self._note(self._queue.take())

    def handle_timer(self, now_s: float) -> list[MediaEvent]:
        """Do what is due: give what waited for lost packets, and report how tracks come. To be called often by who looks."""
        due_us = self._media.next_timer_us
        if due_us is not None and due_us <= int(now_s * US_PER_SECOND):
            for report in self._media.handle_timer(int(now_s * US_PER_SECOND)):
                if self.ports is not None:
                    self.ports.pairs[report.track].send((report.data,), is_rtcp=True)
                else:
                    self._reports.append(serialize_frame(2 * report.track + 1, report.data))
        return self._note(self._queue.take())

    def _handle(self, event: ClientEvent, now_s: float) -> None:
        match event:
            case PacketReceived(track, is_rtcp, payload):
                self._media.receive(track, payload, int(now_s * US_PER_SECOND), is_rtcp=is_rtcp)
            case Described() | Announced():
                self._set_up(event)
            case TrackSetUp(track, transport):
                self._media.set_up(track, is_udp=not transport.is_tcp)
                if self.ports is not None:
                    self.ports.choose(event, punches=self._mode == "play")
            case FellBackToTcp():
                raise rtsp_refusal(UNSUPPORTED_TRANSPORT, "UDP is not possible", "SETUP")
            case Started():
                self.has_begun = self._mode == "publish"
            case Redirected(url):
                target = redirected(self._url, url)
                self.redirect = with_login(str(target), target.user, target.password)
            case Failed(method, status, reason):
                raise rtsp_refusal(status, reason, method)
            case Ended(reason):
                if not self.has_begun:
                    raise ConnectionFailed(f"ended by the server: {reason}")
                self.ended = reason
            case _:
                assert_never(event)

    def _set_up(self, event: Described | Announced) -> None:
        wanted = self._media.wanted(event, self._url)
        requests = [TrackRequest(url) for url in wanted.urls]
        if self.ports is not None:
            pairs = self.ports.open(len(requests))
            requests = [TrackRequest(url, pair) for url, pair in zip(wanted.urls, pairs, strict=True)]
        self._client.setup(requests, url=wanted.url)

    def data_to_send(self) -> bytes:
        """As `Talk.data_to_send`."""
        reports, self._reports = self._reports, []
        return self._client.data_to_send() + b"".join(reports)

    def sign_of_life(self, received_bytes: int, now_s: float) -> bytes:
        """As `Talk.sign_of_life`."""
        self._client.handle_timer(now_s)
        return self.data_to_send()

    def goodbye(self) -> bytes:
        """As `Talk.goodbye`."""
        self._client.close()
        return self.data_to_send()


class RtspSocketTalk(RtspTalk):
    """The same inside a WebSocket, as binary messages in both directions: where one begins or ends says nothing."""

    def __init__(self, url: str, mode: Mode, media: RtspMedia, queue: EventQueue) -> None:
        """Ask at a URL of WebSocket for the stream that its path names; a login is for RTSP alone, which need not send it bare.

        Raises:
            InvalidUrl: it is no such URL.
        """
        where = HttpUrl.parse(url)
        scheme = "rtsps" if where.is_encrypted else "rtsp"
        inner = f"{scheme}://{where.host_and_port}{where.target}"
        super().__init__(with_login(inner, where.user, where.password), mode, media, queue, None)
        self._answer = EndlessAnswer(replace(where, user="", password=""), subprotocol=SUBPROTOCOL)

    def feed(self, data: bytes, now_s: float) -> list[MediaEvent]:
        """As `Talk.feed`."""
        events = super().feed(self._answer.feed(data), now_s)
        self.redirect = self.redirect or self._answer.redirect
        if self._answer.ended and not self.has_begun:
            raise ConnectionFailed(self._answer.ended)
        self.ended = self.ended or self._answer.ended
        return events

    def no_more(self) -> None:
        """As `Talk.no_more`."""
        self._answer.no_more()

    def data_to_send(self) -> bytes:
        """As `Talk.data_to_send`."""
        if self._answer.is_open and (data := super().data_to_send()):
            self._answer.send(data)
        return self._answer.data_to_send()


def is_rtsp_socket(url: str) -> bool:
    """Whether it is of RTSP over WebSocket, and not of one that carries what its path ends in."""
    return url.startswith(("ws://", "wss://")) and not HttpUrl.parse(url).path.endswith((*DEMUXERS, ".m3u8"))


def rtsp_player(url: str, ports: Ports | None) -> RtspTalk:
    """The talk of a player; by WebSocket packets go on the connection, whatever `ports` are."""
    queue = EventQueue()
    media = RtspReceiving(ReceiverSettings(), os.urandom, queue)
    return RtspTalk(url, "play", media, queue, ports) if url.startswith("rtsp") else RtspSocketTalk(url, "play", media, queue)


def rtsp_publisher(url: str, description: bytes, controls: Iterable[str], ports: Ports | None) -> RtspTalk:
    """The talk of a publisher of what is described; of `ports` as with `rtsp_player`."""
    queue, media = EventQueue(), RtspPublishing(description, controls)
    return RtspTalk(url, "publish", media, queue, ports) if url.startswith("rtsp") else RtspSocketTalk(url, "publish", media, queue)
