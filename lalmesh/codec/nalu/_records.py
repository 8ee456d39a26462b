"""Decoder configuration records: bytes, and NALUs after lengths of 16 bits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lalmesh.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError

MAX_RECORD_BYTES = 256 << 10  #: a decoder configuration record with all of an encoder's SEI is below 4 KiB
MAX_NALU_LENGTH_IN_RECORD = 0xFFFF  #: 16-bit lengths (ISO/IEC 14496-15 §5.3.3.1.2, §8.3.3.1.2)


class RecordReader:
    """Read the bytes of a decoder configuration record in order."""

    __slots__ = ("_at", "_data", "_section")

    def __init__(self, data: bytes, section: str) -> None:
        """Start at the first byte of `data`, a record defined in `section`.

        Raises:
            LimitExceeded: more than `MAX_RECORD_BYTES`.
        """
        if len(data) > MAX_RECORD_BYTES:
            raise LimitExceeded("decoder configuration record bytes", len(data), MAX_RECORD_BYTES, section=section)
        self._data = data
        self._at = 0
        self._section = section

    @property
    def bytes_left(self) -> int:
        """How many bytes have not been read."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """Give the next `count` bytes.

        Raises:
            RemoteProtocolError: fewer are left.
        """
        if count > self.bytes_left:
            raise RemoteProtocolError(f"{count} bytes wanted, {self.bytes_left} left", section=self._section, at=self._at)
        self._at += count
        return self._data[self._at - count : self._at]

    def uint(self, count: int) -> int:
        """Give the next `count` bytes as an unsigned number."""
        return int.from_bytes(self.take(count), "big")

    def nalus(self, count: int) -> tuple[bytes, ...]:
        """Give the next `count` NALUs, each after a length of 16 bits.

        Raises:
            RemoteProtocolError: one is empty or cut off.
        """
        return tuple(self._nalu() for _ in range(count))

    def _nalu(self) -> bytes:
        nalu = self.take(self.uint(2))
        if not nalu:
            raise RemoteProtocolError("empty parameter set", section=self._section, at=self._at)
        return nalu


def check_parameter_sets(sets: Mapping[str, Sequence[bytes]], limits: Mapping[str, int], section: str) -> None:
    """Make sure that a record can be made of `sets`, which are VPS, SPS and PPS by these names.

    Raises:
        RemoteProtocolError: no SPS, an empty set, (LimitExceeded) more of a kind than its limit, one too long for a length.
    """
    lengths = [len(nalu) for nalus in sets.values() for nalu in nalus]
    if not sets["SPS"] or not all(lengths):
        raise RemoteProtocolError("no SPS or an empty parameter set", section=section)
    for what, nalus in sets.items():
        if len(nalus) > limits[what]:
            raise LimitExceeded(what, len(nalus), limits[what], section=section)
    if max(lengths) > MAX_NALU_LENGTH_IN_RECORD:
        raise LimitExceeded("parameter set bytes", max(lengths), MAX_NALU_LENGTH_IN_RECORD, section=section)


def serialize_record_nalus(nalus: Iterable[bytes]) -> bytes:
    """Give `nalus` each after its length of 16 bits.

    Raises:
        LocalProtocolError: one is longer than a length can say.
    """
    parts: list[bytes] = []
    for nalu in nalus:
        if len(nalu) > MAX_NALU_LENGTH_IN_RECORD:
            raise LocalProtocolError(f"parameter set of {len(nalu)} bytes, limit {MAX_NALU_LENGTH_IN_RECORD}")
        parts += (len(nalu).to_bytes(2, "big"), nalu)
    return b"".join(parts)
