from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reporting import SOON_S
from support.turned_clock import Clock, RestoredRegistry

from lalmesh.errors import Unavailable
from lalmesh.runtime.config import ConfigError, LiveConfig, load
from lalmesh.runtime.registry import Compare, Operation, Put, TransactionResult
from lalmesh.runtime.scheduling import LiveSettings, NodeCommand
from lalmesh.runtime.scheduling.command_wire import parse_command, serialize_command
from services.scheduler import SchedulerService
from services.scheduler.cluster_records import TERM_KEY, parse_term, serialize_term
from services.scheduler.live_settings import KEY, MAX_RECORD_BYTES, SettingsConflictError, SettingsPart, SettingsTooLargeError
from services.scheduler.members import Session
from services.scheduler.registry import MemoryRegistry
from services.scheduler.terms import Terms

GOP = "edge.play.gop_num"


class FakeTerms:
    """A term that is in the registry once somebody needs it."""

    def __init__(self, registry: MemoryRegistry, term: int) -> None:
        self._registry = registry
        self.term = term

    async def keep_up(self) -> None:
        found, _ = await self._registry.get(TERM_KEY)
        if found is None or parse_term(found).term != self.term:
            await self._registry.transact([], [Put(TERM_KEY, serialize_term(self.term))])

    async def transact(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> TransactionResult:
        return await self._registry.transact(compares, operations)


class Member:
    """A node that has joined."""

    def __init__(self) -> None:
        self.told: list[NodeCommand] = []

    def send(self, command: NodeCommand) -> None:
        self.told.append(command)


@asynccontextmanager
async def replica(registry: MemoryRegistry, *members: Member, term: int = 1) -> AsyncIterator[SettingsPart]:
    part = SettingsPart(registry, cast(Terms, FakeTerms(registry, term)), cast(list[Session], list(members)))
    task = asyncio.create_task(part.run())
    await asyncio.sleep(0)
    try:
        yield part
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry(lambda: 0.0)


async def test_a_change_is_told_to_members_of_every_replica_and_to_who_joins(registry: MemoryRegistry) -> None:
    here, there, late = Member(), Member(), Member()
    async with replica(registry, here) as one, replica(registry, there) as other:
        made = (await one.change({GOP: 3})).settings
        await settle()
        other.joined(cast(Session, late))
        assert here.told[-1] == there.told[-1] == late.told[-1] == made == LiveSettings(made.revision, {GOP: 3}, 1)


async def test_changes_add_up_and_none_takes_one_back(registry: MemoryRegistry) -> None:
    async with replica(registry) as part:
        await part.change({GOP: 3, "edge.play.linger_s": 1.0})
        assert (await part.change({GOP: None})).settings.values == {"edge.play.linger_s": 1.0}
        before = part.current.revision
        cleared = (await part.clear()).settings
        assert cleared.values == {}
        assert cleared.revision > before  # nodes take no lower one


@pytest.mark.parametrize("values", [{"edge.rtmp.port": 1}, {"nothing": 1}, {GOP: "3"}, {GOP: -1}, {"notify.secret": "x"}])
async def test_what_cannot_be_set_changes_nothing(registry: MemoryRegistry, values: dict[str, object]) -> None:
    async with replica(registry) as part:
        with pytest.raises(ConfigError):
            await part.change({"edge.play.linger_s": 1.0, **values})
        assert part.current == LiveSettings()


async def test_after_the_registry_was_wiped_nodes_take_what_is_set_at_a_lower_revision(
    registry: MemoryRegistry,
) -> None:
    node = LiveConfig(load(None, [], {}))
    async with replica(registry) as part:
        for gop in range(9):
            before = (await part.change({GOP: gop})).settings
        node.tell(before.version, before.values)
    async with replica(MemoryRegistry(lambda: 0.0), term=2) as part:
        after = (await part.change({GOP: 3})).settings
        node.tell(after.version, after.values)
    assert after.revision < before.revision
    assert node.config.edge.play.gop_num == 3


@pytest.mark.parametrize("loss", ["wiped", "restored"])
async def test_what_is_set_next_is_newer_though_the_store_was_lost_under_a_scheduler(loss: str) -> None:
    clock = Clock()
    store = RestoredRegistry(clock)
    service = SchedulerService(store, [b"key"], clock=clock, wall_clock=lambda: 1_700_000_000, lease_s=10, silence_s=3600)
    await service.start()
    part = SettingsPart(store, service.view.terms, [])
    snapshot = store.snapshot()
    for gop in range(9):
        before = (await part.change({GOP: gop})).settings
    store.wipe() if loss == "wiped" else store.restore(snapshot)
    after = await _once_there_is_a_term(part, {GOP: 9})
    assert after.revision < before.revision
    assert after.version > before.version
    await service.stop()


async def _once_there_is_a_term(part: SettingsPart, values: dict[str, object]) -> LiveSettings:
    async with asyncio.timeout(SOON_S):
        while True:
            with contextlib.suppress(Unavailable):
                return (await part.change(values)).settings
            await settle()


async def test_what_is_set_is_checked_against_the_configuration_as_it_is_now(registry: MemoryRegistry) -> None:
    async with replica(registry) as part:
        loaded = load(None, ["hls.part_ms=2000", "hls.segment_ms=4000"], {})
        part.base = lambda: loaded
        with pytest.raises(ConfigError):
            await part.change({"hls.segment_ms": 3000})
        loaded = load(None, ["hls.part_ms=500", "hls.segment_ms=4000"], {})
        assert (await part.change({"hls.segment_ms": 3000})).settings.values == {"hls.segment_ms": 3000}


async def test_a_change_says_what_is_another_than_before(registry: MemoryRegistry) -> None:
    async with replica(registry) as part:
        part.base = lambda: load(None, [f"{GOP}=2"], {})
        for values, changed in (
            ({GOP: 3, "edge.play.linger_s": 3.0}, [f"{GOP}: 2 -> 3"]),  # the other is as it was
            ({GOP: None}, [f"{GOP}: 3 -> 2"]),
            ({GOP: 2}, []),
        ):
            assert [str(each) for each in (await part.change(values)).changed] == changed
        await part.change({"hls.segment_ms": 2500})
        assert [str(each) for each in (await part.clear()).changed] == ["hls.segment_ms: 2500 -> 3000"]


async def test_a_change_of_another_revision_is_refused(registry: MemoryRegistry) -> None:
    async with replica(registry) as part:
        first = (await part.change({GOP: 3})).settings
        await part.change({GOP: 4})
        with pytest.raises(SettingsConflictError):
            await part.change({GOP: 5}, first.revision)


async def test_settings_are_bounded(registry: MemoryRegistry) -> None:
    rule = "live/" + "x" * 1000 + " flv"
    async with replica(registry) as part:
        with pytest.raises(SettingsTooLargeError):
            await part.change({"hls.recording.rules": [rule] * (MAX_RECORD_BYTES // 1000)})


async def test_a_record_that_is_none_is_no_settings(registry: MemoryRegistry) -> None:
    await registry.transact([], [Put(KEY, b"[1]")])
    async with replica(registry) as part:
        await settle()
        assert part.current.values == {}


ZONES = "scheduler.routing.zones"
RECORDING = "hls.recording.rules"


def networks(count: int) -> list[str]:
    """Zones of so many networks."""
    made = [f"10.{number // 256}.{number % 256}.0/24" for number in range(count)]
    return ["west " + " ".join(made[start : start + 100]) for start in range(0, count, 100)]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (ZONES, networks(5000)),
        (
            RECORDING,
            [f"live/customer-{number:04d}-* flv+mp4 segment_s=3600 keep_s=604800 keep_bytes=500000000000" for number in range(800)],
        ),
        (RECORDING, ["live/" + "é" * 500 + " flv"] * 240),  # some 240 KiB
    ],
)
async def test_settings_as_long_as_they_may_be_reach_every_node(registry: MemoryRegistry, key: str, value: list[str]) -> None:
    async with replica(registry, member := Member()) as part:
        made = (await part.change({key: value})).settings
        assert [parse_command(serialize_command(each)) for each in member.told] == [*member.told]
        assert made.values == {key: value}


@given(
    values=st.dictionaries(
        st.sampled_from([GOP, "edge.play.linger_s", "notify.server_id", ZONES, RECORDING, "auth.rules", "edge.rtsp.udp_start"]),
        st.none()
        | st.integers()
        | st.floats()
        | st.text()
        | st.lists(st.text(max_size=30), max_size=3)
        | st.sampled_from([networks(200), ["live/é* flv"], "next", ["allow live/* none"]]),
        min_size=1,
    )
)
async def test_whatever_is_taken_nodes_can_read(values: dict[str, object]) -> None:
    async with replica(MemoryRegistry(lambda: 0.0), member := Member()) as part:
        with contextlib.suppress(ConfigError):
            await part.change(values)
        assert [parse_command(serialize_command(each)) for each in member.told] == [*member.told]
