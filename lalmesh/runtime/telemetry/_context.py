"""W3C trace contexts: the `traceparent` that requests carry from node to node (W3C Trace Context, 3.2)."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass

HEADER = "traceparent"  #: of HTTP, of gRPC's metadata, of the maps of links; and the parameter of a query
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


@dataclass(slots=True, frozen=True)
class TraceContext:
    """A span, as others name it who go on from there."""

    trace_id: int  #: 128 bits, not 0
    span_id: int  #: 64 bits, not 0
    is_sampled: bool = True

    @classmethod
    def parse(cls, text: str) -> TraceContext | None:
        """What a `traceparent` names; None where it is none. Versions to come are read as the first one, as the standard says."""
        found = _FORM.fullmatch(text.strip())
        if found is None:
            return None
        version, trace_id, span_id, flags, rest = found.groups()
        if version == "ff" or (version == "00" and rest) or not int(trace_id, 16) or not int(span_id, 16):
            return None
        return cls(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & _SAMPLED))

    def __str__(self) -> str:
        """As a `traceparent`."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{int(self.is_sampled):02x}"

    @property
    def fields(self) -> dict[str, str]:
        """What log lines say of it."""
        return {"trace_id": f"{self.trace_id:032x}", "span_id": f"{self.span_id:016x}"}


_PARAMETER = f"{HEADER}="


def context_in(query: str) -> tuple[str, str]:
    """The `traceparent` in a query, empty where there is none, the first where there are several; and the rest, as it came."""
    if _PARAMETER not in query:
        return "", query
    parts = query.split("&")
    named = next((part for part in parts if part.startswith(_PARAMETER)), "")
    return named.removeprefix(_PARAMETER), "&".join(part for part in parts if part and not part.startswith(_PARAMETER))


def with_context(query: str, traceparent: str) -> str:
    """A `query` that has none with a `traceparent`; as it is where that is empty."""
    return "&".join(part for part in (query, f"{_PARAMETER}{traceparent}" if traceparent else "") if part)


_CURRENT: ContextVar[TraceContext | None] = ContextVar("lalmesh_trace", default=None)


def current() -> TraceContext | None:
    """The span that the task is in."""
    return _CURRENT.get()


def within(context: TraceContext | None) -> AbstractContextManager[None]:
    """The task is in a span until the end of the `with`: calls carry it, log lines name it.

    Tasks that begin meanwhile are in it for as long as they live: begin none that outlive what the span tells of.
    """
    return _Within(context)


class _Within:
    __slots__ = ("_context", "_token")

    def __init__(self, context: TraceContext | None) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._token = _CURRENT.set(self._context)

    def __exit__(self, *_: object) -> None:
        _CURRENT.reset(self._token)
