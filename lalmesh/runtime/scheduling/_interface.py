"""What nodes ask of the scheduler: `SchedulerClient` is for edges and origins, `HlsSchedulerClient` for hls nodes.

Two things fulfil both: `GrpcSchedulerClient`, which asks any replica over the network, and the scheduler service itself, called
directly where all roles share a process.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Protocol

from lalmesh.runtime.events import Event
from lalmesh.runtime.ownership import Grant, HlsOwner, Location, NodeAddress
from lalmesh.runtime.scheduling.hls import HlsLimit, HlsReleased, HlsWanted, NamedStreams
from lalmesh.runtime.scheduling.model import Claim, Move, NodeCommand, NodeReport, Refused, Released, Wanted
from lalmesh.runtime.sessions import SessionTouch


class SchedulerClient(Protocol):
    """What edges and origins ask of the scheduler. Deadlines are seconds from now.

    Every call answers one result an item, in order. Nothing but `release` raises: a scheduler or registry that cannot be reached
    is `Refusal.UNAVAILABLE` with a retry hint, and asking again with the same publication is answered alike.
    """

    async def claim(self, edge: NodeAddress, claims: Sequence[Claim], deadline_s: float) -> list[Grant | Refused]:
        """Ask for the right to write streams."""
        ...

    async def move(self, edge: NodeAddress, moves: Sequence[Move], deadline_s: float) -> list[Grant | Refused]:
        """Ask for other origins. The grants carry the present place, moved or not."""
        ...

    async def locate(self, wanted: Sequence[Wanted], deadline_s: float) -> list[Location | Refused]:
        """Ask where streams are; answers when all are known, or `deadline_s` or `MAX_LOCATE_S` have passed.

        What did not turn up until then is `Refusal.NOT_FOUND`; what is wanted at once is so without waiting. Streams that are there
        are not held up for long by others: those may be asked for again at once then.
        """
        ...

    async def release(
        self, node: NodeAddress, *, claims: Sequence[Released] = (), groups: Sequence[Released] = (), deadline_s: float
    ) -> list[bool]:
        """Give claims (of an edge) and groups (of an origin) back; claims are answered first, then groups.

        Returns:
            Whether each was the node's until now and is given back. A group is not where a publisher has claimed the stream.

        Raises:
            Unavailable: not known what was given back; asking again does no harm.
        """
        ...

    async def touch_sessions(self, node: NodeAddress, sessions: Sequence[SessionTouch], deadline_s: float) -> None:
        """Say which sessions were seen here, or are over.

        Raises:
            Unavailable: they may not have been counted. Nothing else depends on it.
        """
        ...

    async def tell_events(self, node: NodeAddress, events: Sequence[Event], deadline_s: float) -> None:
        """Say what happened here, in order.

        Raises:
            Unavailable: some may have been kept, and not others: tell all of them again, under the same ids.
            LocalProtocolError: one of them is such that none of this list will ever be kept.
        """
        ...

    def join(self, reports: AsyncIterator[NodeReport]) -> AsyncGenerator[NodeCommand, None]:
        """Membership: reports up, each answered with `Joined`; commands down. Use it through `Membership`.

        The iterator ends, or raises `Unavailable`, when the scheduler has gone.
        """
        ...


class HlsSchedulerClient(SchedulerClient, Protocol):
    """What hls nodes ask of the scheduler, besides what every node does."""

    async def locate_hls(self, node: NodeAddress, wanted: Sequence[HlsWanted], deadline_s: float) -> list[HlsOwner | Refused]:
        """Ask who segments streams; where nobody does, or its owner is dead, a worker is named.

        An owner that lives is the answer whatever was found of it, and whether or not the stream is still published. Otherwise a
        stream that nobody publishes is `Refusal.NOT_FOUND`, and without an hls node that has room it is `Refusal.NO_WORKER`.
        """
        ...

    async def raise_hls_limit(self, node: NodeAddress, limits: Sequence[HlsLimit], deadline_s: float) -> list[bool]:
        """Have numbers below each limit counted as used. The epoch stays; a limit is never lowered.

        Returns:
            Whether the node is the owner under that epoch, and the limit stands.

        Raises:
            Unavailable: not known what was raised; asking again does no harm.
        """
        ...

    async def release_hls(self, node: NodeAddress, released: Sequence[HlsReleased], deadline_s: float) -> list[bool]:
        """Hand streams over to nobody, with the exact next number of each.

        Returns:
            Whether each was the node's until now.

        Raises:
            Unavailable: not known what was released; asking again does no harm.
        """
        ...

    async def find_streams(self, names: Sequence[str], deadline_s: float) -> list[NamedStreams]:
        """Ask which streams have each of `names`, whatever their applications.

        Raises:
            Unavailable: it cannot be told now.
        """
        ...
