from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

from prometheus_client import CollectorRegistry

from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.event_outbox import EventOutbox
from lalmesh.runtime.events import Event, size_bytes
from lalmesh.runtime.ownership import NodeId
from services.standalone.announcing import OutboxCollector


async def _nobody(events: Sequence[Event]) -> None:
    raise AssertionError("nothing is told here")


async def test_each_role_says_what_waits_and_what_was_dropped() -> None:
    outbox = EventOutbox(NodeId("edge-1", b"\1" * 8), _nobody, limit_bytes=1200)
    registry = CollectorRegistry()
    registry.register(OutboxCollector(lambda: (("edge", SimpleNamespace(events=SimpleNamespace(outbox=outbox))), ("hls", None))))
    for _ in range(5):
        outbox.add(EventKind.PUB_START, facts={"url": "x" * 600})

    def value(name: str, role: str = "edge") -> float | None:
        return registry.get_sample_value(name, {"role": role})

    assert (value("lalmesh_events_waiting"), value("lalmesh_events_dropped_total")) == (2.0, 4.0)
    assert 900 < (value("lalmesh_events_waiting_bytes") or 0) <= 1200
    assert value("lalmesh_events_waiting", "hls") is None


def test_the_size_of_an_event_is_about_that_of_its_json() -> None:
    facts = {"url": "rtmp://a/b" * 20, "query": "é" * 100, "count": 7, "is": True, "groups": [{"name": "x" * 50}] * 10}
    event = Event(id="1-1", kind="pub_start", at_us=1, node="edge-1", facts=facts)
    assert 200 + 200 + 200 + 620 < size_bytes(event) < 1600
