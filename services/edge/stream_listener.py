"""A port of an edge whose connections speak a protocol of their own, over TCP or in TLS."""

from __future__ import annotations

import asyncio
import ssl
import sys
from abc import ABC, abstractmethod

from lalmesh.runtime.listener import Admission, ListenerLimits, listen
from services.edge.metrics import EdgeMetrics

READ_BUFFER_BYTES = 256 << 10  #: one buffer a listener: each read is used up before the next begins


class StreamListener(ABC):
    """The port of a protocol, or with `tls` that of the protocol in TLS, which has an s behind its name."""

    def __init__(self, protocol: str, limits: ListenerLimits, metrics: EdgeMetrics, tls: ssl.SSLContext | None) -> None:
        """Prepare; `start` listens."""
        self.protocol = f"{protocol}s" if tls is not None else protocol
        self.admission = Admission(self.protocol, limits, metrics)
        self.port = 0
        self._limits = limits
        self._tls = tls
        self._buffer = memoryview(bytearray(READ_BUFFER_BYTES))
        self._server: asyncio.AbstractServer | None = None

    @abstractmethod
    def connection(self) -> asyncio.BufferedProtocol:
        """Whoever takes a new connection."""

    def buffer(self) -> memoryview:
        """What a connection reads into. A view: asyncio's TLS slices it, and a slice of a bytearray would be a copy."""
        # a completion-based loop reads into the buffers of all connections at once, so there each has its own
        return self._buffer if sys.platform != "win32" else memoryview(bytearray(READ_BUFFER_BYTES))

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            OSError: the port cannot be bound.
        """
        timeout_s = self._limits.handshake_timeout_s
        self._server, self.port = await listen(self.connection, host, port, self._tls, handshake_timeout_s=timeout_s)

    def sweep(self) -> None:
        """Call once a second."""
        self.admission.sweep()

    def stop_accepting(self) -> None:
        """Take no new connections."""
        if self._server is not None:
            self._server.close()

    def close(self, reason: str) -> None:
        """Close all connections."""
        self.admission.expire_all(reason)
