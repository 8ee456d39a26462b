"""What an hls node counts. Totals are read when they are asked for; nothing is counted per unit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lalmesh.names import StreamKey
from lalmesh.runtime.certificate import ServerCertificate, certificate_metrics
from lalmesh.runtime.durations import durations_metric, gap_metric, link_delay_metric
from lalmesh.runtime.hls_sessions import Players
from lalmesh.runtime.http_port import HttpPort
from lalmesh.runtime.listener import ListenerMetrics
from lalmesh.runtime.stream_series import StreamSeries
from lalmesh.runtime.zeroed import begin_at_zero
from services.hls.worker import Worker
from services.hls.workers import Workers

TO_EDGE, TO_PLAYER = "edge", "player"
STATUSES = ("200", "404", "500", "503")  #: of answers that tell how well it is; others are counted once there are some


class HlsMetrics(ListenerMetrics):
    """The counters of requests and connections."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register with `registry`."""
        super().__init__("hls", registry)
        self._registry = registry
        self.requests = Counter("hls_requests", "Requests answered.", ("status",), registry=registry)
        begin_at_zero(self.requests, STATUSES)
        text = "Bytes of playlists and segments in answers, by who asked."
        self.sent_bytes = Counter("hls_sent_bytes", text, ("to",), registry=registry)
        begin_at_zero(self.sent_bytes, (TO_EDGE, TO_PLAYER))

    def read_from(
        self,
        workers: Workers,
        players: Players,
        ports: Mapping[str, HttpPort],
        certificate: ServerCertificate | None,
        stream_series: int = 0,
    ) -> None:
        """Tell of these at each scrape, and of single streams of at most `stream_series`."""
        self._registry.register(_HlsCollector(workers, players, ports, certificate, StreamSeries("hls", stream_series)))


class _HlsCollector(Collector):
    def __init__(
        self,
        workers: Workers,
        players: Players,
        ports: Mapping[str, HttpPort],
        certificate: ServerCertificate | None,
        series: StreamSeries,
    ) -> None:
        self._series = series
        self._workers = workers
        self._players = players
        self._ports = ports
        self._certificate = certificate

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance."""
        return []

    def collect(self) -> Iterable[Metric]:
        """What there is now."""
        yield from self._listening()
        workers, made, stored = self._workers, self._workers.counters, self._workers.store_counters
        yield GaugeMetricFamily("hls_streams", "Streams segmented here.", len(workers))
        yield GaugeMetricFamily("hls_players", "Players that asked this node not long ago.", len(self._players))
        yield from self._players.times.metrics("hls")
        yield GaugeMetricFamily("hls_memory_bytes", "Segments and parts in memory.", workers.budget.used_bytes)
        yield GaugeMetricFamily(
            "hls_unstored_segments", "Segments that wait to be stored.", sum(worker.waiting_segments for worker in workers)
        )
        left_out = GaugeMetricFamily("hls_tracks_left_out", "Tracks that a container cannot carry.", labels=("track",))
        counts: dict[str, int] = {}
        for track in (track for worker in workers for track in worker.left_out):
            counts[track] = counts.get(track, 0) + 1
        for track, count in counts.items():
            left_out.add_metric((track,), count)
        yield left_out
        yield CounterMetricFamily("hls_segments", "Segments made.", made.segments)
        yield CounterMetricFamily("hls_parts", "Parts made.", made.parts)
        yield CounterMetricFamily("hls_segment_bytes", "Bytes of segments made.", made.segment_bytes)
        yield CounterMetricFamily("hls_gaps", "Segments that nobody could make.", made.gaps)
        yield CounterMetricFamily("hls_unmuxed_units", "Units that could not be written into a container.", made.unmuxed_units)
        yield CounterMetricFamily("hls_discontinuities", "Discontinuities announced.", made.discontinuities)
        yield CounterMetricFamily("hls_stored_segments", "Segments stored.", stored.segments)
        yield CounterMetricFamily("hls_stored_bytes", "Bytes stored.", stored.stored_bytes)
        lag = "From the wall clock of a segment's end, by its publisher's edge, until it was in storage."
        yield durations_metric("hls_segment_lag_seconds", lag, made.segment_lag)
        yield CounterMetricFamily("hls_storage_failures", "Calls to storage that did not succeed.", stored.failures)
        yield CounterMetricFamily("hls_lost_segments", "Segments given up unstored.", stored.lost_segments)
        yield CounterMetricFamily("hls_recording_kept_segments", "Segments recorded.", stored.kept_segments)
        yield link_delay_metric("hls", made.link_delay)
        yield gap_metric("hls", workers.gaps)
        readers = workers.reader_totals
        yield CounterMetricFamily("hls_units", "Units taken in.", readers.units)
        yield CounterMetricFamily("hls_missing_units", "Units that never came.", readers.missing)

        if self._series.most_num:
            yield from self._of_streams({worker.stream: worker for worker in workers})

    def _of_streams(self, workers: Mapping[StreamKey, Worker]) -> Iterable[Metric]:
        """What is told of single streams."""
        unstored = GaugeMetricFamily("hls_stream_unstored_segments", "Segments of a stream that wait.", labels=("stream",))
        missing = CounterMetricFamily("hls_stream_missing_units", "Units of a stream that never came.", labels=("stream",))
        for stream in self._series.choose(workers.keys()):
            reader = workers[stream].reader
            unstored.add_metric((str(stream),), workers[stream].waiting_segments)
            missing.add_metric((str(stream),), reader.counters.missing if reader is not None else 0)
        yield from (unstored, missing)
        yield from self._series.left_out(len(workers))

    def _listening(self) -> Iterable[Metric]:
        connections = GaugeMetricFamily("hls_connections", "Open connections.", labels=("listener",))
        for name, port in self._ports.items():
            connections.add_metric((name,), len(port.admission))
        yield connections
        if self._certificate is not None:
            yield from certificate_metrics("hls", self._certificate)
