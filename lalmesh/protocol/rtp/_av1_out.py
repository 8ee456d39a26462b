"""AV1 into RTP payloads (RTP Payload Format for AV1, §4, §5)."""

from __future__ import annotations

from lalmesh.codec.av1 import OBU_TEMPORAL_DELIMITER, Obu, parse_obus, write_leb128
from lalmesh.media import AccessUnit
from lalmesh.protocol.rtp._packetizer import MAX_PAYLOAD_BYTES, Payload

MAX_ELEMENTS = 3  #: of a packet, so that W counts them and the last needs no length

_CONTINUES, _IS_CONTINUED, _NEW_SEQUENCE = 0x80, 0x40, 0x08  # Z, Y and N


class Av1Packetizer:
    """One track. Packets are filled to the last byte, so all of a temporal unit but the last are of one size, or nearly."""

    def __init__(self, *, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        """Cut to payloads of `max_payload_bytes` at most."""
        self._max_bytes = max_payload_bytes

    def packetize(self, unit: AccessUnit) -> list[Payload]:
        """The payloads of a temporal unit; the last one has the marker. Temporal delimiters are left out (§5).

        Raises:
            RemoteProtocolError: an OBU that does not parse.
        """
        elements = [_element(obu) for obu in parse_obus(unit.payload) if obu.obu_type != OBU_TEMPORAL_DELIMITER]
        payloads: list[Payload] = []
        packet: list[bytes] = []
        continues = False
        for element in elements:
            at = 0
            while at < len(element):
                room = self._room(packet)
                if room <= 0:
                    payloads.append(_payload(packet, continues=continues))
                    packet, continues, room = [], False, self._room([])
                packet.append(element[at : at + room])
                at += room
                if at < len(element):
                    payloads.append(_payload(packet, continues=continues, is_continued=True))
                    packet, continues = [], True
        if packet:
            payloads.append(_payload(packet, continues=continues))
        return _marked(payloads, begins_sequence=unit.random_access)

    def _room(self, packet: list[bytes]) -> int:
        """Bytes that one more element may have, as the last of its packet."""
        if len(packet) == MAX_ELEMENTS:
            return 0
        return self._max_bytes - 1 - sum(len(write_leb128(len(element))) + len(element) for element in packet)


def _element(obu: Obu) -> bytes:
    """The OBU without its size, which the element has (§5)."""
    extension = obu.temporal_id << 5 | obu.spatial_id << 3
    header = bytes((obu.obu_type << 3 | 4, extension)) if extension else bytes((obu.obu_type << 3,))
    return header + obu.payload


def _payload(elements: list[bytes], *, continues: bool, is_continued: bool = False) -> Payload:
    """The aggregation header and the elements, each but the last behind its length (§4.4)."""
    header = len(elements) << 4 | (_CONTINUES if continues else 0) | (_IS_CONTINUED if is_continued else 0)
    sized = [part for element in elements[:-1] for part in (write_leb128(len(element)), element)]
    return Payload((bytes((header,)), *sized, elements[-1]))


def _marked(payloads: list[Payload], *, begins_sequence: bool) -> list[Payload]:
    if payloads:
        payloads[-1].marker = True
        if begins_sequence:
            header, *rest = payloads[0].parts
            payloads[0].parts = (bytes((header[0] | _NEW_SEQUENCE,)), *rest)
    return payloads
