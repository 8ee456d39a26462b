"""An RTSP server for one stream, on the core of the project."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lalmesh.client._rtsp_receiving import RtspReceiving
from lalmesh.client._rtsp_sending import RtspSending
from lalmesh.container.flv import Tag
from lalmesh.protocol.http_auth import ServerAuth, Verdict, parse_credentials
from lalmesh.protocol.rtp import ReceiverSettings, is_rtcp
from lalmesh.protocol.rtsp import (
    AnnounceRequested,
    Described,
    DescribeRequested,
    PacketReceived,
    PlayRequested,
    RecordRequested,
    RtspServer,
    RtspUrl,
    ServerEvent,
    SetupRequested,
    TornDown,
    Transport,
    serialize_frame,
)
from lalmesh.protocol.sdp import parse_session
from support.ports import LOOPBACK
from support.pulled import units_of
from support.udp_relay import udp_pair


class StreamServer:
    """A whole RTSP server for one stream: keeps what is published to it, plays what is in a file, refuses as it is told."""

    def __init__(
        self, to_play: list[Tag] | None = None, *, refuse: int = 0, redirect: str = "", login: tuple[str, str] | None = None
    ) -> None:
        self.to_play = to_play or []
        self.refuse = refuse
        self.redirect = redirect
        self.login = login
        self.auth = ServerAuth("test", b"0" * 16)
        self.description = b""
        self.packets: list[tuple[int, bytes]] = []
        self.reports: list[tuple[int, bytes]] = []
        self.requests: list[str] = []
        self.began = asyncio.Event()
        self.over = asyncio.Event()
        self.port = 0
        self.ports: list[tuple[socket.socket, socket.socket]] = []
        self.writers: list[asyncio.StreamWriter] = []

    def url(self, login: str = "", scheme: str = "rtsp") -> str:
        """Of its stream, whatever its name."""
        return f"{scheme}://{login}localhost:{self.port}/live/test"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to one client."""
        core, loop = RtspServer(os.urandom), asyncio.get_running_loop()
        self.writers.append(writer)
        try:
            while data := await reader.read(65536):
                played: list[bytes] = []
                for event in core.feed(data, loop.time()):
                    played += self.handle(core, event)
                writer.write(core.data_to_send() + b"".join(played))
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def handle(self, core: RtspServer, event: ServerEvent) -> list[bytes]:
        match event:
            case DescribeRequested() | AnnounceRequested():
                self.begin(core, event)
            case SetupRequested(transports=(first, *_), track=track):
                assert track is not None
                core.accept_setup(first if first.is_tcp else self.open_ports(track, first))
            case RecordRequested():
                core.accept_record()
            case PlayRequested():
                core.accept_play()
                return self.play(core)
            case PacketReceived(track, is_rtcp_packet, payload):
                self.take(track, payload, is_rtcp_packet)
            case TornDown():
                self.over.set()
        return []

    def begin(self, core: RtspServer, event: DescribeRequested | AnnounceRequested) -> None:
        self.requests.append(event.request.method)
        if self.login is not None and not self.knows(event):
            challenges = self.auth.challenges(time.time())
            core.reject(401, *(("WWW-Authenticate", challenge) for challenge in challenges))
        elif self.redirect:
            core.reject(302, ("Location", self.redirect))
        elif self.refuse:
            core.reject(self.refuse)
        elif isinstance(event, AnnounceRequested):
            self.description = event.description
            core.accept_announce([section.control for section in parse_session(event.description).media])
        else:
            sending = RtspSending(units_of(self.to_play)[0], os.urandom)
            core.accept_describe(sending.description, [section.control for section in parse_session(sending.description).media])

    def knows(self, event: DescribeRequested | AnnounceRequested) -> bool:
        header = event.request.headers.get("authorization")
        if not header or self.login is None:
            return False
        shown, (user, password) = parse_credentials(header), self.login
        known = password if shown.user == user else None
        verdict = self.auth.check(shown, known, method=event.request.method, uri=event.request.uri, now_s=time.time())
        return verdict is Verdict.ACCEPTED

    def open_ports(self, track: int, asked: Transport) -> Transport:
        assert asked.client_port is not None
        pair = udp_pair()
        self.ports.append(pair)
        for sock, is_rtcp_port in zip(pair, (False, True), strict=True):
            asyncio.get_running_loop().add_reader(sock, self.read, sock, track, is_rtcp_port)
        port = pair[0].getsockname()[1]
        return Transport(client_port=asked.client_port, server_port=(port, port + 1), mode=asked.mode)

    def read(self, sock: socket.socket, track: int, is_rtcp_port: bool) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.take(track, sock.recv(65536), is_rtcp_port)

    def take(self, track: int, packet: bytes, is_rtcp_packet: bool) -> None:
        assert is_rtcp(packet) == is_rtcp_packet
        if is_rtcp_packet:
            self.reports.append((track, packet))
        else:
            self.packets.append((track, packet))
            self.began.set()

    def play(self, core: RtspServer) -> list[bytes]:
        """All at once: on the connection what comes back, by UDP as datagrams."""
        sending, frames = RtspSending(units_of(self.to_play)[0], os.urandom), list[bytes]()
        for tag in self.to_play:
            for given in sending.package(tag.type_id, tag.timestamp_ms, tag.body, 0):
                transport = core.transports[given.track]
                for packet in given.packets:
                    if transport.interleaved is not None:
                        frames.append(serialize_frame(transport.interleaved[given.is_rtcp], packet))
                    elif transport.client_port is not None:
                        sock = self.ports[given.track][given.is_rtcp]
                        sock.sendto(packet, (LOOPBACK, transport.client_port[given.is_rtcp]))
        return frames

    def published(self) -> list[Tag]:
        """What was published, as tags."""
        receiving = RtspReceiving(ReceiverSettings(), os.urandom)
        url = RtspUrl.parse("rtsp://host/")
        for track in range(len(receiving.wanted(Described(description=self.description, base_url=str(url)), url).urls)):
            receiving.set_up(track, is_udp=True)
        for track, report in self.reports:
            receiving.receive(track, report, 0, is_rtcp=True)
        for track, packet in self.packets:
            receiving.receive(track, packet, 0, is_rtcp=False)
        receiving.flush(0)
        return receiving.tags.take()

    def close(self) -> None:
        for pair in self.ports:
            for sock in pair:
                asyncio.get_running_loop().remove_reader(sock)
                sock.close()


@asynccontextmanager
async def listening(server: StreamServer, tls: ssl.SSLContext | None = None) -> AsyncIterator[StreamServer]:
    listener = await asyncio.start_server(server.serve, LOOPBACK, 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        async with listener:
            yield server
    finally:
        server.close()
