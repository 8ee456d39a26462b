"""What several dashboards have: variables, selectors, panels of processes and links."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tools.dashboards.grafana import (
    NONE_BUT_ORANGE,
    PROMETHEUS,
    Dashboard,
    Panel,
    Query,
    Row,
    Step,
    Variable,
    warn_at,
)

NAMESPACE = 'namespace=~"$namespace"'
POD = f'{NAMESPACE}, pod=~"$pod"'
WINDOW = "$__rate_interval"
INFO = "lalmesh_build_info"
PROCESS = "{{pod}} {{worker}}"  #: what one is called: of a node of several workers each is shown
ANYTHING = ".*"  #: also where a label is missing: outside of Kubernetes nobody has to have a namespace

NAMESPACES = Variable("namespace", f"label_values({INFO}, namespace)", everything=ANYTHING)
ALERTS_ANNOTATION = (
    "Alerts",
    f'ALERTS{{alertname=~"Lalmesh.+", alertstate="firing", {NAMESPACE}}}',
    "{{alertname}}",
)
RESTARTS_ANNOTATION = (
    "Starts",
    f"(time() - process_start_time_seconds{{{NAMESPACE}}} < 60) and on (instance) {INFO}{{{NAMESPACE}}}",
    "{{pod}} has started",
)
ANNOTATIONS = (ALERTS_ANNOTATION, RESTARTS_ANNOTATION)


def total(metric: str, labels: str = "", where: str = POD) -> str:
    """Of all chosen pods together, by `labels`."""
    return f"sum{_by(labels)}({metric}{{{where}}})"


def rate(metric: str, labels: str = "", where: str = POD) -> str:
    """How fast a counter rises a second, of all chosen pods together, by `labels`."""
    return f"sum{_by(labels)}(rate({metric}{{{where}}}[{WINDOW}]))"


def egress(labels: str = "", where: str = POD) -> str:
    """Bytes a second that edges give to players: streams, and HLS and recordings, from their cache too."""
    return f"({rate('edge_egress_bytes_total', labels, where)} + {rate('edge_hls_egress_bytes_total', labels, where)})"


def quantile(share: float, metric: str, labels: str = "", where: str = POD) -> str:
    """Below what so many of what a histogram has counted were."""
    by = f"le, {labels}" if labels else "le"
    return f"histogram_quantile({share}, sum by ({by}) (rate({metric}_bucket{{{where}}}[{WINDOW}])))"


def quantiles(metric: str, where: str = POD) -> tuple[Query, ...]:
    """The middle, the slow and the slowest."""
    return tuple(Query(quantile(share, metric, where=where), f"p{round(share * 100)}") for share in (0.5, 0.95, 0.99))


def or_zero(expr: str) -> str:
    """0 where there is none of it."""
    return f"({expr}) or vector(0)"


def by(of: Callable[[str, str, str], str], metric: str, labels: str, where: str = POD) -> Query:
    """`total` or `rate` `of` a metric by `labels`, each called by the values of those."""
    return Query(of(metric, labels, where), " ".join(f"{{{{{label}}}}}" for label in labels.split(", ")))


def figure(
    title: str,
    about: str,
    expr: str,
    *,
    unit: str = "short",
    steps: Sequence[Step] = (),
    decimals: int | None = None,
    words: Mapping[str, str] | None = None,
    runbook: str = "",
    width: int = 3,
) -> Panel:
    """One figure, and its course behind it."""
    return Panel(
        title=title,
        about=about,
        queries=[Query(expr)],
        kind="stat",
        unit=unit,
        steps=steps,
        decimals=decimals,
        words=dict(words or {}),
        runbook=runbook,
        width=width,
        height=4,
    )


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""


def store(name: str, about: str, where: str = POD) -> Panel:
    """Whether all schedulers reach etcd or Redis."""
    up = f'min(scheduler_store_up{{store="{name.lower()}", {where}}})'
    steps, words = ((None, "red"), (1, "green")), {"0": "away", "1": "up"}
    return figure(name, about, up, steps=steps, words=words, runbook=f"{name.lower()}-away")


def processes(where: str = POD, *, folded: bool = True) -> Row:
    """How the processes themselves are."""
    ours = f"and on (instance) {INFO}{{{NAMESPACE}}}"
    return Row(
        "Processes",
        (
            Panel(
                title="Processor",
                about="Cores that a process uses. One loop does all the work of a node: at 1 it is full, and late with everything.",
                queries=[Query(f"rate(process_cpu_seconds_total{{{where}}}[{WINDOW}]) {ours}", PROCESS)],
                steps=warn_at(0.7, 0.9),
                decimals=2,
            ),
            Panel(
                title="Delay of the loop, p99",
                about="How late timers of the process go off. Below 50 ms it is well; what is later delays every frame as much.",
                queries=[Query(quantile(0.99, "lalmesh_loop_delay_seconds", "pod", where), "{{pod}}")],
                unit="s",
                steps=warn_at(0.05, 0.25),
            ),
            Panel(
                title="Memory",
                about="Resident. Rings of origins and edges grow with bit rate and streams, up to their bounds.",
                queries=[Query(f"process_resident_memory_bytes{{{where}}} {ours}", PROCESS)],
                unit="bytes",
            ),
            Panel(
                title="Open files",
                about="Of those that the process may have (`nofile`): each connection is one, that of a player without TLS two.",
                queries=[Query(f"process_open_fds{{{where}}} / process_max_fds{{{where}}} {ours}", PROCESS)],
                unit="percentunit",
                steps=warn_at(0.7, 0.9),
                runbook="descriptors-short",
            ),
            Panel(
                title="Running for",
                about="Since the process has begun: what falls has started anew.",
                queries=[Query(f"time() - process_start_time_seconds{{{where}}} {ours}", PROCESS)],
                unit="s",
                runbook="node-restarts",
            ),
            Panel(
                title="Events that nobody will be told",
                about="Events of nodes that went before a scheduler had them: too many waited, or nothing takes them.",
                queries=[Query(f"sum by (pod) (increase(lalmesh_events_dropped_total{{{where}}}[{WINDOW}]))", "{{pod}}")],
                steps=NONE_BUT_ORANGE,
                runbook="events-lost",
            ),
        ),
        folded=folded,
    )


def link_delay(role: str) -> Panel:
    """How late units come to nodes of a role."""
    return Panel(
        title="Link delay, p99",
        about="From a unit's arrival at its publisher's edge to its arrival here, by the clocks of both machines.",
        queries=[Query(quantile(0.99, f"{role}_link_delay_seconds", "pod"), "{{pod}}")],
        unit="s",
        steps=warn_at(0.1, 0.5),
        runbook="link-delay-high",
    )


def links_of(role: str) -> Panel:
    """What goes over links of nodes of a role."""
    return Panel(
        title="Links",
        about="Payload over links to and from other nodes.",
        queries=[Query(f"{rate(f'{role}_link_payload_bytes_total', 'direction')} * 8", "{{direction}}")],
        unit="bps",
    )


def dashboard_of(role: str, title: str, about: str, rows: Sequence[Row]) -> Dashboard:
    """The dashboard of the nodes of a role; a standalone server has all roles."""
    roles = f'namespace=~"$namespace", role=~"{role}|standalone"'
    return Dashboard(
        uid=f"lalmesh-{role}",
        title=f"lalmesh / {title}",
        about=about,
        variables=(
            PROMETHEUS,
            NAMESPACES,
            Variable("node", f"label_values({INFO}{{{roles}}}, node)", everything=ANYTHING),
            Variable("pod", f'label_values({INFO}{{{roles}, node=~"$node"}}, pod)'),
        ),
        annotations=ANNOTATIONS,
        rows=(*rows, processes()),
    )
