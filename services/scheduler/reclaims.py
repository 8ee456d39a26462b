"""Re-claims: a publication says what it holds, and the registry is to say so again. See `rulings.py`.

That a key is absent is never a loss: leases run out while the control plane is away, stores are wiped and restored. So a re-claim
is granted at any time, under the epoch that it has; of two for one stream the higher epoch wins, and its group stays where its
units are. It is safe, since an epoch that was shown is below every one that is granted later (`terms.py`).
"""

from __future__ import annotations

from lalmesh.errors import NoOriginAvailable
from lalmesh.runtime.registry import Put
from lalmesh.runtime.scheduling.model import Claim, Held, Refusal, Refused
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
    known = seen.claim
    is_own = known is not None and known.publication == asked.publication and known.edge.node == member.node
    if known is not None and not is_own and known.epoch >= held.epoch:
        return Refused(Refusal.FENCED, f"{asked.stream} is at epoch {known.epoch.term}.{known.epoch.revision}")
    if seen.term is None:
        return TERM_UNKNOWN
    if known is not None and is_own and known.epoch >= held.epoch and known.lease_id == member.lease_id:
        return _with_group(known, held, member, seen, directory, ())
    claim = ClaimRecord(
        stream=asked.stream,
        term=seen.term.term,
        publication=asked.publication,
        edge=member.address,
        origin=held.origin.node.name,
        kept=max(held.epoch, known.epoch) if known is not None and is_own else held.epoch,
    )
    return _with_group(claim, held, member, seen, directory, (put_claim(claim, member),))


def _with_group(
    claim: ClaimRecord, held: Held, member: NodeRecord, seen: Seen, directory: Directory, puts: tuple[Put, ...]
) -> Ruling:
    """The claim, written by `puts` where it has to be, and its group: where the registry says, or where the publication does."""
    if seen.term is None:
        return TERM_UNKNOWN
    compares = unchanged(claim.stream, seen, seen.term)
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
    """The origin that has the group; where that is gone another, but not while the cluster settles: it may yet come back."""
    record, publisher = directory.node(held.origin.node), publisher_of(member)
    if record is not None:
        origin = directory.offers.candidate(record)
        heir = known_heir(held.heir, origin, directory)
        heir = heir or heir_of(claim.stream, origin, directory.offers.origins(), publisher=publisher)
        return Decision(origin, heir, f"{origin.name} has the group, as the publication says")
    if seen.settling is not None:
        return Refused(Refusal.UNAVAILABLE, f"{held.origin.node.name} is not known yet", RETRY_AFTER_S)
    prefer, avoid = held.heir.node.name if held.heir is not None else "", (held.origin.node.name,)
    try:
        return place(claim.stream, directory.offers.origins(), publisher=publisher, avoid=avoid, prefer=prefer)
    except NoOriginAvailable as exc:
        return Refused(Refusal.NO_ORIGIN, str(exc), exc.retry_after_s)
