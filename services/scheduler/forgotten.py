"""What a node holds and the registry does not show, or shows an earlier state of. A pure core.

Keys are absent where leases ran out while the control plane was away; stores are wiped and restored; a notice may have come while
the node was at no replica. So each report is compared with the directory. What was said for the first time in the very last report
may only be newer than the view: a difference counts once two reports in a row show it.
"""

from __future__ import annotations

from collections.abc import Iterable

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NO_EPOCH
from lalmesh.runtime.scheduling.model import HeldStream
from services.scheduler.directory import Directory

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


def is_forgotten(held: HeldStream, directory: Directory) -> bool:
    """Whether the registry shows less than an edge holds of what it publishes: it is to claim that again."""
    if not held.published or held.epoch == NO_EPOCH:
        return False
    claim, group = directory.claim(held.stream), directory.group(held.stream)
    if claim is None or group is None:
        return True
    if claim.publication != held.publication:
        return claim.epoch <= held.epoch
    return claim.epoch < held.epoch or group.place < held.place


def is_overtaken(held: HeldStream, directory: Directory) -> bool:
    """Whether a node is where its stream is no longer."""
    group = directory.group(held.stream)
    return group is not None and group.place > held.place
