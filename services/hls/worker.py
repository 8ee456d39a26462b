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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Protocol, TypeVar

from lalmesh.names import StreamKey
from lalmesh.protocol.hls import (
    FileName,
    MediaPlaylist,
    PartName,
    PlaylistName,
    Ready,
    Refused,
    ReloadRequest,
    answer_to,
    render_multivariant,
)
from lalmesh.runtime.follower import UNREACHABLE, Follower, FollowSettings, OriginLinks
from lalmesh.runtime.ownership import Epoch, HlsOwner, Location
from lalmesh.runtime.reader import Reader, ReaderMemory
from lalmesh.runtime.ring import Run
from lalmesh.runtime.scheduling import SchedulerClient
from lalmesh.runtime.storage import Storage, StorageUnavailable
from services.hls.answer import Answer, file_answer, playlist_answer, refusal
from services.hls.conversion import Conversion
from services.hls.cuts import (
    Cut,
    CutSettings,
    SegmentBegun,
    SegmentClosed,
    SegmentLost,
    Start,
    TargetsFixed,
    UnitsAdded,
    configuration_of,
)
from services.hls.kept import KeptName, kept_path
from services.hls.layout import StoredState, file_path
from services.hls.numbers import Numbers, first_number, fresh_number
from services.hls.playlists import Rendered, live_answer
from services.hls.recorded import NodeRecordings, WorkerRecording
from services.hls.rendition import Format, MadeFile, Rendition, make_rendition
from services.hls.segmenter import Segmenter
from services.hls.shelf import Budget, Shelf
from services.hls.store import Job, StorageWriter, StoreCounters, read_state

log = logging.getLogger(__name__)

BACKLOG_SEGMENTS = 2  #: whole ones whose units are kept for a rendition that starts late
RELOAD_TARGETS = 3  #: target durations that a blocking request waits at most (rfc8216bis §6.2.5.2)
STORED_AFTER_END_S = 5.0  #: for the last segments to be stored before the stream is let go
_US = 1_000_000

_Found = TypeVar("_Found")


class Cleanup(Enum):
    """What becomes of stored segments."""

    NEVER = "never"
    AFTER_END = "after_end"
    ROLLING = "rolling"


@dataclass(slots=True, frozen=True, kw_only=True)
class WorkerSettings:
    """How streams are segmented and kept."""

    cuts: CutSettings = field(default_factory=CutSettings)
    list_size: int = 6
    delete_threshold: int = 6
    cleanup: Cleanup = Cleanup.ROLLING
    formats: tuple[Format, ...] = ()  #: that are made whether anybody asks or not
    idle_s: float | None = 60.0  #: how long a stream is segmented that nobody asks for; None: to its end
    wait_s: float = 20.0  #: how long a request waits for the first segment
    follow: FollowSettings = field(default_factory=FollowSettings)

    @property
    def linger_s(self) -> float:
        """How long segments are of use when the stream has ended."""
        return self.cuts.segment * (self.list_size + self.delete_threshold) / 90_000


class Ending(Enum):
    """How a worker has ended."""

    OVER = "the stream is over"
    IDLE = "nobody asks for it"
    STOPPED = "the node stops"
    OUTDATED = "another node segments it"
    FAILED = "failed"
    LOST = UNREACHABLE


@dataclass(slots=True)
class WorkerCounters:
    """What a worker has made. Only rises."""

    segments: int = 0
    parts: int = 0
    segment_bytes: int = 0
    gaps: int = 0  #: numbers that were given up
    discontinuities: int = 0


class WorkerHost(Protocol):
    """What a worker needs of its node."""

    settings: WorkerSettings
    links: OriginLinks
    storage: Storage
    budget: Budget
    store_counters: StoreCounters
    counters: WorkerCounters
    recordings: NodeRecordings | None  #: None: nothing is ever recorded

    @property
    def scheduler(self) -> SchedulerClient:
        """Who knows where streams are."""
        ...

    def raise_limit(self, worker: Worker, limit: int) -> None:
        """Have the registry count numbers below `limit` as used; `Worker.limit_raised` hears of it."""
        ...

    def ended(self, worker: Worker) -> None:
        """The worker has ended; `Worker.ending` says how."""
        ...


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
        self._shelf = Shelf(host.budget)
        self._renditions: dict[Format, Rendition] = {}
        self._rendered = {kind: Rendered() for kind in Format}
        self._wanted = set(host.settings.formats)
        self._restored: Mapping[str, Mapping[str, Any]] = {}  # renditions of the worker before
        self._goes_on = False  # whether their playlists go on
        self._conversion = Conversion()
        self._segmenter: Segmenter | None = None
        self._follower: Follower | None = None
        self._numbers = Numbers(owner.limit, owner.limit)
        self._targets: TargetsFixed | None = None
        self._backlog: list[list[Cut]] = []  # of the last segments, the open one last
        self._last_closed: SegmentClosed | None = None
        self._unstored: list[MadeFile] = []  # of the open segment, and of those that a late rendition made
        self._told_left_out: set[str] = set()
        self._outdated: list[str] = []  # stored files that left the playlists, the oldest first
        self._before: tuple[Epoch, int, bool] = (owner.epoch, 0, False)  # of the reader before the last run: epoch, offset, shifted
        self._changed: asyncio.Future[None] = self._loop.create_future()
        self._asked_at = self._loop.time()
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
        """Tracks that a rendition cannot carry, such as ``hls-ts: pcma``."""
        segments = tuple(
            f"hls-{rendition.format.value}: {track.codec.value}"
            for rendition in self._renditions.values()
            for track in rendition.left_out
        )
        return segments + (self.recording.left_out if self.recording is not None else ())

    def moved(self, location: Location) -> None:
        """The stream has another origin."""
        if self._follower is not None:
            self._follower.moved(location)

    # questions

    async def playlist(self, name: PlaylistName, reload: ReloadRequest, query: str, base: str) -> Answer:
        """The playlist of that name, once it has what `reload` waits for.

        Args:
            name: which.
            reload: what the player waits for.
            query: to be put on every line.
            base: to be put before every line.
        """
        kind = Format.TS if name is PlaylistName.PLAYLIST else Format.FMP4
        self._asked_at = self._loop.time()
        self._want(kind)
        window = await self._until(lambda: self._listed(kind, name), self._settings.wait_s)
        rendition = self._renditions.get(kind)
        if rendition is not None and rendition.is_empty:
            codecs = ", ".join(track.codec.value for track in rendition.left_out)
            return refusal(406, f"{kind.value} segments cannot carry {codecs}")
        if window is None or rendition is None:
            return refusal(404 if self.ending else 503, f"{self.stream}: no segment yet")
        if name is PlaylistName.INDEX:
            variant = rendition.variant(f"{base}{PlaylistName.LIVE.value}.m3u8")
            return playlist_answer(render_multivariant(variant, query=query), window.target_duration_s)
        return await self._live(kind, reload, query, base)

    async def _live(self, kind: Format, reload: ReloadRequest, query: str, base: str) -> Answer:
        playlist = self._playlist(kind)
        assert playlist is not None
        answer = answer_to(playlist, reload)
        if not isinstance(answer, Ready | Refused):
            await self._until(lambda: self._reached(kind, reload), RELOAD_TARGETS * playlist.target_duration_s)
            playlist = self._playlist(kind) or playlist
            answer = answer_to(playlist, reload)
        if isinstance(answer, Refused):
            return refusal(answer.status, answer.reason)
        if not isinstance(answer, Ready):
            return refusal(503, "the stream stands still")
        text = self._rendered[kind].text(playlist, skip=reload.skip, query=query, base=base)
        return live_answer(playlist, text, blocked=reload.msn is not None and playlist.part_target is not None)

    async def file(self, name: FileName) -> Answer | None:
        """The file of that name; None where it is not in memory. A part that playlists hint at is waited for."""
        self._asked_at = self._loop.time()
        text = str(name)
        data = self._shelf.get(text)
        if data is None and isinstance(name, PartName) and self._hinted(text):
            playlist = self._playlist(Format.FMP4)
            wait_s = RELOAD_TARGETS * playlist.target_duration_s if playlist is not None else self._settings.wait_s
            await self._until(lambda: self._shelf.get(text) is not None or not self._hinted(text) or None, wait_s)
            data = self._shelf.get(text)
        if data is None and isinstance(name, PartName):
            data = await self._stored_part(text)
        return file_answer(name, data) if data else None

    async def _stored_part(self, name: str) -> bytes | None:
        """A part that is in memory no more, or that the worker before has made: out of its segment.

        Raises:
            StorageUnavailable: it cannot be told.
        """
        rendition = self._renditions.get(Format.FMP4)
        found = rendition.range_of(name) if rendition is not None else None
        if found is None:
            return None
        segment, start, end = found
        return await self._host.storage.get_range(file_path(self.stream, segment), start, end)

    def _hinted(self, uri: str) -> bool:
        playlist = self._playlist(Format.FMP4)
        return playlist is not None and playlist.hint_uri == uri

    def _playlist(self, kind: Format) -> MediaPlaylist | None:
        rendition = self._renditions.get(kind)
        return rendition.window.playlist if rendition is not None and rendition.window is not None else None

    def _listed(self, kind: Format, name: PlaylistName) -> MediaPlaylist | None:
        """The playlist once there is something to play; the multivariant one says what only a whole segment tells."""
        playlist = self._playlist(kind)
        if playlist is None:
            rendition = self._renditions.get(kind)
            return _NOTHING if rendition is not None and rendition.is_empty else None
        return playlist if playlist.segments or (playlist.open_parts and name is not PlaylistName.INDEX) else None

    def _reached(self, kind: Format, reload: ReloadRequest) -> bool | None:
        playlist = self._playlist(kind)
        return True if playlist is None or isinstance(answer_to(playlist, reload), Ready | Refused) else None

    async def _until(self, look: Callable[[], _Found | None], wait_s: float) -> _Found | None:
        """What `look` finds, now or when something has changed; None where it is nothing for `wait_s` or until the end."""
        try:
            async with asyncio.timeout(wait_s):
                while (found := look()) is None and self.ending is None:
                    await asyncio.shield(self._changed)
                return found
        except TimeoutError:
            return None

    def _wake(self) -> None:
        changed, self._changed = self._changed, self._loop.create_future()
        changed.set_result(None)

    # the life of a worker

    async def _run(self) -> Ending:
        state = await self._read_state()
        start, memory = self._start(state)
        self._numbers = Numbers(self.owner.limit, start.number)
        self._segmenter = Segmenter(self._settings.cuts, start)
        if start.targets is not None:
            self._targets = TargetsFixed(start.targets)
        for kind in Format:
            if (self._goes_on and kind.value in self._restored) or kind in self._wanted:
                self._open(kind)
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
            left_s = self._asked_at + idle_s - self._loop.time() if idle_s is not None else 3600.0
            if left_s <= 0 and self._is_recorded:
                self._asked_at = self._loop.time()
                continue
            if left_s <= 0:
                return Ending.IDLE
            await self._until(lambda: self._stopping or None, left_s)
        if self._segmenter is not None:
            number = self._segmenter.number
            segmenter = self._segmenter
            longest_s = self._settings.cuts.max_target_s
            await self._until(lambda: segmenter.number != number or None, longest_s)
        return Ending.STOPPED

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
        owner = self.owner
        now_us = time.time_ns() // 1000
        fresh = fresh_number(now_us / _US, self._settings.cuts.segment * 1000 // 90_000)
        stored_next = state.next_number if state is not None else None
        first = first_number(limit=owner.limit, exact=owner.exact, stored_next=stored_next, fresh=fresh)
        if state is None:
            return Start(number=first.number), None
        goes_on_s = self._settings.follow.keep_s + self._settings.cuts.max_target_s
        if state.ended or now_us - state.stored_us > goes_on_s * _US:
            self._restored = state.renditions
            return Start(number=first.number), None
        self._restored, self._goes_on = state.renditions, True
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
        self._wake()

    async def stopped(self) -> None:
        """Wait until it has ended, in whatever way, and what it made is stored or was given up."""
        await asyncio.wait([self._task])
        if self.ending is not Ending.OUTDATED:
            try:
                async with asyncio.timeout(STORED_AFTER_END_S):
                    await self._writer.emptied()
            except TimeoutError:
                log.warning("%d segments are not stored", self._writer.waiting, extra=self._facts)

    async def close(self) -> None:
        """End everything of it now, and give its memory back."""
        self._task.cancel()
        self._storing.cancel()
        await asyncio.gather(self._task, self._storing, return_exceptions=True)
        self._shelf.clear()

    def _end(self, ending: Ending) -> None:
        if self.ending is None:
            self.ending = ending
            self._task.cancel()

    def _finished(self, task: asyncio.Task[Ending]) -> None:
        if self.ending is None and task.cancelled():  # closed by its node, which knows
            self.ending = Ending.STOPPED
            self._wake()
            return
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("hls worker failed", exc_info=error, extra=self._facts)
            self.ending = Ending.FAILED
        elif self.ending is None:
            self.ending = task.result()
        log.info("segmenting ended: %s", self.ending.value, extra=self._facts)
        self._wake()
        self._host.ended(self)

    def _storing_finished(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("storing segments failed", exc_info=error, extra=self._facts)
            self._end(Ending.FAILED)

    # renditions

    def _want(self, kind: Format) -> None:
        self._wanted.add(kind)
        if self._segmenter is not None:
            self._open(kind)

    def _open(self, kind: Format) -> None:
        """Make a rendition from now on, and of what is kept."""
        if kind in self._renditions:
            return
        restored = self._restored.get(kind.value)
        rendition = make_rendition(kind, self.epoch, self._settings.list_size, restored, goes_on=self._goes_on)
        self._renditions[kind] = rendition
        if self._targets is not None:
            rendition.take(self._targets)
        for cuts in self._backlog:
            for cut in cuts:
                self._take_into(rendition, cut)

    def _deliver(self, run: Run) -> None:
        """The next units of the stream, from the reader."""
        assert self._segmenter is not None
        assert self._follower is not None
        if self.recording is not None:
            self.recording.receive(run)
            if self.recording.keeps_segments and Format.TS not in self._renditions:
                self._want(Format.TS)
        converted = self._conversion.convert(run)
        if converted is not None:
            self._take(self._segmenter.receive(converted))
        reader = self._follower.reader
        self._before = (run.epoch, reader.offset, reader.is_shifted)

    def _take(self, cuts: list[Cut]) -> None:
        for cut in cuts:
            self._count(cut)
            for rendition in self._renditions.values():
                self._take_into(rendition, cut)
            if isinstance(cut, SegmentClosed):
                self._store(cut)
        if any(not isinstance(cut, UnitsAdded) for cut in cuts):  # a unit more changes no playlist
            self._wake()

    def _count(self, cut: Cut) -> None:
        """Keep the cut for renditions that start late; see that its number may be used."""
        match cut:
            case TargetsFixed():
                self._targets = cut
                return
            case SegmentLost():
                self._host.counters.gaps += 1
                return
            case SegmentBegun(number, discontinuity):
                self._backlog.append([])
                del self._backlog[: -BACKLOG_SEGMENTS - 1]
                self._host.counters.discontinuities += discontinuity
                limit = self._numbers.limit_for(number)  # live does not wait for the answer, nor stop where there is none
                if limit is not None:
                    self._host.raise_limit(self, limit)
            case SegmentClosed():
                self._host.counters.segments += 1
            case _:
                pass
        if self._backlog:
            self._backlog[-1].append(cut)

    def limit_raised(self, limit: int) -> None:
        """The registry counts numbers below `limit` as used."""
        self._numbers.raised(limit)

    def _take_into(self, rendition: Rendition, cut: Cut) -> None:
        rendition.take(cut)
        if isinstance(cut, SegmentBegun):
            self._tell_left_out()
        made, rendition.made = rendition.made, []
        for file in made:
            self._host.counters.parts += not file.stored
            self._host.counters.segment_bytes += len(file.data) * file.stored
            for number in self._shelf.put(file):
                self._lose(number)
            if file.stored and file.data:
                self._unstored.append(file)

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
        for rendition in self._renditions.values():
            if rendition.window is not None:
                rendition.window.mark_gap(number)

    # storage

    def _store(self, closed: SegmentClosed) -> None:
        """Have the segment stored, by all renditions, with the state of now."""
        files, self._unstored = self._unstored, []
        self._last_closed = closed
        self._writer.add(Job(closed.number, files, self._state(closed).serialize(), self._outdated_files(), self._kept(files)))

    def _kept(self, files: list[MadeFile]) -> dict[str, bytes]:
        """What is stored once more of the new `files`, by path, where segments are recorded."""
        playlist = self._playlist(Format.TS)
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
        assert self._targets is not None
        epoch, offset, shifted = self._before
        reader = self._follower.reader if self._follower is not None else None
        if reader is not None and reader.last is not None and reader.last.publication == closed.last.publication:
            epoch, offset, shifted = reader.epoch, reader.offset, reader.is_shifted
        tracks = next(iter(self._renditions.values())).tracks if self._renditions else None
        return StoredState(
            next_number=closed.number + 1,
            targets=self._targets.targets,
            end=closed.end,
            end_us=closed.end_us,
            stored_us=time.time_ns() // 1000,
            configuration=configuration_of(tracks) if tracks is not None else (),
            memory=ReaderMemory(epoch=epoch, last=closed.last, offset=offset, shifted=shifted, last_dts=closed.last_dts),
            renditions={kind.value: rendition.to_state() for kind, rendition in self._renditions.items()},
        )

    def _outdated_files(self) -> list[str]:
        """The stored files that may go: those that left the playlists long enough ago."""
        for rendition in self._renditions.values():
            self._outdated += [segment.uri for segment in rendition.dropped]
            rendition.dropped = []
        if self._settings.cleanup is not Cleanup.ROLLING:
            self._outdated.clear()
            return []
        keep = self._settings.delete_threshold * max(1, len(self._renditions))
        going, self._outdated = self._outdated[: -keep or None], self._outdated[-keep:]
        return going

    def _stored(self, number: int) -> None:
        self._numbers.stored(number)
        self._shelf.stored(number)


_NOTHING = MediaPlaylist(target_duration_s=1, media_sequence=0)  # stands for the playlist of a rendition that can carry nothing
