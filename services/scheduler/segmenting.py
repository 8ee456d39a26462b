"""Who segments which stream: the decisions of `hls_ownership.py`, carried out until the registry agrees."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NO_EPOCH, Epoch, HlsOwner, NodeAddress, NodeId
from lalmesh.runtime.registry import KeyValue, Put, Registry, TransactionResult
from lalmesh.runtime.scheduling.hls import HlsLimit, HlsReleased, HlsWanted
from lalmesh.runtime.scheduling.model import Refusal, Refused, Released
from services.scheduler.hls_ownership import (
    Held,
    HlsSeen,
    Owned,
    Ruling,
    Write,
    decide_given_up,
    decide_limit,
    decide_owner,
    decide_release,
    decide_succession,
)
from services.scheduler.records import NODES, DamagedRecordError
from services.scheduler.rulings import RETRY_AFTER_S
from services.scheduler.view import View

log = logging.getLogger(__name__)

BROUGHT_MARGIN_S = 0.5  #: of the time for a question, left to name an owner once the stream is there


class Segmenting:
    """Names the owners. `end` is when to give up, by the loop's clock."""

    def __init__(self, registry: Registry, view: View, key: bytes, *, remember_s: int) -> None:
        """Write to `registry`, decide by `view`, sign with `key`; the numbers of a stream at rest are kept for `remember_s`."""
        self._registry = registry
        self._view = view
        self._key = key
        self._remember_s = remember_s
        #: has a stream that is nowhere there by some time; whether it is, None where nothing brings it
        self.bring: Callable[[StreamKey, float], Awaitable[bool | None]] = _nothing_brings

    def signed(self, owner: HlsOwner) -> HlsOwner:
        """The same as this scheduler vouches for it."""
        return owner.signed(self._key)

    async def locate(self, wanted: HlsWanted, end: float) -> HlsOwner | Refused:
        """The owner, named now where there is none; the view is enough for one that nobody has found not working."""
        shown = wanted.after or NO_EPOCH
        known = self._decide_owner(wanted.stream, HlsSeen.of(self._view.directory, wanted.stream), shown)
        if isinstance(known, Owned) and known.owner.epoch > shown:
            return self.signed(known.owner)
        try:
            ruling = await self._in_time(wanted.stream, lambda seen: self._decide_owner(wanted.stream, seen, shown), end)
            if isinstance(ruling, Refused) and ruling.refusal is Refusal.NOT_FOUND:
                ruling = await self._brought(wanted.stream, shown, ruling, end)
        except Unavailable as exc:
            return Refused(Refusal.UNAVAILABLE, str(exc), exc.retry_after_s)
        if isinstance(ruling, Refused):
            return ruling
        return self.signed(ruling.owner) if isinstance(ruling, Owned) else Refused(Refusal.NOT_FOUND, f"{wanted.stream} is nowhere")

    async def _brought(self, stream: StreamKey, shown: Epoch, refused: Refused, end: float) -> Owned | Held | Refused:
        """The same once a relay has brought the stream; who asked first has it asked for again where that takes too long."""
        match await self.bring(stream, end - BROUGHT_MARGIN_S):
            case None:
                return refused
            case False:
                return Refused(Refusal.UNAVAILABLE, f"{stream} is being fetched", RETRY_AFTER_S)
            case _:
                return await self._in_time(stream, lambda seen: self._decide_owner(stream, seen, shown), end)

    async def raise_limit(self, asked: HlsLimit, node: NodeAddress, end: float) -> bool | Unavailable:
        """Whether the limit of the owner stands; `Unavailable` where that is not known."""
        return await self._holds(asked.stream, lambda seen: decide_limit(asked, node, seen), end)

    async def release(self, asked: HlsReleased, node: NodeAddress, end: float) -> bool | Unavailable:
        """Whether the stream was the node's and is nobody's now; `Unavailable` where that is not known."""
        return await self._holds(asked.stream, lambda seen: decide_release(asked, node.node, seen), end)

    async def give_up(self, released: Released, node: NodeId, end: float) -> bool | Unavailable:
        """Whether a stream of a node that does not segment it is nobody's now; `Unavailable` where that is not known."""
        return await self._holds(released.stream, lambda seen: decide_given_up(released.stream, released.epoch, node, seen), end)

    async def succeed(self, stream: StreamKey, end: float) -> Owned | Held | Refused:
        """Have a stream whose owner has died go on elsewhere, or rest; the view is taken at its word where nothing is to be done.

        Raises:
            Unavailable: not known whether it does.
        """

        def decide(seen: HlsSeen) -> Ruling:
            return decide_succession(stream, seen, self._view.directory, self._view.clock())

        return await self._in_time(stream, decide, end, trusts_view=True)

    async def assign(self, stream: StreamKey, end: float) -> Owned | Held | Refused:
        """Have a stream segmented, asked for or not; the view is taken at its word where somebody does.

        Raises:
            Unavailable: not known whether it is.
        """

        def decide(seen: HlsSeen) -> Ruling:
            return decide_owner(stream, seen, self._view.directory, self._view.clock(), is_asked=False)

        return await self._in_time(stream, decide, end, trusts_view=True)

    def _decide_owner(self, stream: StreamKey, seen: HlsSeen, shown: Epoch) -> Ruling:
        return decide_owner(stream, seen, self._view.directory, self._view.clock(), shown=shown)

    async def _holds(self, stream: StreamKey, decide: Callable[[HlsSeen], Ruling], end: float) -> bool | Unavailable:
        try:
            ruling = await self._in_time(stream, decide, end)
        except Unavailable as exc:
            return exc
        return ruling.holds if isinstance(ruling, Held) else isinstance(ruling, Owned)

    async def _in_time(
        self, stream: StreamKey, decide: Callable[[HlsSeen], Ruling], end: float, *, trusts_view: bool = False
    ) -> Owned | Held | Refused:
        """What was settled by `end`.

        Raises:
            Unavailable: nothing was, as far as is known.
        """
        if not self._view.directory.is_listed:
            raise Unavailable("the registry was not read yet", retry_after_s=RETRY_AFTER_S)
        try:
            async with asyncio.timeout_at(end):
                return await self._settle(stream, decide, trusts_view=trusts_view)
        except TimeoutError:
            raise Unavailable(f"hls of {stream} was not decided in time", retry_after_s=RETRY_AFTER_S) from None
        except DamagedRecordError as exc:
            raise Unavailable(str(exc), retry_after_s=RETRY_AFTER_S) from exc

    async def _settle(self, stream: StreamKey, decide: Callable[[HlsSeen], Ruling], *, trusts_view: bool) -> Owned | Held | Refused:
        """Decide by the view, and by the registry where the view would have nothing written."""
        seen, is_fresh = HlsSeen.of(self._view.directory, stream), trusts_view
        while True:
            ruling = decide(seen)
            if isinstance(ruling, Write):
                before = seen.record
                seen, is_done = await self._carry_out(stream, ruling, seen)
                if is_done and seen.record is not None:
                    await self._end_rest(before.lease_id if before else 0)
                    answer = seen.record.answer()
                    return Owned(answer) if answer else Held(True)
                is_fresh = True
            elif is_fresh:
                return ruling
            else:
                seen, is_fresh = await self._view.read_hls(stream), True

    async def _carry_out(self, stream: StreamKey, write: Write, seen: HlsSeen) -> tuple[HlsSeen, bool]:
        """Carry a write out: what is there now, and whether it was done."""
        put = write.put(await self._registry.grant_lease(self._remember_s) if write.is_at_rest else 0)
        result = await self._transact(write, put)
        found: dict[str, KeyValue | None] = dict(result.found)
        if result.succeeded:
            log.info("hls of %s at %s: %s", stream, write.record.owner.node.name if write.record.owner else "nobody", write.reason)
            found = {put.key: KeyValue(put.key, put.value, result.revision, result.revision, put.lease_id)}
        else:
            await self._end_rest(put.lease_id)
        self._view.learn(*found.values())
        self._view.learn_gone([key for key, entry in found.items() if entry is None and key.startswith(NODES)], result.revision)
        return seen.with_found(found, stream), result.succeeded

    async def _transact(self, write: Write, put: Put) -> TransactionResult:
        """What names an owner is above all that anybody has seen; the rest changes nothing but what the owner has."""
        if not write.names_owner:
            return await self._registry.transact(write.compares, [put])
        await self._view.terms.keep_up()
        return await self._view.terms.transact(write.compares, [put])

    async def _end_rest(self, lease_id: int) -> None:
        """End a lease that no key is under any more; it would run out by itself, but a stream may come and go all day."""
        if lease_id:
            with contextlib.suppress(Unavailable):
                await self._registry.revoke_lease(lease_id)


async def _nothing_brings(stream: StreamKey, end: float) -> None:
    """What is nowhere stays so."""
