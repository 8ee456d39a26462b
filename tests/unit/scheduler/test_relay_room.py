"""How many relays there may be."""

from __future__ import annotations

import logging

import pytest
from support.rulings import CAM, NODES, directory, group, held

from lalmesh.names import StreamKey
from lalmesh.runtime.registry import Changed, KeyValue
from lalmesh.runtime.relay_rules import RelayRule, parse_relay_rule
from lalmesh.runtime.scheduling import NOT_ASKED, Wanted
from lalmesh.runtime.scheduling.control import MAX_RELAY_JOBS
from services.scheduler import relay_demand
from services.scheduler.directory import Directory
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.records import claim_key
from services.scheduler.relay_demand import RelayDemand
from services.scheduler.relay_plan import RelayPlan, RelayWrite, Unfollowed
from services.scheduler.relay_records import serialize_relay
from services.scheduler.relay_refusals import RelayRefusals
from services.scheduler.relay_room import COUNTED_US, MAX_WAITING, RelaysFullError

PULL = parse_relay_rule("live/* rtmp://a/{app}/{name}", is_push=False)
PUSH = parse_relay_rule("live/cam rtmp://c/{app}/{name}", is_push=True)


def known(*rules: RelayRule, entries: tuple[KeyValue, ...] = ()) -> Directory:
    found: Directory = directory(*entries, nodes=NODES)
    found.relaying.configure([(f"rule{number}", rule) for number, rule in enumerate(rules)])
    return found


def fetch(found: Directory, plan: RelayPlan, count: int, wall_us: int = 0) -> None:
    for number in range(count):
        write = plan.on_demand(StreamKey.of("live", f"x{number}"), (), NOT_ASKED, wall_us)
        assert write is not None
        assert write.now is not None
        found.handle(Changed(KeyValue(write.now.key, serialize_relay(write.now), 100 + number, 100 + number)), 0.0)


def test_of_what_is_wanted_and_not_there_yet_so_much_is_fetched_at_a_time() -> None:
    found = known(PULL)
    plan = RelayPlan(found)
    fetch(found, plan, MAX_WAITING)
    with pytest.raises(RelaysFullError):
        plan.on_demand(CAM, (), NOT_ASKED, 0)
    with pytest.raises(RelaysFullError):
        RelayPlan(found).on_demand(CAM, (), NOT_ASKED, COUNTED_US)
    here = StreamKey.of("live", "x0")
    found.handle(Changed(KeyValue(claim_key(here), held().value, 9999, 9999)), 0.0)
    assert plan.on_demand(CAM, (), NOT_ASKED, COUNTED_US) is not None


def test_there_are_no_more_relays_than_an_edge_may_be_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scheduler.relay_room.MAX_RELAY_JOBS", 3)
    assert MAX_RELAY_JOBS > 3
    found = known(PULL, PUSH, entries=(held(), group()))
    plan = RelayPlan(found)
    fetch(found, plan, 3)
    [unfollowed] = [each for each in plan.look([CAM], 0.0, 0) if isinstance(each, Unfollowed)]
    assert isinstance(unfollowed.error, RelaysFullError)
    monkeypatch.undo()
    begun = [each.record for each in plan.look([CAM], 0.0, 0) if isinstance(each, RelayWrite) and each.before is None]
    assert [(record.stream, record.is_push) for record in begun] == [(CAM, True)]


def test_that_there_are_too_many_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    refusals = RelayRefusals(SchedulerMetrics())
    with caplog.at_level(logging.WARNING):
        for number in range(5):
            refusals.note(StreamKey.of("live", f"x{number}"), RelaysFullError("urls", "too many"))
    assert len(caplog.records) == 1


def test_what_is_wanted_over_the_bound_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_demand, "MAX_NOTED", 1)
    demand = RelayDemand(known(PULL))
    assert demand.note(Wanted(CAM), 0.0)
    assert not demand.note(Wanted(StreamKey.of("live", "x")), 0.0)
    assert demand.note(Wanted(CAM), 0.0)
