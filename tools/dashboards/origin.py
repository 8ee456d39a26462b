"""Origins: the streams that they hold, and what they pass on."""

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
    quantile,
    quantiles,
    rate,
    total,
)

WELL = Row(
    "Is it well?",
    (
        figure("Live streams", "Groups that get units.", total("origin_groups", where=f'{POD}, state="live"')),
        figure(
            "Without a publisher",
            "Groups within their grace: the publisher has gone, its players wait.",
            total("origin_groups", where=f'{POD}, state="grace"'),
        ),
        figure("Readers", "Relays of edges and segmenters.", total("origin_subscriptions")),
        figure("Ingress", "Payload taken in.", f"{rate('origin_payload_bytes_total')} * 8", unit="bps"),
        figure(
            "Units lost",
            "Units a second that publishers' edges announced as lost: they never came.",
            rate("origin_missing_units_total"),
            unit=PER_SECOND,
            decimals=2,
            steps=warn_at(0.01, 1),
        ),
        figure(
            "Origins with room",
            "Where a new stream may go, as schedulers have it.",
            f'sum(scheduler_nodes_with_room{{role="origin", {NAMESPACE}}})',
            steps=((None, "red"), (1, "orange"), (2, "green")),
            runbook="no-origin-with-room",
        ),
    ),
)
STREAMS = Row(
    "Streams",
    (
        Panel(
            title="Groups by state",
            about="`grace`: without a publisher; `moved`, `releasing`: another origin has it, and some have not followed yet.",
            queries=[by(total, "origin_groups", "state")],
            stacked=True,
        ),
        Panel(
            title="Live streams by pod",
            about="Are they spread evenly?",
            queries=[by(total, "origin_groups", "pod", f'{POD}, state="live"')],
        ),
        Panel(
            title="Readers by pod",
            about="One an edge or hls node and stream.",
            queries=[by(total, "origin_subscriptions", "pod")],
        ),
        Panel(
            title="Ingress by pod",
            about="Payload of publications.",
            queries=[Query(f"{rate('origin_payload_bytes_total', 'pod')} * 8", "{{pod}}")],
            unit="bps",
        ),
        Panel(
            title="Units",
            about="Taken in a second; announced as lost; here already, as replays are; of outdated publications, refused.",
            queries=[
                Query(rate("origin_units_total"), "taken in"),
                Query(rate("origin_missing_units_total"), "lost"),
                Query(rate("origin_repeated_units_total"), "repeated"),
                Query(rate("origin_refused_units_total"), "refused"),
            ],
            unit=PER_SECOND,
        ),
        Panel(
            title="GOP caches",
            about="Payload kept, by pod.",
            queries=[by(total, "origin_ring_bytes", "pod")],
            unit="bytes",
        ),
    ),
)
LINKS = Row(
    "Links",
    (
        link_delay("origin"),
        Panel(
            title="Link delay",
            about="Of all chosen origins.",
            queries=quantiles("origin_link_delay_seconds"),
            unit="s",
            runbook="link-delay-high",
        ),
        links_of("origin"),
        Panel(
            title="Links by pod",
            about="From edges and hls nodes: one each.",
            queries=[by(total, "origin_links", "pod")],
        ),
        Panel(
            title="Units in a batch",
            about="How well messages are filled: each costs as much as some 20 units.",
            queries=[
                Query(
                    f"{rate('origin_link_units_total', 'direction')} / {rate('origin_link_batches_total', 'direction')}",
                    "{{direction}}",
                )
            ],
            decimals=1,
        ),
        Panel(
            title="Origins that readers could not reach",
            about="As readers told schedulers, by origin; the cause is between those two.",
            queries=[Query(f"sum by (origin) (rate(scheduler_unreachable_total{{{NAMESPACE}}}[$__rate_interval]))", "{{origin}}")],
            unit=PER_SECOND,
            steps=NONE_BUT_RED,
            runbook="link-delay-high",
        ),
        Panel(
            title="Gap of failovers, p99",
            about="How long readers got nothing as a stream went from one origin to another.",
            queries=[
                Query(quantile(0.99, "edge_failover_gap_seconds", where=NAMESPACE), "edges"),
                Query(quantile(0.99, "hls_failover_gap_seconds", where=NAMESPACE), "hls nodes"),
            ],
            unit="s",
            steps=warn_at(1, 3),
            runbook="failover-slow",
        ),
        Panel(
            title="Streams that move",
            about="Off origins that drain, to heirs of those that were lost, and heirs named anew.",
            queries=[
                Query(rate("scheduler_planned_moves_total", where=NAMESPACE), "planned"),
                Query(rate("scheduler_moves_total", where=f'{NAMESPACE}, result="granted"'), "asked for"),
                Query(rate("scheduler_heirs_named_total", where=NAMESPACE), "heirs named"),
            ],
            unit=PER_SECOND,
        ),
    ),
)

DASHBOARD = dashboard_of(
    "origin",
    "Origin",
    "Origins: the streams that they hold, and what they pass on.",
    (WELL, STREAMS, LINKS),
)
