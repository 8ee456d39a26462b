"""Edges: who comes, how fast they get their picture, who cannot keep up."""

from __future__ import annotations

from tools.dashboards.grafana import NONE_BUT_ORANGE, PER_SECOND, Panel, Query, Row, warn_at
from tools.dashboards.parts import (
    POD,
    WINDOW,
    by,
    dashboard_of,
    egress,
    figure,
    link_delay,
    links_of,
    or_zero,
    quantile,
    quantiles,
    rate,
    total,
)

PLAYER, PUBLISHER = f'{POD}, role="player"', f'{POD}, role="publisher"'


WELL = Row(
    "Is it well?",
    (
        figure("Players", "Those that hold a session; HLS beside.", or_zero(total("edge_sessions", where=PLAYER))),
        figure("Players of HLS", "Known by an id at these edges.", total("edge_hls_players")),
        figure("Publishers", "And relays that pull.", total("edge_publications")),
        figure("Egress", "To players, HLS and recordings among it.", f"{egress()} * 8", unit="bps"),
        figure(
            "Full",
            "Edges that have what edge.capacity states, and let nobody in.",
            total("edge_full"),
            steps=NONE_BUT_ORANGE,
            runbook="edge-full",
        ),
        figure(
            "Join, p95",
            "From a player's request to its first media.",
            quantile(0.95, "edge_join_seconds"),
            unit="s",
            steps=warn_at(1, 3),
        ),
        figure(
            "Skips",
            "Times a second that players could not keep up.",
            rate("edge_skips_total"),
            unit=PER_SECOND,
            decimals=2,
            steps=warn_at(0.5, 5),
            runbook="players-skip",
        ),
        figure(
            "Loop delay, p99",
            "How late the busiest edge is with all that it does.",
            f"max({quantile(0.99, 'lalmesh_loop_delay_seconds', 'pod')} and on (pod) edge_full{{{POD}}})",
            unit="s",
            steps=warn_at(0.05, 0.25),
        ),
    ),
)
AUDIENCE = Row(
    "Players and publishers",
    (
        Panel(
            title="Players by protocol",
            about="Now, by how they play.",
            queries=[
                Query(f"{total('edge_sessions', 'protocol', PLAYER)} > 0", "{{protocol}}"),
                Query(total("edge_hls_players"), "hls"),
            ],
            stacked=True,
        ),
        Panel(
            title="Players by pod",
            about="Are they spread evenly? If not, clients do not ask routing, and the balancer does not spread them.",
            queries=[by(total, "edge_sessions", "pod", PLAYER)],
        ),
        Panel(
            title="Egress by pod",
            about="Bits a second written to players, of HLS too, beside what the line of the machine has.",
            queries=[Query(f"{egress('pod')} * 8", "{{pod}}")],
            unit="bps",
        ),
        Panel(
            title="How full",
            about="Of what edge.capacity states: from 1 on people are sent on. Routing loads the fullest of its measures evenly.",
            queries=[
                Query(
                    f"{total('edge_sessions', 'pod')} / on (pod) (max by (pod) (edge_capacity_sessions{{{POD}}}) > 0)",
                    "{{pod}} sessions",
                ),
                Query(
                    f"{egress('pod')} / on (pod) (max by (pod) (edge_capacity_egress_bytes_per_second{{{POD}}}) > 0)",
                    "{{pod}} bits",
                ),
            ],
            unit="percentunit",
            steps=warn_at(0.8, 1),
            otherwise="edge.capacity states nothing",
            runbook="edge-full",
        ),
        Panel(
            title="Sessions that begin",
            about="A second, by role.",
            queries=[by(rate, "edge_sessions_opened_total", "role")],
            unit=PER_SECOND,
        ),
        Panel(
            title="Sessions that end, by why",
            about="`client`: it left. `too_slow`: it never caught up. The log has the reason in words.",
            queries=[by(rate, "edge_sessions_closed_total", "reason")],
            unit=PER_SECOND,
            stacked=True,
        ),
        Panel(
            title="Refused, by why",
            about="Publishers and players a second that were not let in.",
            queries=[by(rate, "edge_refused_total", "reason")],
            unit=PER_SECOND,
            stacked=True,
            runbook="clients-refused",
        ),
        Panel(
            title="Publishers by protocol",
            about="Now, without relays.",
            queries=[Query(f"{total('edge_sessions', 'protocol', PUBLISHER)} > 0", "{{protocol}}")],
            stacked=True,
        ),
        Panel(
            title="Connections by listener",
            about="Each counts for edge.limits.connections.",
            queries=[by(total, "edge_connections", "listener")],
        ),
        Panel(
            title="Connections refused",
            about="A second, by why: limits, the rate of an address, the blacklist, handshakes that did not end.",
            queries=[by(rate, "edge_connections_refused_total", "reason")],
            unit=PER_SECOND,
            runbook="rate-limited",
        ),
    ),
)
SPEED = Row(
    "How fast, how even",
    (
        Panel(
            title="Join",
            about="From a player's request to its first media. The cache takes milliseconds: more is waiting for a publisher.",
            queries=quantiles("edge_join_seconds"),
            unit="s",
        ),
        Panel(
            title="Join by protocol, p95",
            about="Which protocol waits.",
            queries=[
                Query(f"{quantile(0.95, 'edge_join_seconds', 'protocol')} >= 0", "{{protocol}}"),
                Query(quantile(0.95, "edge_hls_join_seconds"), "hls"),
            ],
            unit="s",
        ),
        Panel(
            title="Publish to play",
            about="From a unit's arrival at its publisher's edge until players here were written to, gathering included.",
            queries=quantiles("edge_publish_to_play_seconds"),
            unit="s",
            runbook="link-delay-high",
        ),
        link_delay("edge"),
        Panel(
            title="Skips, by why",
            about="`queue_bytes`, `queue_time`: more waited for a player than may. `push_behind`: a push target takes too little.",
            queries=[by(rate, "edge_skips_total", "reason")],
            unit=PER_SECOND,
            runbook="players-skip",
        ),
        Panel(
            title="Players closed as too slow",
            about="They skipped and never caught up within edge.fanout.slow_player_s.",
            queries=[by(rate, "edge_slow_closes_total", "pod")],
            unit=PER_SECOND,
            runbook="players-skip",
        ),
    ),
)
MEDIA = Row(
    "Streams",
    (
        Panel(
            title="Streams",
            about="Published here, and played here.",
            queries=[Query(total("edge_publications"), "published"), Query(total("edge_relays"), "played")],
        ),
        Panel(
            title="Units of relays",
            about="What edges took in from origins a second; missing ones, and those of outdated owners, which are refused.",
            queries=[
                Query(rate("edge_relayed_units_total"), "taken in"),
                Query(rate("edge_missing_units_total"), "missing"),
                Query(rate("edge_unannounced_units_total"), "missing, and nobody said so"),
                Query(rate("edge_repeated_units_total"), "repeated"),
                Query(rate("edge_fenced_units_total"), "fenced"),
            ],
            unit=PER_SECOND,
        ),
        Panel(
            title="Gap of failovers",
            about="How long readers got nothing as a stream went from one origin to another.",
            queries=quantiles("edge_failover_gap_seconds"),
            unit="s",
            steps=warn_at(1, 3),
            runbook="failover-slow",
        ),
        links_of("edge"),
        Panel(
            title="What publishers send that gives no media",
            about="Messages and RTP packets a second that were lost or passed over, clocks that jumped.",
            queries=[
                by(rate, "edge_ignored_messages_total", "reason"),
                Query(rate("edge_ignored_packets_total", "reason"), "RTP: {{reason}}"),
                Query(rate("edge_clock_jumps_total"), "clock jumps"),
            ],
            unit=PER_SECOND,
        ),
        Panel(
            title="Left out",
            about="Tracks that a format cannot carry, caches given up at their bound, joins that had no room for one.",
            queries=[
                Query(
                    f"sum by (format, codec) (increase(edge_tracks_left_out_total{{{POD}}}[{WINDOW}]))", "{{codec}} in {{format}}"
                ),
                Query(f"sum(increase(edge_cache_overflows_total{{{POD}}}[{WINDOW}]))", "caches"),
                Query(f"sum(increase(edge_joins_without_room_total{{{POD}}}[{WINDOW}]))", "joins without room"),
            ],
        ),
        Panel(
            title="Relays to and from elsewhere",
            about="Attempts a second.",
            queries=[by(rate, "edge_relay_attempts_total", "kind, result")],
            unit=PER_SECOND,
        ),
        Panel(
            title="Protocol errors",
            about="Connections closed because the peer broke the protocol.",
            queries=[by(rate, "edge_protocol_errors_total", "protocol")],
            unit=PER_SECOND,
        ),
        Panel(
            title="RTP over UDP",
            about="Tracks, and what the kernel did not take or nobody known has sent.",
            queries=[
                Query(total("edge_udp_tracks"), "tracks"),
                Query(rate("edge_udp_unsent_total"), "not taken /s"),
                Query(rate("edge_udp_strangers_total"), "of strangers /s"),
            ],
        ),
    ),
)
ACCESS = Row(
    "HLS and who may",
    (
        Panel(
            title="Requests for HLS",
            about="By what answered: the less hls nodes are asked, the better.",
            queries=[by(rate, "edge_hls_requests_total", "by")],
            unit="reqps",
            stacked=True,
        ),
        Panel(
            title="HLS that was not answered",
            about="hls nodes that could not be reached, were overtaken by another, or requests that none answered.",
            queries=[
                Query(rate("edge_hls_connect_failures_total"), "not reached"),
                Query(rate("edge_hls_overtaken_total"), "overtaken"),
                Query(rate("edge_hls_unanswered_total"), "unanswered"),
            ],
            unit=PER_SECOND,
            runbook="streams-without-segmenter",
        ),
        Panel(
            title="Players of HLS that are gone",
            about="`client`: it asked for nothing for long.",
            queries=[by(rate, "edge_hls_players_left_total", "reason")],
            unit=PER_SECOND,
        ),
        Panel(
            title="Who may",
            about="Decisions a second on who publishes and plays.",
            queries=[by(rate, "edge_access_decisions_total", "action, result")],
            unit=PER_SECOND,
        ),
        Panel(
            title="Callback of authorisation",
            about="How long it takes to answer.",
            queries=quantiles("edge_access_callback_seconds"),
            unit="s",
            steps=warn_at(0.5, 2),
            runbook="authorisation-failing",
        ),
        Panel(
            title="Callback that does not answer",
            about="Questions a second without an answer, or that did not come to be asked; edges that let it be for now.",
            queries=[
                Query(rate("edge_access_callback_failures_total"), "failed"),
                Query(rate("edge_access_callback_busy_total"), "not asked"),
                Query(total("edge_access_callback_open"), "edges that let it be"),
                Query(rate("edge_access_key_fetch_failures_total"), "key set not fetched"),
                Query(total("edge_access_keys_outdated"), "edges that have no fresh keys"),
            ],
            runbook="authorisation-failing",
        ),
    ),
    folded=True,
)

DASHBOARD = dashboard_of(
    "edge", "Edge", "Edges: who comes, how fast they get their picture, who cannot keep up.", (WELL, AUDIENCE, SPEED, MEDIA, ACCESS)
)
