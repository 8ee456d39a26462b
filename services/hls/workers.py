"""The streams that this node segments: begun by the scheduler's word or by another node's, given back when they end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterator

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.durations import GAP_BUCKETS_S, Durations
from lalmesh.runtime.fences import Fences
from lalmesh.runtime.follower import OriginLinks
from lalmesh.runtime.gathering import Gatherer
from lalmesh.runtime.ownership import NO_EPOCH, Epoch, HlsOwner, Location, NodeAddress
from lalmesh.runtime.reader import ReaderCounters
from lalmesh.runtime.scheduling import HlsLimit, HlsReleased, HlsSchedulerClient, HlsWanted, Refusal
from lalmesh.runtime.storage import Storage, StorageUnavailable
from lalmesh.runtime.tally import add_counters
from services.hls.cleanup import remove_files
from services.hls.events import HlsEvents
from services.hls.hosting import Cleanup, Ending, WorkerCounters, WorkerSettings
from services.hls.recorded import NodeRecordings
from services.hls.recording import EndReason
from services.hls.shelf import Budget
from services.hls.store import StoreCounters
from services.hls.worker import Worker

log = logging.getLogger(__name__)

RAISE_DEADLINE_S = 5.0
SHOW_DEADLINE_S = 5.0
RELEASE_DEADLINE_S = 3.0
RELEASE_RETRY_S = 5.0  #: until the scheduler has heard that a stream was given back: nobody else gets it before
LET_GO_S = 5.0  #: that a request waits for a worker that is being given back
LOOKS_AT_ONCE = 20  #: questions to storage
MAX_ENDED = 1000  #: streams that are over whose playlists stay in memory for a while


class Workers:
    """The `WorkerHost` of a node."""

    def __init__(
        self,
        node: NodeAddress,
        settings: WorkerSettings,
        scheduler: HlsSchedulerClient,
        links: OriginLinks,
        storage: Storage,
        budget: Budget,
    ) -> None:
        """Segment what `node` is assigned."""
        self.node = node
        self.settings = settings
        self._scheduler = scheduler
        self.links = links
        self.locates = Gatherer(scheduler.locate)
        self.seen = Fences(settings.remembered_num)
        self.storage = storage
        self.budget = budget
        self.counters = WorkerCounters()
        self.gaps = Durations(GAP_BUCKETS_S)
        self.store_counters = StoreCounters()
        self.recordings: NodeRecordings | None = None
        self.events: HlsEvents | None = None
        self._workers: dict[StreamKey, Worker] = {}
        self._over: dict[StreamKey, Worker] = {}  # whose streams have ended
        self._reading: dict[tuple[StreamKey, Epoch], Worker] = {}  # whose readers are not among the past ones yet
        self._past_readers = ReaderCounters()
        self._fences: dict[StreamKey, Epoch] = {}  # the highest epoch seen
        self._tasks: set[asyncio.Task[None]] = set()
        self._letting_go: dict[StreamKey, asyncio.Future[None]] = {}  # done when the worker is given back
        self._stopping = False
        self._gone = asyncio.Event()  # set when a worker is given back
        self._loop = asyncio.get_running_loop()

    def __iter__(self) -> Iterator[Worker]:
        """Every worker."""
        return iter(list(self._workers.values()))

    def __len__(self) -> int:
        """How many streams are segmented here."""
        return len(self._workers)

    @property
    def reader_totals(self) -> ReaderCounters:
        """The counters of all readers that are and were."""
        totals = ReaderCounters()
        add_counters(totals, self._past_readers)
        for worker in self._reading.values():
            if worker.reader is not None:
                add_counters(totals, worker.reader.counters)
        return totals

    @property
    def scheduler(self) -> HlsSchedulerClient:
        """Whom this node asks."""
        return self._scheduler

    def get(self, stream: StreamKey) -> Worker | None:
        """The worker of `stream`, if it is segmented here."""
        return self._workers.get(stream)

    def highest_seen(self, stream: StreamKey) -> Epoch:
        """The highest epoch of `stream` that is known here, from the scheduler or from storage."""
        return self._fences.get(stream, NO_EPOCH)

    def over(self, stream: StreamKey) -> Worker | None:
        """The worker of a stream that has ended here not long ago."""
        return self._over.get(stream)

    async def let_go(self, stream: StreamKey) -> None:
        """Wait until a worker of `stream` that has ended is given back.

        Raises:
            Unavailable: it is not, and no other gets the stream before: the scheduler does not answer.
        """
        given_back = self._letting_go.get(stream)
        if given_back is not None and not (await asyncio.wait([given_back], timeout=LET_GO_S))[0]:
            raise Unavailable(f"{stream} is being handed over", retry_after_s=1.0)

    def assigned(self, owner: HlsOwner) -> Worker | None:
        """`owner` segments its stream: begin where that is here, stop where it is not any more. Gives the worker that is here.

        An epoch below one that is known says nothing.
        """
        stream, seen = owner.stream, self.highest_seen(owner.stream)
        worker = self._workers.get(stream)
        if owner.epoch < seen or self._stopping:
            return worker
        self._remember(stream, owner.epoch)
        is_here = owner.worker.node == self.node.node
        if worker is not None and worker.epoch < owner.epoch:
            log.info("another owner of the segments", extra={"stream_key": str(stream), "hls_node": owner.worker.node.name})
            del self._workers[stream]
            worker.stop(at_once=True)
            worker = None
        if worker is None and is_here and owner.epoch > seen:  # an epoch that was here has been given back
            self._over.pop(stream, None)
            worker = self._workers[stream] = self._reading[stream, owner.epoch] = Worker(self, owner)
        return worker

    async def look_for_successors(self) -> None:
        """End the workers that have a successor somewhere: where the scheduler cannot say so, markers in storage do."""
        workers = list(self)
        for start in range(0, len(workers), LOOKS_AT_ONCE):
            looking = (worker.look_for_successor() for worker in workers[start : start + LOOKS_AT_ONCE])
            for found in await asyncio.gather(*looking, return_exceptions=True):
                if isinstance(found, Exception):  # a bug of ours with one stream must not hide the successors of others
                    log.error("successor not looked for", exc_info=found)

    def moved(self, location: Location) -> None:
        """A stream has another origin."""
        worker = self._workers.get(location.stream)
        if worker is not None:
            worker.moved(location)

    def _remember(self, stream: StreamKey, epoch: Epoch) -> None:
        self._fences.pop(stream, None)
        self._fences[stream] = epoch
        if len(self._fences) > self.settings.remembered_num:
            del self._fences[next(iter(self._fences))]

    # what workers call

    def raise_limit(self, worker: Worker, limit: int) -> None:
        """See `WorkerHost.raise_limit`."""
        self._start(self._raise(worker, limit))

    async def _raise(self, worker: Worker, limit: int) -> None:
        asked = HlsLimit(worker.stream, worker.epoch, limit)
        try:
            raised = (await self.scheduler.raise_hls_limit(self.node, [asked], RAISE_DEADLINE_S))[0]
        except Unavailable as error:  # the control plane is away: live goes on
            log.warning("number limit not raised: %s", error, extra={"stream_key": str(worker.stream)})
            return
        if raised:
            worker.limit_raised(limit)
        else:
            worker.stop(at_once=True)

    def ended(self, worker: Worker) -> None:
        """See `WorkerHost.ended`."""
        if worker.recording is not None:
            worker.recording.finish(EndReason.ENDED if worker.ending is Ending.OVER else EndReason.STOPPED)
        self._reading.pop((worker.stream, worker.epoch), None)
        if worker.reader is not None:
            add_counters(self._past_readers, worker.reader.counters)
            self.seen.see(worker.stream, *worker.reader.seen)
        given_back: asyncio.Future[None] = self._loop.create_future()
        if self._workers.get(worker.stream) is worker:
            self._letting_go[worker.stream] = given_back
        self._start(self._let_go(worker, given_back))

    async def _let_go(self, worker: Worker, given_back: asyncio.Future[None]) -> None:
        """Give an ended worker back, and its memory; what it stored goes later, if nobody has gone on by then."""
        stream = worker.stream
        try:
            await worker.stopped()
            if worker.ending is not Ending.OUTDATED:
                await self._release(worker)
        finally:
            given_back.set_result(None)
            if self._letting_go.get(stream) is given_back:  # another worker of the stream may be on its way too
                del self._letting_go[stream]
            if self._workers.get(stream) is worker:
                del self._workers[stream]
            self._gone.set()
        if worker.outdated_by is not None and not self._stopping:
            self._start(self._show(stream, worker.outdated_by))
        if worker.ending is Ending.OVER and not self._stopping:
            self._over[stream] = worker
            if len(self._over) > MAX_ENDED:
                del self._over[next(iter(self._over))]
        else:
            await worker.close()
        if worker.ending is not Ending.OUTDATED and not self._stopping:
            await asyncio.sleep(self.settings.linger_s if worker.ending is Ending.OVER else self.settings.useful_s)
            await self._clean_up(worker)

    async def _release(self, worker: Worker) -> None:
        released = HlsReleased(worker.stream, worker.epoch, worker.next_number)
        while True:
            try:
                await self.scheduler.release_hls(self.node, [released], RELEASE_DEADLINE_S)
                return
            except Unavailable as error:
                log.warning("stream not handed over: %s", error, extra={"stream_key": str(worker.stream)})
            if self._stopping:
                return
            await asyncio.sleep(RELEASE_RETRY_S)

    async def _show(self, stream: StreamKey, found: Epoch) -> None:
        """Show the scheduler an epoch that storage has.

        As a rule it is a successor's. Where the registry was restored, or a clock went back, it may be nobody's, and the scheduler
        would go on naming this node under one that storage refuses: shown a higher one, it names an owner above that.
        """
        if found <= self.highest_seen(stream):
            return
        self._remember(stream, found)
        while self.highest_seen(stream) == found and not self._stopping:
            try:
                answer = (await self.scheduler.locate_hls(self.node, [HlsWanted(stream, found)], SHOW_DEADLINE_S))[0]
            except Unavailable as error:
                log.warning("epoch of another worker not shown: %s", error, extra={"stream_key": str(stream)})
            else:
                if isinstance(answer, HlsOwner):
                    self.assigned(answer)
                    return
                if answer.refusal is Refusal.NOT_FOUND:
                    return
            await asyncio.sleep(RELEASE_RETRY_S)

    async def _clean_up(self, worker: Worker) -> None:
        if self._over.get(worker.stream) is worker:
            del self._over[worker.stream]
        await worker.close()
        if self.settings.cleanup is Cleanup.NEVER:
            return
        try:
            await remove_files(self.storage, worker.stream, worker.epoch)
        except StorageUnavailable as error:  # the next sweep finds them
            log.warning("segments not removed: %s", error, extra={"stream_key": str(worker.stream)})

    def _start(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("work for a stream failed", exc_info=error)

    async def close(self, deadline_s: float) -> None:
        """Let every open segment become whole, hand the streams over, end everything."""
        self._stopping = True
        workers = [*self._workers.values(), *self._over.values()]
        for worker in self:
            worker.stop()
        try:
            async with asyncio.timeout(deadline_s):
                while self._workers:
                    self._gone.clear()
                    await self._gone.wait()
        except TimeoutError:
            log.warning("%d streams were not handed over in time", len(self._workers))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.close() for worker in workers))
