"""What is said on an RTMP connection, in virtual time and without a socket."""

from __future__ import annotations

import asyncio
from typing import cast

from prometheus_client import CollectorRegistry
from support.edge_context import edge_context
from support.edge_fakes import FakeLinks, FakeScheduler
from support.virtual_time import in_virtual_time

from lalmesh.runtime.forwarded import Remote
from lalmesh.runtime.listener import Connection
from services.edge.metrics import EdgeMetrics
from services.edge.rtmp_dialogue import RtmpDialogue

ADDRESS = "192.0.2.1"
TLS_HELLO = b"\x16\x03\x01\x02\x00\x01"


class FakeTransport:
    """As far as a dialogue looks at it."""

    def write(self, data: bytes) -> None:
        pass

    def is_closing(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0


@in_virtual_time
async def test_a_connection_that_broke_the_protocol_is_counted_once_whatever_is_read_of_it_afterwards() -> None:
    registry = CollectorRegistry()
    metrics = EdgeMetrics(registry)
    connection = Connection(ADDRESS, 0.0, lambda _: None, refused=False)
    context = edge_context(metrics, FakeScheduler(), FakeLinks())
    transport = cast(asyncio.Transport, FakeTransport())
    dialogue = RtmpDialogue(context, metrics, transport, connection, "rtmp", Remote(ADDRESS, f"{ADDRESS}:9"))
    for _ in range(3):  # the pieces of what came before the connection was lost
        dialogue.feed(TLS_HELLO)
    assert registry.get_sample_value("edge_protocol_errors_total", {"protocol": "rtmp"}) == 1
