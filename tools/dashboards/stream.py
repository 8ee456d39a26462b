"""One stream on its way from its publisher to its players; made of the series of single streams, which have to be asked for."""

from __future__ import annotations

from tools.dashboards.grafana import (
    FRAMES_PER_SECOND,
    PER_SECOND,
    PROMETHEUS,
    Column,
    Dashboard,
    Panel,
    Query,
    Row,
    Variable,
    warn_at,
)
from tools.dashboards.parts import ANNOTATIONS, NAMESPACE, NAMESPACES, WINDOW, figure

STREAM = f'{NAMESPACE}, stream=~"$stream"'
LEFT_OUT = ("edge", "origin", "hls")
HERE = (
    "/d/lalmesh-stream?var-stream=${__value.raw:percentencode}&${datasource:queryparam}&${namespace:queryparam}&${__url_time_range}"
)
TRACES = (
    "/d/lalmesh-traces?var-stream=${__value.raw:percentencode}&${datasource:queryparam}&${namespace:queryparam}&${__url_time_range}"
)


def _bits(metric: str, labels: str) -> str:
    return f"sum by ({labels}) (rate({metric}{{{STREAM}}}[{WINDOW}])) * 8"


def _total(metric: str) -> str:
    return f"sum({metric}{{{STREAM}}})"


WELL = Row(
    "Is it well?",
    (
        figure(
            "Published at",
            "Edges that have its publisher: 0 where nobody publishes it.",
            f"count(edge_stream_received_bytes_total{{{STREAM}}}) or vector(0)",
            steps=((None, "red"), (1, "green")),
        ),
        figure(
            "Bit rate",
            "As its publisher sends it.",
            f"sum(rate(edge_stream_received_bytes_total{{{STREAM}}}[{WINDOW}])) * 8",
            unit="bps",
        ),
        figure(
            "Frames",
            "Pictures a second, of a stream without video audio frames.",
            f"sum(rate(edge_stream_received_frames_total{{{STREAM}}}[{WINDOW}]))",
            unit=FRAMES_PER_SECOND,
            decimals=1,
        ),
        figure(
            "GOP",
            "From key frame to key frame: what a player waits for as it skips; of segments the shortest.",
            f"max(edge_stream_gop_seconds{{{STREAM}}})",
            unit="s",
            steps=warn_at(5, 10),
        ),
        figure("Players", "At edges, HLS beside.", _total("edge_stream_players")),
        figure("Readers", "Edges and hls nodes that take it from its origin.", _total("origin_stream_readers")),
        figure(
            "Delay",
            "To the edge that gets it last.",
            f"max(edge_stream_link_delay_seconds{{{STREAM}}})",
            unit="s",
            steps=warn_at(0.1, 0.5),
            runbook="link-delay-high",
        ),
        figure(
            "Units lost",
            "On the way to its origin, and to hls nodes, within the time shown.",
            f"sum(increase(origin_stream_missing_units_total{{{STREAM}}}[$__range]))"
            f" + (sum(increase(hls_stream_missing_units_total{{{STREAM}}}[$__range])) or vector(0))",
            decimals=0,
            steps=warn_at(1, 100),
        ),
    ),
)
WAY = Row(
    "On its way",
    (
        Panel(
            title="Bit rate: published, at its origin",
            about="Both are of the payload: where they part, something is lost between edge and origin.",
            queries=[
                Query(_bits("edge_stream_received_bytes_total", "stream, pod"), "{{stream}} published at {{pod}}"),
                Query(_bits("origin_stream_payload_bytes_total", "stream, pod"), "{{stream}} at origin {{pod}}"),
            ],
            unit="bps",
            width=12,
        ),
        Panel(
            title="Frame rate",
            about="What falls is a publisher that cannot keep up, or its line.",
            queries=[
                Query(
                    f"sum by (stream, pod) (rate(edge_stream_received_frames_total{{{STREAM}}}[{WINDOW}]))", "{{stream}} at {{pod}}"
                )
            ],
            unit=FRAMES_PER_SECOND,
            width=12,
        ),
        Panel(
            title="GOP",
            about="From key frame to key frame.",
            queries=[Query(f"edge_stream_gop_seconds{{{STREAM}}}", "{{stream}} at {{pod}}")],
            unit="s",
        ),
        Panel(
            title="Delay at edges",
            about="From the publisher's edge to the edges that play it, the newest.",
            queries=[Query(f"edge_stream_link_delay_seconds{{{STREAM}}}", "{{stream}} at {{pod}}")],
            unit="s",
            runbook="link-delay-high",
        ),
        Panel(
            title="Units lost",
            about="Announced as lost at its origin; that never came to hls nodes.",
            queries=[
                Query(
                    f"sum by (stream, pod) (rate(origin_stream_missing_units_total{{{STREAM}}}[{WINDOW}]))",
                    "{{stream}} at origin {{pod}}",
                ),
                Query(
                    f"sum by (stream, pod) (rate(hls_stream_missing_units_total{{{STREAM}}}[{WINDOW}]))", "{{stream}} at {{pod}}"
                ),
            ],
            unit=PER_SECOND,
        ),
        Panel(
            title="Players by edge",
            about="HLS beside.",
            queries=[Query(f"edge_stream_players{{{STREAM}}}", "{{stream}} at {{pod}}")],
            stacked=True,
        ),
        Panel(
            title="Sent by edge",
            about="Written to its players.",
            queries=[Query(_bits("edge_stream_sent_bytes_total", "stream, pod"), "{{stream}} at {{pod}}")],
            unit="bps",
            stacked=True,
        ),
        Panel(
            title="Segments that wait to be stored",
            about="At the hls node that has it.",
            queries=[Query(f"hls_stream_unstored_segments{{{STREAM}}}", "{{stream}} at {{pod}}")],
            runbook="storage-failing",
        ),
    ),
)
ALL = Row(
    "All streams",
    (
        Panel(
            title="The most watched",
            about="Streams that have series of their own; a click chooses one, or leads to its traces.",
            queries=[
                Query(f"topk(50, sum by (stream) (edge_stream_players{{{NAMESPACE}}}))"),
                Query(f"sum by (stream) (rate(edge_stream_sent_bytes_total{{{NAMESPACE}}}[{WINDOW}])) * 8"),
                Query(f"sum by (stream) (rate(edge_stream_received_bytes_total{{{NAMESPACE}}}[{WINDOW}])) * 8"),
                Query(f"sum by (stream) (rate(edge_stream_received_frames_total{{{NAMESPACE}}}[{WINDOW}]))"),
            ],
            kind="table",
            width=16,
            height=10,
            columns=[
                Column("stream", "Stream", url=HERE),
                Column("Value #A", "Players"),
                Column("Value #B", "Sent", "bps"),
                Column("Value #C", "Published", "bps"),
                Column("Value #D", "Frames a second", "none"),
            ],
        ),
        Panel(
            title="Streams without series of their own",
            about="There are more than telemetry.per_stream_num of a node: those that came first have them.",
            queries=[Query(f"sum({role}_streams_left_out{{{NAMESPACE}}})", role) for role in LEFT_OUT],
            width=8,
            height=10,
        ),
        Panel(
            title="Traces by stream",
            about="A click leads to the traces of a stream: its publications, players and segments.",
            queries=[Query(f"count by (stream) (origin_stream_readers{{{NAMESPACE}}})")],
            kind="table",
            width=24,
            height=6,
            columns=[Column("stream", "Stream", url=TRACES), Column("Value", "At so many origins")],
        ),
    ),
    folded=True,
)

DASHBOARD = Dashboard(
    uid="lalmesh-stream",
    title="lalmesh / Stream",
    about="One stream on its way from its publisher to its players. It needs telemetry.per_stream_metrics.",
    variables=(
        PROMETHEUS,
        NAMESPACES,
        Variable("stream", f'label_values({{__name__=~"edge_stream_players|origin_stream_readers", {NAMESPACE}}}, stream)'),
    ),
    annotations=ANNOTATIONS,
    rows=(WELL, WAY, ALL),
)
