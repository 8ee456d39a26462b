"""How the packets of an RTSP client go: on channels of the connection, or by UDP."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, TypeAlias

from lalmesh.client._rtsp_ports import SocketAddress, UdpPair
from lalmesh.errors import RemoteProtocolError
from lalmesh.protocol.rtp import RtpPacket
from lalmesh.protocol.rtsp import Pair, Transport, serialize_frame

#: A packet without payload, which nobody takes for media. It goes out before any comes in, so that routers let those in.
HOLE_PUNCH: Final = RtpPacket(0, 0, 0, 0, marker=False, payload=b"").serialize()

Receive: TypeAlias = Callable[[int, list[bytes], bool], None]  #: index of the track, datagrams, whether they are RTCP


class PacketWays:
    """The way of each track. Make it inside a running loop."""

    def __init__(self, write: Callable[[list[bytes]], None], receive: Receive, *, sends: bool) -> None:
        """Give frames of the connection to `write`, and what comes by UDP to `receive`; `sends`: media go out."""
        self._sends = sends
        self._write = write
        self._receive = receive
        self._pairs: list[UdpPair] = []
        self._channels: dict[int, Pair] = {}

    @property
    def is_udp(self) -> bool:
        """Packets go by UDP."""
        return bool(self._pairs)

    def open_ports(self, local: SocketAddress, count: int) -> list[Pair]:
        """Ports of `local` for `count` tracks, from which and to which their packets go.

        Raises:
            ConnectionFailed: there are not enough.
        """
        for track in range(count):
            self._pairs.append(UdpPair(local, partial(self._receive, track)))
        return [pair.ports for pair in self._pairs]

    def choose(self, track: int, transport: Transport, server: SocketAddress) -> None:
        """Let the packets of `track` go as the server at `server` says.

        Raises:
            RemoteProtocolError: it is not what was asked for.
        """
        if transport.is_tcp != (not self._pairs):
            raise RemoteProtocolError(f"track {track} by {transport.serialize()[:80]}", section="RFC 2326 §12.39")
        if self._pairs:
            self._pairs[track].connect(server, transport)
            self._check_ports(track)
        else:
            self._channels[track] = transport.interleaved or (2 * track, 2 * track + 1)

    def _check_ports(self, track: int) -> None:
        """Who plays may be left without ports to send to."""
        if self._sends and not self._pairs[track].is_connected:
            raise RemoteProtocolError(f"track {track} by UDP without server ports", section="RFC 2326 §12.39")

    def punch(self) -> None:
        """Send something from each RTP port, unless media do anyway."""
        for pair in self._pairs if not self._sends else ():
            pair.send((HOLE_PUNCH,))

    def send(self, track: int, packets: Iterable[bytes], *, is_rtcp: bool = False) -> None:
        """Send packets of a track."""
        if self._pairs:
            self._pairs[track].send(packets, is_rtcp=is_rtcp)
        elif track in self._channels:
            channel = self._channels[track][is_rtcp]
            self._write([serialize_frame(channel, packet) for packet in packets])

    async def drain(self) -> None:
        """Wait until no datagram waits for the kernel."""
        for pair in self._pairs:
            await pair.drain()

    def rest(self) -> list[tuple[int, list[bytes]]]:
        """The RTP packets of each track that have come by UDP and were not read yet."""
        return [(track, pair.rest()) for track, pair in enumerate(self._pairs)]

    def pause(self) -> None:
        """Leave what comes by UDP to the kernel."""
        for pair in self._pairs:
            pair.pause()

    def resume(self) -> None:
        """Take it."""
        for pair in self._pairs:
            pair.resume()

    def close(self) -> None:
        """Give the ports back: packets go on the connection, if it goes on."""
        for pair in self._pairs:
            pair.close()
        self._pairs.clear()
