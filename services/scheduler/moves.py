"""Where the group of a claim goes that cannot, or is not to, stay where it is. See `rulings.py`.

```
  no claim, or a lower epoch    NOT_FOUND: to be claimed again, with what is held
  a higher epoch, another       FENCED
  the group has moved on        the present place; that another heir was named since is no move
  the heir has taken over       written down (`Move.at`), never moved elsewhere
  else                          the heir where there is room, or wherever placement says; not where it was, nor where it was tried
```
"""

from __future__ import annotations

from collections.abc import Collection

from lalmesh.errors import NoOriginAvailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.scheduling.model import Move, Refusal, Refused
from services.scheduler.directory import Directory
from services.scheduler.placement import Decision, Publisher, heir_of, place
from services.scheduler.records import ClaimRecord, GroupRecord, grant_of
from services.scheduler.rulings import (
    RETRY_AFTER_S,
    TERM_UNKNOWN,
    Granted,
    Ruling,
    Seen,
    Write,
    publisher_of,
    put_group,
    unchanged,
)


def decide_move(asked: Move, edge: NodeId, seen: Seen, directory: Directory) -> Ruling:
    """Where the group goes when the publication cannot reach it where it is, or has gone to the heir already."""
    held, group = seen.claim, seen.group
    if held is None or held.epoch < asked.epoch:
        return Refused(Refusal.NOT_FOUND, f"no claim on {asked.stream} is known: claim it again")
    if held.epoch != asked.epoch or held.publication != asked.publication or held.edge.node != edge:
        return Refused(Refusal.FENCED, f"{asked.stream} is at epoch {held.epoch.term}.{held.epoch.revision}")
    if group is not None and group.pointed_place > asked.place:
        return Granted(grant_of(held, group))
    publisher = publisher_of(directory.node(edge))
    if asked.at is None:
        return decide_move_of(held, publisher, seen, directory, tried=asked.avoid)
    if directory.node(asked.at) is not None:
        return point_at(held, asked.at, publisher, seen, directory, tried=asked.avoid)
    if seen.settling is not None:  # it has yet to come back; the publication is there, whatever stands in the registry
        return Refused(Refusal.UNAVAILABLE, f"{asked.at.name} is not known yet", RETRY_AFTER_S)
    return decide_move_of(held, publisher, seen, directory, tried=(*asked.avoid, asked.at.name))


def decide_planned_move(stream: StreamKey, seen: Seen, directory: Directory) -> Ruling | None:
    """Where the group of an origin that drains goes; None where nothing is to be moved (any more)."""
    held, group = seen.claim, seen.group
    if held is None or group is None or not directory.is_draining(group.origin.node):
        return None
    return decide_move_of(held, publisher_of(directory.node(held.edge.node)), seen, directory)


def decide_move_of(
    held: ClaimRecord, publisher: Publisher, seen: Seen, directory: Directory, *, tried: Collection[str] = ()
) -> Ruling:
    """A transaction that points the group of a claim to another origin and leaves the claim."""
    try:
        decision = _place_anew(held.stream, publisher, seen.group, directory, tried)
    except NoOriginAvailable as exc:
        return Refused(Refusal.NO_ORIGIN, str(exc), exc.retry_after_s)
    return _point(held, decision, seen)


def point_at(
    held: ClaimRecord, at: NodeId, publisher: Publisher, seen: Seen, directory: Directory, *, tried: Collection[str] = ()
) -> Ruling:
    """A transaction that points the group of a claim to the member where it is, full or not, and names a new heir."""
    record = directory.node(at)
    if record is None:
        return Refused(Refusal.UNAVAILABLE, f"{at.name} is not known", RETRY_AFTER_S)
    origin = directory.offers.candidate(record)
    left_out = {*tried, seen.group.origin.node.name} if seen.group is not None else set(tried)
    heir = heir_of(held.stream, origin, directory.offers.origins(), publisher=publisher, avoid=left_out)
    return _point(held, Decision(origin, heir, f"{origin.name} has the group, as the publication says"), seen)


def _point(held: ClaimRecord, decision: Decision, seen: Seen) -> Ruling:
    if seen.term is None:
        return TERM_UNKNOWN
    put = put_group(held, decision, seen.term.term, held.epoch)
    return Write(unchanged(held.stream, seen, seen.term), (put,), decision.reason, decision.origin.address.node)


def _place_anew(
    stream: StreamKey, publisher: Publisher, group: GroupRecord | None, directory: Directory, tried: Collection[str]
) -> Decision:
    """Anywhere but where it was and what was tried, the heir first.

    Where no group is left, whatever was tried has lost its lease since: it may have come back, and is better than nothing.
    """
    avoid = {*tried, group.origin.node.name} if group is not None else set(tried)
    prefer = group.heir.node.name if group is not None and group.heir is not None else ""
    try:
        return place(stream, directory.offers.origins(), publisher=publisher, avoid=avoid, prefer=prefer)
    except NoOriginAvailable:
        if group is not None:
            raise
        return place(stream, directory.offers.origins(), publisher=publisher)
