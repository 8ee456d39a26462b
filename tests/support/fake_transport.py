"""A transport that keeps what is written."""

from __future__ import annotations

import asyncio


class FakeTransport(asyncio.Transport):
    """What a client's connection sees of a socket. Nothing moves by itself."""

    def __init__(self, **extra: object) -> None:
        """Tell `extra` when asked, such as ``sockname``."""
        super().__init__(extra)
        self.written = bytearray()
        self.stuck_bytes = 0  #: unsent, as it says
        self.reading = True
        self.closed = ""  #: how: ``eof``, ``close`` or ``abort``; empty: not

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There are none."""

    def get_write_buffer_size(self) -> int:
        """What the test says."""
        return self.stuck_bytes

    def pause_reading(self) -> None:
        """Say that nothing is read."""
        self.reading = False

    def resume_reading(self) -> None:
        """Say that it is."""
        self.reading = True

    def is_reading(self) -> bool:
        """As it was told."""
        return self.reading

    def can_write_eof(self) -> bool:
        """As a bare socket."""
        return True

    def write_eof(self) -> None:
        """Note it."""
        self.closed = self.closed or "eof"

    def close(self) -> None:
        """Note it."""
        self.closed = self.closed or "close"

    def abort(self) -> None:
        """Note it."""
        self.closed = "abort"

    def is_closing(self) -> bool:
        """After any of the three."""
        return bool(self.closed)


def deliver(protocol: asyncio.BufferedProtocol, data: bytes) -> None:
    """Let `data` come, as a loop gives it to a protocol with a buffer of its own."""
    view = memoryview(data)
    while view:
        into = memoryview(protocol.get_buffer(-1))
        size = min(len(into), len(view))
        into[:size] = view[:size]
        protocol.buffer_updated(size)
        view = view[size:]
