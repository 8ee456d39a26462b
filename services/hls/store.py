"""A worker's way to storage: one segment after the other, each with the state that a successor needs (docs/design.md §5, Fencing).

Before each segment the markers are looked at: where a higher one is there, another worker has the stream, and this one stops.
Storage that fails costs nothing but memory: what waits is tried again, with growing pauses, and live goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lalmesh.errors import RemoteProtocolError
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.storage import Storage, StorageUnavailable
from services.hls import layout
from services.hls.layout import StoredState
from services.hls.rendition import MadeFile

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.5  #: after the first failure; pauses double
MAX_RETRY_S = 10.0


@dataclass(slots=True)
class StoreCounters:
    """What went to storage. Only rises."""

    segments: int = 0
    stored_bytes: int = 0
    failures: int = 0  #: calls that did not succeed and were made again
    lost_segments: int = 0  #: given up unstored, because memory was full
    kept_segments: int = 0  #: recorded


@dataclass(slots=True)
class Job:
    """One segment that is to be stored."""

    number: int
    files: list[MadeFile]
    state: bytes  #: of the worker after this segment
    outdated: list[str]  #: names of files that may go once this is stored
    kept: Mapping[str, bytes] = field(default_factory=dict)  #: what is recorded of it, by path


async def read_state(storage: Storage, stream: StreamKey, below: Epoch | None = None) -> StoredState | None:
    """The state of the last worker of `stream`, None where there is none that can be read.

    Args:
        storage: where to look.
        stream: whose.
        below: of workers under lower epochs only.

    Raises:
        StorageUnavailable: it cannot be told.
    """
    found = [
        (epoch, stored.path)
        for stored in await storage.list(layout.state_folder(stream))
        if (epoch := layout.epoch_in(stored.path))
    ]
    for epoch, path in sorted(found, reverse=True):
        if below is not None and epoch >= below:
            continue
        data = await storage.get(path)
        try:
            if data is not None:
                return StoredState.parse(data)
        except RemoteProtocolError as error:
            log.warning("state of an hls worker passed over: %s", error, extra={"stream_key": str(stream)})
    return None


class StorageWriter:
    """Stores the segments of one worker, in order. Run `run` as a task."""

    def __init__(
        self,
        storage: Storage,
        stream: StreamKey,
        epoch: Epoch,
        counters: StoreCounters,
        stored: Callable[[int], None],
        outdated: Callable[[Epoch], None],
    ) -> None:
        """Prepare.

        Args:
            storage: where to.
            stream: whose segments.
            epoch: of the worker.
            counters: where to count.
            stored: hears of each number that is stored.
            outdated: hears of a higher epoch; nothing is stored any more then.
        """
        self._storage = storage
        self._stream = stream
        self._epoch = epoch
        self._counters = counters
        self._stored = stored
        self._outdated = outdated
        self._jobs: deque[Job] = deque()
        self._more = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._marked = False
        self._is_alone = False
        self._facts = {"stream_key": str(stream)}

    @property
    def waiting(self) -> int:
        """How many segments wait."""
        return len(self._jobs)

    def add(self, job: Job) -> None:
        """Store one more, after those that wait."""
        self._jobs.append(job)
        self._empty.clear()
        self._more.set()

    def give_up(self, number: int) -> None:
        """The files of a segment that waits are gone."""
        for job in self._jobs:
            if job.number == number and job.files:
                job.files, job.kept = [], {}
                self._counters.lost_segments += 1

    async def emptied(self) -> None:
        """Wait until nothing waits."""
        await self._empty.wait()

    async def look(self) -> None:
        """Look for a higher epoch between two segments too."""
        try:
            await self._is_outdated()
        except StorageUnavailable:
            self._counters.failures += 1

    async def run(self) -> None:
        """Mark the stream as this worker's, then store what is added, until a higher epoch is found."""
        if await self._begin():
            return
        while True:
            await self._more.wait()
            while self._jobs:
                if not await self._done(self._jobs[0]):
                    return
                self._jobs.popleft()
            self._more.clear()
            self._empty.set()

    async def _begin(self) -> bool:
        """Put the marker at once: a worker before that was told nothing stops at it, with the segment that it has open.

        Returns:
            Whether a higher one is there.
        """
        try:
            return await self._is_outdated()
        except StorageUnavailable as error:  # the first segment tries again
            self._counters.failures += 1
            log.warning("stream not marked: %s", error, extra=self._facts)
            return False

    async def _done(self, job: Job) -> bool:
        """Store one segment, however long it takes; False where another worker has the stream."""
        pause_s = FIRST_RETRY_S
        while True:
            try:
                if not await self._store(job):
                    return False
            except StorageUnavailable as error:
                self._counters.failures += 1
                log.warning("segment %d not stored: %s; %d wait", job.number, error, len(self._jobs), extra=self._facts)
                await asyncio.sleep(pause_s)
                pause_s = min(MAX_RETRY_S, pause_s * 2)
            else:
                self._stored(job.number)
                return True

    async def _store(self, job: Job) -> bool:
        if await self._is_outdated():
            return False
        for file in job.files:
            await self._storage.put(layout.file_path(self._stream, file.name), file.data)
            self._counters.stored_bytes += len(file.data)
        for path, data in job.kept.items():
            await self._storage.put(path, data)
            self._counters.stored_bytes += len(data)
        await self._storage.put(layout.state_path(self._stream, self._epoch), job.state)
        self._counters.segments += 1
        self._counters.kept_segments += len(job.kept)
        if not self._is_alone:
            await self._remove_states()
        if job.outdated:
            await self._storage.delete([layout.file_path(self._stream, name) for name in job.outdated])
        return True

    async def _remove_states(self) -> None:
        """The states of earlier workers are of no use any more."""
        states = [stored.path for stored in await self._storage.list(layout.state_folder(self._stream))]
        await self._storage.delete([path for path in states if (layout.epoch_in(path) or self._epoch) < self._epoch])
        self._is_alone = True

    async def _is_outdated(self) -> bool:
        """Whether a higher marker is there; the first time, this worker's own is put, and those below it go."""
        if not self._marked:
            await self._storage.put(layout.owner_path(self._stream, self._epoch), b"")
        markers = [stored.path for stored in await self._storage.list(layout.owner_folder(self._stream))]
        epochs = [epoch for path in markers if (epoch := layout.epoch_in(path)) is not None]
        highest = max(epochs, default=self._epoch)
        if highest > self._epoch:
            log.warning("another hls worker has the stream, under epoch %d.%d", *highest, extra=self._facts)
            self._outdated(highest)
            return True
        if not self._marked:
            self._marked = True
            await self._storage.delete([path for path in markers if (layout.epoch_in(path) or self._epoch) < self._epoch])
        return False
