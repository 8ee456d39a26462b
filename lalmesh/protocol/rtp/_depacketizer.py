"""What every depacketizer offers: payloads of packets in, access units with their RTP timestamps out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from lalmesh.media import Track
from lalmesh.protocol.rtp._packet import RtpPacket

MAX_UNIT_BYTES: Final = 16 << 20  #: as of a picture in a transport stream: twice the largest NALU


@dataclass(slots=True)
class TimedUnit:
    """One access unit whose time is still that of its packets. Treated as immutable."""

    timestamp: int  #: RTP timestamp, 32 bits of the clock of the payload format
    payload: bytes  #: as `AccessUnit.payload`
    random_access: bool = True
    after_loss: bool = False  #: something is missing between the unit before and this one


Depacketized: TypeAlias = Track | TimedUnit  #: a track comes before the units that belong to it; its version is always 0


@dataclass(slots=True)
class DepacketizerCounters:
    """What was passed over."""

    broken_units: int = 0  #: parts of them were lost
    unconfigured_units: int = 0  #: came before the configuration that they need
    ignored: int = 0  #: payloads, or parts of them, of a kind that the format reserves, or that are not carried here
    unmarked_ends: int = 0  #: units that went on behind the packet that was marked as their last


class Depacketizer(Protocol):
    """Puts the access units of one track together, out of packets in order."""

    @property
    def counters(self) -> DepacketizerCounters:
        """What was passed over so far."""
        ...

    @property
    def track(self) -> Track | None:
        """The track as far as it is known: by the session description, then by what came. None: not enough is known yet."""
        ...

    def feed(self, packet: RtpPacket) -> list[Depacketized]:
        """Take the next packet; what is complete with it.

        Raises:
            RemoteProtocolError: its payload is malformed. Nothing of it was taken: go on as if the packet were lost.
            UnsupportedError: the stream needs what is not implemented, such as interleaved AAC.
        """
        ...

    def lost(self) -> None:
        """Packets are missing before the next one: the unit that they may belong to is dropped and counted."""
        ...

    def flush(self) -> list[Depacketized]:
        """Give what is complete as far as anybody can tell: nothing more comes."""
        ...
