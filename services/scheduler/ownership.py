"""Claims, moves and releases of single streams: what `rulings.py` is about, carried out until the registry agrees."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Grant, NodeId
from lalmesh.runtime.registry import Absent, Delete, LeaseLost, Registry, Unchanged
from lalmesh.runtime.scheduling.model import Claim, Move, Refusal, Refused, Released
from services.scheduler.claims import decide_claim, is_claim_of, is_group_of
from services.scheduler.cluster_records import SETTLING_KEY
from services.scheduler.directory import Directory
from services.scheduler.heirs import decide_heir
from services.scheduler.members import Members
from services.scheduler.moves import decide_move, decide_planned_move
from services.scheduler.records import NODES, DamagedRecordError, GroupRecord, claim_key, grant_of, group_key
from services.scheduler.rulings import RETRY_AFTER_S, Granted, Ruling, Seen, Write
from services.scheduler.view import View

log = logging.getLogger(__name__)

FULL_RETRY_S = 5.0


class Ownership:
    """Who may write which stream. `end` is when to give up, by the loop's clock."""

    def __init__(self, registry: Registry, view: View, members: Members, key: bytes) -> None:
        """Write to `registry`, decide by `view`, sign grants with `key`; `members` hold what the registry may have lost."""
        self._registry = registry
        self._view = view
        self._members = members
        self._key = key
        #: why nobody new may write a stream; empty: somebody may
        self.closed: Callable[[StreamKey], str] = lambda stream: ""

    def signed(self, grant: Grant) -> Grant:
        """The same as this scheduler vouches for it."""
        return grant.signed(self._key)

    async def claim(self, asked: Claim, edge: NodeId, end: float) -> Grant | Refused:
        """The grant, or why there is none."""

        def decide(seen: Seen) -> Ruling:
            return decide_claim(asked, edge, seen, self._view.directory, self._view.clock())

        if asked.held is not None:
            self._view.terms.show(asked.held.epoch, asked.held.place)
        elif self._view.directory.claim(asked.stream) is None:
            if reason := self.closed(asked.stream):
                return Refused(Refusal.FULL, reason, FULL_RETRY_S)
            if not (asked.take_over or asked.repeat_only) and (node := self._members.coming_back(asked.stream, edge)):
                text = f"{asked.stream} is published at {node.name}, whose lease was lost and which is to claim it again"
                return Refused(Refusal.EXISTS, text, RETRY_AFTER_S)
        return await self._settle(asked.stream, edge, decide, end)

    async def move(self, asked: Move, edge: NodeId, end: float) -> Grant | Refused:
        """The grant with the present place, or why there is none."""
        self._view.terms.show(asked.epoch, asked.place)
        return await self._settle(asked.stream, edge, lambda seen: decide_move(asked, edge, seen, self._view.directory), end)

    async def move_away(self, stream: StreamKey, end: float) -> Grant | Refused | None:
        """The grant for another origin than the one that drains, why there is none, or None where nothing is to be moved."""
        return await self._settle_if_needed(stream, decide_planned_move, end)

    async def name_heir(self, stream: StreamKey, end: float) -> Grant | Refused | None:
        """The grant with another heir, why there is none, or None where none is to be named, or can be."""
        return await self._settle_if_needed(stream, decide_heir, end)

    async def release_claim(self, released: Released, node: NodeId, end: float) -> bool | Unavailable:
        """Whether the claim was the node's and is deleted; `Unavailable` where that is not known."""
        return await _in_time(self._release_claim(released, node), end)

    async def release_group(self, released: Released, node: NodeId, end: float) -> bool | Unavailable:
        """Whether the group was the node's, had no claim, and is deleted; `Unavailable` where that cannot be said."""
        return await _in_time(self._release_group(released, node), end)

    async def _settle_if_needed(
        self, stream: StreamKey, decide: Callable[[StreamKey, Seen, Directory], Ruling | None], end: float
    ) -> Grant | Refused | None:
        """What nobody asked for: None where nothing is to be done."""
        held = self._view.directory.claim(stream)
        nothing = Refused(Refusal.NOT_FOUND, "nothing is to be done")
        if held is None:
            return None
        answer = await self._settle(stream, held.edge.node, lambda seen: decide(stream, seen, self._view.directory) or nothing, end)
        return None if answer == nothing else answer

    async def _settle(self, stream: StreamKey, edge: NodeId, decide: Callable[[Seen], Ruling], end: float) -> Grant | Refused:
        if not self._view.directory.is_listed:
            return Refused(Refusal.UNAVAILABLE, "the registry was not read yet", RETRY_AFTER_S)
        try:
            async with asyncio.timeout_at(end):
                return await self._settle_in_time(stream, edge, decide)
        except TimeoutError:
            return Refused(Refusal.UNAVAILABLE, f"{stream} was not decided in time", RETRY_AFTER_S)
        except Unavailable as exc:
            return Refused(Refusal.UNAVAILABLE, str(exc), exc.retry_after_s or RETRY_AFTER_S)
        except DamagedRecordError as exc:
            return Refused(Refusal.UNAVAILABLE, str(exc), RETRY_AFTER_S)

    async def _settle_in_time(self, stream: StreamKey, edge: NodeId, decide: Callable[[Seen], Ruling]) -> Grant | Refused:
        """Decide by the view, and by the registry where the view would have nothing written."""
        seen, is_fresh = Seen.of(self._view.directory, stream), False
        while True:
            await self._view.terms.keep_up()
            ruling = decide(seen)
            if isinstance(ruling, Write):
                seen, is_done = await self._carry_out(stream, ruling, seen)
                if is_done and seen.claim and seen.group:
                    log.info("%s at %s: %s", stream, seen.group.origin.node.name, ruling.reason)
                    return self.signed(grant_of(seen.claim, seen.group))
                is_fresh = True
            elif is_fresh:
                return self.signed(ruling.grant) if isinstance(ruling, Granted) else ruling
            else:
                seen, is_fresh = await self._view.read(stream, edge), True

    async def _carry_out(self, stream: StreamKey, write: Write, seen: Seen) -> tuple[Seen, bool]:
        """Carry a write out: what is there now, and whether it was done."""
        loads = self._view.directory.offers.loads
        if write.origin is not None:
            loads.reserve(write.origin)  # the next decision sees it, whenever this transaction is through
        try:
            result = await self._view.terms.transact(write.compares, write.operations)
        except LeaseLost as exc:
            self._view.end_lease(exc.lease_id)
            return seen, False
        finally:
            if write.origin is not None:
                loads.conclude(write.origin)
        found = write.entries(result.revision) if result.succeeded else result.found
        self._view.learn(*found.values())
        self._view.learn_gone([key for key, entry in found.items() if entry is None and key.startswith(NODES)], result.revision)
        return seen.with_found(found, stream), result.succeeded

    async def _release_claim(self, released: Released, node: NodeId) -> bool:
        held = self._view.directory.claim(released.stream)
        if held is None or not is_claim_of(held, released, node):
            held = (await self._view.read(released.stream, node)).claim
        if held is None or not is_claim_of(held, released, node):
            return False
        return await self._delete(claim_key(released.stream), held.mod_revision)

    async def _release_group(self, released: Released, node: NodeId) -> bool:
        """Only where nobody has claimed the stream: a publisher that came back has its readers here.

        A group whose key is gone already, with the lease of its origin, has ended as well. While the cluster settles none has: its
        publisher may be there and have yet to say so.
        """
        known = self._view.directory.group(released.stream)
        if known is not None and is_group_of(known, released, node) and await self._end_group(released.stream, known):
            return True
        seen = await self._view.read(released.stream, node)
        if seen.group is not None and not is_group_of(seen.group, released, node):
            return False
        return await self._end_group(released.stream, seen.group)

    async def _end_group(self, stream: StreamKey, group: GroupRecord | None) -> bool:
        """Whether a stream has ended: nobody claims it, and its group, as it was read, is deleted or was gone.

        Raises:
            Unavailable: the cluster settles, or has to; or this replica does not stand, so that it may have to.
        """
        await self._view.terms.keep_up()
        unknown = Unavailable(f"{stream} may have a publisher that has yet to come back", retry_after_s=RETRY_AFTER_S)
        if (standing := self._view.directory.cluster.standing) is None:
            raise unknown
        key, claim = group_key(stream), claim_key(stream)
        compare = Absent(key) if group is None else Unchanged(key, group.mod_revision)
        compares = (compare, Absent(claim), Absent(SETTLING_KEY), *standing)
        result = await self._view.terms.transact(compares, [] if group is None else [Delete(key)])
        if result.succeeded:
            return True
        self._view.learn(result.found[SETTLING_KEY])
        there = result.found[key]
        if result.found[claim] is None and (there.mod_revision if there else 0) == (group.mod_revision if group else 0):
            raise unknown
        return False

    async def _delete(self, key: str, mod_revision: int) -> bool:
        result = await self._registry.transact([Unchanged(key, mod_revision)], [Delete(key)])
        return result.succeeded


async def _in_time(work: Awaitable[bool], end: float) -> bool | Unavailable:
    """The result of `work`, or why it is not known."""
    try:
        async with asyncio.timeout_at(end):
            return await work
    except TimeoutError:
        return Unavailable("not released in time", retry_after_s=RETRY_AFTER_S)
    except Unavailable as exc:
        return exc
    except DamagedRecordError as exc:
        log.error("%s", exc)
        return False
