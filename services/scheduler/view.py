"""The directory, kept up to date: what is followed, read and written here goes through one place, which tells what changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.recording import RecordRule
from lalmesh.runtime.registry import FollowEvent, KeyValue, Listing, Registry, Unchanged
from services.scheduler.changes import Change, ClaimChanged, GroupChanged
from services.scheduler.cluster_records import SETTLING_KEY, TERM_KEY
from services.scheduler.directory import Directory
from services.scheduler.hls_ownership import HlsSeen
from services.scheduler.hls_records import hls_key
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.records import NODES, claim_key, group_key, node_key, parse_node
from services.scheduler.rulings import Seen
from services.scheduler.terms import NEVER, Terms

MAX_READS = 32  #: readers' questions to the registry that are under way together; more wait their turn


class View:
    """The directory of one replica, and the way to the registry that keeps it."""

    def __init__(
        self,
        registry: Registry,
        directory: Directory,
        metrics: SchedulerMetrics,
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        lease_s: int,
        settles_first: bool,
        tell: Callable[[Change], None],
    ) -> None:
        """Begin with `directory` as it is; `tell` hears of every change. See `SchedulerService` and `Terms` for the rest."""
        self._registry = registry
        self._tell = tell
        self._reads = asyncio.Semaphore(MAX_READS)
        self._is_listing = False
        self._outdated = asyncio.Event()  # what is known may be of another past than the store has now
        self.clock = clock
        self.directory = directory
        #: what keeps the term
        self.terms = Terms(
            registry,
            directory,
            metrics,
            wall_clock=wall_clock,
            lease_s=lease_s,
            settles_first=settles_first,
            learn=self.learn,
            start_over=self._start_over,
        )
        #: set once the term is known and the registry was listed
        self.ready = asyncio.Event()

    async def follow(self) -> None:
        """Follow the registry without end; from a new listing on where it turned out to have gone back.

        The watch need not notice: what was learnt ahead of it may be all that was lost.
        """
        while True:
            self._outdated.clear()
            following, outdated = (asyncio.ensure_future(work) for work in (self._follow(), self._outdated.wait()))
            try:
                await asyncio.wait({following, outdated}, return_when=asyncio.FIRST_COMPLETED)
                if following.done():
                    following.result()
                    return
            finally:
                for task in (following, outdated):
                    task.cancel()
                await asyncio.gather(following, outdated, return_exceptions=True)

    async def _follow(self) -> None:
        async for event in self._registry.follow(""):
            self._handle(event)

    def _start_over(self) -> None:
        if not self._is_listing:
            self._outdated.set()

    def learn(self, *entries: KeyValue | None) -> None:
        """Let the directory have what was read or written here, where it is ahead."""
        for entry in entries:
            if entry is not None:
                self._apply(self.directory.learn(entry, self.clock()))
        self._note_ready()

    def learn_gone(self, keys: Sequence[str], revision: int) -> None:
        """Let the directory have that keys were found to be absent at `revision`."""
        for key in keys:
            self._apply(self.directory.learn_gone(key, revision, self.clock()))

    def configure_recording(self, rules: Sequence[RecordRule]) -> None:
        """The configuration has these rules of recording now."""
        self._apply([*self.directory.recording.configure(rules)])

    def mark_away(self, node: NodeId) -> None:
        """The membership stream of a node ended here."""
        self._apply(self.directory.mark_away(node, self.clock()))

    def end_lease(self, lease_id: int) -> None:
        """Forget the nodes under a lease that has turned out to be over."""
        self._apply(self.directory.end_lease(lease_id, self.clock()))

    async def read(self, stream: StreamKey, node: NodeId) -> Seen:
        """What the registry says of a stream and a node now, all at one revision: a transaction that cannot hold tells.

        Raises:
            DamagedRecordError: a value is none that a scheduler wrote.
            Unavailable: the registry cannot be reached.
        """
        found = await self._read(TERM_KEY, SETTLING_KEY, claim_key(stream), group_key(stream), node_key(node.name))
        return Seen(standing=self.directory.cluster.standing).with_found(found, stream)

    async def read_hls(self, stream: StreamKey) -> HlsSeen:
        """What the registry says now of who segments a stream; see `read`."""
        async with self._reads:  # anybody may ask for a stream that is nowhere
            found = await self._read(TERM_KEY, SETTLING_KEY, claim_key(stream), group_key(stream), hls_key(stream))
        return HlsSeen(standing=self.directory.cluster.standing).with_found(found, stream)

    async def read_nodes(self) -> set[NodeId]:
        """The nodes that the registry has now.

        Raises:
            DamagedRecordError: a value is none that a scheduler wrote.
            Unavailable: the registry cannot be reached.
        """
        return {parse_node(entry).node for entry in (await self._registry.list(NODES)).entries}

    async def look_for_group(self, stream: StreamKey) -> None:
        """Let the directory have what the registry says of a group now.

        Raises:
            Unavailable: the registry cannot be reached.
        """
        async with self._reads:
            since = self.terms.revision
            entry, revision = await self._registry.get(group_key(stream))
        self.terms.told(revision, since=since)
        self.learn(entry)

    async def is_behind(self) -> bool:
        """Whether the registry has gone on without the directory having followed: its watch may be stuck.

        Others may write to the same store, so it is a hint.

        Raises:
            Unavailable: the registry cannot be reached.
        """
        _, revision = await self._registry.get(TERM_KEY)
        return revision > self.directory.revision

    async def _read(self, *keys: str) -> Mapping[str, KeyValue | None]:
        since = self.terms.revision
        result = await self._registry.transact([Unchanged(key, NEVER) for key in keys], [])
        self.terms.told(result.revision, since=since)
        self.learn(*result.found.values())
        return result.found

    def _handle(self, event: FollowEvent) -> None:
        followed = self.directory.revision
        self._apply(self.directory.handle(event, self.clock()))
        if isinstance(event, Listing):
            self._is_listing = True
            self.terms.told(event.revision, since=followed)
            self._is_listing = False
        else:
            self.terms.told(self.directory.revision)
        self._note_ready()

    def _note_ready(self) -> None:
        if self.directory.is_listed and self.directory.term is not None:
            self.ready.set()

    def _apply(self, changes: list[Change]) -> None:
        for change in changes:
            if isinstance(change, ClaimChanged) and change.now is not None:
                self.terms.show(change.now.epoch)  # it may be older than the term, and still above it where that was restored
            elif isinstance(change, GroupChanged) and change.now is not None:
                self.terms.show(change.now.place)
            self._tell(change)
