"""Spans by OpenTelemetry's SDK. Imported only where tracing is on."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context
from opentelemetry.trace.status import Status, StatusCode

import lalmesh
from lalmesh.runtime.config import ConfigError, Problem, TracesConfig
from lalmesh.runtime.telemetry._context import TraceContext
from lalmesh.runtime.telemetry._tracing import Attributes, Span, SpanCounters
from lalmesh.runtime.telemetry.names import SERVICE_NAME, SpanName

log = logging.getLogger(__name__)

BATCH_SPANS = 512  #: of one message to the collector
SEND_EVERY_S = 1.0  #: that a span waits for others at most
EXPORT_TIMEOUT_S = 5.0  #: that the collector has for a batch
CLOSE_S = 2.0  #: that what waits may take to be sent when the process ends
GIVE_UP_S = 0.5  #: for the thread to notice that it has to end
_NS_PER_US = 1000
_KINDS = {
    SpanName.ROUTE: SpanKind.SERVER,
    SpanName.PUBLISH: SpanKind.SERVER,
    SpanName.PLAY: SpanKind.SERVER,
    SpanName.CLAIM: SpanKind.CLIENT,
    SpanName.SCHEDULER_CLAIM: SpanKind.SERVER,
    SpanName.LINK_PUBLISH: SpanKind.CLIENT,
    SpanName.ORIGIN_PUBLISH: SpanKind.SERVER,
    SpanName.WEBHOOK: SpanKind.CLIENT,
    SpanName.HLS_PLAY: SpanKind.SERVER,
}


class Exporter(Protocol):
    """What brings a batch to the collector, in as much time as it has; of `SpanExporter`."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Bring it."""
        ...

    def shutdown(self) -> None:
        """Give up what is under way."""
        ...


class BoundedQueue(SpanProcessor):
    """Spans on their way to the collector, at most so many: where it is slow or away, newer ones are lost, and counted.

    A thread of its own sends them, so nobody waits for the collector.
    """

    def __init__(self, exporter: Exporter, bound: int, counters: SpanCounters) -> None:
        """Let at most `bound` spans wait for `exporter`."""
        self._exporter = exporter
        self._bound = bound
        self._counters = counters
        self._waiting: deque[ReadableSpan] = deque()
        self._more = threading.Event()
        self._closing = self._gives_up = False
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Let one wait, unless the queue is full."""
        if len(self._waiting) >= self._bound:
            self._counters.lost_full += 1
            return
        self._waiting.append(span)
        self._counters.waiting = len(self._waiting)
        if len(self._waiting) >= min(BATCH_SPANS, self._bound):
            self._more.set()

    def shutdown(self) -> None:
        """Send what waits, for at most `CLOSE_S`; what is left is lost."""
        self._closing = True
        self._more.set()
        self._thread.join(CLOSE_S)
        self._gives_up = True
        self._exporter.shutdown()  # which ends what is under way
        self._thread.join(GIVE_UP_S)
        self._counters.lost_failed += len(self._waiting)

    def _run(self) -> None:
        while not self._closing:
            self._more.wait(SEND_EVERY_S)
            self._more.clear()
            while self._waiting and not self._gives_up:
                self._send()

    def _send(self) -> None:
        waiting = self._waiting
        batch = [waiting.popleft() for _ in range(min(BATCH_SPANS, len(waiting)))]
        self._counters.waiting = len(waiting)
        try:
            is_sent = self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception:  # whatever an exporter raises must not end the thread
            log.exception("spans cannot be sent")
            is_sent = False
        if is_sent:
            self._counters.exported += len(batch)
        else:
            self._counters.lost_failed += len(batch)
        if is_sent is self._is_away:
            self._is_away = not is_sent
            if is_sent:
                log.info("the collector takes spans again")
            else:
                log.warning("the collector takes no spans: they are lost, and counted, until it does")


class RecordedSpan(Span):
    """One that goes to the collector."""

    __slots__ = ("_span",)

    def __init__(self, made: SdkSpan) -> None:
        """Stand for a span of the SDK."""
        context = made.get_span_context()
        super().__init__(TraceContext(context.trace_id, context.span_id, bool(context.trace_flags.sampled)))
        self._span = made

    def set(self, attributes: Attributes) -> None:
        """Say more of it."""
        self._span.set_attributes({name.value: value for name, value in attributes.items()})

    def end(self, error: str = "", *, at_us: int = 0) -> None:
        """It is over."""
        if not self._span.is_recording():
            return
        if error:
            self._span.set_status(Status(StatusCode.ERROR, error))
        self._span.end(at_us * _NS_PER_US or None)


class SdkRecorder:
    """See `Recorder`."""

    def __init__(
        self, settings: TracesConfig, counters: SpanCounters, *, role: str, node: str, exporter: Exporter | None = None
    ) -> None:
        """Send to `exporter`, or as `settings` say.

        Raises:
            ConfigError: the certificate cannot be read.
        """
        for noisy in ("opentelemetry.exporter", "opentelemetry.sdk"):  # says each attempt; that it does not work is said here
            logging.getLogger(noisy).setLevel(logging.CRITICAL)
        self._ratio = TraceIdRatioBased(settings.sample_percent / 100)
        resource = {
            "service.name": SERVICE_NAME.format(role=role),
            "service.instance.id": node,
            "service.version": lalmesh.__version__,
        }
        self._provider = TracerProvider(
            sampler=ParentBased(self._ratio), resource=Resource.create(resource), shutdown_on_exit=False
        )
        queue = BoundedQueue(exporter or _exporter(settings), settings.queue_num, counters)
        self._provider.add_span_processor(queue)
        self._tracer = self._provider.get_tracer("lalmesh", lalmesh.__version__)

    def start(
        self,
        name: SpanName,
        parent: TraceContext | None,
        attributes: Attributes,
        at_us: int,
        links: Sequence[TraceContext],
    ) -> Span:
        """See `Recorder.start`."""
        made = self._tracer.start_span(
            name.value,
            context=Context() if parent is None else set_span_in_context(NonRecordingSpan(_span_context(parent)), Context()),
            kind=_KINDS.get(name, SpanKind.INTERNAL),
            attributes={key.value: value for key, value in attributes.items()},
            links=[Link(_span_context(link)) for link in links],
            start_time=at_us * _NS_PER_US or None,
        )
        if isinstance(made, SdkSpan):
            return RecordedSpan(made)
        context = made.get_span_context()
        if not context.is_valid:  # OTEL_SDK_DISABLED
            return Span(parent)
        return Span(TraceContext(context.trace_id, context.span_id, is_sampled=False))

    def of_outside(self, context: TraceContext) -> TraceContext:
        """See `Recorder.of_outside`."""
        is_due = context.trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < self._ratio.bound
        return TraceContext(context.trace_id, context.span_id, context.is_sampled and is_due)

    def close(self) -> None:
        """See `Recorder.close`."""
        self._provider.shutdown()


def _span_context(context: TraceContext) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if context.is_sampled else TraceFlags.DEFAULT)
    return SpanContext(context.trace_id, context.span_id, is_remote=True, trace_flags=flags)


def _exporter(settings: TracesConfig) -> SpanExporter:
    headers = settings.header_map
    if settings.protocol == "grpc":
        return _grpc_exporter(settings, headers)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(
        endpoint=settings.endpoint,
        certificate_file=settings.ca_file or None,
        headers=dict(headers),
        timeout=EXPORT_TIMEOUT_S,
    )


def _grpc_exporter(settings: TracesConfig, headers: Mapping[str, str]) -> SpanExporter:
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    is_secure = settings.endpoint.startswith("https://")
    try:
        roots = Path(settings.ca_file).read_bytes() if is_secure and settings.ca_file else None
    except OSError as error:
        raise ConfigError([Problem("telemetry.traces.ca_file", str(error))]) from error
    return OTLPSpanExporter(
        endpoint=settings.endpoint,
        insecure=not is_secure,
        credentials=grpc.ssl_channel_credentials(roots) if is_secure else None,
        headers=tuple((name.lower(), value) for name, value in headers.items()) or None,
        timeout=EXPORT_TIMEOUT_S,
    )
