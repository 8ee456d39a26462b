"""Rules of relays that cannot be followed: each is counted whenever it is tried, and said once (too many: once for all streams)."""

from __future__ import annotations

import logging

from lalmesh.names import StreamKey
from lalmesh.runtime.recording import RuleError
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.relay_room import RelaysFullError

log = logging.getLogger(__name__)

MAX_SAID = 1000  #: of streams and reasons; whoever asks for names at random has some of them said again


class RelayRefusals:
    """Those of one replica."""

    def __init__(self, metrics: SchedulerMetrics) -> None:
        """Count in `metrics`."""
        self._metrics = metrics
        self._said: set[tuple[StreamKey | None, str]] = set()

    def note(self, stream: StreamKey, error: RuleError) -> None:
        """`stream` was not relayed as a rule has it."""
        self._metrics.relay_refusals.inc()
        key = (None if isinstance(error, RelaysFullError) else stream, str(error))
        if key in self._said:
            return
        if len(self._said) >= MAX_SAID:
            self._said.clear()
        self._said.add(key)
        log.warning("%s cannot be relayed: %s", stream, error, extra={"stream_key": str(stream)})

    def forget(self) -> None:
        """The rules have changed: what is wrong with these is said again."""
        self._said.clear()
