"""H.264 and H.265 out of RTP packets (RFC 6184, RFC 7798)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lalmesh.codec.nalu import MAX_NALU_BYTES, join_avcc
from lalmesh.codec.nalu_codecs import NaluCodec
from lalmesh.codec.parameter_sets import ParameterSetStore
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import Track, wrap
from lalmesh.protocol.rtp._depacketizer import Depacketized, DepacketizerCounters, TimedUnit
from lalmesh.protocol.rtp._interleaving import Deinterleaver
from lalmesh.protocol.rtp._nalus import NaluParser, Part, Piece
from lalmesh.protocol.rtp._packet import RtpPacket
from lalmesh.protocol.rtp._pictures import Picture, PictureAssembler
from lalmesh.protocol.rtp._random_access import is_random_access

#: Fragments of a NALU that are kept one by one: small ones take many times their bytes. With 1400 bytes each that is 5.7 MB of a
#: picture, so hardly any is put together more than once.
MAX_LOOSE_FRAGMENTS: Final = 4096


class VideoDepacketizer:
    """One track. Access unit delimiters and parameter sets are taken out: those that go out get their own.

    After a loss, pictures of which something is missing are dropped (`PictureAssembler` says how that is told); those that
    follow are given, though they may refer to what is missing: the first says `after_loss`.
    """

    def __init__(
        self,
        track_id: int,
        codec: NaluCodec,
        parse: NaluParser,
        *,
        parameter_sets: Sequence[bytes] = (),
        interleaving_depth: int = 0,
    ) -> None:
        """Start.

        Args:
            track_id: of the track that comes out.
            codec: H.264 or H.265.
            parse: what takes payloads apart.
            parameter_sets: what the session description says; those in the stream replace them.
            interleaving_depth: NALUs that may be sent before one that is decoded earlier; 0: they are sent in decoding order.
        """
        self._codec = codec
        self._parse = parse
        self._store = ParameterSetStore(track_id, codec)
        self._learn([nalu for nalu in parameter_sets if len(nalu) >= codec.header_bytes])
        self.counters = DepacketizerCounters()
        trusts_marker = not interleaving_depth  # the last packet of a picture may come before others of it
        self._assembler = PictureAssembler(codec.is_slice, codec.begins_picture, self.counters, trusts_marker=trusts_marker)
        self._interleaving = Deinterleaver(interleaving_depth) if interleaving_depth else None
        self._fragments: list[bytes] = []
        self._fragment_bytes = 0
        self._fragment_don: int | None = None

    @property
    def track(self) -> Track | None:
        """The track as far as it is known; None before its parameter sets."""
        return self._store.track

    def feed(self, packet: RtpPacket) -> list[Depacketized]:
        """Take the next packet; what is complete with it.

        Raises:
            RemoteProtocolError: its payload is malformed.
        """
        pieces = self._parse(packet.payload)
        self.counters.ignored += not pieces
        given: list[Depacketized] = []
        for piece in pieces:
            self._piece(piece, wrap(packet.timestamp + piece.later, 32), given)
        if packet.marker:
            self._give(self._assembler.marker(), given)
        return given

    def lost(self) -> None:
        """Packets are missing before the next one."""
        if self._fragments:
            self._assembler.mark_broken()
            self._fragments = []
        self._assembler.lost()

    def flush(self) -> list[Depacketized]:
        """Give the picture at hand: nothing more comes."""
        given: list[Depacketized] = []
        for timed in self._interleaving.flush() if self._interleaving is not None else ():
            self._give(self._assembler.add(timed.nalu, timed.timestamp), given)
        self._give(self._assembler.flush(), given)
        return given

    def _piece(self, piece: Piece, timestamp: int, given: list[Depacketized]) -> None:
        if piece.part is Part.WHOLE:
            self._nalu(piece.data, piece.don, timestamp, given)
            return
        if self._interleaving is None:
            self._give(self._assembler.move_to(timestamp), given)
        if not self._fragment(piece):
            self._assembler.mark_broken()
        elif piece.part is Part.LAST:
            nalu, self._fragments = b"".join(self._fragments), []
            self._nalu(nalu, self._fragment_don, timestamp, given)

    def _fragment(self, piece: Piece) -> bool:
        """Keep a fragment; whether the NALU is whole so far."""
        if piece.part is Part.FIRST:
            whole = not self._fragments  # else the end of the one before is missing
            self._fragments, self._fragment_bytes, self._fragment_don = [piece.data], len(piece.data), piece.don
            return whole
        if not self._fragments:
            return False
        self._fragment_bytes += len(piece.data)
        if self._fragment_bytes > MAX_NALU_BYTES:
            self._fragments = []
            return False
        self._fragments.append(piece.data)
        if len(self._fragments) > MAX_LOOSE_FRAGMENTS:
            self._fragments = [b"".join(self._fragments)]
        return True

    def _nalu(self, nalu: bytes, don: int | None, timestamp: int, given: list[Depacketized]) -> None:
        if len(nalu) < self._codec.header_bytes:
            self.counters.ignored += 1
        elif self._interleaving is None or don is None:
            self._give(self._assembler.add(nalu, timestamp), given)
        else:
            for timed in self._interleaving.push(don, timestamp, nalu):
                self._give(self._assembler.add(timed.nalu, timed.timestamp), given)

    def _learn(self, parameter_sets: Sequence[bytes]) -> Track | None:
        try:
            return self._store.learn(parameter_sets)
        except (RemoteProtocolError, UnsupportedError):
            return None  # the pictures that come before others are counted

    def _give(self, picture: Picture | None, given: list[Depacketized]) -> None:
        """Add a picture, behind the track if its parameter sets change that."""
        if picture is None:
            return
        sets = [nalu for nalu in picture.nalus if self._codec.type_of(nalu) in self._codec.sets]
        track = self._learn(sets) if sets else None
        if track is not None:
            given.append(track)
        left_out = (self._codec.delimiter, *self._codec.sets)
        payload = join_avcc(nalu for nalu in picture.nalus if self._codec.type_of(nalu) not in left_out)
        if self._store.track is None:
            self.counters.unconfigured_units += 1
            return
        random_access = is_random_access(self._codec, picture.nalus, payload)
        given.append(TimedUnit(picture.timestamp, payload, random_access, picture.after_loss))
