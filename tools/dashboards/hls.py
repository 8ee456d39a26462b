"""hls nodes: segments, players, storage, recordings."""

from __future__ import annotations

from tools.dashboards.grafana import NONE_BUT_RED, PER_SECOND, Panel, Query, Row, warn_at
from tools.dashboards.parts import (
    NAMESPACE,
    POD,
    by,
    dashboard_of,
    figure,
    link_delay,
    links_of,
    or_zero,
    quantile,
    quantiles,
    rate,
    total,
)

WELL = Row(
    "Is it well?",
    (
        figure("Streams", "That are segmented here.", total("hls_streams")),
        figure(
            "Without a node",
            "Streams that are to be segmented or recorded, and are by nobody.",
            f"max(scheduler_hls_waiting_streams{{{NAMESPACE}}})",
            steps=NONE_BUT_RED,
            runbook="streams-without-segmenter",
        ),
        figure(
            "Players",
            "That hls nodes and edges know by an id.",
            f"({or_zero(total('hls_players'))}) + ({or_zero(total('edge_hls_players', where=NAMESPACE))})",
        ),
        figure("Sent", "To edges and players.", f"{rate('hls_sent_bytes_total')} * 8", unit="bps"),
        figure(
            "Until in storage, p95",
            "From the end of a segment's media.",
            quantile(0.95, "hls_segment_lag_seconds"),
            unit="s",
            steps=warn_at(2, 5),
            runbook="segments-late",
        ),
        figure(
            "Segments that wait",
            "To be stored.",
            total("hls_unstored_segments"),
            steps=warn_at(20, 100),
            runbook="storage-failing",
        ),
        figure(
            "Segments lost",
            "Given up unstored, or that nobody could make, within the time shown.",
            f"sum(increase(hls_lost_segments_total{{{POD}}}[$__range])) + sum(increase(hls_gaps_total{{{POD}}}[$__range]))",
            decimals=0,
            steps=NONE_BUT_RED,
            runbook="storage-failing",
        ),
        figure(
            "Answers 5xx",
            "A second.",
            rate("hls_requests_total", where=f'{POD}, status=~"5.."'),
            unit=PER_SECOND,
            decimals=2,
            steps=warn_at(0.1, 1),
        ),
    ),
)
SEGMENTS = Row(
    "Segments",
    (
        Panel(
            title="Streams by pod",
            about="Segmented now. A node of much less than the others has just come, or drains.",
            queries=[by(total, "hls_streams", "pod")],
        ),
        Panel(
            title="Segments and parts",
            about="Made and stored a second.",
            queries=[
                Query(rate("hls_segments_total"), "segments"),
                Query(rate("hls_parts_total"), "parts"),
                Query(rate("hls_stored_segments_total"), "stored"),
            ],
            unit=PER_SECOND,
        ),
        Panel(
            title="Until in storage",
            about="From the end of a segment's media, by the wall clock of its publisher's edge.",
            queries=quantiles("hls_segment_lag_seconds"),
            unit="s",
            steps=warn_at(2, 5),
            runbook="segments-late",
        ),
        Panel(
            title="Storage",
            about="Calls that did not succeed, segments given up, and those that wait.",
            queries=[
                Query(rate("hls_storage_failures_total"), "failures /s"),
                Query(rate("hls_lost_segments_total"), "given up /s"),
                Query(total("hls_unstored_segments"), "wait"),
            ],
            runbook="storage-failing",
        ),
        Panel(
            title="Holes",
            about="Units that never came, segments that nobody could make, discontinuities, units that a container cannot carry.",
            queries=[
                Query(rate("hls_missing_units_total"), "missing units"),
                Query(rate("hls_gaps_total"), "gaps"),
                Query(rate("hls_discontinuities_total"), "discontinuities"),
                Query(rate("hls_unmuxed_units_total"), "not written"),
            ],
            unit=PER_SECOND,
        ),
        Panel(
            title="Memory of segments",
            about="Segments and parts that are kept in memory, by pod.",
            queries=[by(total, "hls_memory_bytes", "pod")],
            unit="bytes",
        ),
        link_delay("hls"),
        links_of("hls"),
        Panel(
            title="Gap of failovers",
            about="How long segmenters got nothing as a stream went from one origin to another.",
            queries=quantiles("hls_failover_gap_seconds"),
            unit="s",
            steps=warn_at(1, 3),
            runbook="failover-slow",
        ),
    ),
)
PLAYERS = Row(
    "Players",
    (
        Panel(
            title="Requests by status",
            about="404: what is not there any more, or not yet. 503: nobody has the stream.",
            queries=[by(rate, "hls_requests_total", "status")],
            unit="reqps",
            stacked=True,
        ),
        Panel(
            title="Sent by pod",
            about="Playlists and segments.",
            queries=[Query(f"{rate('hls_sent_bytes_total', 'pod')} * 8", "{{pod}}")],
            unit="bps",
        ),
        Panel(
            title="Join, p95",
            about="From a player's first request to its first media, at the node that counts it.",
            queries=[
                Query(quantile(0.95, "hls_join_seconds"), "at hls nodes"),
                Query(quantile(0.95, "edge_hls_join_seconds", where=NAMESPACE), "at edges"),
            ],
            unit="s",
        ),
        Panel(
            title="Players",
            about="Known by an id, at hls nodes and at edges.",
            queries=[Query(total("hls_players"), "at hls nodes"), Query(total("edge_hls_players", where=NAMESPACE), "at edges")],
            stacked=True,
        ),
        Panel(
            title="Connections",
            about="By listener, of edges and players.",
            queries=[by(total, "hls_connections", "listener")],
        ),
        Panel(
            title="Not let in",
            about="Connections refused and protocol errors, a second.",
            queries=[
                by(rate, "hls_connections_refused_total", "reason"),
                Query(rate("hls_protocol_errors_total", "protocol"), "protocol error {{protocol}}"),
            ],
            unit=PER_SECOND,
        ),
    ),
)
RECORDINGS = Row(
    "Recordings",
    (
        Panel(
            title="Being recorded",
            about="Streams that are being written to files.",
            queries=[by(total, "hls_recording_streams", "pod")],
        ),
        Panel(
            title="Spool",
            about="Files on the disk of the node until they are stored; over its bound the oldest are dropped.",
            queries=[by(total, "hls_recording_spool_bytes", "pod")],
            unit="bytes",
            runbook="storage-failing",
        ),
        Panel(
            title="Files that wait",
            about="Finished, and not stored yet.",
            queries=[by(total, "hls_recording_waiting_files", "pod")],
            runbook="storage-failing",
        ),
        Panel(
            title="Files",
            about="Finished, stored and let go by rules, a second.",
            queries=[
                Query(rate("hls_recording_files_total"), "finished"),
                Query(rate("hls_recording_stored_files_total"), "stored"),
                Query(rate("hls_recording_removed_files_total"), "removed"),
                Query(rate("hls_recording_rescued_files_total"), "rescued"),
            ],
            unit=PER_SECOND,
        ),
        Panel(
            title="What went wrong",
            about="Uploads that did not succeed, files dropped unstored or broken by the disk, units not written, a second.",
            queries=[
                Query(rate("hls_recording_upload_failures_total"), "uploads"),
                Query(rate("hls_recording_piece_failures_total"), "pieces"),
                Query(rate("hls_recording_dropped_files_total"), "dropped files"),
                Query(rate("hls_recording_broken_files_total"), "broken files"),
                Query(rate("hls_recording_lost_units_total"), "lost units"),
                Query(rate("hls_recording_missing_units_total"), "missing units"),
            ],
            unit=PER_SECOND,
            runbook="storage-failing",
        ),
        Panel(
            title="Written and stored",
            about="Bytes a second to the spool, and from there to storage.",
            queries=[
                Query(rate("hls_recording_written_bytes_total"), "written"),
                Query(rate("hls_recording_stored_bytes_total"), "stored"),
                Query(rate("hls_recording_piece_bytes_total"), "pieces"),
                Query(total("hls_recording_waiting_bytes"), "wait for the disk"),
            ],
            unit="Bps",
        ),
    ),
    folded=True,
)

DASHBOARD = dashboard_of(
    "hls",
    "HLS",
    "hls nodes: segments, players, storage, recordings.",
    (WELL, SEGMENTS, PLAYERS, RECORDINGS),
)
