"""One stream that this node segments: a reader of its origin, its renditions, and what goes to storage.

```
 preparing ──> following ──stream over──> ended      (the playlists say so)
                   │ ──nobody asks────────> left      (handed over with the exact next number)
                   │ ──the node stops─────> left
                   └ ──a higher epoch─────> outdated  (dropped as it is)
```
"""

from __future__ import annotations

import asyncio
import logging
import time

from lalmesh.media import TICKS_PER_SECOND, TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime import telemetry
from lalmesh.runtime.follower import UNREACHABLE, Follower
from lalmesh.runtime.ownership import Epoch, HlsOwner, Location
from lalmesh.runtime.reader import Reader, ReaderMemory
from lalmesh.runtime.ring import Run
from lalmesh.runtime.telemetry import Attribute, Fact, SpanName
from services.hls.beginning import beginning_of
from services.hls.conversion import Conversion
from services.hls.cuts import Cut, SegmentBegun, SegmentClosed, SegmentLost
from services.hls.events import SegmentEvents
from services.hls.hosting import Ending, WorkerHost
from services.hls.numbers import AHEAD, Numbers
from services.hls.output import Output
from services.hls.playing import Playing
from services.hls.recorded import WorkerRecording
from services.hls.rendition import Format
from services.hls.segmenter import Segmenter
from services.hls.storing import PREDECESSOR_WAIT_S, STATE_WAIT_S, Storing
from services.hls.watching import Watch

log = logging.getLogger(__name__)

STORED_AFTER_END_S = 5.0  #: for the last segments to be stored before the stream is let go
_NS_PER_US = 1000


class Worker:
    """One stream's segments, made here."""

    def __init__(self, host: WorkerHost, owner: HlsOwner) -> None:
        """Begin as `owner` says."""
        self.stream: StreamKey = owner.stream
        self.epoch: Epoch = owner.epoch
        self.owner = owner
        self.ending: Ending | None = None
        self.outdated_by: Epoch | None = None  #: that storage has shown
        self._host = host
        self._settings = host.settings
        self._loop = asyncio.get_running_loop()
        self._facts = {"stream_key": str(self.stream), "hls_epoch": f"{owner.epoch.term}.{owner.epoch.revision}"}
        settings = host.settings
        self.output = Output(self, self.epoch, settings.list_size, settings.formats, host.budget, host.counters)
        self._watch = Watch(self.output, settings, lambda: self.recording is not None and self.recording.is_wanted)
        #: what players are answered
        self.playing = Playing(self.stream, self.output, host.storage, settings.wait_s, self._watch.asked)
        self._conversion = Conversion(enabled=settings.transcode)
        self._segmenter: Segmenter | None = None
        self._follower: Follower | None = None
        self._numbers = Numbers(owner.limit, owner.limit)
        self._opened_us = time.time_ns() // _NS_PER_US
        self._segment_us = 0  # when the one that is open began, by its publisher's clock
        self._unstored: dict[int, tuple[int, SegmentClosed]] = {}  # those that wait for storage, by number, and when they began
        self.tracks = TrackSet()  # of the newest segment
        self._told_left_out: set[str] = set()
        self._before: tuple[Epoch, int, bool] = (owner.epoch, 0, False)  # of the reader before the last run: epoch, offset, shifted
        #: what is recorded of the stream
        self.recording: WorkerRecording | None = None
        if host.recordings is not None:
            self.recording = host.recordings.begin(self.stream, self.epoch)
        self._events = SegmentEvents(
            host.events,
            self.stream,
            self.epoch,
            lambda: Format.TS in self.output.renditions,
            lambda: telemetry.of_publication(self.publication),
        )
        self._storage = Storing(host, self.stream, self.epoch, self.output, self.recording, self._stored, self._outdated)
        self._task: asyncio.Task[Ending] = self._loop.create_task(self._run(), name=f"hls {self.stream}")
        self._task.add_done_callback(self._finished)
        self._storing = self._loop.create_task(self._storage.run(), name=f"hls storage {self.stream}")
        self._storing.add_done_callback(self._storing_finished)

    # what is known of it

    @property
    def next_number(self) -> int:
        """The first number that no whole segment has."""
        return self._segmenter.number if self._segmenter is not None else self.owner.limit

    @property
    def reader(self) -> Reader | None:
        """The reader of the stream, once there is one."""
        return self._follower.reader if self._follower is not None else None

    @property
    def publication(self) -> bytes:
        """The id of the publication that it had the last unit of; empty where it had none."""
        return self.reader.last.publication if self.reader is not None and self.reader.last is not None else b""

    @property
    def waiting_segments(self) -> int:
        """Segments that are not stored yet."""
        return self._storage.waiting

    @property
    def is_watched(self) -> bool:
        """Whether somebody asked for the stream not long ago."""
        return self._watch.is_watched

    @property
    def left_out(self) -> tuple[str, ...]:
        """Tracks that an output cannot carry, such as ``hls-ts: pcma``."""
        return self.output.left_out + (self.recording.left_out if self.recording is not None else ())

    def moved(self, location: Location) -> None:
        """The stream has another origin."""
        if self._follower is not None:
            self._follower.moved(location)

    # the life of a worker

    async def _run(self) -> Ending:
        segmenter, memory = await self._begin()
        seen = self._host.seen.of(self.stream)
        reader = Reader(*seen) if memory is None else Reader.resuming(memory, seen)
        self._before = (reader.epoch, reader.offset, reader.is_shifted)
        self._follower = Follower(self.stream, self._host.locates, self._host.links, self._settings.follow, reader, self._deliver)
        self._follower.gaps = self._host.gaps
        self._follower.begun = self._publication_begun
        self._watch.delivered()
        async with asyncio.TaskGroup() as group:
            following = group.create_task(self._follower.run())
            watching = group.create_task(self._watch.until_left(segmenter))
            pausing = group.create_task(self._watch.close_what_stands_still(segmenter, self._take))
            await asyncio.wait((following, watching), return_when=asyncio.FIRST_COMPLETED)
            for task in (following, watching, pausing):
                task.cancel()
        if watching.done() and not watching.cancelled():
            ending = watching.result()
        else:
            ending = Ending.LOST if following.result() == UNREACHABLE else Ending.OVER
        if ending is Ending.OVER:
            self._take(segmenter.finish())
            self._storage.add_end()
        elif ending is Ending.IDLE:
            self._storage.add_left()
        return ending

    async def _begin(self) -> tuple[Segmenter, ReaderMemory | None]:
        """Begin where the worker before has stopped, if that can be told."""
        state, is_known = await self._storage.begin(PREDECESSOR_WAIT_S if self.owner.limit else STATE_WAIT_S)
        beginning = beginning_of(self.owner, state, self._settings, time.time_ns() // _NS_PER_US, is_known=is_known)
        start = beginning.start
        self._numbers = Numbers(self.owner.limit, start.number)
        if not beginning.goes_on and start.number + AHEAD > self.owner.limit:  # nothing in storage shows yet what it uses
            self._host.raise_limit(self, start.number + AHEAD)
        self.output.begin(beginning.renditions, beginning.targets, goes_on=beginning.goes_on, again_from=beginning.again_from)
        self._segmenter = Segmenter(self._settings.cuts, start)
        log.info("segmenting from number %d", start.number, extra=self._facts)
        return self._segmenter, beginning.memory

    def stop(self, *, at_once: bool = False) -> None:
        """End it when the open segment is whole, or `at_once` where another node has the stream."""
        if at_once:
            self._end(Ending.OUTDATED)
        self._watch.stop()

    async def stopped(self) -> None:
        """Wait until it has ended, in whatever way, and what it made is stored or was given up."""
        await asyncio.wait([self._task])
        if self.ending is not Ending.OUTDATED:
            try:
                async with asyncio.timeout(STORED_AFTER_END_S):
                    await self._storage.emptied()
            except TimeoutError:
                log.warning("%d segments are not stored", self._storage.waiting, extra=self._facts)

    async def look_for_successor(self) -> None:
        """End it if another worker's marker is in storage, without waiting for the next segment."""
        await self._storage.look()

    async def close(self) -> None:
        """End everything of it now, and give its memory back."""
        self._task.cancel()
        self._storing.cancel()
        await asyncio.gather(self._task, self._storing, return_exceptions=True)
        self.output.clear()

    def _end(self, ending: Ending) -> None:
        if self.ending is None:
            self.ending = ending
            self.output.end()
            self._task.cancel()

    def _outdated(self, epoch: Epoch) -> None:
        """Another worker has stored something under a higher epoch."""
        self.outdated_by = epoch
        self._end(Ending.OUTDATED)

    def _finished(self, task: asyncio.Task[Ending]) -> None:
        if self.ending is None and task.cancelled():  # closed by its node, which knows
            self.ending = Ending.STOPPED
            self.output.end()
            return
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("hls worker failed", exc_info=error, extra=self._facts)
            self.ending = Ending.FAILED
        elif self.ending is None:
            self.ending = task.result()
        with telemetry.within(telemetry.of_publication(self.publication)):
            log.info("segmenting ended: %s", self.ending.value, extra=self._facts)
        self.output.end()
        self._host.ended(self)

    def _storing_finished(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("storing segments failed", exc_info=error, extra=self._facts)
            self._end(Ending.FAILED)

    # what comes

    def _deliver(self, run: Run) -> None:
        """The next units of the stream, from the reader."""
        try:
            self._receive(run)
        except Exception:  # a bug of ours: the other streams of the link go on
            log.exception("units could not be segmented", extra=self._facts)
            self._end(Ending.FAILED)

    def _receive(self, run: Run) -> None:
        self._watch.delivered()
        assert self._segmenter is not None
        assert self._follower is not None
        converted = self._conversion.convert(run)
        if self.recording is not None:
            self.recording.receive(run, converted)
            if self.recording.keeps_segments:
                self.output.want(Format.TS)
        if converted is not None:
            self._take(self._segmenter.receive(converted))
        reader = self._follower.reader
        self._before = (run.epoch, reader.offset, reader.is_shifted)

    def _publication_begun(self, run: Run) -> None:
        """The first units of a publication."""
        facts = {Attribute.STREAM: str(self.stream), Attribute.PUBLICATION: run.publication.hex()}
        begun_us = max(self._opened_us, run.units[0].wall_us)
        telemetry.record(SpanName.SEGMENTER, telemetry.of_publication(run.publication), begun_us, facts)

    def _take(self, cuts: list[Cut]) -> None:
        for cut in cuts:
            self._count(cut)
            self.output.take(cut)
            if isinstance(cut, SegmentBegun):
                self.tracks = cut.tracks
                self._segment_us = cut.program_date_time_us
                self._tell_left_out()
            elif isinstance(cut, SegmentClosed):
                self._unstored[cut.number] = (self._segment_us, cut)
                if self.reader is not None and self.reader.delay_us is not None:
                    self._host.counters.link_delay.add(self.reader.delay_us / 1e6)
                self._storage.add(cut, self.tracks, self._memory_at(cut))
        if cuts:
            self.output.wake()

    def _count(self, cut: Cut) -> None:
        """Count the cut; see that its number may be used."""
        counters = self._host.counters
        self._events.cut(cut)
        match cut:
            case SegmentLost():
                counters.gaps += 1
            case SegmentBegun(number, discontinuity):
                counters.discontinuities += discontinuity
                limit = self._numbers.limit_for(number)  # live does not wait for the answer, nor stop where there is none
                if limit is not None:
                    self._host.raise_limit(self, limit)
            case SegmentClosed():
                counters.segments += 1
            case _:
                pass

    def limit_raised(self, limit: int) -> None:
        """The registry counts numbers below `limit` as used."""
        self._numbers.raised(limit)

    def _tell_left_out(self) -> None:
        """Say what players do not get, once."""
        for track in self.left_out:
            if track not in self._told_left_out:
                self._told_left_out.add(track)
                log.warning("track left out: %s", track, extra=self._facts)

    # what the output calls

    def lost(self, number: int) -> None:
        """See `OutputHost.lost`."""
        with telemetry.within(telemetry.of_publication(self.publication)):
            log.warning("segment %d given up unstored: memory is full", number, extra=self._facts)
        self._storage.give_up(number)
        self._unstored.pop(number, None)
        self._events.lost(number)

    def made_late(self) -> None:
        """See `OutputHost.made_late`."""
        self._storage.add_late()

    # storage

    def _memory_at(self, closed: SegmentClosed) -> ReaderMemory:
        """What the reader remembered at the last unit of the segment; the run that closed it may be of the next publication."""
        epoch, offset, shifted = self._before
        reader = self.reader
        if reader is not None and reader.last is not None and reader.last.publication == closed.last.publication:
            epoch, offset, shifted = reader.epoch, reader.offset, reader.is_shifted
        return ReaderMemory(epoch=epoch, last=closed.last, offset=offset, shifted=shifted, last_dts=closed.last_dts)

    def _tell_stored(self, begun_us: int, segment: SegmentClosed) -> None:
        publication = segment.last.publication
        self._host.counters.segment_lag.add(time.time() - segment.end_us / 1e6)
        facts: dict[Attribute, Fact] = {
            Attribute.STREAM: str(self.stream),
            Attribute.PUBLICATION: publication.hex(),
            Attribute.NUMBER: segment.number,
            Attribute.DURATION: segment.duration / TICKS_PER_SECOND,
        }
        telemetry.record(SpanName.SEGMENT, telemetry.of_publication(publication), begun_us, facts)

    def _stored(self, number: int) -> None:
        if (stored := self._unstored.pop(number, None)) is not None:
            self._tell_stored(*stored)
        self._numbers.stored(number)
        self._events.stored(number)
        self.output.stored(number)
