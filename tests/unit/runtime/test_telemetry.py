"""Trace contexts, what is remembered of publications, and the queue of spans."""

import threading
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from prometheus_client import CollectorRegistry, generate_latest

from lalmesh.media import AccessUnit, Codec, Track, TrackSet
from lalmesh.rpc.lalmesh.v1 import media_pb2
from lalmesh.runtime import telemetry
from lalmesh.runtime.config import TracesConfig
from lalmesh.runtime.link._wire import RunDecoder, RunEncoder
from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.ring import Run
from lalmesh.runtime.telemetry import SpanCounters, SpanName, TraceCollector, TraceContext, _recording, _tracing
from lalmesh.runtime.telemetry._recording import BoundedQueue, SdkRecorder
from lalmesh.runtime.telemetry.names import Attribute
from services.edge.client import Client

TEXT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"  # W3C Trace Context, 3.2.1
CONTEXT = TraceContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)


class Kept:
    """An exporter that keeps what it gets, once it may."""

    def __init__(self, *, takes: bool = True) -> None:
        self.spans: list[ReadableSpan] = []
        self.may_go_on = threading.Event()
        self.asked = threading.Event()
        self.takes = takes

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        self.may_go_on.wait(10)
        self.spans += spans
        return SpanExportResult.SUCCESS if self.takes else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.may_go_on.set()


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[_tracing._Process]:
    """What there is one of in a process, here one of the test's own."""
    made = _tracing._Process()
    monkeypatch.setattr(_tracing, "_process", made)
    yield made
    telemetry.end()


def recording(process: _tracing._Process, exporter: Kept, *, percent: float = 100.0, queue_num: int = 4096) -> None:
    settings = TracesConfig(sample_percent=percent, queue_num=queue_num)
    process.recorder = SdkRecorder(settings, process.counters, role="edge", node="edge-1", exporter=exporter)


def sent(exporter: Kept) -> list[ReadableSpan]:
    exporter.may_go_on.set()
    telemetry.end()
    return exporter.spans


def test_a_traceparent_is_read_as_the_standard_says() -> None:
    assert TraceContext.parse(TEXT) == CONTEXT
    assert TraceContext.parse(TEXT[:-2] + "00") == TraceContext(CONTEXT.trace_id, CONTEXT.span_id, is_sampled=False)
    assert TraceContext.parse("cc" + TEXT[2:] + "-of-the-future") == CONTEXT


NO_TRACE, NO_SPAN = f"00-{'0' * 32}-b7ad6b7169203331-01", TEXT[:36] + "0" * 16 + "-01"


@pytest.mark.parametrize(
    ("query", "named", "rest"),
    [
        ("", "", ""),
        ("a=1&&b=traceparent", "", "a=1&&b=traceparent"),
        (f"traceparent={TEXT}", TEXT, ""),
        (f"a=1&traceparent={TEXT}&&b=2&traceparent=x", TEXT, "a=1&b=2"),
        ("xtraceparent=1&a=1", "", "xtraceparent=1&a=1"),
    ],
)
def test_a_query_gives_its_traceparent_away(query: str, named: str, rest: str) -> None:
    assert telemetry.context_in(query) == (named, rest)
    assert telemetry.context_in(telemetry.with_context(rest, named)) == (named, rest)


@pytest.mark.parametrize("text", ["", "x", TEXT[:-1], TEXT + "-more", "ff" + TEXT[2:], TEXT.upper(), NO_TRACE, NO_SPAN])
def test_what_is_no_traceparent_is_none(text: str) -> None:
    assert TraceContext.parse(text) is None


@given(st.integers(1, (1 << 128) - 1), st.integers(1, (1 << 64) - 1), st.booleans())
def test_contexts_come_back_as_they_went(trace_id: int, span_id: int, is_sampled: bool) -> None:
    context = TraceContext(trace_id, span_id, is_sampled)
    assert TraceContext.parse(str(context)) == context


@given(st.text(max_size=80))
def test_any_text_is_a_context_or_none(text: str) -> None:
    assert TraceContext.parse(text) is None or len(text) >= len(TEXT)


def test_where_nothing_is_recorded_the_trace_goes_on_through(process: _tracing._Process) -> None:
    assert telemetry.start(SpanName.CLAIM, CONTEXT, {}).context == CONTEXT
    assert telemetry.start(SpanName.PUBLISH, None, {}).context is None
    assert telemetry.from_outside(TEXT) is None


def test_a_span_says_what_it_is_part_of(process: _tracing._Process) -> None:
    exporter = Kept()
    recording(process, exporter)
    root = telemetry.start(SpanName.PUBLISH, None, {Attribute.STREAM: "live/cam"})
    with telemetry.span(SpanName.CLAIM, root.context, {}) as child:
        assert telemetry.current() == child.context
    assert telemetry.current() is None
    root.end("refused")
    root.end("again")
    claim, publish = sent(exporter)
    assert claim.parent is not None
    assert publish.context is not None
    assert (claim.parent.span_id, claim.name) == (publish.context.span_id, "edge.claim")
    assert (dict(publish.attributes or {}), publish.status.description) == ({"lalmesh.stream": "live/cam"}, "refused")
    assert publish.resource.attributes["service.name"] == "lalmesh-edge"
    assert process.counters == SpanCounters(exported=2)


def test_the_root_decides_for_its_whole_trace(process: _tracing._Process) -> None:
    exporter = Kept()
    recording(process, exporter, percent=0)
    root = telemetry.start(SpanName.PUBLISH, None, {})
    assert root.context is not None
    assert not root.context.is_sampled
    telemetry.start(SpanName.CLAIM, root.context, {}).end()
    telemetry.record(SpanName.FIRST_UNIT, root.context, 1, {})
    root.end()
    assert telemetry.start(SpanName.CLAIM, CONTEXT, {}).context != CONTEXT  # another node's root has decided
    assert [span.name for span in sent(exporter)] == []


def test_a_client_is_recorded_no_more_often_than_the_share_says(process: _tracing._Process) -> None:
    recording(process, Kept(), percent=50)
    outside = [telemetry.from_outside(f"00-{'1' * 16}{high:x}{'0' * 15}-b7ad6b7169203331-01") for high in range(16)]
    assert [context.is_sampled for context in outside if context is not None] == [True] * 8 + [False] * 8
    unsampled = telemetry.from_outside(TEXT[:-2] + "00")
    assert unsampled is not None
    assert not unsampled.is_sampled


def test_a_request_is_a_part_of_what_its_header_says_or_else_its_query_where_that_is_recorded(process: _tracing._Process) -> None:
    recording(process, Kept())
    own, other = TraceContext(1, 2), TraceContext(3, 4)
    query = f"a=1&traceparent={other}"
    assert telemetry.from_request({}, query) == (other, str(other), "a=1")
    assert telemetry.from_request({"traceparent": str(own)}, query) == (own, str(other), "a=1")
    for text in ("", "none", f"{str(other)[:-2]}00"):
        assert telemetry.from_request({}, f"a=1&traceparent={text}") == (None, "", "a=1")


def test_a_full_queue_loses_the_newest_and_counts_them(process: _tracing._Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_recording, "SEND_EVERY_S", 0.01)
    exporter = Kept()
    recording(process, exporter, queue_num=16)
    telemetry.start(SpanName.PUBLISH, None, {}).end()
    assert exporter.asked.wait(10)  # and waits now
    for _ in range(20):
        telemetry.start(SpanName.CLAIM, None, {}).end()
    assert (process.counters.waiting, process.counters.lost_full) == (16, 4)
    registry = CollectorRegistry()
    registry.register(TraceCollector())
    assert 'telemetry_lost_spans_total{reason="queue_full"} 4.0' in generate_latest(registry).decode()
    assert len(sent(exporter)) == 17


def test_what_the_collector_does_not_take_is_counted() -> None:
    counters, exporter = SpanCounters(), Kept(takes=False)
    exporter.may_go_on.set()
    queue = BoundedQueue(exporter, 16, counters)
    queue.on_end(ReadableSpan("span"))
    queue.shutdown()
    assert (counters.lost_failed, counters.exported) == (1, 0)


def test_a_collector_that_hangs_does_not_keep_a_process_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_recording, "CLOSE_S", 0.01)
    monkeypatch.setattr(_recording, "SEND_EVERY_S", 0.01)
    counters, exporter = SpanCounters(), Kept(takes=False)
    queue = BoundedQueue(exporter, 16, counters)
    queue.on_end(ReadableSpan("first"))
    assert exporter.asked.wait(10)
    queue.on_end(ReadableSpan("second"))
    queue.shutdown()
    assert counters.lost_failed == 2


def test_the_trace_of_a_publication_travels_with_its_first_units(process: _tracing._Process) -> None:
    tracks = TrackSet((Track(track_id=1, codec=Codec.PCMA, configuration=b""),))
    first, second = (Run(Epoch(1, 1), name * 16, tracks, [AccessUnit(1, 0, 0, True, b"x", 0, 0)]) for name in (b"a", b"b"))
    telemetry.remember_publication(first.publication, CONTEXT)
    encoder, messages = RunEncoder(), [media_pb2.Run() for _ in range(3)]
    for run, message in zip((first, first, second), messages, strict=True):
        encoder.encode(run, message)
    assert [message.traceparent for message in messages] == [TEXT, "", ""]
    process.publications.clear()  # at another node
    RunDecoder().decode(messages[0])
    assert telemetry.of_publication(first.publication) == CONTEXT


def test_a_trace_in_a_query_is_read_and_taken_out_of_it(process: _tracing._Process) -> None:
    recording(process, Kept())
    client = Client(protocol="rtmp", address="192.0.2.1", peer="192.0.2.1:9", query=f"token=a&traceparent={TEXT}&b=c")
    assert (client.query, client.trace) == ("token=a&b=c", CONTEXT)
    alone = Client(protocol="rtmp", address="192.0.2.1", peer="192.0.2.1:9", query=f"traceparent={TEXT}", trace=None)
    assert (alone.query, alone.trace) == ("", CONTEXT)


def test_of_publications_the_oldest_is_forgotten(process: _tracing._Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tracing, "MAX_PUBLICATIONS", 2)
    for name in (b"a", b"b", b"c"):
        telemetry.remember_publication(name, CONTEXT)
    assert [telemetry.of_publication(name) for name in (b"a", b"b", b"c")] == [None, CONTEXT, CONTEXT]
