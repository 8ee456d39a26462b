"""One end of a link over gRPC: outlets gathered into batches, batches taken apart, silence noticed.

Units are never sent one by one: a batch holds what became ready since the last send, of every stream, in turn. Nothing is queued
but control items: media waits in the rings, behind the cursors of the outlets.

What goes wrong with one stream ends that stream and no other: a callback that raises (a bug of ours), a unit that no message can
carry, a codec that only the other side knows. It is logged, and the session's owner ends the handle on both sides. Only a batch
that breaks the protocol, silence, and a peer that takes nothing end the link.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable

from lalmesh.errors import UnsupportedError
from lalmesh.rpc.lalmesh.v1 import origin_pb2
from lalmesh.runtime.awake import PARTS
from lalmesh.runtime.link._interface import FAILED, CloseReason
from lalmesh.runtime.link._limits import LinkCounters, LinkLimits
from lalmesh.runtime.link._outlet import WireOutlet
from lalmesh.runtime.link._wire import RunDecoder
from lalmesh.runtime.ring import Run

log = logging.getLogger(__name__)

MAX_CONTROL_ITEMS = 65_536  #: opens, answers and closes that wait to be sent: ten thousand streams open and close at once
RATE_WINDOW_S = 0.25  #: over which the rate of batches is measured
ITEM_OVERHEAD_BYTES = 4  #: what an item costs in a batch beside itself
MIN_SHARE_BYTES = 16 << 10  #: what a stream gets of a batch in its turn however many wait: less would cut a burst to pieces


class LinkSession:
    """What both ends of a link have in common.

    `handle_item` gets every item that is not a run. `handle_failure` gets the handle of a stream that cannot go on because of
    this side, with a reason for people; it ends the stream on both sides.
    """

    def __init__(
        self,
        limits: LinkLimits,
        handle_item: Callable[[origin_pb2.LinkItem], None],
        handle_failure: Callable[[int, str], None],
    ) -> None:
        """Start with an empty link; it must be made within a running loop."""
        self.limits = limits
        self.counters = LinkCounters()
        self._loop = asyncio.get_running_loop()
        self._handle_item = handle_item
        self._handle_failure = handle_failure
        self._controls: deque[origin_pb2.LinkItem] = deque()
        self._outlets: dict[int, WireOutlet] = {}
        self._ready: dict[int, WireOutlet] = {}
        self._receivers: dict[int, tuple[RunDecoder, Callable[[Run], None]]] = {}
        self._waker: asyncio.Future[None] | None = None
        self._shut = asyncio.Event()
        self._last_sent = 0.0
        self._last_heard = self._loop.time()
        self._window_start = 0.0
        self._window_count = 0
        self._busy = False
        self._overflowed = False  # whether the last batch had no room for all

    # what the owner calls

    def control(self, handle: int) -> origin_pb2.LinkItem:
        """A control item for the next batch, to be filled in at once. On a link that has ended it goes nowhere."""
        item = origin_pb2.LinkItem(handle=handle)
        if len(self._controls) >= MAX_CONTROL_ITEMS:
            log.error("a link takes nothing: %d control items wait", len(self._controls))
            self.shut()
        if not self.closed:
            self._controls.append(item)
            self._wake()
        return item

    def send_closed(self, handle: int, reason: CloseReason, detail: str = "") -> None:
        """Tell the other side that `handle` is dead."""
        _set_closed(self.control(handle), reason, detail)

    def add_outlet(self, outlet: WireOutlet) -> None:
        """The outlet sends here until it has closed or is dropped."""
        if not self.closed:
            self._outlets[outlet.handle] = outlet

    def mark_ready(self, outlet: WireOutlet) -> None:
        """The outlet has something to send."""
        if outlet.handle in self._outlets:
            self._ready[outlet.handle] = outlet
            self._wake()

    def receive_runs(self, handle: int, receive: Callable[[Run], None]) -> None:
        """Runs of `handle` go to `receive` from now on."""
        self._receivers[handle] = (RunDecoder(), receive)

    def forget(self, handle: int) -> None:
        """Runs of `handle` are passed over from now on."""
        self._receivers.pop(handle, None)

    def drop(self, handle: int) -> None:
        """The handle is dead: nothing more is received, and what still waits is not sent."""
        self.forget(handle)
        self._ready.pop(handle, None)
        outlet = self._outlets.pop(handle, None)
        if outlet is not None:
            outlet.stop()

    def shut(self) -> None:
        """The link has ended here: `batches` and `watch_silence` end, nothing is sent or received any more."""
        self._shut.set()
        for handle in list(self._outlets):
            self.drop(handle)
        self._receivers.clear()
        self._controls.clear()
        self._wake()

    @property
    def closed(self) -> bool:
        """Whether the link has ended here."""
        return self._shut.is_set()

    @property
    def silent_s(self) -> float:
        """For how long nothing has been heard."""
        return self._loop.time() - self._last_heard

    async def watch_silence(self) -> None:
        """Return once the other side has been silent for `dead_s`, or the session is shut."""
        part_s, silent_s = self.limits.dead_s / PARTS, 0.0
        while not self.closed and silent_s < self.limits.dead_s:
            begun = self._loop.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(part_s, self.limits.dead_s - silent_s)):
                    await self._shut.wait()
            silent_s = min(self.silent_s, silent_s + min(part_s, self._loop.time() - begun))

    def call(self, handle: int, callback: Callable[..., object], *args: object) -> None:
        """Call back for the stream `handle`. Where that raises, which is a bug of ours, this stream ends and no other."""
        try:
            callback(*args)
        except Exception:
            self._failed(handle)

    def _failed(self, handle: int) -> None:
        log.exception("a stream of a link failed on this side")
        self._handle_failure(handle, FAILED)

    # receiving

    def feed(self, batch: origin_pb2.LinkBatch) -> None:
        """Take a batch apart, in order.

        Raises:
            RemoteProtocolError: an item that cannot be.
        """
        self._last_heard = self._loop.time()
        self.counters.batches_received += 1
        for item in batch.items:
            if self.closed:
                return
            if item.WhichOneof("item") == "run":
                self._feed_run(item)
            else:
                self._handle_item(item)

    def _feed_run(self, item: origin_pb2.LinkItem) -> None:
        receiver = self._receivers.get(item.handle)
        if receiver is None:
            return  # closed here while it was on its way
        decoder, receive = receiver
        try:
            run = decoder.decode(item.run)
        except UnsupportedError as error:  # the other side is of another version
            log.warning("a stream of a link cannot be taken: %s", error)
            self._handle_failure(item.handle, str(error))
            return
        self.counters.units_received += len(run.units)
        self.counters.payload_bytes_received += sum([len(unit.payload) for unit in run.units])
        self.call(item.handle, receive, run)

    # sending

    async def batches(self) -> AsyncIterator[origin_pb2.LinkBatch]:
        """Every batch to send: paced while there is something, a heartbeat where there is nothing.

        What a batch had no room for has waited long enough, and follows at once: the pace is no limit of the link's rate.
        """
        while not self.closed:
            if not self._controls and not self._ready:
                await self._idle()
            pause = (self.limits.busy_flush_s if self._busy else self.limits.flush_s) - (self._loop.time() - self._last_sent)
            if pause > 0 and not self._overflowed:
                await asyncio.sleep(pause)
            if self.closed:
                return
            self._measure()
            self.counters.batches_sent += 1
            batch = self._next_batch()
            self._overflowed = bool(self._ready)
            yield batch

    async def _idle(self) -> None:
        """Wait for something to send, at most until the next heartbeat is due."""
        self._waker = self._loop.create_future()
        heartbeat = self._loop.call_later(self.limits.heartbeat_s, self._wake)
        try:
            await self._waker
        finally:
            heartbeat.cancel()
            self._waker = None

    def _wake(self) -> None:
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)

    def _measure(self) -> None:
        now = self._last_sent = self._loop.time()
        self._window_count += 1
        if (elapsed := now - self._window_start) >= RATE_WINDOW_S:
            # when paced at the busy interval the rate cannot exceed its inverse: what is ready then keeps it busy
            limits = self.limits
            threshold = float(limits.busy_messages_per_s)
            if self._busy and limits.busy_flush_s:
                threshold = min(threshold, 0.8 / limits.busy_flush_s)
            self._busy = self._window_count / elapsed > threshold
            self._window_start, self._window_count = now, 0

    def _next_batch(self) -> origin_pb2.LinkBatch:
        """Control items first, then the outlets in turn, each with its share of the room, until all is sent or the room is used."""
        batch = origin_pb2.LinkBatch()
        limits = self.limits
        room = full = min(limits.batch_bytes, limits.max_unit_bytes)
        while self._controls and room > 0:
            item = self._controls.popleft()
            batch.items.append(item)
            room -= item.ByteSize() + ITEM_OVERHEAD_BYTES
        larger = limits.max_run_bytes - (full - room)  # until there is a run
        while self._ready and room > 0:
            outlet = next(iter(self._ready.values()))
            share = min(room, max(MIN_SHARE_BYTES, room // len(self._ready)))
            used = self._fill(outlet, batch, share, larger)
            if not used and outlet.pending:
                break  # its next unit, with its tracks, is larger than what is left: it begins the next batch
            if used:
                larger = room = room - used
            self._ready.pop(outlet.handle, None)
            if outlet.pending:
                self._ready[outlet.handle] = outlet  # behind all others
            elif outlet.closing is not None:
                self._finish(outlet, batch)
        return batch

    def _fill(self, outlet: WireOutlet, batch: origin_pb2.LinkBatch, share_bytes: int, larger_bytes: int) -> int:
        before = len(batch.items)
        try:
            used = outlet.fill(batch, share_bytes, larger_bytes, self.counters)
            if not used and outlet.pending and larger_bytes == self.limits.max_run_bytes:
                log.warning("a stream of a link has a unit, with its tracks, of more than %d bytes", larger_bytes)
                self._handle_failure(outlet.handle, f"access unit of more than {larger_bytes} bytes with its tracks")
        except Exception:
            del batch.items[before:]
            self._failed(outlet.handle)
            return 0
        return used

    def _finish(self, outlet: WireOutlet, batch: origin_pb2.LinkBatch) -> None:
        if outlet.closing is not None and self._outlets.get(outlet.handle) is outlet:
            reason, detail = outlet.closing
            self.drop(outlet.handle)
            _set_closed(batch.items.add(handle=outlet.handle), reason, detail)


def _set_closed(item: origin_pb2.LinkItem, reason: CloseReason, detail: str) -> None:
    item.closed.CopyFrom(origin_pb2.Closed(reason=f"CLOSE_REASON_{reason.name}", detail=detail))
