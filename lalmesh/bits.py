"""Bit fields: reading and writing most significant bit first, with the Exp-Golomb codes of H.264 and H.265."""

from __future__ import annotations

from lalmesh.errors import RemoteProtocolError

MAX_EXP_GOLOMB_BITS = 32  #: ue(v) of H.264 and H.265 never needs more leading zeros


class BitReader:
    """Read an immutable buffer bit by bit, most significant bit first."""

    __slots__ = ("_bits", "_position", "_value")

    def __init__(self, data: bytes) -> None:
        """Start at the first bit of `data`."""
        self._value = int.from_bytes(data, "big")
        self._bits = len(data) * 8
        self._position = 0

    @property
    def bits_left(self) -> int:
        """How many bits have not been read."""
        return self._bits - self._position

    def read(self, count: int) -> int:
        """Give the next `count` bits as an unsigned number.

        Raises:
            RemoteProtocolError: fewer than `count` bits are left.
        """
        end = self._position + count
        if end > self._bits:
            raise RemoteProtocolError(f"{count} bits wanted, {self.bits_left} left", at=self._position // 8)
        self._position = end
        return (self._value >> (self._bits - end)) & ((1 << count) - 1)

    def flag(self) -> bool:
        """Give the next bit."""
        return self.read(1) == 1

    def skip(self, count: int) -> None:
        """Pass over `count` bits.

        Raises:
            RemoteProtocolError: fewer than `count` bits are left.
        """
        self.read(count)

    def ue(self) -> int:
        """Give the next ue(v), 0 to 2**32 - 2 (ISO/IEC 14496-10 §9.1).

        Raises:
            RemoteProtocolError: the code is cut off or longer than any legal one.
        """
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > MAX_EXP_GOLOMB_BITS:
                raise RemoteProtocolError("Exp-Golomb code over 32 bits", section="ISO/IEC 14496-10 §9.1")
        return (1 << zeros) - 1 + self.read(zeros)

    def se(self) -> int:
        """Give the next se(v) (ISO/IEC 14496-10 §9.1.1)."""
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


class BitWriter:
    """Build bytes bit by bit, most significant bit first."""

    __slots__ = ("_bits", "_value")

    def __init__(self) -> None:
        """Start empty."""
        self._value = 0
        self._bits = 0

    def write(self, value: int, count: int) -> BitWriter:
        """Append `value` in `count` bits; `value` must fit. Gives itself, so that fields chain."""
        if value < 0 or value >> count:
            raise ValueError(f"{value} does not fit {count} bits")
        self._value = self._value << count | value
        self._bits += count
        return self

    def ue(self, value: int) -> BitWriter:
        """Append `value` as ue(v)."""
        length = (value + 1).bit_length()
        return self.write(value + 1, 2 * length - 1)

    def se(self, value: int) -> BitWriter:
        """Append `value` as se(v)."""
        return self.ue(2 * value - 1 if value > 0 else -2 * value)

    def to_bytes(self) -> bytes:
        """Give what was written, the last byte filled with zero bits."""
        padding = -self._bits % 8
        return (self._value << padding).to_bytes((self._bits + padding) // 8, "big")
