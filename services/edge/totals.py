"""What the parts of an edge count themselves, as metrics: read when they are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from lalmesh.runtime.durations import durations_metric, gap_metric, link_delay_metric
from lalmesh.runtime.listener import Admission
from lalmesh.runtime.scheduling import Capacity
from lalmesh.runtime.stream_series import StreamSeries
from services.edge.frame_rates import FrameRates
from services.edge.hls_nodes import HlsProxyCounters
from services.edge.metrics import clients_of
from services.edge.publisher import Publishers
from services.edge.relay import Relays
from services.edge.rtp_ports import RtpPorts
from services.edge.session import Sessions


class Listener(Protocol):
    """What is asked of a listener."""

    admission: Admission


def totals_of_streams(publishers: Publishers, relays: Relays) -> Iterable[Metric]:
    """What is published and played."""
    yield GaugeMetricFamily("edge_publications", "Streams published here.", len(publishers))
    yield GaugeMetricFamily("edge_relays", "Streams played here.", len(relays))
    yield from _fanouts(relays)
    yield from _readers(relays)
    yield link_delay_metric("edge", relays.link_delays)
    yield gap_metric("edge", relays.gaps)
    text = "From a unit's arrival at its publisher's edge until players here were written to; the oldest, each second of a format."
    yield durations_metric("edge_publish_to_play_seconds", text, relays.play_delays)


def series_of_streams(series: StreamSeries, publishers: Publishers, relays: Relays, rates: FrameRates) -> Iterable[Metric]:
    """What is told of single streams, where it is."""
    if not series.most_num:
        return
    published = {publishing.stream: publishing.core for publishing in publishers}
    played = {relay.stream: relay for relay in relays}
    received = CounterMetricFamily("edge_stream_received_bytes", "Payload from a stream's publisher here.", labels=("stream",))
    text = "Pictures from a stream's publisher here, of a stream without video audio frames; looked at each second."
    frames = CounterMetricFamily("edge_stream_received_frames", text, labels=("stream",))
    gops = GaugeMetricFamily(
        "edge_stream_gop_seconds", "Of a stream's publisher here: how long its last GOP was.", labels=("stream",)
    )
    text = "How late a stream's units come here from its publisher's edge, by the clocks of both; the newest."
    delays = GaugeMetricFamily("edge_stream_link_delay_seconds", text, labels=("stream",))
    sent = CounterMetricFamily("edge_stream_sent_bytes", "Bytes written to a stream's players here.", labels=("stream",))
    players = GaugeMetricFamily("edge_stream_players", "Players of a stream here.", labels=("stream",))
    streams = list(dict.fromkeys([*published, *played]))
    for stream in series.choose(streams):
        if (core := published.get(stream)) is not None:
            received.add_metric((str(stream),), core.counters.payload_bytes)
            if (rate := rates.of(core)) is not None:
                frames.add_metric((str(stream),), rate.frames)
                if rate.gop_s is not None:
                    gops.add_metric((str(stream),), rate.gop_s)
        if (relay := played.get(stream)) is not None:
            sent.add_metric((str(stream),), relay.sent_bytes)
            players.add_metric((str(stream),), relay.players)
            if relay.reader.delay_us is not None:
                delays.add_metric((str(stream),), max(0, relay.reader.delay_us) / 1e6)
    yield from (received, frames, gops, sent, players, delays)
    yield from series.left_out(len(streams))


def totals_of_clients(
    listeners: Mapping[str, Listener], sessions: Sessions, capacity: Capacity, *, is_full: bool
) -> Iterable[Metric]:
    """Who is connected, and whether there is room for more."""
    text = "Sessions that edge.capacity states; 0: it states none."
    yield GaugeMetricFamily("edge_capacity_sessions", text, capacity.sessions)
    text = "Bytes a second to players that edge.capacity states; 0: it states none."
    yield GaugeMetricFamily("edge_capacity_egress_bytes_per_second", text, capacity.egress_bps / 8)
    yield GaugeMetricFamily(
        "edge_full", "1 while there are as many sessions as edge.capacity states: nobody is let in.", int(is_full)
    )
    connections = GaugeMetricFamily("edge_connections", "Open connections.", labels=("listener",))
    for name, listener in listeners.items():
        connections.add_metric((name,), len(listener.admission))
    yield connections
    metric = GaugeMetricFamily("edge_sessions", "Sessions by protocol and role.", labels=("protocol", "role"))
    nobody = dict.fromkeys((client for name in listeners for client in clients_of(name)), 0)
    counts = nobody | Counter((session.protocol, session.role.value) for session in sessions)
    for key, count in counts.items():
        metric.add_metric(key, count)
    yield metric


def _fanouts(relays: Relays) -> Iterable[Metric]:
    totals = relays.fanout_totals
    yield CounterMetricFamily("edge_egress_bytes", "Bytes written to players.", totals.sent_bytes)
    yield CounterMetricFamily("edge_joins", "Players that joined a fan-out.", totals.joins)
    text = "Of those, the ones that had to wait for a random access point, as what others had not taken yet was too much."
    yield CounterMetricFamily("edge_joins_without_room", text, relays.bursts.refused)
    skips = "Times that a slow player, or the target of a push, skipped to a random access point, by what was too much."
    by_reason = CounterMetricFamily("edge_skips", skips, labels=("reason",))
    by_reason.add_metric(("queue_bytes",), totals.byte_skips)
    by_reason.add_metric(("queue_time",), totals.time_skips)
    by_reason.add_metric(("push_behind",), totals.skips - totals.byte_skips - totals.time_skips)
    yield by_reason
    yield CounterMetricFamily("edge_slow_closes", "Players closed because they stayed too slow.", totals.slow_closes)
    yield CounterMetricFamily("edge_cache_overflows", "Caches given up because they passed a bound.", totals.cache_overflows)
    left_out = CounterMetricFamily(
        "edge_tracks_left_out", "Tracks that players did not get, as their format cannot carry them.", labels=("format", "codec")
    )
    for key, count in relays.left_out_totals.items():
        left_out.add_metric(key, count)
    yield left_out


def _readers(relays: Relays) -> Iterable[Metric]:
    totals = relays.reader_totals
    yield CounterMetricFamily("edge_relayed_units", "Units that relays took in.", totals.units)
    yield CounterMetricFamily("edge_missing_units", "Units that relays never got.", totals.missing)
    yield CounterMetricFamily("edge_unannounced_units", "Of those, the ones that nobody announced.", totals.unannounced)
    yield CounterMetricFamily("edge_repeated_units", "Units that relays had already.", totals.repeated)
    yield CounterMetricFamily("edge_fenced_units", "Units of outdated owners that relays refused.", totals.fenced)


def totals_of_udp(ports: RtpPorts) -> Iterable[Metric]:
    """How RTP goes by UDP."""
    yield GaugeMetricFamily("edge_udp_tracks", "Tracks of RTSP clients that use UDP.", len(ports))
    counters = ports.counters
    yield CounterMetricFamily("edge_udp_strangers", "Datagrams that came from nobody that was known there.", counters.strangers)
    yield CounterMetricFamily("edge_udp_unsent", "RTP packets that the kernel did not take.", counters.unsent)
    yield CounterMetricFamily("edge_udp_sends", "Runs and packets of RTP given to the kernel, each for one client.", counters.sends)


def totals_of_proxy(counters: HlsProxyCounters, players: int) -> Iterable[Metric]:
    """What became of requests for HLS and recordings."""
    yield GaugeMetricFamily("edge_hls_players", "Players of HLS that this edge counts.", players)
    requests = CounterMetricFamily("edge_hls_requests", "Requests for HLS and recordings by what answered.", labels=("by",))
    for by, count in (("cache", counters.cached), ("shared request", counters.shared), ("hls node", counters.asked)):
        requests.add_metric((by,), count)
    yield requests
    yield CounterMetricFamily("edge_hls_connect_failures", "Times that an hls node could not be reached.", counters.failed_connects)
    slow = "Answers of an hls node that was asked second and came before that of the first."
    yield CounterMetricFamily("edge_hls_overtaken", slow, counters.overtaken)
    yield CounterMetricFamily("edge_hls_unanswered", "Requests that no hls node answered.", counters.unanswered)
    yield CounterMetricFamily("edge_hls_egress_bytes", "Bytes of HLS and recordings that clients were given.", counters.sent_bytes)
