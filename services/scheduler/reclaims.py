"""Re-claims: a publication says what it holds, and the registry is to say so again. See `rulings.py`.

That a key is absent is never a loss: leases run out while the control plane is away, stores are wiped and restored. So a re-claim
is granted at any time; of two for one stream the higher epoch wins, and its group stays where its units are.

It keeps its epoch where nobody was granted a higher one that is not claimed again as well: the claim is there, or the group as its
claim has left it, or the cluster settles. While the claims of all are missing, an epoch of its own would put the one that comes
first above a later publication that is about to say so. Otherwise another may have come and gone while this one alone was cut off,
and whoever saw that would refuse every unit of this: it gets the epoch of the transaction.
"""

from __future__ import annotations

from lalmesh.errors import NoOriginAvailable
from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.registry import Absent, Compare, Put, Unchanged
from lalmesh.runtime.scheduling.model import Claim, Held, Refusal, Refused
from services.scheduler.cluster_records import SETTLING_KEY
from services.scheduler.directory import Directory
from services.scheduler.placement import Decision, heir_of, place
from services.scheduler.records import ClaimRecord, GroupRecord, NodeRecord, grant_of
from services.scheduler.rulings import (
    RETRY_AFTER_S,
    TERM_UNKNOWN,
    Granted,
    Ruling,
    Seen,
    Write,
    known_heir,
    publisher_of,
    put_claim,
    put_group,
    unchanged,
)


def decide_reclaim(asked: Claim, held: Held, member: NodeRecord, seen: Seen, directory: Directory) -> Ruling:
    """The claim as it was, unless somebody else's is above it, or as high: then the asker has to let go."""
    if (above := _above(asked, held, seen)) is not None:
        return Refused(Refusal.FENCED, f"{asked.stream} is at epoch {above.term}.{above.revision}")
    if seen.term is None:
        return TERM_UNKNOWN
    known = seen.claim if seen.claim is not None and _is_own(seen.claim, asked, member) and seen.claim.epoch >= held.epoch else None
    if known is not None and known.lease_id == member.lease_id:
        return _with_group(known, held, member, seen, directory, ())
    is_kept = known is not None or seen.settling is not None or _is_as_it_was(asked, held, seen, seen.term.term)
    if not is_kept and seen.standing is None:
        return Refused(Refusal.UNAVAILABLE, "this scheduler is not written down (yet)", RETRY_AFTER_S)
    claim = ClaimRecord(
        stream=asked.stream,
        term=seen.term.term,
        publication=asked.publication,
        edge=member.address,
        origin=held.origin.node.name,
        kept=(known.epoch if known is not None else held.epoch) if is_kept else None,
        asked=directory.relaying.noted(asked.stream, asked.asked),
    )
    return _with_group(claim, held, member, seen, directory, (put_claim(claim, member),))


def _is_own(claim: ClaimRecord, asked: Claim, member: NodeRecord) -> bool:
    return claim.publication == asked.publication and claim.edge.node == member.node


def _above(asked: Claim, held: Held, seen: Seen) -> Epoch | None:
    """The epoch of another publication that is not below, by the claim, or by the group that outlives it for the time of grace."""
    others = (each for each in (seen.claim, seen.group) if each is not None and each.publication != asked.publication)
    return max((each.epoch for each in others if each.epoch >= held.epoch), default=None)


def _is_as_it_was(asked: Claim, held: Held, seen: Seen, term: int) -> bool:
    """Whether the group is as the claim has left it: nobody has claimed since.

    Each first claim writes the group. One that says what it said then, under the present term, was not written by another.
    """
    group = seen.group
    return group is not None and group.place.term == term and (group.publication, group.epoch) == (asked.publication, held.epoch)


def _settles_still_or_not(claim: ClaimRecord, seen: Seen) -> tuple[Compare, ...]:
    """That the cluster settles, or does not, where the epoch depends on it: a view may be behind."""
    if seen.settling is not None:
        return (Unchanged(SETTLING_KEY, seen.settling.mod_revision),)
    return (Absent(SETTLING_KEY), *(seen.standing or ())) if claim.kept is None else ()


def _with_group(
    claim: ClaimRecord, held: Held, member: NodeRecord, seen: Seen, directory: Directory, puts: tuple[Put, ...]
) -> Ruling:
    """The claim, written by `puts` where it has to be, and its group: where the registry says, or where the publication does."""
    if seen.term is None:
        return TERM_UNKNOWN
    compares = (*unchanged(claim.stream, seen, seen.term), *(_settles_still_or_not(claim, seen) if puts else ()))
    if seen.group is not None and _is_known(held, seen.group):
        return Write(compares, puts, "claimed again") if puts else Granted(grant_of(claim, seen.group))
    decision = _where_it_was(claim, held, member, seen, directory)
    if isinstance(decision, Refused):  # the right to write is secured first
        return Write(compares, puts, "claimed again, without a group yet") if puts else decision
    group = put_group(claim, decision, seen.term.term, claim.epoch)
    return Write(compares, (*puts, group), decision.reason, decision.origin.address.node)


def _is_known(held: Held, group: GroupRecord) -> bool:
    """Whether the registry knows where the publication is: an heir that took over does so whoever was named in its place since."""
    return group.place >= held.place and (not held.place.heir or group.pointed_place > held.place)


def _where_it_was(claim: ClaimRecord, held: Held, member: NodeRecord, seen: Seen, directory: Directory) -> Decision | Refused:
    """The origin that has the group; where that is gone another, but not while the cluster settles: it may yet come back.

    Another start of it has nothing that the others do not have, but is better than none.
    """
    record, publisher = directory.node(held.origin.node), publisher_of(member)
    if record is not None:
        origin = directory.offers.candidate(record)
        heir = known_heir(held.heir, origin, directory)
        heir = heir or heir_of(claim.stream, origin, directory.offers.origins(), publisher=publisher)
        return Decision(origin, heir, f"{origin.name} has the group, as the publication says")
    if seen.settling is not None:
        return Refused(Refusal.UNAVAILABLE, f"{held.origin.node.name} is not known yet", RETRY_AFTER_S)
    prefer, name = held.heir.node.name if held.heir is not None else "", held.origin.node.name
    try:
        try:
            return place(claim.stream, directory.offers.origins(), publisher=publisher, avoid=(name,), prefer=prefer)
        except NoOriginAvailable:
            return place(claim.stream, directory.offers.origins(), publisher=publisher, prefer=name)
    except NoOriginAvailable as exc:
        return Refused(Refusal.NO_ORIGIN, str(exc), exc.retry_after_s)
