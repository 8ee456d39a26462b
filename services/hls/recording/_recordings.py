"""All recordings of a node: what is recorded now, what waits for its upload, what is removed again."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.ring import Run
from lalmesh.runtime.storage import Storage, StorageUnavailable
from services.hls.recording._events import EndReason, RecordingDropped, RecordingFinished, RecordingStored
from services.hls.recording._growing import GROWING_FOLDER, GrowingUploads
from services.hls.recording._recorder import FileLimits, Recorder
from services.hls.recording._recovery import recover
from services.hls.recording._rescue import Rescue
from services.hls.recording._retention import sweep
from services.hls.recording._rules import RecordFormat, RecordRule, RecordRules
from services.hls.recording._spool import Spool
from services.hls.recording._turn import SweepTurn
from services.hls.recording._upload import Uploader
from services.hls.recording._writing import RecordingCounters, StreamRecording

log = logging.getLogger(__name__)

CLOSE_S = 10.0  #: that a disk gets for the end of a file; what it has not taken by then is given up
LEAST_RESCUE_S = 600.0  #: without a new piece before a growing file counts as lost; also at least ten uploads
MEASURE_S = 10.0  #: between two looks at how large the spool is: growing files grow meanwhile
TOLD_AT_ONCE = 100  #: recovered files: there may be 50,000, and live goes on

RecordingEvent: TypeAlias = RecordingFinished | RecordingStored | RecordingDropped
Sweep: TypeAlias = Callable[[RecordRules, float], Awaitable[int]]  #: of what rules let go, at a Unix time: gives how many went


@dataclass(slots=True, frozen=True, kw_only=True)
class RecordingSettings:
    """What holds for all recordings of a node."""

    spool_max_bytes: int = 20 << 30  #: of the spool: over it the oldest finished files are dropped
    upload_s: float = 0.0  #: growing files go to shared storage so often, in pieces; 0: only whole ones do
    sweep_s: float = 300.0  #: shared storage is looked through so often for what the rules let go, and for files of lost machines


class RecordedStream:
    """One stream that is being recorded, in one format or several."""

    def __init__(self, recordings: Sequence[StreamRecording], tasks: Sequence[asyncio.Task[None]]) -> None:
        """Give each run to all `recordings`, whose tasks are `tasks`."""
        self._recordings = recordings
        self._tasks = tasks

    def receive(self, run: Run) -> None:
        """Record the next units; never waits, never fails."""
        for recording in self._recordings:
            recording.receive(run)

    async def close(self, reason: EndReason) -> None:
        """End the files. Returns once they are complete; what a disk that hangs for `CLOSE_S` has not taken by then is given up."""
        for recording in self._recordings:
            recording.close(reason)
        if self._tasks and (await asyncio.wait(self._tasks, timeout=CLOSE_S))[1]:
            for recording in self._recordings:
                recording.give_up()
            await asyncio.wait(self._tasks)


class Recordings:
    """The recordings of one node. `run` carries what goes on beside the recording itself."""

    def __init__(
        self,
        storage: Storage,
        spool: Spool,
        rules: RecordRules,
        tell: Callable[[RecordingEvent], None],
        settings: RecordingSettings | None = None,
        *,
        clock: Callable[[], float] = time.time,
        are_rules_fresh: Callable[[], bool] = lambda: True,
        sweep_too: Sweep | None = None,
    ) -> None:
        """Record into `spool`, upload to `storage`, keep there what `rules` say.

        Args:
            storage: shared storage.
            spool: of this process alone.
            rules: may be replaced at any time.
            tell: of each file that was finished, stored or dropped.
            settings: the rest.
            clock: Unix time in seconds.
            are_rules_fresh: whether `rules` are what holds now; while they may be outdated, nothing is swept by them.
            sweep_too: what else is swept when it is this node's turn.
        """
        self._settings = settings or RecordingSettings()
        self.rules = rules
        self.counters = RecordingCounters()
        self.removed_files = 0  #: that rules let go, by this node; only rises
        self.rescued_files = 0  #: of lost machines; only rises
        self.uploader = Uploader(storage, spool, self._uploaded, spool_max_bytes=self._settings.spool_max_bytes)
        self.growing = GrowingUploads(storage, spool)
        self._storage = storage
        self._spool = spool
        self._tell = tell
        self._clock = clock
        self.are_rules_fresh = are_rules_fresh
        self._sweep_too = sweep_too
        self._rescue = Rescue(storage, spool, self.growing)
        self._turn = SweepTurn(storage, self._settings.sweep_s, clock)
        self._recovered = asyncio.Event()  # all that the spool held is known: before, nobody could tell what is oldest
        self._numbers = itertools.count()  # of the files of this process, whatever their stream
        self._finished: asyncio.Queue[RecordingFinished] = asyncio.Queue()  # each takes seconds to make: bounded by that
        self._stored: asyncio.Queue[str] = asyncio.Queue()  # those of which there are pieces; the same

    def record(self, stream: StreamKey, rule: RecordRule, epoch: Epoch) -> RecordedStream:
        """Begin to record `stream` as `rule` says, whatever its pattern; HLS is the segmenter's.

        Args:
            stream: what is recorded.
            rule: formats and lengths; how long files are kept is what `rules` say of the stream.
            epoch: under which this node records it (see `Recorder`).
        """
        limits = FileLimits.of(rule)
        recorders = [Recorder(stream, made, limits, epoch, self._numbers) for made in rule.formats if made is not RecordFormat.HLS]
        recordings = [StreamRecording(recorder, self._spool, self._complete, self.counters) for recorder in recorders]
        return RecordedStream(recordings, [asyncio.create_task(recording.run()) for recording in recordings])

    def _complete(self, finished: RecordingFinished) -> None:
        self._announce(finished)
        self._finished.put_nowait(finished)

    def _announce(self, finished: RecordingFinished) -> None:
        log.info(
            "recording %s finished (%s), %d ms, %d bytes",
            finished.path,
            finished.reason.value,
            finished.duration_ms,
            finished.size_bytes,
            extra={
                "stream_key": str(finished.stream),
                "format": finished.format.value,
                "missing": finished.missing,
                "left_out": finished.left_out,
            },
        )
        self._tell(finished)

    def _uploaded(self, event: RecordingStored | RecordingDropped) -> None:
        path = event.recording.path
        if self.growing.release(path) and isinstance(event, RecordingStored):
            self._stored.put_nowait(path)
        self._tell(event)

    async def run(self) -> None:
        """Recover what a crash left, upload, rescue and sweep until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recover())
            group.create_task(self.uploader.run())
            group.create_task(self._hand_over())
            group.create_task(self._measure())
            group.create_task(self._clean())
            group.create_task(self._sweep())
            if self._settings.upload_s:
                group.create_task(self.growing.run(self._settings.upload_s))

    async def _recover(self) -> None:
        """Once for a process: what it begins itself it finishes itself."""
        if self._recovered.is_set():
            return
        recovered = await self._spool.threads.call(recover, self._spool)
        try:
            for number, finished in enumerate(recovered):
                self._announce(finished)
                if number % TOLD_AT_ONCE == 0:
                    await asyncio.sleep(0)
        finally:
            for finished in recovered:
                self._finished.put_nowait(finished)
            self._recovered.set()

    async def drain(self, limit_s: float) -> int:
        """Wait until `run` has stored all that is finished, at most `limit_s`. Gives how many files are left for the next start."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._finished.join()
                return await self.uploader.drain(limit_s)
        return self.uploader.waiting_files + self._finished.qsize()

    async def _hand_over(self) -> None:
        """All that wait at a time: for each the whole spool would be measured."""
        await self._recovered.wait()
        while True:
            finished = [await self._finished.get()]
            finished += (self._finished.get_nowait() for _ in range(self._finished.qsize()))
            try:
                await self.uploader.add(*finished)
            except OSError as error:
                log.warning("the spool cannot be looked through: %s", error)
            finally:
                for _ in finished:
                    self._finished.task_done()

    async def _measure(self) -> None:
        await self._recovered.wait()
        while True:
            await asyncio.sleep(MEASURE_S)
            try:
                await self.uploader.keep_bound()
            except OSError as error:
                log.warning("the spool cannot be looked through: %s", error)

    async def _clean(self) -> None:
        while True:
            path = await self._stored.get()
            with suppress(StorageUnavailable):  # whoever looks for lost files removes them
                await self.growing.remove(path)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._settings.sweep_s)
            try:
                if await self._is_needed() and await self._turn.take():
                    await self.sweep()
            except (StorageUnavailable, OSError) as error:
                log.warning("shared storage not swept: %s", error)

    async def _is_needed(self) -> bool:
        """Whether there may be something to sweep: a node that records nothing, or may have old rules, leaves storage alone."""
        if not self.are_rules_fresh():
            return False
        if any(rule.keep_s or rule.keep_bytes for rule in self.rules.rules):
            return True
        return bool(await self._storage.list(GROWING_FOLDER, limit=1))

    async def sweep(self) -> None:
        """Remove from shared storage what the rules let go, and take over what lost machines left.

        Raises:
            StorageUnavailable: the rest waits for the next time.
            OSError: the spool cannot be written.
        """
        now = self._clock()
        self.removed_files += await sweep(self._storage, self.rules, int(now * 1_000_000))
        if self._sweep_too is not None:
            self.removed_files += await self._sweep_too(self.rules, now)
        quiet_s = max(LEAST_RESCUE_S, 10 * self._settings.upload_s)
        async for finished in self._rescue.look(int((now - quiet_s) * 1_000_000)):
            self.rescued_files += 1
            self._complete(finished)
