"""A worker's way to storage: one segment after the other, each with the state that a successor needs (docs/design.md §5, Fencing).

The markers are looked at before each segment and after its state: where a higher one is there, another worker has the stream, and
this one stops. A successor puts its marker *before* it reads the state, so of the two one sees the other: what a worker is told is
stored, its successor has seen. Storage that fails costs nothing but memory: what waits is tried again, with growing pauses, and
live goes on.
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
MAX_GOING = 10_000  #: names of files that wait to be removed while that fails: hours; beyond, they go with the last of the stream


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


async def read_state(storage: Storage, stream: StreamKey) -> StoredState | None:
    """The state of the last worker of `stream`, None where there is none that can be read.

    Raises:
        StorageUnavailable: it cannot be told.
    """
    try:
        return await read_state_below(storage, stream, None)
    except RemoteProtocolError as error:
        log.warning("state of an hls worker passed over: %s", error, extra={"stream_key": str(stream)})
        return None


async def read_state_below(storage: Storage, stream: StreamKey, below: Epoch | None) -> StoredState | None:
    """The state of the last worker of `stream` under an epoch lower than `below`, None where there is none.

    Raises:
        StorageUnavailable: it cannot be told.
        RemoteProtocolError: it cannot be read; an earlier one would say too little.
    """
    found = [
        (epoch, stored.path)
        for stored in await storage.list(layout.state_folder(stream))
        if (epoch := layout.epoch_in(stored.path))
    ]
    for epoch, path in sorted(found, reverse=True):
        data = await storage.get(path) if below is None or epoch < below else None
        if data is not None:
            return StoredState.parse(data)
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
        self._going: list[str] = []  # names of files that may be removed
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
        """The files of a segment that waits are gone: nothing of it waits any more but the names that may go with it."""
        for index, job in enumerate(self._jobs):
            if job.number != number or not job.files:
                continue
            job.files, job.kept = [], {}
            self._counters.lost_segments += 1
            if 0 < index < len(self._jobs) - 1:  # the first may be on its way, and the state of the last is the newest
                following = self._jobs[index + 1]
                following.outdated = [*job.outdated, *following.outdated][-MAX_GOING:]
                del self._jobs[index]
            return

    async def emptied(self) -> None:
        """Wait until nothing waits."""
        await self._empty.wait()

    async def mark(self) -> None:
        """Put this worker's marker: one before it that was told nothing stops there, with the segment that it has open.

        Raises:
            StorageUnavailable: it may not be there; the first segment tries again.
        """
        await self._is_outdated()

    async def look(self) -> None:
        """Look for a higher epoch between two segments too."""
        try:
            await self._is_outdated()
        except StorageUnavailable:
            self._counters.failures += 1

    async def run(self) -> None:
        """Store what is added, until a higher epoch is found."""
        while True:
            await self._more.wait()
            while self._jobs:
                if not await self._done(self._jobs[0]):
                    return
                job = self._jobs.popleft()
                self._stored(job.number)
                await self._tidy(job)
            self._more.clear()
            self._empty.set()

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
                return True

    async def _store(self, job: Job) -> bool:
        if await self._is_outdated():
            return False
        files = {layout.file_path(self._stream, file.name): file.data for file in job.files} | dict(job.kept)
        await self._put_all(files)
        await self._storage.put(layout.state_path(self._stream, self._epoch), job.state)
        if await self._is_outdated():
            return False
        self._counters.segments += bool(job.files)
        self._counters.kept_segments += len(job.kept)
        self._counters.stored_bytes += sum(map(len, files.values()))
        return True

    async def _put_all(self, files: Mapping[str, bytes]) -> None:
        """Store all at once, a few files; where one fails the others are waited for, so that none is written behind a later try."""
        results = await asyncio.gather(*(self._storage.put(path, data) for path, data in files.items()), return_exceptions=True)
        for error in results:
            if error is not None:
                raise error

    async def _tidy(self, job: Job) -> None:
        """Remove what is of no use any more; what cannot be removed now goes with the next segment."""
        self._going = [*self._going, *job.outdated][-MAX_GOING:]
        try:
            if not self._is_alone:
                await self._remove_states()
            if self._going:
                await self._storage.delete([layout.file_path(self._stream, name) for name in self._going])
                self._going = []
        except StorageUnavailable as error:
            self._counters.failures += 1
            log.warning("outdated files not removed: %s; %d wait", error, len(self._going), extra=self._facts)

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
