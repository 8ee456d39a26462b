"""One publication is one trace: from its request over claim, link and first unit to its players on two edges and its segments."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from support.cluster import Cluster, Node, Standalone
from support.ffmpeg import Publisher
from support.otlp_collector import Collector, HttpCollector, Seen
from support.ports import LOOPBACK, free_ports
from support.process import wait_until
from support.recorder import recorder, recording
from support.webhook_sink import Hook, WebhookSink, has

from lalmesh.runtime.telemetry.names import SPANS, Attribute, SpanName

Media = Callable[[str], Path]
StartCluster = Callable[..., Cluster]
StartStandalone = Callable[..., Standalone]

STREAM = "live/traced"
LIMIT_S = 40.0


@pytest.fixture
def collector(stack: ExitStack) -> Collector:
    """It ends after the nodes that the test starts."""
    return stack.enter_context(Collector())


def to(collector: Collector | HttpCollector, **others: object) -> dict[str, object]:
    """The settings of nodes that send their spans there."""
    settings: dict[str, object] = {
        "telemetry.traces.endpoint": collector.url,
        "telemetry.log_format": "json",
        "hls.segment_ms": 1000,
    }
    return settings | {f"telemetry.traces.{name}": value for name, value in others.items()}


def read(url: str, headers: dict[str, str] | None = None) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=LIMIT_S) as answer:
        return bytes(answer.read())


def metric(node: Node, line: str) -> float:
    found = [each.rpartition(" ")[2] for each in node.metrics().splitlines() if each.startswith(f"{line} ")]
    return float(found[0]) if found else 0.0


async def test_a_publication_its_players_on_two_edges_and_its_segments_are_one_trace(
    start_cluster: StartCluster, media: Media, stack: ExitStack, tmp_path: Path, collector: Collector
) -> None:
    (tmp_path / "headers").write_text("authorization=Bearer abc, x-tenant=tests\n")
    hooks = stack.enter_context(WebhookSink())
    settings = to(collector, headers_file=str(tmp_path / "headers")) | {"notify.receivers": [f"own {hooks.url}/own"]}
    cluster = start_cluster(origins=2, edges=2, hls=1, settings={"all": settings})
    route = json.loads(read(f"{cluster.api_url}/v1/route/publish?stream={STREAM}&protocol=rtmp"))
    publishing = next(edge for edge in cluster.edges if edge.name == route["edge"])
    url = f"{route['url']}?traceparent={route['traceparent']}"
    publisher = stack.enter_context(Publisher(media("h264_aac"), url, log=tmp_path / "push.log", loops=-1))
    players = [recorder(edge.name, edge.flv_url(STREAM)) for edge in cluster.edges]
    sent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    redirected = recorder("redirected", f"{cluster.api_url}/play/{STREAM}.flv")
    async with recording(*players, redirected):
        for player in (*players, redirected):
            await player.more(LIMIT_S)
        await asyncio.to_thread(read_some, cluster.edges[0].flv_url(STREAM), sent)
        hls = [f"{cluster.api_url}/play/{STREAM}.m3u8", cluster.edges[1].http_url(f"hls/{STREAM}/live.m3u8")]
        hls.append(f"http://{LOOPBACK}:{cluster.hls[0].ports['hls']}/hls/{STREAM}.m3u8?traceparent={sent}")
        for playlist in hls:
            await asyncio.to_thread(wait_until, playlist, partial(has_segments, playlist), LIMIT_S)
        await collector.has("first frames", lambda: len(collector.named("edge.first_frame")) == 6)
        await collector.has("that of a player at the hls node", lambda: bool(collector.named("hls.first_frame")))
        await collector.has("segments", lambda: len(collector.named("hls.segment")) > 1)
        await collector.has("sessions", lambda: len(collector.named("edge.play")) == 3)
    publisher.stop()
    await collector.has("the publisher's session", lambda: bool(collector.named("edge.publisher")))
    taken = await asyncio.to_thread(hooks.until, has("pub_start", "sub_start", "sub_stop", "pub_stop", "hls_make_ts"), LIMIT_S)
    named = {hook.traceparent for hook in taken if hook.traceparent}
    await collector.has("the way of events", lambda: named <= told_of(collector.spans).keys())
    check_tree(collector.spans, route["traceparent"], publishing.name)
    check_receiver(collector.spans, taken)
    assert collector.headers[0]["authorization"] == "Bearer abc"
    assert collector.headers[0]["x-tenant"] == "tests"
    own = next(span for span in collector.named("edge.play") if span.parent_id == "b7ad6b7169203331")
    assert own.trace_id == "0af7651916cd43dd8448eb211c80319c"
    routes = {span.span_id: span for span in collector.named("scheduler.route")}
    led_to = [span for span in collector.named("edge.play") if span is not own]
    assert [span.attributes["lalmesh.protocol"] for span in by_protocol(led_to)] == ["http-flv", "hls"]
    for span in led_to:
        assert routes[span.parent_id].trace_id == span.trace_id
        assert routes[span.parent_id].attributes["lalmesh.edge"] == span.node
    [at_hls] = collector.named("hls.play")
    assert at_hls.parent_id == own.parent_id
    linked = {link for name in ("edge.first_frame", "hls.first_frame") for span in collector.named(name) for link in span.links}
    assert linked == {(span.trace_id, span.span_id) for span in (own, *led_to, at_hls)}
    first_frames = by_protocol(collector.named("edge.first_frame"))
    assert [span.attributes["lalmesh.protocol"] for span in first_frames] == ["http-flv"] * 4 + ["hls"] * 2


def read_some(url: str, traceparent: str) -> None:
    """Play for a moment, as a client does that has a trace of its own."""
    with urllib.request.urlopen(urllib.request.Request(url, headers={"traceparent": traceparent}), timeout=LIMIT_S) as answer:
        assert answer.read(1000)


def has_segments(url: str) -> bool:
    """Ask for a playlist as a player does, which is told of a trace once."""
    try:
        text = read(url)
    except OSError:  # the edge has not heard of the hls node yet
        return False
    assert b"traceparent" not in text
    return b"#EXTINF" in text


def by_protocol(spans: list[Seen]) -> list[Seen]:
    """FLV first."""
    return sorted(spans, key=lambda span: str(span.attributes["lalmesh.protocol"]), reverse=True)


def check_receiver(spans: list[Seen], taken: list[Hook]) -> None:
    """A receiver hears of the span that its request is."""
    deliveries = told_of(spans)
    for hook in taken:
        if hook.traceparent:
            assert deliveries[hook.traceparent].attributes["lalmesh.event"] == hook.event_name
            assert deliveries[hook.traceparent].attributes["lalmesh.receiver"] == "own"
    of_stream = [hook for hook in taken if hook.body["stream"] is not None]
    begun = next(number for number, hook in enumerate(of_stream) if hook.event_name == "pub_start")
    assert {hook.event_name for hook in of_stream[:begun]} <= {"sub_start", "first_viewer", "stream_not_found"}  # of who waited
    assert [hook.event_name for hook in of_stream[begun:] if not hook.traceparent] == []


def told_of(spans: list[Seen]) -> dict[str, Seen]:
    """What events went to receivers by, by the context that these were told."""
    return {f"00-{span.trace_id}-{span.span_id}-01": span for span in spans if span.name == "scheduler.webhook"}


def check_tree(spans: list[Seen], route: str, publishing: str) -> None:
    """Spans, parents and attributes are those of the table, and one trace."""
    by_id = {span.span_id: span for span in spans}
    traced = [span for span in spans if span.trace_id == route.split("-")[1]]
    of = {name: [span for span in traced if span.name == name.value] for name in SpanName}
    assert [name.value for name in SpanName if not of[name]] == [SpanName.PLAY.value, SpanName.HLS_PLAY.value]
    [publish] = of[SpanName.PUBLISH]
    assert (publish.node, by_id[publish.parent_id].name) == (publishing, "scheduler.route")
    parents = {name: {by_id[span.parent_id].name for span in of[name] if span.parent_id} for name in of if of[name]}
    assert parents == {
        SpanName.ROUTE: set(),
        SpanName.PUBLISH: {"scheduler.route"},
        SpanName.CLAIM: {"edge.publish"},
        SpanName.SCHEDULER_CLAIM: {"edge.claim"},
        SpanName.LINK_PUBLISH: {"edge.publish"},
        SpanName.ORIGIN_PUBLISH: {"edge.link_publish"},
        SpanName.FIRST_UNIT: {"edge.publish"},
        SpanName.ORIGIN_FIRST_UNIT: {"edge.link_publish"},
        SpanName.RELAY: {"edge.publish"},
        SpanName.FIRST_FRAME: {"edge.publish"},
        SpanName.SEGMENTER: {"edge.publish"},
        SpanName.SEGMENT: {"edge.publish"},
        SpanName.HLS_FIRST_FRAME: {"edge.publish"},
        SpanName.PUBLISHER: {"edge.publish"},
        SpanName.WEBHOOK: {"edge.publish", "edge.first_frame"},
    }
    once = (SpanName.CLAIM, SpanName.LINK_PUBLISH, SpanName.ORIGIN_PUBLISH, SpanName.FIRST_UNIT, SpanName.ORIGIN_FIRST_UNIT)
    assert [
        name for name in (*once, SpanName.SEGMENTER, SpanName.PUBLISHER) if len(of[name]) != 1
    ] == []  # however many units there were
    assert {span.node for span in of[SpanName.RELAY]} == {span.node for span in of[SpanName.FIRST_FRAME]} == {"edge-1", "edge-2"}
    assert len(of[SpanName.RELAY]) == 2
    for span in spans:
        kind = SPANS[SpanName(span.name)]
        wanted = {attribute.value for attribute in kind.attributes} - {Attribute.REASON.value}
        assert wanted <= set(span.attributes) <= wanted | {Attribute.REASON.value}, span
        assert span.service == f"lalmesh-{kind.role}"
        assert span.begun_ns <= span.ended_ns
        assert not span.error, span
        assert span.attributes["lalmesh.stream"] == STREAM
    [number] = {span.attributes["lalmesh.publication"] for span in traced if "lalmesh.publication" in span.attributes}
    assert publish.attributes["lalmesh.publication"] == number


async def test_log_lines_of_every_role_name_the_trace_that_they_are_about(
    start_cluster: StartCluster, media: Media, stack: ExitStack, tmp_path: Path, collector: Collector
) -> None:
    cluster = start_cluster(origins=1, edges=1, hls=1, settings={"all": to(collector) | {"origin.grace_s": 0.2}})
    edge = cluster.edges[0]
    log = tmp_path / "push.log"
    publisher = stack.enter_context(Publisher(media("h264_aac"), edge.rtmp_url(STREAM), log=log, loops=-1))
    names = ("edge.publish", "origin.publish", "origin.first_unit")
    await collector.has("a first unit", lambda: all(collector.named(name) for name in names))
    await asyncio.to_thread(wait_until, "segments", partial(has_segments, edge.http_url(f"hls/{STREAM}.m3u8")), LIMIT_S)
    publisher.stop()
    await asyncio.to_thread(wait_until, "an end", lambda: "segmenting ended" in cluster.hls[0].output(), LIMIT_S)
    lines = [json.loads(line) for node in cluster.nodes for line in node.output().splitlines() if line.startswith("{")]
    [publish] = collector.named("edge.publish")
    opened = next(line for line in lines if line["event"] == "publisher opened")
    assert (opened["trace_id"], opened["span_id"]) == (publish.trace_id, publish.span_id)
    taken = next(line for line in lines if line["event"].startswith("publication of epoch"))
    [at_origin] = collector.named("origin.publish")
    assert (taken["trace_id"], taken["span_id"]) == (publish.trace_id, at_origin.span_id)
    assert not any("trace_id" in line for line in lines if line["event"].startswith("link of"))
    traced = {line["service"] for line in lines if line.get("trace_id") == publish.trace_id}
    assert traced == {"edge", "hls", "origin", "scheduler"}


async def test_a_server_that_is_alone_has_the_whole_trace_and_sends_it_over_http_too(
    start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    collector = stack.enter_context(HttpCollector())
    (tmp_path / "headers").write_text("x-tenant=tests")
    hooks = stack.enter_context(WebhookSink())
    receivers = {"notify.receivers": [f"own {hooks.url}/own"]}
    node = start_standalone(to(collector, protocol="http", headers_file=str(tmp_path / "headers")) | receivers)
    stack.enter_context(Publisher(media("h264_aac"), node.rtmp_url(STREAM), log=tmp_path / "push.log", loops=-1))
    await asyncio.to_thread(wait_until, "spans", lambda: any(span.name == "origin.first_unit" for span in collector.spans), LIMIT_S)
    assert collector.headers[0]["x-tenant"] == "tests"
    hls = node.http_url(f"hls/{STREAM}.m3u8")
    await asyncio.to_thread(wait_until, "segments", partial(has_segments, hls), LIMIT_S)
    names = {"scheduler.claim", "edge.claim", "origin.publish", "origin.first_unit", "edge.first_frame", "hls.segment"}
    [publish] = [span for span in collector.spans if span.name == "edge.publish"]
    names |= {"scheduler.webhook"}
    await asyncio.to_thread(wait_until, "one trace", lambda: names <= in_trace(collector.spans, publish.trace_id), LIMIT_S)
    assert {span.service for span in collector.spans} == {"lalmesh-standalone"}


def in_trace(spans: list[Seen], trace_id: str) -> set[str]:
    """What spans of a trace there are."""
    return {span.name for span in spans if span.trace_id == trace_id}


async def test_a_collector_that_is_away_disturbs_nothing_and_what_it_misses_is_counted(
    start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    [port] = free_ports(1)
    bound = 16
    node = start_standalone({"telemetry.traces.endpoint": f"http://{LOOPBACK}:{port}", "telemetry.traces.queue_num": bound})
    stack.enter_context(Publisher(media("h264_aac"), node.rtmp_url(STREAM), log=tmp_path / "push.log", loops=-1))
    player = recorder("player", node.flv_url(STREAM))
    full = 'telemetry_lost_spans_total{reason="queue_full"}'
    async with recording(player):
        await player.more(LIMIT_S)
        await asyncio.to_thread(lambda: [asked(node) for _ in range(20 * bound)])
        assert metric(node, full) > 0
        assert metric(node, "telemetry_waiting_spans") <= bound
        await player.more(LIMIT_S)
        assert not player.ended
        failed = 'telemetry_lost_spans_total{reason="export_failed"}'
        await asyncio.to_thread(wait_until, "a batch given up", lambda: metric(node, failed) > 0, LIMIT_S)
        with Collector(port) as collector:
            await asyncio.to_thread(wait_until, "a collector that is back", lambda: asked(node) and bool(collector.spans), LIMIT_S)
            await asyncio.to_thread(
                wait_until, "spans that are taken", lambda: metric(node, "telemetry_exported_spans_total") > 0, LIMIT_S
            )
    began = [line for line in node.output().splitlines() if "takes no spans" in line]
    assert len(began) == 1


def asked(node: Node) -> bool:
    return bool(read(f"{node.api_url}/v1/route/play?stream={STREAM}&protocol=http-flv"))


async def test_a_client_does_not_decide_what_is_recorded(
    start_standalone: StartStandalone, media: Media, stack: ExitStack, tmp_path: Path, collector: Collector
) -> None:
    node = start_standalone(to(collector, sample_percent=0.0))
    stack.enter_context(Publisher(media("h264_aac"), node.rtmp_url(STREAM), log=tmp_path / "push.log", loops=-1))
    player = recorder("player", node.flv_url(STREAM))
    async with recording(player):
        await player.more(LIMIT_S)
    await asyncio.to_thread(read_some, node.flv_url(STREAM), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    answer = json.loads(read(f"{node.api_url}/v1/route/play?stream={STREAM}&protocol=http-flv"))
    assert answer["traceparent"] is None
    node.stop()
    assert collector.spans == []
