"""AV1 out of RTP packets (RTP Payload Format for AV1, §4)."""

from __future__ import annotations

from typing import Final

from lalmesh.codec import build_track
from lalmesh.codec.av1 import (
    OBU_SEQUENCE_HEADER,
    OBU_TEMPORAL_DELIMITER,
    AV1CodecConfigurationRecord,
    Obu,
    is_random_access,
    parse_obus,
    read_leb128,
    serialize_obu,
)
from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError
from lalmesh.media import Codec, Track
from lalmesh.protocol.rtp._depacketizer import MAX_UNIT_BYTES, Depacketized, DepacketizerCounters, TimedUnit
from lalmesh.protocol.rtp._packet import RtpPacket

MAX_ELEMENTS: Final = 1024  #: OBU elements of one packet, and OBUs of one temporal unit

_SECTION = "AV1 RTP §4.4"
_CONTINUES, _IS_CONTINUED = 0x80, 0x40  # Z and Y
_OBU_TILE_GROUP, _OBU_TILE_LIST, _OBU_PADDING = 4, 8, 15


class Av1Depacketizer:
    """One track: OBUs put together to temporal units, with sizes and without temporal delimiters.

    A temporal unit of which a packet is missing is dropped and counted; those that follow are given, the first with `after_loss`.
    The track is known from the first sequence header on.
    """

    def __init__(self, track_id: int) -> None:
        """Start in the middle of a stream."""
        self.track: Track | None = None
        self.counters = DepacketizerCounters()
        self._track_id = track_id
        self._sequence_header = b""
        self._obus: list[bytes] = []  # whole ones, as they came
        self._fragment = bytearray()  # the begin of an OBU
        self._size = 0
        self._timestamp = 0
        self._is_open = False  # something of the unit at hand has come
        self._is_broken = False
        self._after_loss = False

    def feed(self, packet: RtpPacket) -> list[Depacketized]:
        """Take the next packet; the unit that is complete with it.

        Raises:
            RemoteProtocolError: its payload is malformed.
        """
        elements = _split_elements(packet.payload)
        given = self._end() if self._is_open and packet.timestamp != self._timestamp else []
        self._timestamp, self._is_open = packet.timestamp, True
        header = packet.payload[0]
        for index, element in enumerate(elements):
            continues = index == 0 and bool(header & _CONTINUES)
            is_continued = index == len(elements) - 1 and bool(header & _IS_CONTINUED)
            self._take(element, continues=continues, is_continued=is_continued)
        return given + self._end() if packet.marker else given

    def lost(self) -> None:
        """Packets are missing before the next one: of the unit at hand, or perhaps the begin of the next (its Z bit tells)."""
        self._after_loss = True
        self._is_broken = self._is_open
        self._fragment.clear()

    def flush(self) -> list[Depacketized]:
        """Give the unit at hand: nothing more comes."""
        return self._end() if self._is_open else []

    def _take(self, element: bytes, *, continues: bool, is_continued: bool) -> None:
        if continues != bool(self._fragment):
            self._is_broken = True
            self._fragment.clear()
            if continues:
                return
        self._size += len(element)
        if self._size > MAX_UNIT_BYTES or len(self._obus) >= MAX_ELEMENTS:
            self._is_broken = True
            self._fragment.clear()
        elif is_continued:
            self._fragment += element
        else:
            self._obus.append(bytes(self._fragment) + element)
            self._fragment.clear()

    def _end(self) -> list[Depacketized]:
        broken = self._is_broken or bool(self._fragment)
        obus, self._obus = self._obus, []
        self._size = 0
        self._is_open = self._is_broken = False
        self._fragment.clear()
        if not broken:
            try:
                return self._unit([obu for data in obus for obu in parse_obus(data)])
            except RemoteProtocolError:
                pass  # an OBU that does not parse is as good as lost
        self.counters.broken_units += 1
        self._after_loss = True
        return []

    def _unit(self, obus: list[Obu]) -> list[Depacketized]:
        """The temporal unit, behind the track if its sequence header changes that."""
        kept = [obu for obu in obus if obu.obu_type not in (OBU_TEMPORAL_DELIMITER, _OBU_TILE_LIST, _OBU_PADDING)]
        if not kept:
            return []
        if self._after_loss and kept[0].obu_type == _OBU_TILE_GROUP:  # the header of its frame is missing
            self.counters.broken_units += 1
            return []
        given = self._learn(next((obu.payload for obu in kept if obu.obu_type == OBU_SEQUENCE_HEADER), b""))
        if self.track is None:
            self.counters.unconfigured_units += 1
            return given
        payload = b"".join(map(serialize_obu, kept))
        after_loss, self._after_loss = self._after_loss, False
        given.append(TimedUnit(self._timestamp, payload, is_random_access(payload), after_loss))
        return given

    def _learn(self, sequence_header: bytes) -> list[Depacketized]:
        if not sequence_header or sequence_header == self._sequence_header:
            return []
        self._sequence_header = sequence_header
        try:
            record = AV1CodecConfigurationRecord.from_sequence_header(sequence_header)
            self.track = build_track(self._track_id, Codec.AV1, record.serialize())
        except (RemoteProtocolError, UnsupportedError):
            self.track = None
        return [self.track] if self.track is not None else []


def _split_elements(payload: bytes) -> list[bytes]:
    """The OBU elements of a payload (§4.3, §4.4): with W, as many, of which the last has no length; without, each has one."""
    if len(payload) < 2:
        raise RemoteProtocolError(f"AV1 payload of {len(payload)} bytes", section=_SECTION)
    wanted, at = payload[0] >> 4 & 3, 1
    elements: list[bytes] = []
    while at < len(payload):
        if len(elements) >= MAX_ELEMENTS:  # not after all are made: those that are too many cost the most
            raise LimitExceeded("OBU elements in a packet", len(elements) + 1, MAX_ELEMENTS, section=_SECTION, at=at)
        if wanted and len(elements) == wanted - 1:
            size = len(payload) - at
        else:
            size, at = read_leb128(payload, at)
        if not size <= len(payload) - at:
            raise RemoteProtocolError(f"OBU element of {size} bytes, {len(payload) - at} there", section=_SECTION, at=at)
        elements.append(payload[at : at + size])
        at += size
    if len(elements) < max(1, wanted):
        raise RemoteProtocolError(f"{len(elements)} OBU elements, {wanted} announced", section=_SECTION)
    return elements
