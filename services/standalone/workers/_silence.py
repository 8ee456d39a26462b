"""Which workers stand still. A pure core.

A worker that listens says each second that its loop runs, until it has ended. One that does not, as it was stopped or waits in a
write, keeps its share of those who come: so it is killed, and then is one that has died. What is counted is looks without a word of
it in between, since what the supervisor itself slept through is nobody's silence; and where a look was late, so may they be.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable

from services.standalone.workers._supervision import Send

LOOK_S = 1.0  #: between two looks
LATE_S = 1.0  #: later, a look shows that the machine slept, or has no time for anybody
SILENT_LOOKS = 15  #: until one is given up: its loop is never held up for a third of that, and the chart's probe waits for a minute


class Silence:
    """Counts looks. `now` is any clock in seconds that does not step."""

    def __init__(self, now: float) -> None:
        """Look from now on."""
        self._looks: dict[int, int] = {}
        #: when the next look is due
        self.due_at = now + LOOK_S

    def heard(self, number: int) -> None:
        """A worker has said something."""
        self._looks.pop(number, None)

    def look(self, running: Iterable[int], now: float) -> list[Send]:
        """What is to be done about the workers that are `running`, if a look is due: each that is given up is killed, once."""
        if now < self.due_at:
            return []
        was_late = now - self.due_at > LATE_S
        self.due_at = now + LOOK_S
        self._looks = {} if was_late else {number: self._looks.get(number, 0) + 1 for number in running}
        return [Send(number, signal.SIGKILL) for number, looks in self._looks.items() if looks == SILENT_LOOKS]
