"""First claims: who may write a stream, and where it goes. And whether what a node gives back is its own. See `rulings.py`."""

from __future__ import annotations

from lalmesh.errors import NoOriginAvailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, NodeId
from lalmesh.runtime.registry import Absent, Compare
from lalmesh.runtime.scheduling.model import Claim, HeldStream, Refusal, Refused, Released
from services.scheduler.cluster_records import SETTLING_KEY
from services.scheduler.directory import Directory
from services.scheduler.moves import decide_move_of
from services.scheduler.placement import Decision, Publisher, heir_of, place
from services.scheduler.reclaims import decide_reclaim
from services.scheduler.records import ClaimRecord, GroupRecord, NodeRecord, grant_of
from services.scheduler.rulings import (
    RETRY_AFTER_S,
    SETTLED_AFTER_S,
    TERM_UNKNOWN,
    Granted,
    Ruling,
    Seen,
    Write,
    as_it_is_known,
    known_heir,
    publisher_of,
    put_claim,
    put_group,
    unchanged,
)


def decide_claim(asked: Claim, edge: NodeId, seen: Seen, directory: Directory, now: float) -> Ruling:
    """Who may write: the one who asks, or the one who does already."""
    member = directory.node(edge)
    if member is None or directory.is_away(edge):
        return Refused(Refusal.NOT_JOINED, f"{edge.name} is no member", RETRY_AFTER_S)
    if asked.held is not None:
        return decide_reclaim(asked, asked.held, member, seen, directory)
    held = seen.claim
    if held is not None and held.publication == asked.publication and held.edge.node == edge:
        return _repeat(held, member, seen, directory)
    if asked.repeat_only:
        return Refused(Refusal.NOT_FOUND, f"{asked.stream} was not granted")
    if (refused := _wait(seen)) is not None:
        return refused
    if held is None or asked.take_over:
        return _write_claim(asked, member, seen, directory, now)
    if (refused := _defend(held, directory, now)) is not None:
        return refused
    return _write_claim(asked, member, seen, directory, now, as_it_is_known(held.edge.node, directory))


def is_claim_of(record: ClaimRecord, released: Released, node: NodeId) -> bool:
    """Whether what an edge gives back is still its own."""
    return record.epoch == released.epoch and record.publication == released.publication and record.edge.node == node


def is_group_of(record: GroupRecord, released: Released, node: NodeId) -> bool:
    """Whether what an origin gives back is still its own."""
    return record.place == released.place and record.origin.node == node


def is_outdated(held: HeldStream, now: ClaimRecord) -> bool:
    """Whether an edge that says it carries `held` writes a publication that `now` has outdated."""
    return bool(held.publication) and held.publication != now.publication and held.epoch < now.epoch


def _repeat(held: ClaimRecord, member: NodeRecord, seen: Seen, directory: Directory) -> Ruling:
    """The same question gets the same answer; a group that was lost since is placed anew."""
    if seen.group is not None:
        return Granted(grant_of(held, seen.group))
    return decide_move_of(held, publisher_of(member), seen, directory)


def _wait(seen: Seen) -> Refused | None:
    """Refuse while those who hold streams may not have said so yet."""
    if seen.standing is None:
        return Refused(Refusal.SETTLING, "this scheduler is not written down (yet)", RETRY_AFTER_S)
    if seen.settling is not None:
        return Refused(Refusal.SETTLING, f"first claims wait: {seen.settling.reason}", SETTLED_AFTER_S)
    return None


def _defend(held: ClaimRecord, directory: Directory, now: float) -> Refused | None:
    """Refuse for a holder that is there or may come back."""
    holder, text = held.edge.node, f"{held.stream} is published at {held.edge.node.name}"
    if directory.node(holder) is None:  # gone, unless the view is older than the claim
        return Refused(Refusal.EXISTS, text, RETRY_AFTER_S) if held.mod_revision > directory.revision else None
    if directory.is_live(holder, now):
        left_s = directory.rejoin_left_s(holder, now) if directory.is_away(holder) else 0.0
        return Refused(Refusal.EXISTS, text, left_s)
    return None


def _write_claim(asked: Claim, member: NodeRecord, seen: Seen, directory: Directory, now: float, *holder: Compare) -> Ruling:
    """One transaction that makes the claim and points the group, while nothing settles, this replica stands, and `holder` holds."""
    if seen.term is None:
        return TERM_UNKNOWN
    try:
        decision = _keep_or_place(asked.stream, publisher_of(member), seen.group, directory, now)
    except NoOriginAvailable as exc:
        return Refused(Refusal.NO_ORIGIN, str(exc), exc.retry_after_s)
    claim = ClaimRecord(
        stream=asked.stream,
        term=seen.term.term,
        publication=asked.publication,
        edge=member.address,
        origin=decision.origin.name,
        asked=directory.relaying.noted(asked.stream, asked.asked),
    )
    puts = (put_claim(claim, member), put_group(claim, decision, seen.term.term, Epoch(seen.term.term, 0)))
    compares = (*unchanged(asked.stream, seen, seen.term), Absent(SETTLING_KEY), *holder, *(seen.standing or ()))
    return Write(compares, puts, decision.reason, decision.origin.address.node)


def _keep_or_place(
    stream: StreamKey, publisher: Publisher, group: GroupRecord | None, directory: Directory, now: float
) -> Decision:
    """The origin that has the group keeps it, with its cache, unless it drains; else where placement says."""
    keeper = directory.node(group.origin.node) if group is not None else None
    if group is None or keeper is None or not directory.is_live(keeper.node, now) or directory.is_draining(keeper.node):
        return place(stream, directory.offers.origins(), publisher=publisher)
    origin = directory.offers.candidate(keeper)
    heir = known_heir(group.heir, origin, directory) or heir_of(stream, origin, directory.offers.origins(), publisher=publisher)
    return Decision(origin, heir, f"{origin.name} has the group")
