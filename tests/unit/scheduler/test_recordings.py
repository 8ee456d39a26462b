"""Rules of recording, by the service over the registry in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from http import HTTPStatus

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from support.members import Member, eventually

from lalmesh.names import StreamKey
from lalmesh.runtime.recording import MAX_RULES, parse_rule
from lalmesh.runtime.registry import KeyValue, Listing
from lalmesh.runtime.scheduling import HlsAssigned, RecordingRules, Role
from services.scheduler import SchedulerService
from services.scheduler.api import Answer, Asked, ProblemError, problems
from services.scheduler.api._checking import check_body
from services.scheduler.api.recordings import RecordRuleBody, RecordRuleModel, asked_rule, operations
from services.scheduler.directory import Directory
from services.scheduler.recording_rules import RuleDirectory, RuleRecord, RulesChanged, parse_rule_record, rule_key, serialize_rule
from services.scheduler.records import DamagedRecordError
from services.scheduler.registry import MemoryRegistry

CAM = StreamKey.of("live", "cam[1]")
RULE = parse_rule("live/* flv+mp4 keep_s=60")
RECORD = RuleRecord(id="r1", rule=RULE, created_us=5, mod_revision=9)


def entry(record: RuleRecord) -> KeyValue:
    return KeyValue(rule_key(record.id), serialize_rule(record), record.mod_revision, record.mod_revision)


@pytest.fixture
async def registry() -> MemoryRegistry:
    return MemoryRegistry(asyncio.get_running_loop().time)


@pytest.fixture
async def service(registry: MemoryRegistry) -> AsyncIterator[SchedulerService]:
    service = SchedulerService(registry, [b"key"], recording=[parse_rule("vod/* ts")])
    await service.start()
    await service.ready()
    yield service
    await service.stop()


def test_a_rule_survives_its_key() -> None:
    assert parse_rule_record(entry(RECORD)) == RECORD
    with pytest.raises(DamagedRecordError):
        parse_rule_record(KeyValue(rule_key("r1"), b'{"pattern": "*"}', 1, 1))


def test_rules_of_the_configuration_come_first_and_stay() -> None:
    core = RuleDirectory([parse_rule("* ts")])
    later = replace(RECORD, id="r0", created_us=6, mod_revision=10)
    assert core.write(entry(later), listed=False)
    changed = core.write(entry(RECORD), listed=False)
    assert changed == [RulesChanged((parse_rule("* ts"), RULE, RULE))]
    assert core.records() == [RECORD, later]
    assert core.write(entry(RECORD), listed=True) == []
    assert core.remove(rule_key("r1"), 11) == [RulesChanged((parse_rule("* ts"), RULE))]
    assert core.remove(rule_key("r0"), 9) == []
    assert core.replace([]) == [RulesChanged((parse_rule("* ts"),))]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "formats"),
        ({"formats": ["flv"]}, ""),
        ({"stream": "live/a", "pattern": "*", "formats": ["flv"]}, ""),
        ({"stream": 1, "formats": ["flv"]}, "stream"),
        ({"stream": "a", "formats": ["flv"]}, "stream"),
        ({"pattern": ["*"], "formats": ["flv"]}, "pattern"),
        ({"pattern": "a\n", "formats": ["flv"]}, "pattern"),
        ({"pattern": "*", "formats": "flv"}, "formats"),
        ({"pattern": "*", "formats": [1]}, "formats.0"),
        ({"pattern": "*", "formats": []}, "formats"),
        ({"pattern": "*", "formats": ["flv"], "keep_s": True}, "keep_s"),
        ({"pattern": "*", "formats": ["flv"], "keep_s": "60"}, "keep_s"),
        ({"pattern": "*", "formats": ["flv"], "keep": "1"}, "keep"),
    ],
)
def test_what_asks_for_no_rule_is_refused_and_the_field_named(body: dict[str, object], field: str) -> None:
    with pytest.raises(ProblemError) as caught:
        asked_rule(check_body(RecordRuleBody, json.dumps(body).encode()))
    assert (caught.value.status, caught.value.field) == (400, field)


async def test_hls_nodes_are_told_the_rules_when_they_join_and_when_they_change(service: SchedulerService) -> None:
    async with Member("h1", Role.HLS, service) as node, Member("o1", Role.ORIGIN, service) as other:
        assert await node.told(RecordingRules) == RecordingRules((parse_rule("vod/* ts"),))
        record = await service.recordings.add(RULE, CAM)
        assert record.rule.matches(CAM)
        assert not record.rule.matches(StreamKey.of("live", "cam1"))
        await eventually(lambda: RecordingRules((parse_rule("vod/* ts"), record.rule)) in node.commands)
        assert await service.recordings.remove(record.id)
        await eventually(lambda: node.commands.count(RecordingRules((parse_rule("vod/* ts"),))) == 2)
        assert not await service.recordings.remove(record.id)
        assert not any(isinstance(command, RecordingRules) for command in other.commands)


async def test_a_stream_that_is_recorded_has_a_worker_from_its_claim_on(service: SchedulerService) -> None:
    origin, publisher = Member("o1", Role.ORIGIN, service), Member("e1", Role.EDGE, service)
    async with Member("h1", Role.HLS, service) as node, origin, publisher:
        await publisher.granted(StreamKey.of("live", "a"))
        await publisher.granted(StreamKey.of("vod", "b"))
        assigned = await node.told(HlsAssigned)
        assert isinstance(assigned, HlsAssigned)
        assert assigned.owner.stream == StreamKey.of("vod", "b")
        await service.recordings.add(RULE)
        await eventually(lambda: sum(isinstance(command, HlsAssigned) for command in node.commands) == 2)


async def test_a_rule_is_shown_where_its_location_says(service: SchedulerService) -> None:
    record = await service.recordings.add(RULE)
    show = next(row.handler for row in operations(service.recordings) if (row.method, row.parts is None) == ("GET", False))
    for rule_id, pattern in ((record.id, "live/*"), ("config-0", "vod/*")):
        answer = await show(Asked(request=make_mocked_request("GET", "/"), path={"id": rule_id}))
        assert isinstance(answer, Answer)
        assert isinstance(answer.body, RecordRuleModel)
        assert (answer.body.id, answer.body.pattern) == (rule_id, pattern)
    for rule_id in ("config-1", "none"):
        with pytest.raises(ProblemError) as caught:
            await show(Asked(request=make_mocked_request("GET", "/"), path={"id": rule_id}))
        assert caught.value.status == 404


async def test_who_may_not_change_something_is_told_how_to_ask() -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        raise ProblemError(HTTPStatus.UNAUTHORIZED, "a bearer token is needed", field="keep_s", retry_after_s=1.5)

    answer = await problems(make_mocked_request("GET", "/"), refuse)
    assert (answer.status, answer.headers["WWW-Authenticate"], answer.headers["Retry-After"]) == (401, "Bearer", "2")
    assert isinstance(answer, web.Response)
    assert json.loads(answer.text or "")["field"] == "keep_s"


def test_rules_over_the_limit_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    core = RuleDirectory([parse_rule("* ts")] * MAX_RULES)
    [changed] = core.write(entry(RECORD), listed=False)
    assert len(changed.rules) == MAX_RULES
    assert "not followed" in caplog.text


async def test_rules_outlive_the_scheduler(registry: MemoryRegistry, service: SchedulerService) -> None:
    record = await service.recordings.add(RULE)
    again = SchedulerService(registry, [b"key"])
    await again.start()
    await again.ready()
    assert [found.id for found in again.recordings.known.records()] == [record.id]
    await again.stop()


def test_a_listing_tells_all_rules_at_once() -> None:
    core = Directory(rejoin_s=1, recording=[parse_rule("* ts")])
    later = replace(RECORD, id="r2", rule=parse_rule("* mp4"))
    listing = Listing((entry(RECORD), entry(later)), 20)
    assert core.handle(listing, 0) == [RulesChanged((parse_rule("* ts"), RULE, parse_rule("* mp4")))]
    assert core.handle(listing, 0) == []
    assert core.handle(Listing((), 21), 0) == [RulesChanged((parse_rule("* ts"),))]
    assert Directory(rejoin_s=1).handle(Listing((), 1), 0) == [RulesChanged(())]


async def test_a_rule_that_was_removed_is_not_known_any_more_at_once(service: SchedulerService) -> None:
    record = await service.recordings.add(RULE)
    assert [known.id for known in service.recordings.known.records()] == [record.id]
    assert await service.recordings.remove(record.id)
    assert service.recordings.known.records() == []
    assert not await service.recordings.remove(record.id)
