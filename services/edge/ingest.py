"""From the messages of one publisher session to its publication, and the account of what gave nothing on the way.

What the demuxer passes over is said once per session and reason in a warning, counted in metrics, and summed up for the line
that closes the session; a flood of it costs a comparison a read and no line.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

from lalmesh.container.flv import BodyDemuxer
from lalmesh.media import MediaEvent, PassedOver
from lalmesh.protocol.rtmp import MediaMessage
from services.edge.metrics import EdgeMetrics
from services.edge.publication import Publication
from services.edge.session import Session

log = logging.getLogger(__name__)

EXTRA_TRACK_EXAMPLE = "one track of a kind is taken"


class Feedable(Protocol):
    """Where the media goes: `Publishing`."""

    core: Publication

    def feed(self, events: Iterable[MediaEvent], now_us: int) -> None:
        """Take in what a demuxer gave, received at `now_us` (Unix µs)."""
        ...


class Ingest:
    """Demuxes what one publisher session sends into its publication."""

    __slots__ = ("_clock_jumps", "_demuxer", "_metrics", "_passed_over", "_publishing", "_reported", "_session")

    def __init__(self, publishing: Feedable, session: Session, metrics: EdgeMetrics) -> None:
        """Begin without tracks."""
        self._publishing = publishing
        self._session = session
        self._metrics = metrics
        self._demuxer = BodyDemuxer()
        self._passed_over = 0  # messages, as far as they are reported
        self._reported: dict[PassedOver, int] = {}  # the same by class
        self._clock_jumps = 0  # reported so far

    def feed(self, messages: Iterable[MediaMessage], now_us: int) -> None:
        """Take in the media messages of one read, received at `now_us` (Unix µs).

        Raises:
            RemoteProtocolError: a message is malformed; what came before it has been taken in.
        """
        demux, events = self._demuxer.demux, list[MediaEvent]()
        try:
            for message in messages:
                events += demux(message.type_id, message.timestamp_ms, message.payload)
        finally:
            self._publishing.feed(events, now_us)
            counters = self._demuxer.counters
            if counters.unsupported + counters.ignored_tracks != self._passed_over:
                self._report_passed_over()
            if self._publishing.core.clock_jumps != self._clock_jumps:
                self._report_clock_jumps()

    @property
    def facts(self) -> dict[str, object]:
        """For the line that closes the session: messages that gave nothing, by reason, and jumps of the clock; none where none."""
        passed_over = {why.value: count for why, count in self._counts().items()}
        facts = {"ignored_messages": passed_over, "clock_jumps": self._publishing.core.clock_jumps}
        return {name: value for name, value in facts.items() if value}

    def _counts(self) -> dict[PassedOver, int]:
        counters = self._demuxer.counters
        extra = {PassedOver.EXTRA_TRACK: counters.ignored_tracks} if counters.ignored_tracks else {}
        return extra | counters.classes

    def _report_passed_over(self) -> None:
        counts, counters = self._counts(), self._demuxer.counters
        for why, count in counts.items():
            before = self._reported.get(why, 0)
            if not before:
                example = counters.examples.get(why, EXTRA_TRACK_EXAMPLE)
                log.warning("publisher sends what is passed over: %s: %s", why.value, example, extra=self._names())
            self._metrics.ignored_messages.labels(why.value).inc(count - before)
        self._reported, self._passed_over = counts, sum(counts.values())

    def _report_clock_jumps(self) -> None:
        jumps = self._publishing.core.clock_jumps
        if not self._clock_jumps:
            log.warning("publisher's clock jumped against the wall clock; its times are shifted to go on", extra=self._names())
        self._metrics.clock_jumps.inc(jumps - self._clock_jumps)
        self._clock_jumps = jumps

    def _names(self) -> dict[str, object]:
        session = self._session
        return {
            "session_id": session.session_id,
            "protocol": session.protocol,
            "stream_key": str(session.stream),
            "peer": session.peer,
        }
