"""A player over RTSP that keeps what comes as it came: each packet, when, and on which track."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from time import monotonic
from urllib.parse import urlsplit

from lalmesh.protocol.rtp import RtpPacket, SenderReport, parse_compound
from lalmesh.protocol.rtsp import Response
from lalmesh.protocol.sdp import MediaDescription, parse_session
from support.ports import LOOPBACK
from support.rtsp_talk import TCP, UDP, Talk

READ_BYTES = 1 << 16
RECEIVE_BYTES = 2 << 20  #: of a UDP socket: what is cached comes at four times real time
END_S = 0.2  #: after the connection's end, for datagrams that are on their way


@dataclass(slots=True)
class Arrival:
    """One RTP packet."""

    at_s: float  #: on a clock that only goes forward
    data: bytes
    packet: RtpPacket


@dataclass(slots=True)
class Played:
    """What one player got."""

    media: Sequence[MediaDescription] = ()  #: as it was described
    transports: list[str] = field(default_factory=list)  #: as the server answered, by track
    info: dict[int, tuple[int, int]] = field(default_factory=dict)  #: ``RTP-Info``: sequence number and time, by track
    packets: dict[int, list[Arrival]] = field(default_factory=dict)  #: by track, in the order in which they came
    rtcp: dict[int, list[bytes]] = field(default_factory=dict)  #: by track, likewise

    def take(self, track: int, is_rtcp: bool, data: bytes) -> None:
        """Keep a packet."""
        if is_rtcp:
            self.rtcp.setdefault(track, []).append(data)
        else:
            self.packets.setdefault(track, []).append(Arrival(monotonic(), data, RtpPacket.parse(data)))

    def reports(self, track: int) -> list[SenderReport]:
        """The sender reports of a track."""
        found = (packet for data in self.rtcp.get(track, ()) for packet in parse_compound(data).packets)
        return [packet for packet in found if isinstance(packet, SenderReport)]


async def play(url: str, *, by_udp: bool, first_channel: int = 0) -> Played:
    """Play all tracks until the server closes: by UDP, or among the messages on channels from `first_channel` on."""
    player = _Player(url)
    try:
        return await player.play(by_udp=by_udp, first_channel=first_channel)
    finally:
        player.close()


def told_first(answer: Response) -> dict[int, tuple[int, int]]:
    """Sequence number and time by track, as ``RTP-Info`` has them."""
    found = {}
    for part in answer.headers.options("rtp-info"):
        url, number, time = part.split(";")
        found[int(url[-1])] = int(number.partition("=")[2]), int(time.partition("=")[2])
    return found


class _Player:
    def __init__(self, url: str) -> None:
        self._url = url
        self._talk = Talk(url)
        self._transports: list[asyncio.BaseTransport] = []
        self._first_channel = 0
        self._played = Played()

    async def play(self, *, by_udp: bool, first_channel: int) -> Played:
        place, played, talk = urlsplit(self._url), self._played, self._talk
        self._reader, self._writer = await asyncio.open_connection(place.hostname, place.port)
        self._transports.append(self._writer.transport)
        self._first_channel = first_channel
        described = await self._ask(talk.request("DESCRIBE"))
        assert described.status == 200, described
        played.media = parse_session(described.body).media
        for track in range(len(played.media)):
            channel = first_channel + 2 * track
            way = await self._ports(track) if by_udp else TCP.format(channel, channel + 1)
            answer = await self._ask(talk.setup(way, f"/streamid={track}"))
            assert answer.status == 200, answer
            played.transports.append(answer.headers.get("transport"))
        answer = await self._ask(talk.request("PLAY"))
        assert answer.status == 200, answer
        played.info = told_first(answer)
        while await self._read():
            pass
        await asyncio.sleep(END_S if by_udp else 0)
        return played

    async def _ask(self, request: bytes) -> Response:
        self._writer.write(request)
        while (answer := self._talk.answer()) is None:
            assert await self._read(), "the connection was closed"
        return answer

    async def _read(self) -> bool:
        data = await self._reader.read(READ_BYTES)
        self._talk.take(data)
        for frame in self._talk.frames:
            track, is_rtcp = divmod(frame.channel - self._first_channel, 2)
            self._played.take(track, bool(is_rtcp), frame.payload)
        self._talk.frames.clear()
        return bool(data)

    async def _ports(self, track: int) -> str:
        """Two of ours: RTP has the lower one."""
        loop, made = asyncio.get_running_loop(), []
        for _ in range(2):
            transport, port = await loop.create_datagram_endpoint(_Port, (LOOPBACK, 0))
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
            self._transports.append(transport)
            made.append((transport.get_extra_info("sockname")[1], port))
        for is_rtcp, (_, port) in enumerate(sorted(made, key=itemgetter(0))):
            port.received = partial(self._played.take, track, bool(is_rtcp))
        return UDP.format(*sorted(number for number, _ in made))

    def close(self) -> None:
        for transport in self._transports:
            transport.close()


class _Port(asyncio.DatagramProtocol):
    received: Callable[[bytes], None]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received(data)
