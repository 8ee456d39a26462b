"""A player by UDP, and who dropped something on the way to it: its own sockets, the kernel between two sockets, the edge.

None of them is wrong to do so where it has no room. Where none of them did, nothing may be missing.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from e2e.soak.samples import counter
from support.cluster import Node
from support.recorder import STALL_S, Recorder

from lalmesh.client import ClientOptions, RtspPlayer
from lalmesh.container.flv import BodyDemuxer

#: asm-generic/socket.h, which Python does not name; what it tells are the nine numbers of linux/sock_diag.h
SO_MEMINFO = 55
_MEMINFO = struct.Struct("=9I")
_DROPS = 8  #: datagrams that there was no room for
SOFTNET = Path("/proc/net/softnet_stat")
_SOFTNET_DROPPED = 1  #: column: packets that came faster than a processor took them from its queue, 1,000 by default
UNSENT = "edge_udp_unsent_total"
BY_UDP = ClientOptions(rtsp_transport="udp", first_media_timeout_s=STALL_S, stall_timeout_s=STALL_S)


class DatagramRecorder(Recorder):
    """RTSP by UDP."""

    def __init__(self, name: str, url: str) -> None:
        """As `Recorder`."""
        super().__init__(name, url)
        self.dropped = 0  #: datagrams of media that its sockets had no room for, once it has left

    async def _play(self) -> None:
        demuxer = BodyDemuxer()
        async with RtspPlayer(self.url, BY_UDP) as player:
            assert player._link is not None
            sockets = [pair.rtp for pair in player._link._ways._pairs]
            try:
                async for tag in player:
                    self._note(demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body), demuxer)
                self.ended = player.end_reason
            finally:
                self.dropped = sum(map(dropped_by, sockets))


def dropped_by(sock: socket.socket) -> int:
    """Datagrams that a socket had no room for; 0 of one that is closed, as where the server ended it, which is told of anyway."""
    if sock.fileno() < 0:
        return 0
    told: int = _MEMINFO.unpack(sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size))[_DROPS]
    return told


def dropped_before(edge: Node) -> int:
    """Packets that an edge could not send so far, and those, whosever, that the kernel has dropped between sockets."""
    return int(counter(edge.metrics(), UNSENT)) + between_sockets(SOFTNET.read_text())


def between_sockets(text: str) -> int:
    """What `SOFTNET` says was dropped: a line of hexadecimal numbers for each processor."""
    return sum(int(line.split()[_SOFTNET_DROPPED], 16) for line in text.splitlines())
