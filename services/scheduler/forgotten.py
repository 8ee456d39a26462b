"""What a node holds and the registry does not show, or the other way round. A pure core.

Keys are absent where leases ran out while the control plane was away; stores are wiped and restored; a notice may have come while
the node was at no replica. So each report is compared with the directory. What was said for the first time in the very last report
may only be newer than the view: a difference counts once two reports in a row show it.

What the registry says is a node's and the node does not hold was given up: a release was never answered, or the store was restored
from before it. While the node lives its lease would keep that for ever. It is deleted after a while, which is no loss if it is
wrong: whoever has the stream after all claims it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NO_EPOCH, NO_PLACE, NodeId
from lalmesh.runtime.scheduling.model import HeldStream, Released, Role
from services.scheduler.directory import Directory

GIVEN_UP_REPORTS = 3  #: a claim that was answered shows in the next report, or the one after
GIVEN_UP_S = 5.0  #: and an edge that has no answer yet, asks for one for so long
AGAIN_REPORTS = 3  #: a node that was told is told again after so many reports, the first of which may not show yet what it did


class Differences:
    """The streams of one node that stand differently in the registry, and for how many reports in a row."""

    def __init__(self) -> None:
        """Begin with none."""
        self._reports: dict[StreamKey, int] = {}

    def due(self, different: Iterable[StreamKey], *, at_once: bool = False) -> list[StreamKey]:
        """Which of those that differ by the newest report are to be seen to now; `at_once`: the view cannot be behind."""
        self._reports = {stream: self._reports.get(stream, 1 if at_once else 0) + 1 for stream in different}
        return [stream for stream, count in self._reports.items() if count == 2 or (count > 2 and (count - 2) % AGAIN_REPORTS == 0)]


class Absences:
    """What the registry says is one node's, and its reports do not show: each claim and each place of a group by itself."""

    def __init__(self) -> None:
        """Begin with none."""
        self._reports: dict[Released, tuple[int, float]] = {}  # how many in a row, and since when

    def due(self, absent: Iterable[Released], now: float) -> list[Released]:
        """What has been absent from so many reports, for so long, that the node has given it up."""
        known = self._reports
        self._reports = {each: (known[each][0] + 1, known[each][1]) if each in known else (1, now) for each in absent}
        return [each for each, (count, since) in self._reports.items() if count >= GIVEN_UP_REPORTS and now - since >= GIVEN_UP_S]


def find_absent(node: NodeId, role: Role, held: Mapping[StreamKey, HeldStream], directory: Directory) -> list[Released]:
    """What the registry has as a node's own: an edge's claims, an hls node's streams, and an origin's groups that nobody claims."""
    if role is Role.EDGE:
        streams = [stream for stream in directory.claimed_by(node) if stream not in held or not held[stream].published]
        claims = [claim for stream in streams if (claim := directory.claim(stream)) is not None]
        return [Released(stream=claim.stream, epoch=claim.epoch, publication=claim.publication) for claim in claims]
    if role is Role.HLS:
        records = [directory.hls.record(stream) for stream in directory.hls.owned(node) if stream not in held]
        return [Released(stream=record.stream, epoch=record.epoch) for record in records if record is not None]
    if role is Role.ORIGIN:
        streams = [stream for stream in directory.carried_by(node) if stream not in held and directory.claim(stream) is None]
        groups = [group for stream in streams if (group := directory.group(stream)) is not None]
        return [Released(stream=group.stream, place=group.place) for group in groups]
    return []


def is_unclaimed(held: HeldStream, directory: Directory) -> bool:
    """Whether an edge publishes what the registry does not show as its own."""
    if not held.published or held.epoch == NO_EPOCH:
        return False
    claim = directory.claim(held.stream)
    if claim is None:
        return True
    return claim.epoch <= held.epoch if claim.publication != held.publication else claim.epoch < held.epoch


def is_forgotten(held: HeldStream, directory: Directory) -> bool:
    """Whether the registry shows less than an edge holds of what it publishes: it is to claim that again."""
    if is_unclaimed(held, directory):
        return True
    claim, group = directory.claim(held.stream), directory.group(held.stream)
    if not held.published or held.epoch == NO_EPOCH or claim is None:
        return False
    return group is None or (claim.publication == held.publication and group.place < held.place)


def is_overtaken(held: HeldStream, directory: Directory) -> bool:
    """Whether a node is where its stream is no longer; one that is nowhere yet asks by itself."""
    group = directory.group(held.stream)
    return group is not None and NO_PLACE < held.place < group.place
