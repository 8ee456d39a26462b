"""Heirs for groups whose own is gone, drains, or never was. A pure core; see `rulings.py`.

Only the heir changes, and with it the place, as that is what grants and readers go by. Who hears of it reopens nothing: the origin
is the same. `GroupRecord.pointed` keeps the place before, so that a publication which has gone to the old heir meanwhile, and says
so by that place, is not sent back.
"""

from __future__ import annotations

from dataclasses import replace

from lalmesh.names import StreamKey
from lalmesh.runtime.registry import Put
from services.scheduler.directory import Directory
from services.scheduler.placement import heir_of
from services.scheduler.records import GroupRecord, group_key, serialize_group
from services.scheduler.rulings import TERM_UNKNOWN, Ruling, Seen, Write, publisher_of, unchanged


def lacks_heir(group: GroupRecord, directory: Directory) -> bool:
    """Whether the publication of a group could not go on if its origin, which is there, were lost.

    An heir that is away may come back at any moment; it counts until its lease ends, or another start of it joins.
    """
    if not directory.is_joined(group.origin.node) or directory.is_draining(group.origin.node):
        return False  # the group itself is to move, or may have to
    heir = directory.node(group.heir.node) if group.heir is not None else None
    return heir is None or heir.draining or directory.cluster.drain(heir.node) is not None


def decide_heir(stream: StreamKey, seen: Seen, directory: Directory) -> Ruling | None:
    """A transaction that names another heir; None where none is to be named, or none is there."""
    held, group = seen.claim, seen.group
    if held is None or group is None or seen.settling is not None or not lacks_heir(group, directory):
        return None
    if seen.term is None:
        return TERM_UNKNOWN
    record = directory.node(group.origin.node)
    if record is None:
        return None
    publisher = publisher_of(directory.node(held.edge.node))
    heir = heir_of(stream, directory.offers.candidate(record), directory.offers.origins(), publisher=publisher)
    if heir is None:
        return None
    now = replace(group, term=seen.term.term, heir=heir.address, pointed=group.pointed_place)
    put = Put(group_key(stream), serialize_group(now), record.lease_id)
    return Write(unchanged(stream, seen, seen.term), (put,), f"{heir.name} is its heir from now on")
