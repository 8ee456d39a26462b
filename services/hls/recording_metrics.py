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
        yield GaugeMetricFamily("hls_recording_streams", "Streams that are being written to files.", self._node.live_streams)
        yield from self._made()
        yield from self._stored()

    def _made(self) -> Iterable[Metric]:
        ended, written = self._node.counters, self._node.recordings.counters
        yield GaugeMetricFamily("hls_recording_waiting_bytes", "Bytes the disk has not taken yet.", written.waiting_bytes)
        yield CounterMetricFamily("hls_recording_files", "Files finished, those recovered after a crash too.", ended.finished_files)
        yield CounterMetricFamily("hls_recording_file_bytes", "Bytes of files finished.", ended.finished_bytes)
        yield CounterMetricFamily("hls_recording_missing_units", "Units that finished files lack.", ended.missing_units)
        yield CounterMetricFamily("hls_recording_written_bytes", "Bytes written to the spool.", written.written_bytes)
        yield CounterMetricFamily(
            "hls_recording_lost_units", "Units not written: no disk, or no room in the format.", written.lost_units
        )
        yield CounterMetricFamily("hls_recording_broken_files", "Files ended because of the disk.", written.broken_files)

    def _stored(self) -> Iterable[Metric]:
        recordings = self._node.recordings
        uploader, stored, pieces = recordings.uploader, recordings.uploader.counters, recordings.growing.counters
        yield GaugeMetricFamily("hls_recording_waiting_files", "Finished files that are not stored yet.", uploader.waiting_files)
        yield GaugeMetricFamily("hls_recording_spool_bytes", "Bytes of all files in the spool.", uploader.spool_bytes)
        yield CounterMetricFamily("hls_recording_stored_files", "Files uploaded.", stored.stored_files)
        yield CounterMetricFamily("hls_recording_stored_bytes", "Bytes of files uploaded.", stored.stored_bytes)
        yield CounterMetricFamily("hls_recording_upload_failures", "Uploads that did not succeed.", stored.failures)
        yield CounterMetricFamily("hls_recording_dropped_files", "Files removed unstored: spool full.", stored.dropped_files)
        yield CounterMetricFamily("hls_recording_dropped_bytes", "Bytes of files removed unstored.", stored.dropped_bytes)
        yield CounterMetricFamily("hls_recording_piece_bytes", "Bytes of growing files uploaded.", pieces.piece_bytes)
        yield CounterMetricFamily("hls_recording_piece_failures", "Pieces of growing files not uploaded.", pieces.failures)
        yield CounterMetricFamily("hls_recording_rescued_files", "Files of lost machines put together.", recordings.rescued_files)
        yield CounterMetricFamily("hls_recording_removed_files", "Files and segments that rules let go.", recordings.removed_files)
