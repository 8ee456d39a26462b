"""Events as the log keeps them, which replicas of another version read."""

from __future__ import annotations

import json

from lalmesh.names import StreamKey
from lalmesh.runtime.event_log import DeadLetter
from lalmesh.runtime.events import Event
from lalmesh.runtime.telemetry import TraceContext
from services.scheduler.events._told import parse, parse_letter, serialize, serialize_letter

TRACE = TraceContext.parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
KNOWN_BEFORE = {"id", "kind", "at_us", "node", "stream", "facts"}


def event(trace: TraceContext | None) -> Event:
    return Event(id="e", kind="pub_start", at_us=5, node="e1", stream=StreamKey("live", "cam"), facts={"role": "x"}, trace=trace)


def test_without_traces_an_event_has_nothing_that_replicas_of_before_do_not_know() -> None:
    letter = DeadLetter(id="1", receiver="one", at_us=6, attempts=2, error="none", event=event(None))
    assert json.loads(serialize(event(None))).keys() == KNOWN_BEFORE, "they read no event in which there is more"
    assert json.loads(serialize_letter(letter))["event"].keys() == KNOWN_BEFORE
    assert parse(serialize(event(None))) == event(None)
    assert parse_letter("1", serialize_letter(letter)) == letter


def test_an_event_keeps_its_trace() -> None:
    assert TRACE is not None
    assert json.loads(serialize(event(TRACE)))["traceparent"] == str(TRACE)
    assert parse(serialize(event(TRACE))) == event(TRACE)
