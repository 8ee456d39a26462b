"""Metrics of single streams: asked for, and of so many streams at most, since each is a series that Prometheus keeps."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from typing import TypeVar

from prometheus_client.core import GaugeMetricFamily, Metric

_Stream = TypeVar("_Stream", bound=Hashable)


class StreamSeries:
    """Which streams of a node have series of their own: those that came first, for as long as they stay."""

    def __init__(self, role: str, most_num: int) -> None:
        """At most `most_num` streams of a node of `role`; 0: none, and nothing is said of it."""
        self.most_num = most_num
        self._role = role
        self._chosen: dict[Hashable, None] = {}

    def choose(self, streams: Collection[_Stream]) -> list[_Stream]:
        """Those of `streams`, which are all that there are now, that have series."""
        known = set(streams)
        kept = [stream for stream in self._chosen if stream in known][: self.most_num]
        self._chosen = dict.fromkeys(kept)
        for stream in streams:
            if len(self._chosen) >= self.most_num:
                break
            self._chosen[stream] = None
        return [stream for stream in streams if stream in self._chosen]

    def left_out(self, streams_num: int) -> Iterable[Metric]:
        """Of so many streams, how many have no series; nothing where none should."""
        if self.most_num:
            text = "Streams without series of their own, for there are more than telemetry.per_stream_num."
            yield GaugeMetricFamily(f"{self._role}_streams_left_out", text, streams_num - len(self._chosen))
