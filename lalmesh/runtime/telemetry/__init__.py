"""Traces: what a publisher, its players and its segments have to do with each other, over all nodes (docs/telemetry.md)."""

from lalmesh.runtime.telemetry._context import HEADER, TraceContext, context_in, current, with_context, within
from lalmesh.runtime.telemetry._metrics import TraceCollector
from lalmesh.runtime.telemetry._tracing import (
    Attributes,
    Fact,
    Span,
    SpanCounters,
    begin,
    carried,
    counters,
    end,
    from_node,
    from_outside,
    from_request,
    is_on,
    of_publication,
    record,
    remember_publication,
    span,
    start,
)
from lalmesh.runtime.telemetry.names import Attribute, SpanName

__all__ = [
    "HEADER",
    "Attribute",
    "Attributes",
    "Fact",
    "Span",
    "SpanCounters",
    "SpanName",
    "TraceCollector",
    "TraceContext",
    "begin",
    "carried",
    "context_in",
    "counters",
    "current",
    "end",
    "from_node",
    "from_outside",
    "from_request",
    "is_on",
    "of_publication",
    "record",
    "remember_publication",
    "span",
    "start",
    "with_context",
    "within",
]
