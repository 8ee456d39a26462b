"""Dashboards and rules beside a running cluster that Prometheus scrapes: each query has data, each name of theirs is there."""

from __future__ import annotations

import asyncio
import math
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import npm
from support.access_callback import CallbackServer
from support.certificates import self_signed
from support.cluster import Cluster, Node
from support.etcd import make_certificates
from support.ffmpeg import FFMPEG, Publisher, bounded, quiet
from support.grafana import Asked, Dashboard, Values, dashboards, filled
from support.helm import NAMESPACE, RELEASE, of_kind, template
from support.media import media
from support.otlp_collector import Collector, Seen
from support.ports import LOOPBACK
from support.process import Child, ProcessError
from support.prometheus import CAN_RUN_PROMETHEUS, Prometheus, Sample, Target, pods
from support.query_parts import of_span, parsed
from support.recorder import recorder, recording
from support.redis import CAN_RUN_REDIS, RedisServer
from support.webhook_sink import WebhookSink

pytestmark = [
    pytest.mark.skipif(not CAN_RUN_PROMETHEUS, reason="no Prometheus here"),
    pytest.mark.skipif(not CAN_RUN_REDIS, reason="no redis server here"),
    pytest.mark.skipif(not npm.available(), reason="grammars and helm come by npm, which is not installed here"),
]

STREAM, BY_RTSP, AV1 = "live/first", "live/second", "live/third"
GUARDED = "guarded/camera"
FULL_NAME = f"{RELEASE}-lalmesh"  #: of the chart's objects: rules are about series of that release
LIMIT_S = 60.0
SCRAPE_S = 2.0  #: an edge may take over a second to answer on a busy machine: a scrape in vain is a gap in each gauge
PUBLISHED_S = 240.0  #: longer than what is observed
BARE = "an-edge"  #: one that is scraped outside of Kubernetes, too
SLOW = "1ms"  #: what traces count as slow here
#: What Grafana fills in itself; the windows hold the whole run.
TIMES = {"__rate_interval": "5m", "__range": "5m", "__interval": "1s"}
DASHBOARDS = dashboards()
CLIENT_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ALWAYS = {"groups": [{"name": "tested", "rules": [{"alert": "LalmeshTested", "expr": "lalmesh_build_info == 1"}]}]}

#: labels that only series of nodes of several processes have (`services/standalone/workers/_exposition.py`); none is here
OF_WORKERS = {"worker"}


@dataclass
class Observed:
    """What a cluster has told that had all kinds of things to tell."""

    prometheus: Prometheus
    spans: list[Seen] = field(default_factory=list)
    values: dict[str, Values] = field(default_factory=dict)  #: of the variables of each dashboard
    options: dict[tuple[str, str], list[str]] = field(default_factory=dict)  #: of dashboard and variable
    missing: list[str] = field(default_factory=list)  #: queries that had nothing to show
    answers: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)  #: of dashboard and filled expression

    def choose(self, dashboard: Dashboard) -> None:
        """Ask for the values of its variables, and choose all of each."""
        values: dict[str, str | Sequence[str]] = {**TIMES, **dashboard.texts()}
        for variable in dashboard.variables():
            options = self.prometheus.label_values(variable.label, filled(variable.selector, values))
            self.options[dashboard.name, variable.name] = options
            values[variable.name] = variable.all_value or options
        self.values[dashboard.name] = values

    def ask(self, dashboard: Dashboard, asked: Asked) -> bool:
        """Ask Prometheus; whether there is something to show."""
        expr = filled(asked.expr, self.values[dashboard.name])
        samples = self.prometheus.query(expr)
        self.answers[dashboard.name, expr] = samples
        return any(not math.isnan(sample.value) for sample in samples)

    def has_all(self) -> bool:
        """Ask for everything; whether each query of each panel has something to show."""
        for dashboard in DASHBOARDS:
            self.choose(dashboard)
        pairs = ((dashboard, asked) for dashboard in DASHBOARDS for asked in dashboard.queries())
        self.missing = [f"{asked.where}: {asked.expr}" for dashboard, asked in pairs if not self.ask(dashboard, asked)]
        return not self.missing

    def has_marks(self) -> bool:
        """Whether there is something to mark on panels by each annotation: an alert, a process that has just begun."""
        for dashboard in DASHBOARDS:
            self.choose(dashboard)
        return all(self.ask(dashboard, asked) for dashboard in DASHBOARDS for asked in dashboard.annotations())


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """Made once; Prometheus stays for questions."""
    folder = tmp_path_factory.mktemp("dashboards")
    rules = folder / "always.yaml"
    rules.write_text(yaml.safe_dump(ALWAYS))
    with ExitStack() as stack:
        prometheus = stack.enter_context(Prometheus(folder / "prometheus", rules=[rules], scrape_s=SCRAPE_S))
        collector = stack.enter_context(Collector())
        found = Observed(prometheus, collector.spans)
        asyncio.run(observe(found, collector, folder))
        yield found


def settings(folder: Path, collector: Collector, stack: ExitStack) -> dict[str, dict[str, object]]:
    """By role: everything that tells of something is on."""
    certificate = str(self_signed(folder))
    redis, sink, callback = stack.enter_context(RedisServer(folder)), WebhookSink(), CallbackServer()
    stack.enter_context(sink)
    stack.enter_context(callback)
    telemetry = {"telemetry.per_stream_metrics": True, "telemetry.traces.endpoint": collector.url}
    may = {"auth.rules": ["any guarded/* callback"], "auth.callback.url": callback.url}
    tls = {"edge": "edge.tls", "hls": "hls.tls", "scheduler": "scheduler.http.tls"}
    shown = {role: {f"{key}.cert_file": certificate, f"{key}.key_file": certificate} for role, key in tls.items()}
    made = make_certificates(folder / "tls")
    between = {"ca_file": made.ca_file, "cert_file": made.cert_file("server"), "key_file": made.key_file("server")}
    nodes = {f"cluster.tls.{name}": str(file) for name, file in between.items()}
    stores = {"scheduler.redis.host": LOOPBACK, "scheduler.redis.port": redis.port, "notify.receivers": [f"own {sink.url}/own"]}
    quick = {"hls.segment_ms": 1000}
    relay = {"relay.pulls": ["mirror/camera rtmp://127.0.0.1:9/live/nobody start=always"]}
    return {
        "all": {**telemetry, **relay, **nodes},
        "scheduler": {**stores, **shown["scheduler"]},
        "edge": {"edge.capacity.sessions": 1000, "edge.capacity.egress_bps": 10**9, **may, **shown["edge"]},
        "hls": {**quick, **shown["hls"]},
    }


async def observe(found: Observed, collector: Collector, folder: Path) -> None:
    """Have a cluster do all that dashboards tell of, until they tell it."""
    with ExitStack() as stack:
        made = settings(folder, collector, stack)
        cluster = stack.enter_context(Cluster(folder, schedulers=2, origins=3, edges=2, hls=2, settings=made))
        (publishing, playing), segmenting = cluster.edges, cluster.hls[0]
        bare = Target(playing.health_url.removeprefix("http://"), {"job": "lalmesh", "pod": BARE})
        found.prometheus.reload([*pods(cluster.nodes, namespace=NAMESPACE, release=FULL_NAME), bare])
        for number, (stream, name) in enumerate(((STREAM, "h264_aac"), (AV1, "av1_opus"))):
            url, log = publishing.rtmp_url(stream), folder / f"push-{number}.log"
            stack.enter_context(Publisher(media(name), url, log=log, loops=-1, limit_s=PUBLISHED_S))
        camera = stack.enter_context(push_by_rtsp(publishing.rtsp_url(BY_RTSP), folder / "camera.log"))
        await asyncio.to_thread(found.prometheus.wait_scraped)  # of what happens before only its sum is known
        await asyncio.to_thread(found.prometheus.wait_for, "marks", found.has_marks, LIMIT_S)
        players = [
            recorder("rtmp", playing.rtmp_url(STREAM)),
            recorder("flv", publishing.flv_url(STREAM)),
            recorder("ts", playing.http_url(f"{AV1}.ts")),
            recorder("rtsp", playing.rtsp_url(BY_RTSP)),
            recorder("hls of an edge", playing.http_url(f"hls/{STREAM}.m3u8")),
            recorder("hls of a node", segmenting.hls_url(f"{STREAM}.m3u8")),
        ]
        async with recording(*players):
            for player in players:
                await player.more(LIMIT_S)
            await asyncio.to_thread(ask_for_trouble, playing, folder)
            await asyncio.to_thread(read_route, cluster.api_url.replace("http:", "https:"))
            holding = next(node for node in cluster.origins if f'stream="{STREAM}"' in node.metrics())
            holding.kill()
            for player in (players[0], players[4]):
                await player.more(LIMIT_S)
            camera.stop()
            with suppress(ProcessError):  # a test tells which ones have none
                await asyncio.to_thread(found.prometheus.wait_for, "data", found.has_all, LIMIT_S)
        await collector.has("a publisher that has left", lambda: bool(collector.named("edge.publisher")))


def push_by_rtsp(url: str, log: Path) -> Child:
    """ffmpeg as a camera."""
    source: list[str | Path] = ["-re", "-stream_loop", "-1", "-i", media("h264_aac"), "-c", "copy"]
    return Child(bounded(PUBLISHED_S, [*quiet(FFMPEG), *source, "-f", "rtsp", "-rtsp_transport", "tcp", url]), log=log)


def ask_for_trouble(edge: Node, folder: Path) -> None:
    """One who has a trace of its own plays, one asks a callback, one publishes what is published."""
    played = urllib.request.Request(edge.flv_url(STREAM), headers={"traceparent": CLIENT_TRACE})
    with urllib.request.urlopen(played, timeout=LIMIT_S) as answer:
        assert answer.read(1000)
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(edge.flv_url(GUARDED), timeout=LIMIT_S)
    with Publisher(media("h264_aac"), edge.rtmp_url(STREAM), log=folder / "refused.log", limit_s=20) as second:
        second.wait(LIMIT_S)


def read_route(api_url: str) -> None:
    trusting = ssl._create_unverified_context()
    with urllib.request.urlopen(
        f"{api_url}/v1/route/play?stream={STREAM}&protocol=rtmp", timeout=LIMIT_S, context=trusting
    ) as answer:
        assert answer.read()


def test_every_panel_has_something_to_show(observed: Observed) -> None:
    assert sum(1 for dashboard in DASHBOARDS for _ in dashboard.queries()) > 200
    assert not observed.missing, told(observed.missing)


def test_every_variable_has_values(observed: Observed) -> None:
    assert {key: options for key, options in observed.options.items() if not options} == {}
    names = {name for _, name in observed.options}
    assert names == {"namespace", "job", "role", "node", "pod", "stream"}
    assert observed.options["stream", "stream"] == sorted([STREAM, BY_RTSP, AV1])


def test_a_choice_of_one_is_asked_for_as_well_as_all(observed: Observed) -> None:
    for dashboard in DASHBOARDS:
        one = {name: observed.options[of, name][:1] for of, name in observed.options if of == dashboard.name}
        for asked in dashboard.queries():
            observed.prometheus.query(filled(asked.expr, {**observed.values[dashboard.name], **one}))


def test_series_are_called_by_labels_that_they_have(observed: Observed) -> None:
    wrong = []
    for dashboard in DASHBOARDS:
        for asked in dashboard.queries():
            samples = observed.answers[dashboard.name, filled(asked.expr, observed.values[dashboard.name])]
            missing = {label for label in asked.legend_labels if not any(label in sample.labels for sample in samples)}
            wrong += [f"{asked.where}: {label}" for label in missing - OF_WORKERS]
    assert not wrong, told(wrong)


def test_every_metric_and_label_is_in_the_cluster(observed: Observed) -> None:
    asked = [(dashboard, query) for dashboard in DASHBOARDS for query in (*dashboard.queries(), *dashboard.annotations())]
    texts = [(query.where, filled(query.expr, observed.values[dashboard.name])) for dashboard, query in asked]
    texts += [
        (f"{dashboard.name}: ${variable.name}", filled(variable.selector, observed.values[dashboard.name]))
        for dashboard in DASHBOARDS
        for variable in dashboard.variables()
    ]
    check_names(observed, texts)


def test_outside_of_kubernetes_targets_need_no_more_than_a_pod(observed: Observed) -> None:
    [edge] = [dashboard for dashboard in DASHBOARDS if dashboard.name == "edge"]
    values = {**observed.values["edge"], "pod": [BARE]}
    parts, _ = parsed([filled(asked.expr, values) for asked in edge.queries()])
    selectors = {selector.text for found in parts for selector in found.selectors if "pod" in selector.labels}
    assert len(selectors) > 50
    series = SeriesOf(observed.prometheus)
    assert [selector for selector in selectors if not any("namespace" not in each for each in series(selector))] == []


def test_every_metric_and_label_of_a_rule_is_in_the_cluster(observed: Observed) -> None:
    [made] = of_kind(template(sets=["monitoring.prometheusRule.enabled=true"]), "PrometheusRule")
    rules = [rule for group in made["spec"]["groups"] for rule in group["rules"]]
    assert rules
    check_names(observed, [(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules])


def check_names(observed: Observed, texts: Sequence[tuple[str, str]]) -> None:
    """Each part of each expression is about series that there are, and groups by labels that those have."""
    parts, _ = parsed([text for _, text in texts])
    series = SeriesOf(observed.prometheus)
    wrong = []
    for (where, _), found in zip(texts, parts, strict=True):
        labels = set(found.made)
        for selector in found.selectors:
            matched = series(selector.text)
            labels |= {label for each in matched for label in each}
            wrong += [f"{where}: nothing is {selector.text}"] if not matched else []
            names = {label for each in series(selector.metric) for label in each} if selector.metric else labels
            wrong += [f"{where}: {selector.metric} has no label {label}" for label in set(selector.labels) - names - {"__name__"}]
        wrong += [f"{where}: nothing has a label {label}" for label in set(found.labels) - labels]
    assert not wrong, told(wrong)


def told(wrong: Sequence[str]) -> str:
    return "\n".join(("", *wrong))


class SeriesOf:
    """Series of selectors, asked for once each."""

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus
        self._found: dict[str, list[dict[str, str]]] = {}

    def __call__(self, selector: str) -> list[dict[str, str]]:
        if selector not in self._found:
            self._found[selector] = self._prometheus.series(selector)
        return self._found[selector]


def test_every_span_and_attribute_of_a_search_was_received(observed: Observed) -> None:
    [traces] = [dashboard for dashboard in DASHBOARDS if list(dashboard.queries("tempo"))]
    values = {**traces.texts(), **chosen(observed)}
    queries = [asked for asked in traces.queries("tempo") if asked.model["query"] != "$trace"]
    _, searches = parsed(traceql=[filled(str(asked.model["query"]), values) for asked in queries])
    assert len(searches) > 10
    nothing = [asked.where for asked, search in zip(queries, searches, strict=True) if not any(map(search.holds, observed.spans))]
    assert not nothing, told(nothing)
    fields = {name for search in searches for name in search.fields()}
    assert {name for name in fields if all(of_span(name, span) is None for span in observed.spans)} == set()


def test_every_search_of_jaeger_finds_spans(observed: Observed) -> None:
    [traces] = [dashboard for dashboard in DASHBOARDS if list(dashboard.queries("jaeger"))]
    choices = [{**traces.texts(), **chosen(observed, name)} for name in ("edge.play", "edge.publisher")]
    searches = list(traces.queries("jaeger"))
    assert len(searches) > 5
    found = [any(is_found(asked.model, values, span) for values in choices for span in observed.spans) for asked in searches]
    assert [asked.where for asked, is_there in zip(searches, found, strict=True) if not is_there] == []


def chosen(observed: Observed, name: str = "edge.play") -> dict[str, str]:
    """A stream, and a session that has played it with a trace of its own, or another that has a span of a name."""
    session = next(span for span in observed.spans if span.name == name)
    return {"stream": STREAM, "session": str(session.attributes["lalmesh.session_id"]), "slow": SLOW}


def is_found(model: Mapping[str, Any], values: Values, span: Seen) -> bool:
    """Whether a search of Jaeger finds a span: by service, operation and tags as logfmt has them."""
    tags = [tag.partition("=") for tag in filled(model["tags"], values).split()]
    has = all(str(span.attributes.get(name)) == value.strip('"') for name, _, value in tags)
    return has and span.service == model["service"] and span.name == model["operation"]
