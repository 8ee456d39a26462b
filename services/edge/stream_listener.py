"""A port of an edge whose connections speak a protocol of their own, over TCP or in TLS."""

from __future__ import annotations

import asyncio
import ssl
import sys
from abc import ABC, abstractmethod

from lalmesh.runtime.acceptor import Acceptor
from lalmesh.runtime.forwarded import Remote
from lalmesh.runtime.listener import Admission, ListenerLimits
from services.edge.metrics import EdgeMetrics

READ_BUFFER_BYTES = 256 << 10  #: one buffer a listener: each read is used up before the next begins


class StreamListener(ABC):
    """The port of a protocol, or with `tls` that of the protocol in TLS, which has an s behind its name."""

    def __init__(
        self, protocol: str, limits: ListenerLimits, metrics: EdgeMetrics, tls: ssl.SSLContext | None, *, takes_headers: bool
    ) -> None:
        """Prepare; `start` listens. With `takes_headers`, balancers begin with a PROXY header."""
        self.protocol = f"{protocol}s" if tls is not None else protocol
        self.admission = Admission(self.protocol, limits, metrics, is_secure=tls is not None)
        self.port = 0
        self._acceptor = Acceptor(self.admission, self.connection, tls, takes_headers=takes_headers)
        self._buffer = memoryview(bytearray(READ_BUFFER_BYTES))

    @abstractmethod
    def connection(self, client: Remote | None) -> asyncio.BufferedProtocol:
        """Whoever takes a new connection: of `client`, or of whoever its socket says."""

    def buffer(self) -> memoryview:
        """What a connection reads into. A view: asyncio's TLS slices it, and a slice of a bytearray would be a copy."""
        # a completion-based loop reads into the buffers of all connections at once, so there each has its own
        return self._buffer if sys.platform != "win32" else memoryview(bytearray(READ_BUFFER_BYTES))

    async def start(self, host: str, port: int, *, is_shared: bool = False) -> None:
        """Listen, at a port that other processes may share; see `Acceptor.start`.

        Raises:
            OSError: the port cannot be bound.
        """
        self.port = await self._acceptor.start(host, port, is_shared=is_shared)

    def sweep(self) -> None:
        """Call once a second."""
        self.admission.sweep()

    def hand_over(self) -> None:
        """Take no new connections: others listen at the port too."""
        self._acceptor.hand_over()

    def stop_accepting(self) -> None:
        """Take no new connections."""
        self._acceptor.close()

    def close(self, reason: str) -> None:
        """Close all connections."""
        self.admission.expire_all(reason)
