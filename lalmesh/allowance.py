"""What a peer may cost beyond the bytes that it sends.

A request of few bytes may cost as much as hundreds of bytes of media. So such things have a *weight*: how many bytes cost as much.
Over time a peer has to send as many bytes as what it asks for weighs. A read brings some for nothing, since who asks now and then
sends hardly anything else; and a burst may be owed, since much is asked for when a connection begins.

There is no clock in it: what comes slowly comes in many reads, and what comes fast in few.
"""

from __future__ import annotations

from lalmesh.errors import LimitExceeded


class Allowance:
    """That of one peer."""

    __slots__ = ("_burst_bytes", "_of_a_read_bytes", "_owed_bytes", "_what")

    def __init__(self, what: str, *, of_a_read_bytes: int, burst_bytes: int) -> None:
        """Begin with nothing owed.

        Args:
            what: is weighed, for errors.
            of_a_read_bytes: what a read brings at least.
            burst_bytes: what may be owed.
        """
        self._what = what
        self._of_a_read_bytes = of_a_read_bytes
        self._burst_bytes = burst_bytes
        self._owed_bytes = 0  # below zero: what this read brought and did not need

    def read(self, size_bytes: int) -> None:
        """A read brought so much, of which nothing is kept for the next one. Call this before `take` for what is in it."""
        brought = size_bytes if size_bytes > self._of_a_read_bytes else self._of_a_read_bytes
        self._owed_bytes = self._owed_bytes - brought if self._owed_bytes > 0 else -brought

    def take(self, weight_bytes: int) -> None:
        """Something of so much weight is to be dealt with.

        Raises:
            LimitExceeded: more is owed than may be.
        """
        self._owed_bytes += weight_bytes
        if self._owed_bytes > self._burst_bytes:
            raise LimitExceeded(f"{self._what}, their weight in bytes,", self._owed_bytes, self._burst_bytes)
