"""From the spool to shared storage: finished files, with retries, while the spool stays within its bound."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from lalmesh.runtime.storage import Storage, StorageUnavailable
from services.hls.recording._events import RecordingDropped, RecordingFinished, RecordingStored
from services.hls.recording._names import stored_path
from services.hls.recording._spool import Spool

log = logging.getLogger(__name__)

UPLOADS_AT_ONCE = 2  #: each keeps some 32 MiB in memory; more would only share the same line
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0  #: after the storage refused: it doubles
MAX_WAITING_FILES = 100_000  #: that are remembered, some 50 MB; what the spool holds beyond is uploaded after the next start

UploadEvent: TypeAlias = RecordingStored | RecordingDropped


@dataclass(slots=True)
class UploadCounters:
    """What an uploader did. Only rises."""

    stored_files: int = 0
    stored_bytes: int = 0
    failures: int = 0  #: tries that did not succeed
    dropped_files: int = 0  #: removed without having been stored
    dropped_bytes: int = 0


class Uploader:
    """Stores the finished files of a spool, the one that was not tried for longest first, and removes them there."""

    def __init__(
        self,
        storage: Storage,
        spool: Spool,
        tell: Callable[[UploadEvent], None],
        *,
        spool_max_bytes: int,
        at_once: int = UPLOADS_AT_ONCE,
    ) -> None:
        """Upload to `storage`.

        Args:
            storage: where to.
            spool: where from.
            tell: of each file that was stored or dropped.
            spool_max_bytes: of all its files, growing ones too: over it the oldest finished ones are dropped.
            at_once: files that are uploaded at a time.
        """
        self.counters = UploadCounters()
        self._storage = storage
        self._spool = spool
        self._tell = tell
        self._spool_max_bytes = spool_max_bytes
        self._at_once = at_once
        self._waiting: dict[str, RecordingFinished] = {}  # by path, in the order in which they are tried
        self._uploading: set[str] = set()
        self._changed = asyncio.Condition()
        self._pause_s = FIRST_PAUSE_S
        self._paused_until = 0.0
        self._dropping = asyncio.Lock()
        self.spool_bytes = 0  #: of all files of the spool, when they were last counted

    @property
    def waiting_files(self) -> int:
        """Finished files that are not stored yet."""
        return len(self._waiting)

    async def add(self, *finished: RecordingFinished) -> None:
        """Upload finished files; where the spool is over its bound, the oldest of all are dropped.

        Raises:
            OSError: they are uploaded, but how large the spool is cannot be told.
        """
        room = MAX_WAITING_FILES - len(self._waiting)
        self._waiting |= {each.path: each for each in finished[:room]}
        if len(finished) > room:
            log.error("%d recordings wait for the next start: %d are waited for", len(finished) - room, MAX_WAITING_FILES)
        async with self._changed:
            self._changed.notify_all()
        await self.keep_bound()

    async def keep_bound(self) -> None:
        """Drop finished files, the oldest first, until the spool is within its bound or only growing ones are left."""
        async with self._dropping:  # two at a time would drop twice what is too much
            used = self.spool_bytes = await self._spool.threads.call(self._spool.used_bytes)
            if used <= self._spool_max_bytes:
                return
            for finished in sorted(self._waiting.values(), key=_start):
                if finished.path in self._uploading or self._waiting.pop(finished.path, None) is None:
                    continue  # it is being stored, or was meanwhile
                await self._remove(finished)
                used -= finished.size_bytes
                self._drop(finished)
                if used <= self._spool_max_bytes:
                    return

    async def _remove(self, finished: RecordingFinished) -> None:
        try:
            await self._spool.threads.call(self._spool.remove, finished.path)
        except OSError as error:  # it is uploaded once more after the next start
            log.warning("recording %s stays in the spool: %s", finished.path, error)

    def _drop(self, finished: RecordingFinished) -> None:
        self.counters.dropped_files += 1
        self.counters.dropped_bytes += finished.size_bytes
        log.error("recording %s dropped: the spool is over %d bytes", finished.path, self._spool_max_bytes)
        self._tell(RecordingDropped(finished))

    async def run(self) -> None:
        """Upload until cancelled. A file that was being uploaded then is uploaded again after the next start."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._at_once):
                group.create_task(self._work())

    async def drain(self, limit_s: float) -> int:
        """Wait until everything is stored and told of, at most `limit_s`. Gives how many files are left for the next start."""
        try:
            async with asyncio.timeout(limit_s), self._changed:
                await self._changed.wait_for(lambda: not self._waiting and not self._uploading)
        except TimeoutError:
            pass
        return len(self._waiting)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(max(0.0, self._paused_until - loop.time()))
            finished = await self._next()
            if loop.time() < self._paused_until:  # another was refused while this one waited for a file
                self._uploading.discard(finished.path)
                continue
            try:
                await self._upload(finished)
            except (StorageUnavailable, OSError) as error:
                self._refused(finished, error, loop.time())
            finally:
                self._uploading.discard(finished.path)
                async with self._changed:
                    self._changed.notify_all()

    async def _next(self) -> RecordingFinished:
        async with self._changed:
            while True:
                for path, finished in self._waiting.items():
                    if path not in self._uploading:
                        self._uploading.add(path)
                        return finished
                await self._changed.wait()

    async def _upload(self, finished: RecordingFinished) -> None:
        """Store one file, then remove it here. One that somebody else has removed is no longer waited for.

        Raises:
            StorageUnavailable: it was not taken.
            OSError: the spool cannot be looked into.
        """
        local = self._spool.path(finished.path)
        if not await self._spool.threads.call(local.exists):
            self._waiting.pop(finished.path, None)
            log.warning("recording %s is gone from the spool", finished.path)
            return
        await self._storage.put_file(stored_path(finished.path), local)
        self._pause_s, self._paused_until = FIRST_PAUSE_S, 0.0
        self._waiting.pop(finished.path, None)
        self.counters.stored_files += 1
        self.counters.stored_bytes += finished.size_bytes
        log.info("recording %s stored, %d bytes", finished.path, finished.size_bytes)
        self._tell(RecordingStored(finished))  # while it is here: of what has gone without this word, others rescue the pieces
        await self._remove(finished)

    def _refused(self, finished: RecordingFinished, error: Exception, now: float) -> None:
        self.counters.failures += 1
        self._waiting[finished.path] = self._waiting.pop(finished.path)  # one that is never taken holds up no other
        if now < self._paused_until:  # another upload has said so already
            return
        log.warning("recording %s not stored, again in %g s: %s", finished.path, self._pause_s, error)
        self._paused_until = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


def _start(finished: RecordingFinished) -> tuple[int, str]:
    return finished.started_us, finished.path
