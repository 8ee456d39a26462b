"""Where the pictures of a stream stand in output order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from lalmesh.codec.nalu._framing import iter_avcc_headers

SLICE_HEAD_BYTES: Final = 64  #: of a slice that are read: all fields that say its place fit in 32, escaped in 48


class SliceOrder(ABC):
    """The output order of the pictures of one stream, worked out from their slice headers in decoding order."""

    def place(self, payload: bytes) -> tuple[int, int] | None:
        """The place of the next access unit: coded video sequences so far, and its picture order count in the last.

        Args:
            payload: one AVCC access unit (4-byte lengths), behind the one before it in decoding order.

        Returns:
            What sorts in output order; None without a slice of a known parameter set.

        Raises:
            RemoteProtocolError: as `iter_avcc_headers` up to the first slice, or its header is broken.
        """
        for at, length in iter_avcc_headers(payload):
            if self._is_slice(payload[at], length):
                return self._place(payload[at : at + min(length, SLICE_HEAD_BYTES)])
        return None

    @abstractmethod
    def _is_slice(self, first: int, length: int) -> bool:
        """Whether a NALU of `length` bytes with that `first` one has a slice header."""

    @abstractmethod
    def _place(self, head: bytes) -> tuple[int, int] | None:
        """The place of the picture of a slice of which this is the `head`."""
