"""When a PCR goes out and what it says (ISO/IEC 13818-1 §2.4.3.5, §2.7.2).

The PCR runs `PCR_LEAD_TICKS` before the decoding times of the *clock track*, the one whose PID carries it. Its pictures carry it
themselves; where they are further apart than a PCR may be, packets without a payload go between: before the next picture, or
earlier, driven by the other tracks. Those only tell how much time has passed, since they may run ahead of the pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lalmesh.container.mpegts._constants import PCR_INTERVAL_TICKS
from lalmesh.container.mpegts._timestamps import PCR_LEAD_TICKS
from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND

JUMP_TICKS: Final = TICKS_PER_SECOND  #: a step of more begins a new time base
MIN_PCR_TICKS: Final = 40 * TICKS_PER_MS  #: a PCR costs 8 bytes: each second frame of audio, each picture at 25 a second, has one
_BRIDGE_TICKS: Final = 80 * TICKS_PER_MS  #: the clock track has been silent for long enough


class ProgramClock:
    """The PCR of one program; all times in ticks as the units have them."""

    __slots__ = ("_at_pcr", "_is_due", "_last", "_last_dts")

    def __init__(self) -> None:
        """Start without a time."""
        self._last: int | None = None  # the newest PCR
        self._last_dts: dict[int, int] = {}  # by track
        self._at_pcr: dict[int, int] = {}  # the same when the newest PCR went out
        self._is_due = True

    def ask(self) -> None:
        """Let the next unit of the clock track carry a PCR: players may begin there."""
        self._is_due = True

    def forget(self, track_ids: set[int]) -> None:
        """Keep no times of other tracks than `track_ids`."""
        self._last_dts = {track_id: dts for track_id, dts in self._last_dts.items() if track_id in track_ids}

    def begins_anew(self, track_id: int, dts: int, is_clock: bool) -> bool:
        """Take note of a unit, and tell whether a new time base begins with it; of the first unit it does not."""
        own = self._last_dts.get(track_id)
        self._last_dts[track_id] = dts
        if self._last is None or abs(dts - PCR_LEAD_TICKS - self._last) <= JUMP_TICKS:
            return False
        return is_clock or (own is not None and abs(dts - own) > JUMP_TICKS)

    def bridge(self, track_id: int, dts: int, is_clock: bool) -> Iterator[int]:
        """Iterate over the PCRs of the packets that have to go before a unit of the present time base."""
        last = self._last
        if last is None:
            return
        target = dts - PCR_LEAD_TICKS
        if not is_clock:
            target = min(target, last + dts - self._at_pcr.setdefault(track_id, dts))
        while target - last > PCR_INTERVAL_TICKS:
            last += PCR_INTERVAL_TICKS
            yield self._say(last)
        if is_clock:
            return
        if target - last >= _BRIDGE_TICKS:
            last = target
            yield self._say(target)
        self._at_pcr[track_id] = dts - (target - last)  # what has passed since counts on

    def start(self, dts: int) -> int | None:
        """The PCR before a unit of another track than the clock's at `dts`, where there is none yet."""
        return self._say(dts - PCR_LEAD_TICKS) if self._last is None else None

    def restart(self, dts: int) -> int:
        """The first PCR of a new time base, in which a unit is at `dts`."""
        return self._say(dts - PCR_LEAD_TICKS)

    def of_unit(self, dts: int) -> int | None:
        """The PCR that a unit of the clock track at `dts` carries; it always rises. None: it is too soon for one."""
        target, last = dts - PCR_LEAD_TICKS, self._last
        if last is None:
            return self._say(target)
        if self._is_due:
            return self._say(max(target, last + 1))
        return self._say(target) if target - last >= MIN_PCR_TICKS else None

    def _say(self, pcr: int) -> int:
        self._last, self._is_due = pcr, False
        self._at_pcr = self._last_dts.copy()
        return pcr
