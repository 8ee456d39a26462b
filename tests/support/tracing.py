"""Traces of a test's own process: what is recorded while it lasts, as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from lalmesh.runtime import telemetry
from lalmesh.runtime.config import TracesConfig
from lalmesh.runtime.telemetry import TraceContext, _tracing
from lalmesh.runtime.telemetry._recording import SdkRecorder


class Recorded:
    """An exporter that keeps what it gets."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is under way."""

    def named(self, name: str) -> list[ReadableSpan]:
        """The spans of a name; nothing is recorded from now on."""
        telemetry.end()
        return [span for span in self.spans if span.name == name]

    def all(self) -> dict[str, ReadableSpan]:
        """Every span by its name, of which there is one each; nothing is recorded from now on."""
        telemetry.end()
        assert len({span.name for span in self.spans}) == len(self.spans)
        return {span.name: span for span in self.spans}


@contextmanager
def traced() -> Iterator[Recorded]:
    """Record every span until the end of the `with`."""
    before, recorded = _tracing._process, Recorded()
    _tracing._process = process = _tracing._Process()
    process.recorder = SdkRecorder(TracesConfig(), process.counters, role="edge", node="edge-1", exporter=recorded)
    try:
        yield recorded
    finally:
        telemetry.end()
        _tracing._process = before


def context_of(span: ReadableSpan) -> TraceContext:
    """As others name it."""
    context = span.get_span_context()
    assert context is not None
    return TraceContext(context.trace_id, context.span_id)


def parent_of(span: ReadableSpan) -> TraceContext | None:
    """Whose part it is."""
    return None if span.parent is None else TraceContext(span.parent.trace_id, span.parent.span_id)
