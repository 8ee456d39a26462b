"""Whose trace events belong to whose node could not tell: that of the publication which their stream has."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from lalmesh.names import StreamKey
from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.events import Event
from lalmesh.runtime.telemetry import TraceContext

MAX_STREAMS: Final = 1000  #: that are remembered, of one shard and receiver: some 300 bytes each
_BEGINS = frozenset({EventKind.PUB_START.value, EventKind.RELAY_PULL_START.value})
_ENDS = frozenset({EventKind.PUB_STOP.value, EventKind.RELAY_PULL_STOP.value})
#: what comes of a publication that is over; all others are about one that is there, or nobody's
_LATE = frozenset(
    {EventKind.HLS_MAKE_TS.value, EventKind.RECORDING_DONE.value, EventKind.ALARM_OVER.value, EventKind.LAST_VIEWER.value}
)


@dataclass(slots=True)
class _Known:
    trace: TraceContext
    is_over: bool = False


class StreamTraces:
    """The traces of publications, as the events of one shard tell of them. A player that is the first at its edge, say, comes
    before anybody there knows what it will get.
    """

    def __init__(self, limit: int = MAX_STREAMS) -> None:
        """Remember those of at most `limit` streams, which began last."""
        self._limit = limit
        self._known: OrderedDict[StreamKey, _Known] = OrderedDict()

    def of(self, event: Event) -> TraceContext | None:
        """The span that an event is a part of; None where none is known. Ask of all events, in their order."""
        if event.stream is None:
            return event.trace
        known = self._known.get(event.stream)
        if event.kind in _BEGINS:
            self._begin(event.stream, event.trace)
        elif event.kind in _ENDS and known is not None:
            known.is_over |= known.trace == event.trace
        if event.trace is not None or known is None or event.kind in _BEGINS:
            return event.trace
        return known.trace if not known.is_over or event.kind in _LATE else None

    def _begin(self, stream: StreamKey, trace: TraceContext | None) -> None:
        self._known.pop(stream, None)
        if trace is not None:
            self._known[stream] = _Known(trace)
            if len(self._known) > self._limit:
                self._known.popitem(last=False)
