"""The cluster at a glance: where whoever is on call begins."""

from __future__ import annotations

from tools.dashboards.grafana import (
    NONE_BUT_ORANGE,
    NONE_BUT_RED,
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
from tools.dashboards.parts import (
    ANNOTATIONS,
    ANYTHING,
    INFO,
    NAMESPACE,
    NAMESPACES,
    POD,
    WINDOW,
    by,
    egress,
    figure,
    or_zero,
    processes,
    quantile,
    rate,
    store,
    total,
)

HERE = 'namespace=~"$namespace", role=~"$role", pod=~"$pod"'
JOB = f'{NAMESPACE}, job=~"$job"'
INFO_ROLE = f'{INFO}{{namespace=~"$namespace", role=~"$role"}}'
#: What other dashboards are to begin with.
ELSEWHERE = "${datasource:queryparam}&${namespace:queryparam}&${__url_time_range}"
IS_PLAYER = f'{NAMESPACE}, role="player"'
HLS_PLAYERS = f"({or_zero(total('edge_hls_players', where=NAMESPACE))}) + ({or_zero(total('hls_players', where=NAMESPACE))})"
PLAYERS = f"({or_zero(total('edge_sessions', where=IS_PLAYER))}) + {HLS_PLAYERS}"
PUBLISHERS = or_zero(total("edge_publications", where=NAMESPACE))
#: What hls nodes answer edges goes to players from there, and often more than once.
DIRECT = f'{NAMESPACE}, to="player"'
EGRESS = f"(({or_zero(egress(where=NAMESPACE))}) + ({or_zero(rate('hls_sent_bytes_total', where=DIRECT))})) * 8"


WELL = Row(
    "Is it well?",
    (
        figure(
            "Alerts",
            "Alerts of lalmesh that fire.",
            or_zero(f'count(ALERTS{{alertname=~"Lalmesh.+", alertstate="firing", {NAMESPACE}}})'),
            steps=NONE_BUT_RED,
            runbook="index",
        ),
        figure(
            "Not scraped",
            "Pods that Prometheus cannot reach.",
            f"count(up{{{JOB}}} == 0) or (0 * count(up{{{JOB}}}))",
            steps=NONE_BUT_RED,
            runbook="node-not-scraped",
        ),
        figure(
            "Nodes away",
            "Nodes that schedulers do not hear of, and whose lease has not run out.",
            f'sum(max by (namespace, role) (scheduler_nodes{{state="away", {NAMESPACE}}}))',
            steps=NONE_BUT_RED,
            runbook="node-away",
        ),
        figure(
            "Origins with room",
            "Where a new stream may go. None: nobody can begin to publish.",
            f'sum(scheduler_nodes_with_room{{role="origin", {NAMESPACE}}})',
            steps=((None, "red"), (1, "orange"), (2, "green")),
            runbook="no-origin-with-room",
        ),
        store(
            "etcd",
            "Whether all schedulers reach the registry. While it is away what plays goes on, and nothing new begins.",
            NAMESPACE,
        ),
        store(
            "Redis",
            "Whether all schedulers reach the directory of sessions and the log of events. Nobody is dropped while it is away.",
            NAMESPACE,
        ),
        figure(
            "Full edges",
            "Edges that let nobody in.",
            f"sum(edge_full{{{NAMESPACE}}})",
            steps=NONE_BUT_ORANGE,
            runbook="edge-full",
        ),
        figure(
            "HLS without a node",
            "Streams that are to be segmented or recorded, and are by nobody.",
            f"max(scheduler_hls_waiting_streams{{{NAMESPACE}}})",
            steps=NONE_BUT_RED,
            runbook="streams-without-segmenter",
        ),
        figure("Players", "Of all protocols.", PLAYERS),
        figure("Publishers", "Streams that are published, relays that pull among them.", PUBLISHERS),
        figure("Streams", "With a publisher, or still within its grace.", f"max(scheduler_streams{{{NAMESPACE}}})"),
        figure("Egress", "To players, by edges and by hls nodes that they ask themselves.", EGRESS, unit="bps"),
        figure(
            "Join, p95",
            "From a player's request to its first media; who waits for a publisher counts that too.",
            quantile(0.95, "edge_join_seconds", where=NAMESPACE),
            unit="s",
            steps=warn_at(1, 3),
        ),
        figure(
            "Publish to play, p99",
            "From a unit's arrival at its publisher's edge until players were written to.",
            quantile(0.99, "edge_publish_to_play_seconds", where=NAMESPACE),
            unit="s",
            steps=warn_at(0.5, 1),
            runbook="link-delay-high",
        ),
        figure(
            "Players that skip",
            "Times a second that players could not keep up and went on at a later key frame.",
            rate("edge_skips_total", where=NAMESPACE),
            unit=PER_SECOND,
            decimals=2,
            steps=warn_at(0.5, 5),
            runbook="players-skip",
        ),
        figure(
            "Refused",
            "Publishers and players a second that were not let in.",
            rate("edge_refused_total", where=NAMESPACE),
            unit=PER_SECOND,
            decimals=2,
            steps=warn_at(1, 10),
            runbook="clients-refused",
        ),
    ),
)
ALERTS = Row(
    "Alerts",
    (
        Panel(
            title="Alerts that fire or are about to",
            about="Of lalmesh, with what they are about. Each has a runbook.",
            queries=[Query(f'ALERTS{{alertname=~"Lalmesh.+", {NAMESPACE}}}')],
            kind="table",
            width=24,
            height=6,
            otherwise="None",
            columns=[
                Column("alertname", "Alert"),
                Column("alertstate", "State"),
                Column("severity", "Severity"),
                Column("namespace", "Namespace"),
                Column("role", "Role"),
                Column("pod", "Pod"),
            ],
            runbook="index",
        ),
    ),
)
AUDIENCE = Row(
    "Audience",
    (
        Panel(
            title="Players by protocol",
            about="HLS is counted where its players are known by an id.",
            queries=[
                Query(f"{total('edge_sessions', 'protocol', IS_PLAYER)} > 0", "{{protocol}}"),
                Query(HLS_PLAYERS, "hls"),
            ],
            stacked=True,
        ),
        Panel(
            title="Egress by pod",
            about="Bits a second to players, by edges and by hls nodes that they ask themselves.",
            queries=[
                Query(f"{egress('pod', NAMESPACE)} * 8", "{{pod}}"),
                Query(f"{rate('hls_sent_bytes_total', 'pod', DIRECT)} * 8", "{{pod}}"),
            ],
            unit="bps",
            stacked=True,
        ),
        Panel(
            title="Sessions that end, by why",
            about="Publishers and players a second. `client`: it left. Others have a cause that is ours, or of the network.",
            queries=[by(rate, "edge_sessions_closed_total", "reason", NAMESPACE)],
            unit=PER_SECOND,
            stacked=True,
        ),
    ),
)
QUALITY = Row(
    "Quality",
    (
        Panel(
            title="Link delay, p99",
            about="Publisher's edge to origins, playing edges and hls nodes.",
            queries=[
                Query(quantile(0.99, f"{role}_link_delay_seconds", where=NAMESPACE), role) for role in ("origin", "edge", "hls")
            ],
            unit="s",
            steps=warn_at(0.1, 0.5),
            runbook="link-delay-high",
        ),
        Panel(
            title="Units that readers never got",
            about="Access units a second that edges and hls nodes lack. 0 while origins fail over within replay_max_s.",
            queries=[
                Query(rate("edge_missing_units_total", where=NAMESPACE), "edges"),
                Query(rate("hls_missing_units_total", where=NAMESPACE), "hls nodes"),
                Query(rate("origin_missing_units_total", where=NAMESPACE), "origins"),
            ],
            unit=PER_SECOND,
        ),
        Panel(
            title="Longest gap of a failover",
            about="How long readers got nothing as a stream went from one origin to another: the bucket of the longest.",
            queries=[Query(quantile(1, f"{role}_failover_gap_seconds", where=NAMESPACE), role) for role in ("edge", "hls")],
            unit="s",
            steps=warn_at(1, 3),
            runbook="failover-slow",
        ),
        Panel(
            title="Segments: until in storage, p95",
            about="From the end of a segment's media until it is in storage.",
            queries=[Query(quantile(0.95, "hls_segment_lag_seconds", where=NAMESPACE), "lag")],
            unit="s",
            steps=warn_at(2, 5),
            runbook="segments-late",
        ),
        Panel(
            title="What storage and receivers did not take",
            about="Calls to storage, uploads of recordings and deliveries of events that failed, a second.",
            queries=[
                Query(rate("hls_storage_failures_total", where=NAMESPACE), "segments"),
                Query(rate("hls_recording_upload_failures_total", where=NAMESPACE), "recordings"),
                Query(rate("scheduler_webhook_attempts_total", where=f'{NAMESPACE}, result="failed"'), "events"),
            ],
            unit=PER_SECOND,
            runbook="storage-failing",
        ),
        Panel(
            title="Claims, p99",
            about="How long schedulers take to say where a stream is published.",
            queries=[Query(quantile(0.99, "scheduler_claim_seconds", where=NAMESPACE), "claims")],
            unit="s",
            steps=warn_at(0.25, 1),
            runbook="etcd-away",
        ),
    ),
)
NODES = Row(
    "Nodes",
    (
        Panel(
            title="Nodes by role",
            about="Whose lease lives, as the scheduler says that knows most.",
            queries=[
                Query(
                    f"sum by (role, state) (max by (namespace, role, state) (scheduler_nodes{{{NAMESPACE}}}))", "{{role}} {{state}}"
                ),
                Query(f"sum(max by (namespace) (scheduler_replicas{{{NAMESPACE}}}))", "scheduler"),
            ],
            runbook="nodes-missing",
        ),
        Panel(
            title="Versions",
            about="Processes by version: two while a new one is rolled out.",
            queries=[Query(f"count by (version, role) ({INFO}{{{NAMESPACE}}})", "{{role}} {{version}}")],
        ),
        Panel(
            title="Clocks: ahead or behind",
            about="Beside Prometheus' own: delays between nodes are told by their clocks. A scrape's own time is in it.",
            queries=[Query(f"lalmesh_time_seconds{{{NAMESPACE}}} - timestamp(lalmesh_time_seconds{{{NAMESPACE}}})", "{{pod}}")],
            unit="s",
            least=None,
            runbook="clock-off",
        ),
        Panel(
            title="Certificates end in",
            about="Of the first that ends, by whom it is shown to.",
            queries=[
                Query(f"min by (pod) (edge_certificate_end_timestamp_seconds{{{NAMESPACE}}}) - time()", "{{pod}} to clients"),
                Query(f"min by (pod) (scheduler_certificate_end_timestamp_seconds{{{NAMESPACE}}}) - time()", "{{pod}} to clients"),
                Query(f"min by (pod) (hls_certificate_end_timestamp_seconds{{{NAMESPACE}}}) - time()", "{{pod}} to clients"),
                Query(
                    f"min by (pod) (lalmesh_cluster_certificate_end_timestamp_seconds{{{NAMESPACE}}}) - time()", "{{pod}} to nodes"
                ),
            ],
            unit="s",
            runbook="certificate-expires",
        ),
        Panel(
            title="Processes",
            about="Each process of the chosen roles and pods.",
            queries=[
                Query(f"{INFO}{{{HERE}}}"),
                Query(f"max by (pod) (time() - process_start_time_seconds{{{POD}}} and on (instance) {INFO_ROLE})"),
                Query(f"max by (pod) (rate(process_cpu_seconds_total{{{POD}}}[{WINDOW}]) and on (instance) {INFO_ROLE})"),
                Query(f"max by (pod) (process_resident_memory_bytes{{{POD}}} and on (instance) {INFO_ROLE})"),
            ],
            kind="table",
            width=24,
            columns=[
                Column("pod", "Pod", url=f"/d/lalmesh-${{__data.fields.Role}}?var-pod=${{__value.raw:percentencode}}&{ELSEWHERE}"),
                Column("role", "Role", url=f"/d/lalmesh-${{__value.raw}}?{ELSEWHERE}"),
                Column("node", "Node"),
                Column("zone", "Zone"),
                Column("version", "Version"),
                Column("Value #B", "Running for", "s"),
                Column("Value #C", "Cores", "short", steps=warn_at(0.7, 0.9)),
                Column("Value #D", "Memory", "bytes"),
            ],
        ),
    ),
)

DASHBOARD = Dashboard(
    uid="lalmesh-cluster",
    title="lalmesh / Cluster",
    about="Whether the cluster is well, who watches, and what runs.",
    variables=(
        PROMETHEUS,
        NAMESPACES,
        Variable("job", f"label_values({INFO}{{{NAMESPACE}}}, job)", hidden=True),
        Variable("role", f'label_values({INFO}{{namespace=~"$namespace"}}, role)', everything=ANYTHING),
        Variable("pod", f'label_values({INFO}{{namespace=~"$namespace", role=~"$role"}}, pod)'),
    ),
    annotations=ANNOTATIONS,
    rows=(WELL, ALERTS, AUDIENCE, QUALITY, NODES, processes()),
)
