"""A collector of spans: what OTLP over gRPC or HTTP brings it, as plain values to look at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as services
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from support.http_thread import HttpThread, QuietHandler
from support.ports import LOOPBACK
from support.process import wait_until


@dataclass(frozen=True)
class Seen:
    """One span, as it came."""

    name: str
    service: str
    node: str
    trace_id: str
    span_id: str
    parent_id: str  #: empty: a root
    begun_ns: int
    ended_ns: int
    attributes: dict[str, object]
    links: tuple[tuple[str, str], ...]  #: trace and span
    error: str  #: empty: none


class Collector:
    """Takes spans in over gRPC; a context manager."""

    def __init__(self, port: int = 0) -> None:
        """Listen on `port` of loopback, or a free one, from entering on."""
        self.spans: list[Seen] = []
        self.headers: list[dict[str, str]] = []  #: of each message
        self._server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
        services.add_TraceServiceServicer_to_server(_Servicer(self._take), self._server)  # type: ignore[no-untyped-call]
        self.port = self._server.add_insecure_port(f"{LOOPBACK}:{port}")

    @property
    def url(self) -> str:
        """What nodes are configured with."""
        return f"http://{LOOPBACK}:{self.port}"

    def _take(self, request: pb.ExportTraceServiceRequest, headers: dict[str, str]) -> None:
        self.headers.append(headers)
        self.spans += seen_in(request)

    def named(self, name: str) -> list[Seen]:
        """The spans of a name so far."""
        return [span for span in self.spans if span.name == name]

    async def has(self, what: str, found: Callable[[], bool], limit_s: float = 40.0) -> None:
        """Wait until `found`.

        Raises:
            ProcessError: it was not within `limit_s`.
        """
        await asyncio.to_thread(wait_until, what, found, limit_s, every_s=0.1)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.stop(None).wait()


class HttpCollector(HttpThread):
    """The same over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:  # noqa: N802 - the name that is called
                outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                outer.spans += seen_in(pb.ExportTraceServiceRequest.FromString(self.asked()))
                self.answer(200, pb.ExportTraceServiceResponse().SerializeToString(), "application/x-protobuf")

        super().__init__(Handler)

    @property
    def url(self) -> str:
        """What nodes are configured with."""
        return f"{self.root}/v1/traces"


class _Servicer(services.TraceServiceServicer):
    def __init__(self, take: Callable[[pb.ExportTraceServiceRequest, dict[str, str]], None]) -> None:
        self._take = take

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._take(request, {name: str(value) for name, value in context.invocation_metadata()})
        return pb.ExportTraceServiceResponse()


def seen_in(request: pb.ExportTraceServiceRequest) -> list[Seen]:
    """The spans of a message."""
    found = []
    for resource in request.resource_spans:
        node = _plain(resource.resource.attributes)
        for scope in resource.scope_spans:
            found += [_seen(span, str(node["service.name"]), str(node["service.instance.id"])) for span in scope.spans]
    return found


def _seen(span: Span, service: str, node: str) -> Seen:
    return Seen(
        name=span.name,
        service=service,
        node=node,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        begun_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        attributes=_plain(span.attributes),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        error=(span.status.message or "error") if span.status.code == Status.STATUS_CODE_ERROR else "",
    )


def _plain(attributes: Sequence[KeyValue]) -> dict[str, object]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: AnyValue) -> object:
    return getattr(value, value.WhichOneof("value") or "string_value")
