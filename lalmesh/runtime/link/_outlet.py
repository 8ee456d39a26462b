"""The sending half of one stream on a link over gRPC."""

from __future__ import annotations

from typing import Protocol

from lalmesh.rpc.lalmesh.v1 import origin_pb2
from lalmesh.runtime.link._interface import CloseReason
from lalmesh.runtime.link._limits import LinkCounters
from lalmesh.runtime.link._wire import RunEncoder
from lalmesh.runtime.ring import Cursor

UNIT_OVERHEAD_BYTES = 32  #: what a unit costs on the wire beside its payload, roughly
RUN_OVERHEAD_BYTES = 64  #: what a run costs beside its units, roughly


class Sender(Protocol):
    """What gathers the batches of a link: a `LinkSession`."""

    def add_outlet(self, outlet: WireOutlet) -> None:
        """The outlet sends here until it has closed or is dropped."""
        ...

    def mark_ready(self, outlet: WireOutlet) -> None:
        """The outlet has something to send."""
        ...


class WireOutlet:
    """The sending half of one stream."""

    __slots__ = ("_cursor", "_encoder", "_session", "closing", "handle")

    def __init__(self, session: Sender, handle: int) -> None:
        """Send on `session` under `handle`."""
        self._session = session
        self._cursor: Cursor | None = None
        self._encoder = RunEncoder()
        self.handle = handle
        self.closing: tuple[CloseReason, str] | None = None
        session.add_outlet(self)

    def send_from(self, cursor: Cursor) -> None:
        """Send what the cursor gives, now and whenever `wake` is called."""
        self._cursor = cursor
        self.wake()

    def wake(self) -> None:
        """There may be more behind the cursor."""
        if self._cursor is not None and self._cursor.pending:
            self._session.mark_ready(self)

    def close(self, reason: CloseReason, detail: str = "") -> None:
        """Send what the cursor still gives, then end."""
        if self.closing is None:
            self.closing = (reason, detail)
            self._session.mark_ready(self)

    def fill(self, batch: origin_pb2.LinkBatch, share_bytes: int, larger_bytes: int, counters: LinkCounters) -> int:
        """Add runs of at most `share_bytes` in all, or one larger unit of at most `larger_bytes`. Gives the bytes used.

        Tracks count where they go along. What does not fit with them stays behind the cursor, for the next batch.
        """
        used, told = 0, self._encoder.tracks
        while self._cursor is not None and used < share_bytes:
            run = self._cursor.read(share_bytes - used, 0 if used else larger_bytes)
            if run is None:
                break
            message = batch.items.add(handle=self.handle).run
            size = self._encoder.encode(run, message)
            if run.tracks is not told:
                told = run.tracks
                used += message.tracks.ByteSize()
            counters.units_sent += len(run.units)
            counters.payload_bytes_sent += size
            used += size + RUN_OVERHEAD_BYTES + UNIT_OVERHEAD_BYTES * len(run.units)
        return used

    @property
    def pending(self) -> bool:
        """Whether there is more to send."""
        return self._cursor is not None and self._cursor.pending

    def stop(self) -> None:
        """Nothing more is to be sent, not even that it has ended."""
        self._cursor = None
        self.closing = self.closing or (CloseReason.DONE, "")
