"""What every packetizer offers: access units in, payloads of packets out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from lalmesh.media import AccessUnit
from lalmesh.protocol.rtp._packet import HEADER_BYTES, HeaderExtension

#: A whole packet, RTP header included: with UDP and IPv6 it leaves 52 bytes of an Ethernet frame to tunnels on the way.
MAX_PACKET_BYTES: Final = 1400
MAX_PAYLOAD_BYTES: Final = MAX_PACKET_BYTES - HEADER_BYTES

Chunk: TypeAlias = bytes | memoryview


@dataclass(slots=True)
class Payload:
    """What one packet carries behind its header, in pieces that are joined once."""

    parts: tuple[Chunk, ...]
    marker: bool = False
    later: int = 0  #: its RTP time after that of the unit, in ticks of the clock of the payload format
    extension: HeaderExtension | None = None


class Packetizer(Protocol):
    """Cuts the access units of one track into the payloads of packets. Keeps no state: every unit stands for itself."""

    def packetize(self, unit: AccessUnit) -> list[Payload]:
        """The payloads of a unit, in order; none of one that the format cannot carry.

        Raises:
            RemoteProtocolError: the unit is malformed.
        """
        ...
