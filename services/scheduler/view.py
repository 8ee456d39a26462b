"""The directory, kept up to date: what is followed, read and written here goes through one place, which tells what changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.registry import Absent, FollowEvent, KeyValue, Put, Registry, Unchanged
from services.scheduler.changes import Change
from services.scheduler.claims import Seen
from services.scheduler.directory import Directory
from services.scheduler.hls_ownership import HlsSeen
from services.scheduler.hls_records import hls_key
from services.scheduler.records import TERM_KEY, claim_key, group_key, node_key, serialize_term

log = logging.getLogger(__name__)

NEVER = -1  #: a mod revision that no key has
TERM_RETRY_S = 1.0  #: pause between two attempts to make the term
MAX_READS = 32  #: readers' questions to the registry that are under way together; more wait their turn


class View:
    """The directory of one replica, and the way to the registry that keeps it."""

    def __init__(
        self,
        registry: Registry,
        directory: Directory,
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        tell: Callable[[Change], None],
    ) -> None:
        """Begin with `directory` as it is; `tell` hears of every change. See `SchedulerService` for the rest."""
        self._registry = registry
        self._wall_clock = wall_clock
        self._tell = tell
        self._reads = asyncio.Semaphore(MAX_READS)
        self.clock = clock
        self.directory = directory
        #: the newest term that was known; 0 before
        self.term = 0
        #: set once the term is known and the registry was listed
        self.ready = asyncio.Event()

    async def follow(self) -> None:
        """Follow the registry without end, and have a term in it."""
        async for event in self._registry.follow(""):
            await self._handle(event)

    def learn(self, *entries: KeyValue | None) -> None:
        """Let the directory have what was read or written here, where it is ahead."""
        for entry in entries:
            if entry is not None:
                self._apply(self.directory.learn(entry, self.clock()))

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
        found = await self._read(TERM_KEY, claim_key(stream), group_key(stream), node_key(node.name))
        return Seen().with_found(found, stream)

    async def read_hls(self, stream: StreamKey) -> HlsSeen:
        """What the registry says now of who segments a stream; see `read`."""
        async with self._reads:  # anybody may ask for a stream that is nowhere
            found = await self._read(TERM_KEY, claim_key(stream), group_key(stream), hls_key(stream))
        return HlsSeen().with_found(found, stream)

    async def look_for_group(self, stream: StreamKey) -> None:
        """Let the directory have what the registry says of a group now.

        Raises:
            Unavailable: the registry cannot be reached.
        """
        async with self._reads:
            entry, _ = await self._registry.get(group_key(stream))
        self.learn(entry)

    async def _read(self, *keys: str) -> Mapping[str, KeyValue | None]:
        result = await self._registry.transact([Unchanged(key, NEVER) for key in keys], [])
        self.learn(*result.found.values())
        return result.found

    async def _handle(self, event: FollowEvent) -> None:
        self._apply(self.directory.handle(event, self.clock()))
        await self._make_term()
        while self.directory.term is None:
            await asyncio.sleep(TERM_RETRY_S)
            await self._make_term()
        self.term = self.directory.term.term
        self.ready.set()

    async def _make_term(self) -> None:
        """Make the term if nobody has; above every one that was seen here."""
        if self.directory.term is not None:
            return
        value = serialize_term(max(int(self._wall_clock()), self.term + 1))
        try:
            result = await self._registry.transact([Absent(TERM_KEY)], [Put(TERM_KEY, value)])
        except Unavailable as exc:
            log.warning("the term cannot be made: %s", exc)
            return
        made = KeyValue(TERM_KEY, value, result.revision, result.revision)
        self.learn(made if result.succeeded else result.found.get(TERM_KEY))

    def _apply(self, changes: list[Change]) -> None:
        for change in changes:
            self._tell(change)
