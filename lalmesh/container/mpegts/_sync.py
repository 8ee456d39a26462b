"""Transport packets out of a stream of bytes, which may have lost its place (ISO/IEC 13818-1 §2.4.3.2, Annex G)."""

from __future__ import annotations

from lalmesh.container.mpegts._constants import PACKET_BYTES, SYNC_BYTE


class PacketReader:
    """Cut a stream into packets. Between calls it holds less than two packets.

    Where a sync byte is missing, it looks for two that are one packet apart.
    """

    __slots__ = ("_buffer", "_in_sync", "lost_bytes")

    def __init__(self) -> None:
        """Take the first byte for the start of a packet."""
        self._buffer = bytearray()
        self._in_sync = True
        self.lost_bytes = 0  #: that belonged to no packet

    def feed(self, data: bytes) -> None:
        """Take `data` in."""
        self._buffer += data

    def next_packet(self) -> bytes | None:
        """The next packet; None where it is not whole yet."""
        buffer = self._buffer
        if len(buffer) < PACKET_BYTES or not self._find():
            return None
        packet = bytes(buffer[:PACKET_BYTES])
        del buffer[:PACKET_BYTES]
        return packet

    def _find(self) -> bool:
        """Whether the buffer now begins with a packet."""
        buffer = self._buffer
        if self._in_sync and buffer[0] == SYNC_BYTE:
            return True
        at = buffer.find(SYNC_BYTE)
        while 0 <= at < len(buffer) - PACKET_BYTES and buffer[at + PACKET_BYTES] != SYNC_BYTE:
            at = buffer.find(SYNC_BYTE, at + 1)
        if at < 0:
            at = len(buffer)
        self._in_sync = at < len(buffer) - PACKET_BYTES
        self.lost_bytes += at
        del buffer[:at]
        return self._in_sync
