"""What a node counts of its recordings. Totals are read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.hls.recorded import NodeRecordings


class RecordingCollector(Collector):
    """Tells of a node's recordings at each scrape."""

    def __init__(self, node: NodeRecordings) -> None:
        """Tell of `node`."""
        self._node = node

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance."""
        return []

    def collect(self) -> Iterable[Metric]:
        """What there is now."""
        ended, written = self._node.counters, self._node.recordings.counters
        uploader = self._node.recordings.uploader
        stored = uploader.counters
        yield GaugeMetricFamily("hls_recording_streams", "Streams that are being written to files.", self._node.live_streams)
        yield GaugeMetricFamily("hls_recording_waiting_files", "Finished files that are not stored yet.", uploader.waiting_files)
        yield CounterMetricFamily("hls_recording_files", "Files finished, those recovered after a crash too.", ended.finished_files)
        yield CounterMetricFamily("hls_recording_file_bytes", "Bytes of files finished.", ended.finished_bytes)
        yield CounterMetricFamily("hls_recording_missing_units", "Units that finished files lack.", ended.missing_units)
        yield CounterMetricFamily("hls_recording_written_bytes", "Bytes written to the spool.", written.written_bytes)
        yield CounterMetricFamily("hls_recording_lost_units", "Units not written because of the disk.", written.lost_units)
        yield CounterMetricFamily("hls_recording_broken_files", "Files ended because of the disk.", written.broken_files)
        yield CounterMetricFamily("hls_recording_stored_files", "Files uploaded.", stored.stored_files)
        yield CounterMetricFamily("hls_recording_stored_bytes", "Bytes of files uploaded.", stored.stored_bytes)
        yield CounterMetricFamily("hls_recording_upload_failures", "Uploads that the storage refused.", stored.failures)
        yield CounterMetricFamily("hls_recording_dropped_files", "Files removed unstored: spool full.", stored.dropped_files)
