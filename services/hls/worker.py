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
from dataclasses import replace

from lalmesh.media import TICKS_PER_MS
from lalmesh.names import StreamKey
from lalmesh.runtime.follower import UNREACHABLE, Follower
from lalmesh.runtime.ownership import Epoch, HlsOwner, Location
from lalmesh.runtime.reader import Reader, ReaderMemory
from lalmesh.runtime.ring import Run
from lalmesh.runtime.storage import StorageUnavailable
from services.hls.conversion import Conversion
from services.hls.cuts import Cut, SegmentBegun, SegmentClosed, SegmentLost, Start, TargetsFixed, UnitsAdded, configuration_of
from services.hls.hosting import Cleanup, Ending, WorkerHost
from services.hls.kept import KeptName, kept_path
from services.hls.layout import StoredState
from services.hls.numbers import Numbers, first_number, fresh_number
from services.hls.output import Output
from services.hls.playing import Playing
from services.hls.recorded import WorkerRecording
from services.hls.rendition import Format, MadeFile
from services.hls.segmenter import Segmenter
from services.hls.store import Job, StorageWriter, read_state

log = logging.getLogger(__name__)

STORED_AFTER_END_S = 5.0  #: for the last segments to be stored before the stream is let go
QUIET_S = 1.0  #: a stream of which nothing comes for so long does not keep its node from stopping
LOOK_S = 3600.0  #: between two looks at a stream that is segmented to its end
_US = 1_000_000


class Worker:
    """One stream's segments, made here."""

    def __init__(self, host: WorkerHost, owner: HlsOwner) -> None:
        """Begin as `owner` says."""
        self.stream: StreamKey = owner.stream
        self.epoch: Epoch = owner.epoch
        self.owner = owner
        self.ending: Ending | None = None
        self._host = host
        self._settings = host.settings
        self._loop = asyncio.get_running_loop()
        self._facts = {"stream_key": str(self.stream), "hls_epoch": f"{owner.epoch.term}.{owner.epoch.revision}"}
        settings = host.settings
        self.output = Output(self.epoch, settings.list_size, settings.formats, host.budget, host.counters, self._lose)
        #: what players are answered
        self.playing = Playing(self.stream, self.output, host.storage, settings.wait_s, self._asked)
        self._conversion = Conversion(enabled=settings.transcode)
        self._segmenter: Segmenter | None = None
        self._follower: Follower | None = None
        self._numbers = Numbers(owner.limit, owner.limit)
        self._last_closed: SegmentClosed | None = None
        self._told_left_out: set[str] = set()
        self._outdated: list[str] = []  # stored files that left the playlists, the oldest first
        self._before: tuple[Epoch, int, bool] = (owner.epoch, 0, False)  # of the reader before the last run: epoch, offset, shifted
        self._asked_at = self._delivered_at = self._loop.time()
        self._stopping = False
        #: what is recorded of the stream
        self.recording: WorkerRecording | None = None
        if host.recordings is not None:
            self.recording = host.recordings.begin(self.stream, self.epoch)
        self._writer = StorageWriter(
            host.storage, self.stream, self.epoch, host.store_counters, self._stored, lambda _: self._end(Ending.OUTDATED)
        )
        self._task: asyncio.Task[Ending] = self._loop.create_task(self._run(), name=f"hls {self.stream}")
        self._task.add_done_callback(self._finished)
        self._storing = self._loop.create_task(self._writer.run(), name=f"hls storage {self.stream}")
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
    def waiting_segments(self) -> int:
        """Segments that are not stored yet."""
        return self._writer.waiting

    @property
    def left_out(self) -> tuple[str, ...]:
        """Tracks that an output cannot carry, such as ``hls-ts: pcma``."""
        return self.output.left_out + (self.recording.left_out if self.recording is not None else ())

    def moved(self, location: Location) -> None:
        """The stream has another origin."""
        if self._follower is not None:
            self._follower.moved(location)

    def _asked(self) -> None:
        self._asked_at = self._loop.time()

    # the life of a worker

    async def _run(self) -> Ending:
        state = await self._read_state()
        start, memory = self._start(state)
        self._numbers = Numbers(self.owner.limit, start.number)
        self._segmenter = Segmenter(self._settings.cuts, start)
        reader = Reader() if memory is None else Reader.resuming(memory)
        self._before = (reader.epoch, reader.offset, reader.is_shifted)
        self._follower = Follower(self.stream, self._host.scheduler, self._host.links, self._settings.follow, reader, self._deliver)
        log.info("segmenting from number %d", start.number, extra=self._facts)
        async with asyncio.TaskGroup() as group:
            following = group.create_task(self._follower.run())
            watching = group.create_task(self._watch())
            await asyncio.wait((following, watching), return_when=asyncio.FIRST_COMPLETED)
            following.cancel()
            watching.cancel()
        if watching.done() and not watching.cancelled():
            ending = watching.result()
        else:
            ending = Ending.LOST if following.result() == UNREACHABLE else Ending.OVER
        if ending is Ending.OVER:
            self._take(self._segmenter.finish())
            self._store_end()
        return ending

    async def _watch(self) -> Ending:
        """Wait until nobody has asked for long enough, or the node stops and the segment that was open is whole."""
        idle_s = self._settings.idle_s
        while not self._stopping and self.ending is None:
            left_s = self._asked_at + idle_s - self._loop.time() if idle_s is not None else LOOK_S
            if left_s <= 0 and self._is_recorded:
                self._asked_at = self._loop.time()
                continue
            if left_s <= 0:
                return Ending.IDLE
            await self.output.until(lambda: self._stopping or None, left_s)
        await self._finish_segment()
        return Ending.STOPPED

    async def _finish_segment(self) -> None:
        """Wait until the segment that is open is whole; not where nothing comes that could make it so."""
        segmenter = self._segmenter
        if segmenter is None:
            return
        number, end = segmenter.number, self._loop.time() + self._settings.cuts.max_target_s
        while segmenter.number == number and self.ending is None and self._loop.time() < end:
            if self._loop.time() - self._delivered_at > QUIET_S:
                return
            await self.output.until(lambda: segmenter.number != number or None, QUIET_S / 2)

    @property
    def _is_recorded(self) -> bool:
        return self.recording is not None and self.recording.is_wanted

    async def _read_state(self) -> StoredState | None:
        try:
            return await read_state(self._host.storage, self.stream, self.epoch)
        except StorageUnavailable as error:
            self._host.store_counters.failures += 1
            log.warning("nothing is known of what was stored: %s", error, extra=self._facts)
            return None

    def _start(self, state: StoredState | None) -> tuple[Start, ReaderMemory | None]:
        """Where to begin: where the worker before has stopped, if that is not long ago."""
        owner, now_us = self.owner, time.time_ns() // 1000
        fresh = fresh_number(now_us / _US, self._settings.cuts.segment // TICKS_PER_MS)
        stored_next = state.next_number if state is not None else None
        first = first_number(limit=owner.limit, exact=owner.exact, stored_next=stored_next, fresh=fresh)
        if state is None:
            self.output.begin({}, None, goes_on=False)
            return Start(number=first.number), None
        goes_on_s = self._settings.follow.keep_s + self._settings.cuts.max_target_s
        if state.ended or now_us - state.stored_us > goes_on_s * _US:
            self.output.begin(state.renditions, None, goes_on=False)
            return Start(number=first.number), None
        self.output.begin(state.renditions, TargetsFixed(state.targets), goes_on=True)
        start = Start(
            number=first.number,
            targets=state.targets,
            discontinuity=not first.resumes,
            end=state.end,
            end_us=state.end_us,
            configuration=state.configuration,
            publication=state.memory.last.publication,
        )
        return start, state.memory

    def stop(self, *, at_once: bool = False) -> None:
        """End it when the open segment is whole, or `at_once` where another node has the stream."""
        if at_once:
            self._end(Ending.OUTDATED)
        self._stopping = True
        self.output.wake()

    async def stopped(self) -> None:
        """Wait until it has ended, in whatever way, and what it made is stored or was given up."""
        await asyncio.wait([self._task])
        if self.ending is not Ending.OUTDATED:
            try:
                async with asyncio.timeout(STORED_AFTER_END_S):
                    await self._writer.emptied()
            except TimeoutError:
                log.warning("%d segments are not stored", self._writer.waiting, extra=self._facts)

    async def look_for_successor(self) -> None:
        """End it if another worker's marker is in storage, without waiting for the next segment."""
        await self._writer.look()

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
        self._delivered_at = self._loop.time()
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

    def _take(self, cuts: list[Cut]) -> None:
        for cut in cuts:
            self._count(cut)
            self.output.take(cut)
            if isinstance(cut, SegmentBegun):
                self._tell_left_out()
            elif isinstance(cut, SegmentClosed):
                self._store(cut)
        if any(not isinstance(cut, UnitsAdded) for cut in cuts):  # a unit more changes no playlist
            self.output.wake()

    def _count(self, cut: Cut) -> None:
        """Count the cut; see that its number may be used."""
        counters = self._host.counters
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

    def _lose(self, number: int) -> None:
        """Memory was full before the segment was stored."""
        log.warning("segment %d given up unstored: memory is full", number, extra=self._facts)
        self._writer.give_up(number)

    # storage

    def _store(self, closed: SegmentClosed) -> None:
        """Have the segment stored, by all renditions, with the state of now."""
        files = self.output.take_unstored()
        self._last_closed = closed
        self._writer.add(Job(closed.number, files, self._state(closed).serialize(), self._outdated_files(), self._kept(files)))

    def _kept(self, files: list[MadeFile]) -> dict[str, bytes]:
        """What is stored once more of the new `files`, by path, where segments are recorded."""
        playlist = self.output.playlist(Format.TS)
        if self.recording is None or not self.recording.keeps_segments or playlist is None:
            return {}
        data = {file.name: file.data for file in files}
        segments = [segment for segment in playlist.segments if segment.uri in data]
        names = [KeptName.of(segment, playlist.target_duration_s, self.epoch) for segment in segments]
        return {kept_path(self.stream, str(name)): data[segment.uri] for name, segment in zip(names, segments, strict=True)}

    def _store_end(self) -> None:
        """Have it stored that the stream is over."""
        closed = self._last_closed
        if closed is not None:
            state = replace(self._state(closed), ended=True)
            self._writer.add(Job(closed.number, [], state.serialize(), []))

    def _state(self, closed: SegmentClosed) -> StoredState:
        targets, renditions = self.output.targets, self.output.renditions
        assert targets is not None
        epoch, offset, shifted = self._before
        reader = self._follower.reader if self._follower is not None else None
        if reader is not None and reader.last is not None and reader.last.publication == closed.last.publication:
            epoch, offset, shifted = reader.epoch, reader.offset, reader.is_shifted
        tracks = next(iter(renditions.values())).tracks if renditions else None
        return StoredState(
            next_number=closed.number + 1,
            targets=targets.targets,
            end=closed.end,
            end_us=closed.end_us,
            stored_us=time.time_ns() // 1000,
            configuration=configuration_of(tracks) if tracks is not None else (),
            memory=ReaderMemory(epoch=epoch, last=closed.last, offset=offset, shifted=shifted, last_dts=closed.last_dts),
            renditions=self.output.to_state(),
        )

    def _outdated_files(self) -> list[str]:
        """The stored files that may go: those that left the playlists long enough ago."""
        self._outdated += self.output.take_dropped()
        if self._settings.cleanup is not Cleanup.ROLLING:
            self._outdated.clear()
            return []
        keep = self._settings.delete_threshold * max(1, len(self.output.renditions))
        going, self._outdated = self._outdated[: -keep or None], self._outdated[-keep:]
        return going

    def _stored(self, number: int) -> None:
        self._numbers.stored(number)
        self.output.stored(number)
