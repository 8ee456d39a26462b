"""One watch of etcd's, and what a follower needs to go on after it broke.

What is known about the place to resume from comes from events alone: the "created" reply carries the store's present
revision, which may lie beyond events not sent yet, and so may progress replies of the 3.4 servers. Both show that the watch is
alive, and that the store is still the one that the follower knows.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import grpc

from lalmesh.rpc.etcd import rpc_pb2
from lalmesh.runtime.registry import Changed, Listing, Removed
from services.scheduler.registry._auth import token_metadata
from services.scheduler.registry._channel import Endpoints, Method
from services.scheduler.registry._errors import Refused, unavailable

FIRST_PAUSE_S = 0.05  #: before a broken watch is opened again
LONGEST_PAUSE_S = 1.0  #: so that a follower hears again within about a second of the store's return

_WATCH = Method("/etcdserverpb.Watch/Watch", rpc_pb2.WatchResponse)


class StartOver(Exception):
    """Changes may have been missed: list again."""


class Told:
    """What a follower was told last: where it goes on it is told that again, and sees whether this is still the store's past.

    A store that was restored has the id and may have the terms that it had, and may have grown past this revision by then. But what
    is at this revision now was written since, and so is something else.
    """

    def __init__(self, listing: Listing) -> None:
        """Begin with a listing: what was removed at its revision it does not tell."""
        self.revision = listing.revision
        self._changed = {entry.key: entry for entry in listing.entries if entry.mod_revision == listing.revision}
        self._removed: set[str] = set()
        self._knows_removed = False

    def new(self, events: Sequence[Changed | Removed]) -> list[Changed | Removed]:
        """Those of a store's events, told from this revision on, that the follower was not told yet; they count as told now.

        Raises:
            StartOver: at this revision the store has something else.
        """
        again = [event for event in events if revision_of(event) <= self.revision]
        if again and not self._are_told(again):
            raise StartOver(f"revision {self.revision} is not what it was")
        news = list(events[len(again) :])
        for event in news:
            self._take(event)
        return news

    def _are_told(self, events: Sequence[Changed | Removed]) -> bool:
        changed = {event.entry.key: event.entry for event in events if isinstance(event, Changed)}
        removed = {event.key for event in events if isinstance(event, Removed)}
        return changed == self._changed and (removed == self._removed or not self._knows_removed)

    def _take(self, event: Changed | Removed) -> None:
        if revision_of(event) > self.revision:
            self.revision, self._changed, self._removed, self._knows_removed = revision_of(event), {}, set(), True
        if isinstance(event, Changed):
            self._changed[event.entry.key] = event.entry
        else:
            self._removed.add(event.key)


def revision_of(event: Changed | Removed) -> int:
    """At which it happened."""
    return event.entry.mod_revision if isinstance(event, Changed) else event.revision


@dataclass(slots=True)
class Position:
    """How far a follower has come, and in which store."""

    told: Told
    raft_term: int
    cluster_id: int

    @classmethod
    def of(cls, listing: Listing, header: rpc_pb2.ResponseHeader) -> Position:
        """The position of who was told `listing`, which came under `header`."""
        return cls(Told(listing), header.raft_term, header.cluster_id)

    def check(self, response: rpc_pb2.WatchResponse) -> None:
        """See that `response` continues from here.

        Raises:
            StartOver: the revisions from here on are compacted, or the store was wiped or restored. A member that lags behind looks
                the same for a moment; listing again is harmless.
        """
        header, revision = response.header, self.told.revision
        if response.compact_revision:
            raise StartOver(f"revision {revision} is compacted, oldest is {response.compact_revision}")
        if header.revision < revision or header.raft_term < self.raft_term or header.cluster_id != self.cluster_id:
            raise StartOver(f"store is at revision {header.revision}, was at {revision}")
        self.raft_term = header.raft_term


class Pauses:
    """The pauses of a follower between its tries: growing, and never two followers in step."""

    def __init__(self) -> None:
        """Start with `FIRST_PAUSE_S`."""
        self._next_s = FIRST_PAUSE_S

    def reset(self) -> None:
        """Start again: a try succeeded."""
        self._next_s = FIRST_PAUSE_S

    @property
    def fresh(self) -> bool:
        """Whether no try has failed since the last that succeeded."""
        return self._next_s == FIRST_PAUSE_S

    def next(self) -> float:
        """The pause before the next try in seconds."""
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, LONGEST_PAUSE_S)
        return pause_s * random.uniform(0.5, 1.0)


class Watch:
    """One watch stream with one watch on it."""

    def __init__(
        self, endpoints: Endpoints, channel: grpc.aio.Channel, token: str, create: rpc_pb2.WatchCreateRequest, *, quiet_s: float
    ) -> None:
        """Open it as `create` says; the member has `quiet_s` to say something, and as long again to answer being asked."""
        self.token = token  #: that the stream was opened with
        self._quiet_s = quiet_s
        self._ask_for_progress = asyncio.Event()
        self._closed = False
        self._call = endpoints.stream(channel, _WATCH, self._requests(create), token_metadata(token))
        self._read: asyncio.Task[object] | None = None

    async def next(self) -> rpc_pb2.WatchResponse:
        """The next response, which may hold no event.

        Raises:
            RegistryUnavailable: the stream broke, or its member is silent though asked.
        """
        # A task, since a cancelled read would end the stream; so the wait for it can be given up and the read cannot.
        self._read = asyncio.ensure_future(self._call.read())
        if not await self._read_in_time():
            self._ask_for_progress.set()
            if not await self._read_in_time():
                raise unavailable(f"etcd: watch is silent for {2 * self._quiet_s:g} s")
        try:
            response = self._read.result()
        except grpc.aio.AioRpcError as exc:
            raise Refused(exc) from exc
        except asyncio.CancelledError:
            raise unavailable("etcd: watch was closed") from None
        if not isinstance(response, rpc_pb2.WatchResponse):  # the end of the stream
            raise unavailable("etcd: watch was ended by the server")
        return response

    async def close(self) -> None:
        """End the stream."""
        self._closed = True
        self._ask_for_progress.set()  # lets the requests end
        self._call.cancel()
        if self._read is not None:
            await asyncio.gather(self._read, return_exceptions=True)

    async def _requests(self, create: rpc_pb2.WatchCreateRequest) -> AsyncIterator[rpc_pb2.WatchRequest]:
        """What is sent; from here, since gRPC's own `write` neither has a deadline nor notices that its channel is closed."""
        yield rpc_pb2.WatchRequest(create_request=create)
        while await self._ask_for_progress.wait() and not self._closed:
            self._ask_for_progress.clear()
            yield rpc_pb2.WatchRequest(progress_request=rpc_pb2.WatchProgressRequest())

    async def _read_in_time(self) -> bool:
        assert self._read is not None
        done, _ = await asyncio.wait({self._read}, timeout=self._quiet_s)
        return bool(done)
