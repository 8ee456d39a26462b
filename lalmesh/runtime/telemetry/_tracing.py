"""The tracer of this process: one, as there is one log. It records nothing until `begin` has been called.

OpenTelemetry's SDK is imported where tracing is on and nowhere else (`_recording.py`): what is here costs a look at a flag.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from lalmesh.runtime.telemetry._context import HEADER, TraceContext, context_in, within
from lalmesh.runtime.telemetry.names import Attribute, SpanName

if TYPE_CHECKING:
    from lalmesh.runtime.config import TracesConfig

log = logging.getLogger(__name__)

MAX_PUBLICATIONS = 50_000  #: whose traces are remembered, as many as an origin has groups: some 200 bytes each

Fact = str | int | float | bool
Attributes = Mapping[Attribute, Fact]


def now_us() -> int:
    """Unix microseconds."""
    return time.time_ns() // 1000


class Span:
    """One that nobody records; what goes on from it goes on from the span before."""

    __slots__ = ("context",)

    def __init__(self, context: TraceContext | None) -> None:
        """Stand for `context`."""
        self.context = context

    def set(self, attributes: Attributes) -> None:
        """Say more of it."""

    def end(self, error: str = "", *, at_us: int = 0) -> None:
        """It is over, now or at `at_us` (Unix µs); with an error where there was one. A second call does nothing."""


class Recorder(Protocol):
    """What makes spans that are recorded."""

    def start(
        self,
        name: SpanName,
        parent: TraceContext | None,
        attributes: Attributes,
        at_us: int,
        links: Sequence[TraceContext],
    ) -> Span:
        """Begin one; whether it is recorded the root of its trace decides."""
        ...

    def of_outside(self, context: TraceContext) -> TraceContext:
        """What a client says it comes from: sampled no more often than by the ratio that is configured."""
        ...

    def close(self) -> None:
        """Send what waits, for a moment."""
        ...


@dataclass(slots=True)
class SpanCounters:
    """What became of spans. Only rises, but for `waiting`."""

    exported: int = 0
    lost_full: int = 0  #: the queue was full
    lost_failed: int = 0  #: the collector did not take them
    waiting: int = 0


@dataclass(slots=True)
class _Process:
    """What there is one of."""

    recorder: Recorder | None = None
    counters: SpanCounters = field(default_factory=SpanCounters)
    publications: dict[bytes, TraceContext] = field(default_factory=dict)  #: by id, the oldest first


_process = _Process()


def begin(settings: TracesConfig, *, role: str, node: str) -> None:
    """Record spans from now on and send them where `settings` say, if they do.

    Raises:
        ConfigError: they cannot be followed.
    """
    end()
    if settings.endpoint:
        from lalmesh.runtime.telemetry._recording import SdkRecorder

        _process.recorder = SdkRecorder(settings, _process.counters, role=role, node=node)


def end() -> None:
    """Record nothing any more; what waits is sent, for a moment."""
    recorder, _process.recorder = _process.recorder, None
    if recorder is not None:
        recorder.close()


def is_on() -> bool:
    """Whether spans are recorded."""
    return _process.recorder is not None


def counters() -> SpanCounters:
    """What became of the spans of this process."""
    return _process.counters


def start(
    name: SpanName,
    parent: TraceContext | None,
    attributes: Attributes,
    *,
    at_us: int = 0,
    links: Sequence[TraceContext | None] = (),
) -> Span:
    """Begin a span below `parent`, or a trace where there is none.

    Args:
        name: what it is.
        parent: whose part it is.
        attributes: what it says.
        at_us: when it began, Unix µs; 0: now.
        links: other traces that it belongs to.
    """
    recorder = _process.recorder
    if recorder is None or (parent is not None and not parent.is_sampled):
        return Span(parent)
    return recorder.start(name, parent, attributes, at_us, [link for link in links if link is not None])


def record(
    name: SpanName,
    parent: TraceContext | None,
    begun_us: int,
    attributes: Attributes,
    *,
    ended_us: int = 0,
    error: str = "",
    links: Sequence[TraceContext | None] = (),
) -> None:
    """Tell of what is over: a part of `parent`, nothing where there is none."""
    if parent is not None and parent.is_sampled and _process.recorder is not None:
        start(name, parent, attributes, at_us=begun_us, links=links).end(error, at_us=max(begun_us, ended_us or now_us()))


def span(name: SpanName, parent: TraceContext | None, attributes: Attributes) -> AbstractContextManager[Span]:
    """A span for as long as the `with` lasts, which the task is in; what is raised is its error."""
    return _Lasting(start(name, parent, attributes))


class _Lasting:
    """A class, as schedulers enter it for every route: a generator would cost more than what it does."""

    __slots__ = ("_span", "_within")

    def __init__(self, begun: Span) -> None:
        self._span = begun
        self._within = within(begun.context)

    def __enter__(self) -> Span:
        self._within.__enter__()
        return self._span

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._within.__exit__(kind, error, trace)
        self._span.end("" if error is None else str(error) or type(error).__name__)


# whom a context comes from


def from_outside(text: str) -> TraceContext | None:
    """The context that a client names, who may name any: it does not decide whether its trace is recorded."""
    if not text or _process.recorder is None:
        return None
    context = TraceContext.parse(text)
    return None if context is None else _process.recorder.of_outside(context)


def from_request(headers: Mapping[str, str], query: str) -> tuple[TraceContext | None, str, str]:
    """The context that a client names in a header or else in a `query`.

    Returns:
        The context, None where it is not recorded; what of the query is to be handed on to where its client is sent, empty where
        that is nothing; and the rest of the query.
    """
    named, rest = context_in(query)
    context = from_outside(headers.get(HEADER, "") or named)
    return (context, named, rest) if context is not None and context.is_sampled else (None, "", rest)


def from_node(carried: Mapping[str, str]) -> TraceContext | None:
    """The context that another node of the cluster has sent."""
    text = carried.get(HEADER, "")
    return TraceContext.parse(text) if text else None


def carried(context: TraceContext | None) -> dict[str, str]:
    """What another node is to be sent."""
    return {} if context is None else {HEADER: str(context)}


# publications


def remember_publication(publication: bytes, context: TraceContext | None) -> None:
    """The trace of a publication: its readers, here and on other nodes, go on from it."""
    known = _process.publications
    if context is None or publication in known:
        return
    if len(known) >= MAX_PUBLICATIONS:
        del known[next(iter(known))]
    known[publication] = context


def of_publication(publication: bytes) -> TraceContext | None:
    """The trace of a publication, None where it has none."""
    return _process.publications.get(publication)
