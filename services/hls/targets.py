"""What a playlist promises for its whole life, from its first segment: EXT-X-TARGETDURATION and PART-TARGET."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from lalmesh.media import TICKS_PER_SECOND
from lalmesh.protocol.hls import rounded_seconds
from services.hls.cuts import CutSettings, Targets, shortest_part

FIRST_SLOT = TICKS_PER_SECOND // 25  #: of a slot that nothing follows, before any other was seen: one picture at 25 a second
STEADY_PICTURES = 7  #: so many in a part, and one that lacks one of them is long enough
ROOM_NUMERATOR, ROOM_DENOMINATOR = 27, 25  #: PART-TARGET is so much more than fewer pictures: half of what a part may be short
MAX_UNEVEN = TICKS_PER_SECOND  #: PART-TARGET is made longer than wanted for uneven pictures up to this; or to half a segment


def targets_of(length: int, times: Sequence[int], settings: CutSettings) -> Targets:
    """The targets of a stream.

    Args:
        length: of the first segment, ticks.
        times: of its pictures, or of what else decides, and of the one that follows, where that is known; rising, ticks.
        settings: how long segments and parts are to be.
    """
    duration_s = max(1, min(settings.max_target_s, rounded_seconds(max(settings.segment, length))))
    return Targets(duration_s=duration_s, part=min(_part_target(times, settings), duration_s * TICKS_PER_SECOND))


def _part_target(times: Sequence[int], settings: CutSettings) -> int:
    """As many whole pictures as the setting has room for, so that no part is much shorter (rfc8216bis §4.4.4.9).

    Where these are few, it makes a difference that they come unevenly. The target is in the middle of what so many may last then;
    and of more pictures than wanted, where otherwise not even those that came would fit.
    """
    slots = [after - before for before, after in pairwise(times) if after > before] or [FIRST_SLOT]
    usual = sorted(slots)[len(slots) // 2]
    slots = [slot for slot in slots if slot <= 2 * usual]  # others are hitches
    even = [slot for slot in slots if 2 * slot <= 3 * usual]
    longest, mean = max(even), sum(even) // len(even)
    steady = STEADY_PICTURES * longest
    if settings.part >= steady:
        return settings.part // longest * longest
    most = min(MAX_UNEVEN, settings.segment // 2)
    number = max(1, (settings.part + mean // 8) // mean)  # an eighth of a picture is no reason to leave it out
    wanted = target = _roomy(number * mean)
    while target < min(most, steady):
        if _fits(slots, target):
            return target
        number += 1
        target = _roomy(number * mean)
    return steady if steady <= most else wanted


def _roomy(length: int) -> int:
    return length * ROOM_NUMERATOR // ROOM_DENOMINATOR


def _fits(slots: Sequence[int], target: int) -> bool:
    """Whether parts of these slots are neither longer than the target nor too short."""
    shortest, length = shortest_part(target), 0
    for slot in slots:
        if length + slot > target:
            if length < shortest:
                return False
            length = 0
        length += slot
    return True
