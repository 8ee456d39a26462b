"""Schedulers and what they stand on: etcd, Redis, receivers of events."""

from __future__ import annotations

from tools.dashboards.grafana import NONE_BUT_ORANGE, NONE_BUT_RED, PER_SECOND, Panel, Query, Row, warn_at
from tools.dashboards.parts import NAMESPACE, POD, by, dashboard_of, figure, quantile, quantiles, rate, store, total

WELL = Row(
    "Is it well?",
    (
        figure(
            "Schedulers",
            "That stand, as they see each other.",
            f"max(scheduler_replicas{{{POD}}})",
            steps=((None, "red"), (1, "orange"), (2, "green")),
            runbook="schedulers-away",
        ),
        store("etcd", "Whether all chosen schedulers reach the registry."),
        store("Redis", "Whether all chosen schedulers reach sessions, the blacklist and the log of events."),
        figure(
            "Nodes away",
            "That schedulers do not hear of, and whose lease has not run out.",
            f'sum(max by (namespace, role) (scheduler_nodes{{state="away", {POD}}}))',
            steps=NONE_BUT_RED,
            runbook="node-away",
        ),
        figure(
            "Settling",
            "1: the registry was lost or is new. Nodes come back with what they hold; first claims are told to retry.",
            f"max(scheduler_settling{{{POD}}})",
            steps=NONE_BUT_ORANGE,
            runbook="etcd-away",
        ),
        figure(
            "Claims, p99",
            "To say where a stream is published.",
            quantile(0.99, "scheduler_claim_seconds"),
            unit="s",
            steps=warn_at(0.25, 1),
            runbook="etcd-away",
        ),
        figure(
            "Events that wait",
            "Of the receiver that lags most.",
            f"max({total('scheduler_webhook_backlog', 'namespace, receiver')})",
            steps=warn_at(1000, 10_000),
            runbook="webhook-receiver-failing",
        ),
        figure(
            "Events lost",
            "That a receiver will never get: given up, or gone before it took them.",
            f"sum(increase(scheduler_webhook_dead_letters_total{{{POD}}}[$__range]))"
            f" + sum(increase(scheduler_webhook_lost_total{{{POD}}}[$__range]))",
            decimals=0,
            steps=NONE_BUT_RED,
            runbook="events-lost",
        ),
    ),
)
MEMBERS = Row(
    "Members and streams",
    (
        Panel(
            title="Nodes",
            about="Whose lease lives, by role and state, as the scheduler says that knows most.",
            queries=[
                Query(f"sum by (role, state) (max by (namespace, role, state) (scheduler_nodes{{{POD}}}))", "{{role}} {{state}}"),
            ],
            runbook="nodes-missing",
        ),
        Panel(
            title="Nodes with room",
            about="That something new may be given to, and report to the chosen schedulers.",
            queries=[by(total, "scheduler_nodes_with_room", "role")],
            runbook="no-origin-with-room",
        ),
        Panel(
            title="Streams",
            about="With a claim or a group; segmented or recorded; that no hls node has though one should.",
            queries=[
                Query(f"max(scheduler_streams{{{POD}}})", "streams"),
                Query(f"max(scheduler_hls_streams{{{POD}}})", "at hls nodes"),
                Query(f"max(scheduler_hls_waiting_streams{{{POD}}})", "wait for an hls node"),
            ],
            runbook="streams-without-segmenter",
        ),
        Panel(
            title="Stores: calls that failed",
            about="Calls a second that etcd or Redis did not carry out, by scheduler.",
            queries=[by(rate, "scheduler_store_failures_total", "store, pod")],
            unit=PER_SECOND,
            runbook="etcd-away",
        ),
        Panel(
            title="Terms, evictions",
            about="A new term: the registry was new, wiped or restored. Evicted: nodes told that they are no members any more.",
            queries=[
                Query(f"sum(increase(scheduler_terms_total{{{POD}}}[$__rate_interval]))", "terms"),
                Query(f"sum(increase(scheduler_evictions_total{{{POD}}}[$__rate_interval]))", "evictions"),
            ],
        ),
        Panel(
            title="Questions that were not answered",
            about="By other schedulers and by the session directory; requests of the API that too many others were under way for.",
            queries=[
                Query(rate("scheduler_peer_failures_total"), "other schedulers"),
                Query(rate("scheduler_session_failures_total"), "session directory"),
                Query(rate("scheduler_http_busy_total"), "too busy"),
            ],
            unit=PER_SECOND,
            runbook="redis-away",
        ),
    ),
)
DECISIONS = Row(
    "Decisions",
    (
        Panel(
            title="Claims, by answer",
            about="`no_origin`: none has room. `exists`: somebody publishes it. `unavailable`: the registry did not answer.",
            queries=[by(rate, "scheduler_claims_total", "result")],
            unit=PER_SECOND,
            runbook="no-origin-with-room",
        ),
        Panel(
            title="Claims: how long",
            about="Most of it is etcd's.",
            queries=quantiles("scheduler_claim_seconds"),
            unit="s",
            runbook="etcd-away",
        ),
        Panel(
            title="Routes, by answer",
            about="Why an edge was chosen, or that none was: `no_room`.",
            queries=[by(rate, "scheduler_routes_total", "purpose, result")],
            unit="reqps",
            runbook="edge-full",
        ),
        Panel(
            title="Moves and claims repeated",
            about="Streams that go to another origin, and claims made again after the registry was lost.",
            queries=[
                Query(rate("scheduler_moves_total", "result"), "move {{result}}"),
                Query(rate("scheduler_reclaims_total", "result"), "again {{result}}"),
                Query(rate("scheduler_planned_moves_total"), "planned"),
                Query(rate("scheduler_heirs_named_total"), "heirs named"),
            ],
            unit=PER_SECOND,
        ),
        Panel(
            title="Where streams are",
            about="Questions of edges where a stream is, and what was given back.",
            queries=[
                by(rate, "scheduler_locates_total", "result"),
                by(rate, "scheduler_releases_total", "result"),
            ],
            unit=PER_SECOND,
        ),
        Panel(
            title="HLS",
            about="Streams given to hls nodes, given back, and those that went on elsewhere unasked.",
            queries=[
                by(rate, "scheduler_hls_locates_total", "result"),
                by(rate, "scheduler_hls_releases_total", "result"),
                Query(rate("scheduler_hls_successions_total"), "gone on elsewhere"),
            ],
            unit=PER_SECOND,
            runbook="streams-without-segmenter",
        ),
        Panel(
            title="Relays",
            about="To and from elsewhere: begun, moved and ended; those that rules ask for and cannot be.",
            queries=[
                by(rate, "scheduler_relay_changes_total", "change"),
                Query(rate("scheduler_relay_refusals_total"), "cannot be"),
            ],
            unit=PER_SECOND,
        ),
        Panel(
            title="Kicks",
            about="Sessions that nodes were told to end, by people or the blacklist.",
            queries=[Query(rate("scheduler_kicks_total"), "kicks")],
            unit=PER_SECOND,
        ),
        Panel(
            title="Settings",
            about="Revision of the settings made over the API that is in force, by pod: all should have the same.",
            queries=[Query(f"lalmesh_settings_revision{{{NAMESPACE}}}", "{{pod}}")],
        ),
    ),
)
EVENTS = Row(
    "Events",
    (
        Panel(
            title="Deliveries",
            about="Requests to receivers a second, taken and failed.",
            queries=[by(rate, "scheduler_webhook_attempts_total", "receiver, result")],
            unit=PER_SECOND,
            runbook="webhook-receiver-failing",
        ),
        Panel(
            title="From what happened to the receiver's answer, p95",
            about="By receiver.",
            queries=[Query(quantile(0.95, "scheduler_webhook_delay_seconds", "receiver"), "{{receiver}}")],
            unit="s",
            steps=warn_at(5, 60),
            runbook="webhook-receiver-failing",
        ),
        Panel(
            title="Yet to be delivered",
            about="By receiver.",
            queries=[by(total, "scheduler_webhook_backlog", "receiver")],
            runbook="webhook-receiver-failing",
        ),
        Panel(
            title="Given up and gone",
            about="Dead letters can be sent again over the API; what the log had to let go cannot.",
            queries=[
                Query(
                    f"sum by (receiver) (increase(scheduler_webhook_dead_letters_total{{{POD}}}[$__rate_interval]))",
                    "{{receiver}} given up",
                ),
                Query(
                    f"sum by (receiver) (increase(scheduler_webhook_lost_total{{{POD}}}[$__rate_interval]))", "{{receiver}} gone"
                ),
                Query(f"sum(increase(scheduler_event_log_dropped_total{{{POD}}}[$__rate_interval]))", "of the log"),
            ],
            runbook="events-lost",
        ),
        Panel(
            title="Told to the log",
            about="Events a second, and those that Redis did not take.",
            queries=[by(rate, "scheduler_events_total", "result")],
            unit=PER_SECOND,
            runbook="redis-away",
        ),
        Panel(
            title="In the log, and on the way there",
            about="Events that are kept, and those that wait at nodes.",
            queries=[
                Query(total("scheduler_event_log_events"), "kept"),
                Query(f"sum(lalmesh_events_waiting{{{NAMESPACE}}})", "wait at nodes"),
            ],
            runbook="redis-away",
        ),
    ),
)

DASHBOARD = dashboard_of(
    "scheduler",
    "Control plane",
    "Schedulers and what they stand on: etcd, Redis, receivers of events.",
    (WELL, MEMBERS, DECISIONS, EVENTS),
)
