"""Relays at replicas of the scheduler: edges are told what to run, whoever of the cluster goes away."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.reporting import SOON_S, Node, settle
from support.turned_clock import Clock, FlakyRegistry
from support.virtual_time import in_virtual_time

from lalmesh.errors import StreamExists, StreamNotFound, Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.registry import Compare, Operation, Put, Registry, RegistryUnavailable, TransactionResult
from lalmesh.runtime.relay_rules import parse_relay_rule
from lalmesh.runtime.scheduling import Claim, HeldStream, HlsWanted, NodeCommand, NodeReport, Refusal, Refused, Role, Wanted
from lalmesh.runtime.scheduling.control import RelayJob, RelayJobs, RelayState, RelayStatus
from services.scheduler import SchedulerService
from services.scheduler.relay_demand import Wants
from services.scheduler.relay_notes import RelayNotes
from services.scheduler.relay_records import PUSHES, STATES, RelayStateRecord, serialize_state, state_key
from services.scheduler.relays import MadeByRuleError, RelayingSettings, Relays, build_relays

CAM = StreamKey.of("live", "cam")
URL = "rtmp://source.example/live/cam"
RULE = parse_relay_rule("live/* rtmp://source.example/{app}/{name} stop_after_s=5", is_push=False)
PUSH = parse_relay_rule("live/* rtmp://target.example/{app}/{name}", is_push=True)
WAIT_S = 3.0


def address(name: str) -> NodeAddress:
    return NodeAddress(NodeId(name, name.encode().ljust(8, b".")), f"{name}:1")


class World:
    """Replicas over one registry, each with its nodes."""

    def __init__(self) -> None:
        self.registry = FlakyRegistry(Clock())
        self.heard: dict[str, list[NodeCommand]] = {}
        self.edges: dict[str, Node] = {}

    async def replica(self, *rules: object, name: str = "") -> tuple[SchedulerService, Relays]:
        clock = asyncio.get_running_loop().time
        service = SchedulerService(self.registry, [b"key"], name=name, clock=clock, wall_clock=lambda: 7)
        relays = build_relays(self.registry, service, name, RelayingSettings(rules=rules))  # type: ignore[arg-type]
        await service.start()
        await settle()
        return service, relays

    async def edge(self, service: SchedulerService, name: str) -> Node:
        node = self.edges[name] = Node(service, address(name), Role.EDGE)
        self.heard[name] = []
        await self.report(name)
        return node

    async def report(self, name: str, **more: object) -> None:
        node = self.edges[name]
        node._reports.put_nowait(replace(NodeReport(node=node.address, role=Role.EDGE), **more))  # type: ignore[arg-type]
        await settle()

    async def listen(self, name: str) -> None:
        """Keep what an edge hears, without end, and report each second."""
        async for command in self.edges[name].commands:
            self.heard[name].append(command)

    def jobs(self, name: str) -> tuple[RelayJob, ...] | None:
        told = [command for command in self.heard[name] if isinstance(command, RelayJobs)]
        return told[-1].jobs if told else None


class FarRegistry:
    """Each transaction takes 10 ms."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def transact(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> TransactionResult:
        await asyncio.sleep(0.01)
        return await self._registry.transact(compares, operations)


class ChangingLeader(FlakyRegistry):
    """Does not take the first writes that begin a push: etcd has another leader, a moment later."""

    def __init__(self, refused: int) -> None:
        super().__init__(Clock())
        self.refused = refused

    async def transact(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> TransactionResult:
        if self.refused and any(isinstance(each, Put) and each.key.startswith(PUSHES) for each in operations):
            self.refused -= 1
            raise RegistryUnavailable("etcdserver: leader changed", retry_after_s=1)
        return await super().transact(compares, operations)


class Running:
    """A world in which edges report by themselves."""

    def __init__(self) -> None:
        self.world = World()
        self.streams: dict[str, tuple[HeldStream, ...]] = {}
        self.statuses: dict[str, tuple[RelayStatus, ...]] = {}
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}

    async def edge(self, service: SchedulerService, name: str) -> None:
        await self.world.edge(service, name)
        self._tasks[name] = [asyncio.create_task(self.world.listen(name)), asyncio.create_task(self._report(name))]
        await settle()

    async def _report(self, name: str) -> None:
        while True:
            await asyncio.sleep(0.5)
            await self.world.report(name, streams=self.streams.get(name, ()), relays=self.statuses.get(name, ()))

    async def lose(self, name: str) -> None:
        for task in self._tasks.pop(name):
            task.cancel()
        await asyncio.sleep(0)

    async def end(self, *services: SchedulerService) -> None:
        for name in list(self._tasks):
            await self.lose(name)
        for service in services:
            await service.stop()


def played(players: int) -> HeldStream:
    return HeldStream(stream=CAM, players=players)


async def wanted(service: SchedulerService, *, at_once: bool = False) -> Refusal:
    [answer] = await service.locate([Wanted(CAM, at_once=at_once)], WAIT_S)
    assert isinstance(answer, Refused)
    return answer.refusal


@in_virtual_time
async def test_an_edge_is_told_to_fetch_what_somebody_waits_for_and_to_stop_when_nobody_has_watched() -> None:
    running = Running()
    service, relays = await running.world.replica(RULE)
    await running.edge(service, "e1")
    assert running.world.jobs("e1") in (None, ())
    assert await wanted(service) is Refusal.NOT_FOUND
    jobs = running.world.jobs("e1")
    assert jobs is not None
    assert [(job.stream, job.urls, job.is_push) for job in jobs] == [(CAM, (URL,), False)]
    running.streams["e1"] = (played(1),)
    await asyncio.sleep(60.0)
    assert running.world.jobs("e1") == jobs
    running.streams["e1"] = (played(0),)
    await asyncio.sleep(5.0)
    assert running.world.jobs("e1") == jobs
    await asyncio.sleep(6.0)
    assert running.world.jobs("e1") == ()
    assert relays.shown() == []
    await running.end(service)


@in_virtual_time
async def test_who_would_not_wait_waits_for_a_relay() -> None:
    running = Running()
    service, _ = await running.world.replica(RULE)
    await running.edge(service, "e1")
    began = asyncio.get_running_loop().time()
    await wanted(service, at_once=True)
    assert asyncio.get_running_loop().time() - began >= WAIT_S - 0.1
    await running.end(service)


@in_virtual_time
async def test_hls_of_what_is_nowhere_is_to_be_asked_for_again_while_it_is_fetched() -> None:
    running = Running()
    service, _ = await running.world.replica(RULE)
    await running.edge(service, "e1")
    [answer] = await service.locate_hls(address("h1"), [HlsWanted(CAM)], WAIT_S)
    assert isinstance(answer, Refused)
    assert (answer.refusal, answer.retry_after_s > 0) == (Refusal.UNAVAILABLE, True)
    assert len(running.world.jobs("e1") or ()) == 1
    other = StreamKey.of("vod", "x")
    [answer] = await service.locate_hls(address("h1"), [HlsWanted(other)], WAIT_S)
    assert isinstance(answer, Refused)
    assert answer.refusal is Refusal.NOT_FOUND
    await running.end(service)


@in_virtual_time
async def test_another_edge_goes_on_where_one_dies() -> None:
    running = Running()
    service, _ = await running.world.replica(RULE)
    for name in ("e1", "e2"):
        await running.edge(service, name)
    await wanted(service)
    [first] = [name for name in ("e1", "e2") if running.world.jobs(name)]
    [other] = {"e1", "e2"} - {first}
    running.streams[other] = (played(1),)
    await running.lose(first)
    await asyncio.sleep(15.0)
    assert len(running.world.jobs(other) or ()) == 1
    assert (running.world.jobs(other) or ())[0].id == (running.world.jobs(first) or ())[0].id
    await running.end(service)


@in_virtual_time
async def test_replicas_agree_and_who_watches_at_any_of_them_counts() -> None:
    running = Running()
    replicas = [await running.world.replica(RULE, name=name) for name in ("s1", "s2")]
    await asyncio.sleep(15.0)  # they stand
    for (service, _), name in zip(replicas, ("e1", "e2"), strict=True):
        await running.edge(service, name)
    await asyncio.gather(*(wanted(service) for service, _ in replicas))
    told = [name for name in ("e1", "e2") if running.world.jobs(name)]
    assert len(told) == 1
    [watching] = {"e1", "e2"} - set(told)
    running.streams[watching] = (played(1),)
    await asyncio.sleep(30.0)
    assert running.world.jobs(told[0])
    assert [len(relays.shown()) for _, relays in replicas] == [1, 1]
    running.streams[watching] = ()
    await asyncio.sleep(15.0)
    assert [relays.shown() for _, relays in replicas] == [[], []]
    await running.end(*(service for service, _ in replicas))


@in_virtual_time
async def test_every_replica_shows_how_far_a_relay_is() -> None:
    running = Running()
    replicas = [await running.world.replica(RULE, name=name) for name in ("s1", "s2")]
    await asyncio.sleep(15.0)
    await running.edge(replicas[0][0], "e1")
    await wanted(replicas[1][0])
    [job] = running.world.jobs("e1") or ()
    running.streams["e1"] = (played(1),)
    status = RelayStatus(id=job.id, state=RelayState.PAUSED, attempts=3, error="refused", since_us=5)
    running.statuses["e1"] = (status,)
    await asyncio.sleep(3.0)
    for _, relays in replicas:
        [shown] = relays.shown()
        assert shown.status is not None
        assert (shown.state, shown.status.error) == ("paused", "refused")
    await running.end(*(service for service, _ in replicas))


@in_virtual_time
async def test_what_a_replica_that_has_gone_wrote_of_a_relay_that_is_over_is_removed_by_another() -> None:
    running = Running()
    replicas = [await running.world.replica(RULE, name=name) for name in ("s1", "s2")]
    await asyncio.sleep(15.0)
    await running.edge(replicas[0][0], "e1")
    await wanted(replicas[0][0])
    [job] = running.world.jobs("e1") or ()
    running.streams["e1"] = (played(1),)
    running.statuses["e1"] = (RelayStatus(id=job.id, state=RelayState.PAUSED, attempts=3, error="refused", since_us=5),)
    left = Put(state_key("over"), serialize_state(RelayStateRecord(id="over", state=RelayState.RUNNING)))
    await running.world.registry.transact([], [left])
    await asyncio.sleep(3.0)
    assert [entry.key for entry in (await running.world.registry.list(STATES)).entries] == [state_key(job.id)]
    running.streams["e1"] = running.statuses["e1"] = ()
    await asyncio.sleep(15.0)
    assert (await running.world.registry.list(STATES)).entries == ()
    await running.end(*(service for service, _ in replicas))


@in_virtual_time
async def test_what_edges_heard_that_have_left_is_not_kept() -> None:
    running = Running()
    service, relays = await running.world.replica(RULE)
    for number in range(5):
        name = f"e{number}"  # each start of an edge may have a name of its own
        await running.edge(service, name)
        await asyncio.sleep(2.0)
        assert running.world.jobs(name) == ()
        await running.lose(name)
        await asyncio.sleep(10.0)
    gc.collect()
    assert len(relays._relaying._told) <= 1
    await running.end(service)


@in_virtual_time
async def test_an_edge_that_comes_back_hears_the_same_and_one_that_has_nothing_to_do_hears_that() -> None:
    running = Running()
    service, _ = await running.world.replica(RULE)
    await running.edge(service, "e1")
    await wanted(service)
    jobs = running.world.jobs("e1")
    running.streams["e1"] = (played(1),)
    await running.lose("e1")
    await running.edge(service, "e1")
    await asyncio.sleep(1.0)
    assert running.world.jobs("e1") == jobs
    await running.edge(service, "e2")
    await asyncio.sleep(1.0)
    assert running.world.jobs("e2") == ()
    await running.end(service)


@in_virtual_time
async def test_while_the_registry_is_away_nobody_is_told_anything_else() -> None:
    running = Running()
    service, _ = await running.world.replica(RULE)
    await running.edge(service, "e1")
    await wanted(service)
    jobs = running.world.jobs("e1")
    running.world.registry.is_down = True
    await asyncio.sleep(1.5)  # less than an edge is kept without being renewed
    assert running.world.jobs("e1") == jobs
    running.world.registry.is_down = False
    await asyncio.sleep(15.0)
    assert running.world.jobs("e1") == ()  # nobody watches
    await running.end(service)


@in_virtual_time
async def test_many_that_nobody_wants_any_more_do_not_wait_for_each_other_at_a_registry_that_is_far() -> None:
    world = World()
    service, _ = await world.replica(RULE)
    far = FarRegistry(world.registry)
    notes = RelayNotes(far, service.view, service.presence, "")  # type: ignore[arg-type]
    wants: Wants = {StreamKey.of("live", f"s{number}"): () for number in range(1000)}
    for each in (wants, {}):
        began = asyncio.get_running_loop().time()
        await notes.write(each)
        assert asyncio.get_running_loop().time() - began < 0.5
        assert len(service.directory.relaying.wanted_at("-")) == len(each)
    await service.stop()


@in_virtual_time
async def test_that_the_registry_is_away_is_said_once_however_much_is_to_be_written(caplog: pytest.LogCaptureFixture) -> None:
    running = Running()
    service, _ = await running.world.replica(RULE)
    await running.edge(service, "e1")
    running.world.registry.is_down = True
    streams = [HeldStream(stream=StreamKey.of("live", f"s{number}"), players=1) for number in range(3)]
    running.streams["e1"] = tuple(streams)
    await asyncio.sleep(5.0)
    said = [record for record in caplog.records if record.name.endswith("relaying") and record.levelname != "DEBUG"]
    assert [record.levelname for record in said] == ["WARNING"]
    running.world.registry.is_down = False
    await running.end(service)


@in_virtual_time
async def test_a_rule_that_cannot_be_followed_is_said_once_and_again_when_rules_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    running = Running()
    long = parse_relay_rule(f"live/a-long-name rtmp://a/{'x' * 4080}{{name}} start=always", is_push=False)
    service, relays = await running.world.replica(long)
    await running.edge(service, "e1")
    await asyncio.sleep(10.0)
    assert [record.getMessage().split(":")[0] for record in caplog.records if "relayed" in record.getMessage()] == [
        "live/a-long-name cannot be relayed"
    ]
    await relays.add_rule(RULE)
    await asyncio.sleep(2.0)
    assert len([record for record in caplog.records if "relayed" in record.getMessage()]) == 2
    await running.end(service)


@in_virtual_time
async def test_what_is_published_is_sent_on() -> None:
    running = Running()
    service, _ = await running.world.replica(PUSH)
    await running.edge(service, "e1")
    origin = Node(service, address("o1"), Role.ORIGIN)
    await origin.report()
    claim = Claim(stream=CAM, publication=b"p" * 16)
    assert not isinstance((await service.claim(address("e1"), [claim], SOON_S))[0], Refused)
    await asyncio.sleep(1.0)
    [job] = running.world.jobs("e1") or ()
    assert (job.is_push, job.urls) == (True, ("rtmp://target.example/live/cam",))
    await running.end(service)


async def publish(running: Running, service: SchedulerService, *streams: StreamKey) -> None:
    """Have `streams` published at e1, an origin being there for it."""
    origin = Node(service, address("o1"), Role.ORIGIN)
    await origin.report()
    claims = [Claim(stream=stream, publication=b"p" * 16) for stream in streams]
    assert not any(isinstance(answer, Refused) for answer in await service.claim(address("e1"), claims, SOON_S))


@pytest.mark.parametrize("refused", [1, 3])
@in_virtual_time
async def test_what_is_published_is_sent_on_though_the_registry_fails_as_it_begins(refused: int) -> None:
    running = Running()
    running.world.registry = ChangingLeader(refused)
    service, _ = await running.world.replica(PUSH)
    await running.edge(service, "e1")
    streams = [StreamKey.of("live", f"cam{number}") for number in range(40)]  # where one fails others are not tried
    await publish(running, service, *streams)
    await asyncio.sleep(1.0 + 2 * refused)
    assert running.world.registry.refused == 0
    assert sorted(job.stream for job in running.world.jobs("e1") or ()) == sorted(streams)
    await running.end(service)


@in_virtual_time
async def test_where_nothing_is_relayed_any_more_streams_that_come_and_go_are_not_kept() -> None:
    running = Running()
    service, relays = await running.world.replica()
    await running.edge(service, "e1")
    await relays.start_pull(StreamKey.of("live", "other"), [URL])
    await asyncio.sleep(2.0)
    await relays.stop_pull(StreamKey.of("live", "other"))
    await publish(running, service, CAM)
    await asyncio.sleep(2.0)
    assert relays._relaying._begun is None
    await relays.add_rule(PUSH)  # and are not forgotten
    await asyncio.sleep(2.0)
    assert [job.stream for job in running.world.jobs("e1") or ()] == [CAM]
    await running.end(service)


@in_virtual_time
async def test_a_pull_that_was_asked_for_goes_on_is_replaced_and_stopped() -> None:
    running = Running()
    service, relays = await running.world.replica()
    await running.edge(service, "e1")
    first = await relays.start_pull(CAM, [URL])
    await asyncio.sleep(60.0)
    assert [job.id for job in running.world.jobs("e1") or ()] == [first.id]
    second = await relays.start_pull(CAM, ["rtsp://camera.example/1"], stop_after_s=0)
    await asyncio.sleep(0.5)
    assert [(job.id, job.urls) for job in running.world.jobs("e1") or ()] == [(second.id, ("rtsp://camera.example/1",))]
    await asyncio.sleep(5.0)
    assert running.world.jobs("e1") == ()  # nobody watched
    with pytest.raises(StreamNotFound):
        await relays.stop_pull(CAM)
    await relays.start_pull(CAM, [URL])
    assert (await relays.stop_pull(CAM)).record.urls == (URL,)
    await asyncio.sleep(0.5)
    assert running.world.jobs("e1") == ()
    await running.end(service)


@in_virtual_time
async def test_rules_come_and_go_by_api_and_what_is_by_one_is_not_stopped_alone() -> None:
    running = Running()
    service, relays = await running.world.replica()
    await running.edge(service, "e1")
    assert await wanted(service) is Refusal.NOT_FOUND
    assert not running.world.jobs("e1")
    record = await relays.add_rule(RULE)
    await wanted(service)
    assert len(running.world.jobs("e1") or ()) == 1
    running.streams["e1"] = (played(1),)
    with pytest.raises(MadeByRuleError):
        await relays.stop_pull(CAM)
    with pytest.raises(StreamExists):
        await relays.start_pull(CAM, [URL])
    assert await relays.remove_rule(record.id)
    assert not await relays.remove_rule(record.id)
    await asyncio.sleep(2.0)
    assert running.world.jobs("e1") == ()
    await running.end(service)


@in_virtual_time
async def test_of_what_is_over_before_its_edge_is_told_the_edge_has_not_heard_at_that_replica_alone() -> None:
    running = Running()
    service, relays = await running.world.replica(name="one")
    other, others = await running.world.replica(name="two")
    await running.edge(service, "e1")
    await relays.start_pull(CAM, [URL])
    ended = (await relays.stop_pull(CAM)).record
    assert ended.edge is not None
    assert ended.waits_for == ""
    assert relays.is_unheard(ended)
    assert not others.is_unheard(ended)  # the edge has not joined it
    assert not running.world.jobs("e1")
    heard = await relays.start_pull(CAM, [URL])
    await asyncio.sleep(0.5)
    assert [job.id for job in running.world.jobs("e1") or ()] == [heard.id]
    assert not relays.is_unheard((await relays.stop_pull(CAM)).record)
    await running.end(service, other)


@in_virtual_time
async def test_without_the_registry_nothing_is_promised() -> None:
    running = Running()
    service, relays = await running.world.replica()
    running.world.registry.is_down = True
    with pytest.raises(Unavailable):
        await relays.start_pull(CAM, [URL])
    await running.end(service)
