"""A worker killed at the worst moments: what is listed stays, and is there, whatever had been stored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from support.edge_fakes import FakeSubscription
from support.hls_fakes import SETTINGS, HlsNode, SlowStorage, owner, run, second
from support.virtual_time import in_virtual_time, settle

from lalmesh.protocol.hls import PlaylistName, ReloadRequest, parse_file_name
from services.hls.hosting import Ending
from services.hls.listing import HELD_TARGETS
from services.hls.storing import PREDECESSOR_WAIT_S, STATE_WAIT_S
from services.hls.worker import Worker

TS, LIVE = PlaylistName.PLAYLIST, PlaylistName.LIVE
TARGET_S = 2
PMT_PID = 0x1000  #: see `lalmesh.container.mpegts`


def feed(origin: FakeSubscription, seconds: Iterable[int]) -> None:
    for number in seconds:
        origin.events.receive(run(second(number)))


def started(node: HlsNode, revision: int = 1, *, limit: int = 100) -> Worker:
    worker = node.workers.assigned(owner(revision, limit=limit))
    assert worker is not None
    return worker


async def begun(storage: SlowStorage, *names: PlaylistName) -> tuple[Worker, FakeSubscription]:
    """A worker with segments 100 and 101 stored, and 102 open for a second."""
    node = HlsNode(storage)
    worker = started(node)
    asked = [asyncio.create_task(worker.playing.playlist(name, ReloadRequest(), "", "")) for name in names or (TS, LIVE)]
    origin = await node.origin()
    feed(origin, range(5))
    assert {answer.status for answer in await asyncio.gather(*asked)} == {200}
    await settle()
    return worker, origin


async def succeeding(storage: SlowStorage, seconds: Iterable[int], *, limit: int = 103) -> Worker:
    """The next worker, with what the origin has kept."""
    node = HlsNode(storage)
    worker = started(node, 2, limit=limit)
    feed(await node.origin(), seconds)
    await settle()
    return worker


async def listed(worker: Worker, name: PlaylistName = TS) -> list[str]:
    answer = await worker.playing.playlist(name, ReloadRequest(), "", "")
    assert answer.status == 200, answer.body
    return [line for line in answer.body.decode().splitlines() if line and not line.startswith("#")]


async def body(worker: Worker, name: str) -> bytes | None:
    answer = await worker.playing.file(parse_file_name(name))
    return answer.body if answer is not None else None


def without_tables(data: bytes | None) -> list[bytes]:
    """The packets but those of the PMT, whose version tells players that another muxer goes on."""
    assert data is not None
    every = [data[at : at + 188] for at in range(0, len(data), 188)]
    return [packet for packet in every if int.from_bytes(packet[1:3], "big") & 0x1FFF != PMT_PID]


@in_virtual_time
async def test_a_segment_is_listed_when_it_is_stored() -> None:
    storage = SlowStorage()
    worker, origin = await begun(storage)
    storage.hold("102.ts")
    feed(origin, [5, 6])
    await settle()
    assert (await listed(worker))[-1] == "1000.1-101.ts"
    storage.let_go("102.ts")
    await settle()
    assert (await listed(worker))[-1] == "1000.1-102.ts"


@in_virtual_time
async def test_a_segment_is_listed_half_a_target_duration_later_where_storage_hangs_and_the_next_ones_at_once() -> None:
    storage = SlowStorage()
    worker, origin = await begun(storage)
    storage.hold("102.ts")
    feed(origin, [5, 6])
    await asyncio.sleep(HELD_TARGETS * TARGET_S - 0.1)
    assert (await listed(worker))[-1] == "1000.1-101.ts"
    await asyncio.sleep(0.2)
    assert (await listed(worker))[-1] == "1000.1-102.ts"
    feed(origin, [7, 8])
    assert (await listed(worker))[-1] == "1000.1-103.ts"
    storage.let_go("102.ts")
    await settle()
    storage.hold("104.ts")
    feed(origin, [9, 10])
    assert (await listed(worker))[-1] == "1000.1-103.ts", "storage is well again"


@in_virtual_time
async def test_parts_wait_for_nothing_and_the_first_of_a_segment_is_hinted_at_while_the_one_before_is_stored() -> None:
    storage = SlowStorage()
    worker, origin = await begun(storage, LIVE)
    storage.hold("102.m4s")
    feed(origin, [5])
    origin.events.receive(run(second(6)[:1]))
    await settle()
    answer = await worker.playing.playlist(LIVE, ReloadRequest(102, 4), "", "")
    text = answer.body.decode()
    assert "1000.1-102.4.m4s" in text
    assert "\n1000.1-102.m4s" not in text
    assert text.endswith('#EXT-X-PRELOAD-HINT:TYPE=PART,URI="1000.1-103.0.m4s"\n')
    origin.events.receive(run(second(6)[1:]))
    answer = await worker.playing.playlist(LIVE, ReloadRequest(103, 0), "", "")
    assert "\n1000.1-102.m4s" in answer.body.decode()


@in_virtual_time
async def test_where_nobody_asked_any_more_the_next_list_begins_anew_and_who_is_first_waits_for_what_is_live() -> None:
    storage = SlowStorage()
    worker, origin = await begun(storage)
    await asyncio.sleep((SETTINGS.idle_s or 0) + 2 * TARGET_S)
    assert worker.ending is Ending.IDLE
    node = HlsNode(storage)
    worker = started(node, 2, limit=103)
    asked = asyncio.create_task(listed(worker))
    origin = await node.origin()
    feed(origin, [65, 66])
    await settle()
    assert not asked.done()
    feed(origin, [67, 68, 69])
    assert await asked == ["1000.2-103.ts", "1000.2-104.ts"]


@in_virtual_time
async def test_killed_before_a_segment_is_stored_it_was_never_listed_and_its_number_is_written_again() -> None:
    storage = SlowStorage()
    worker, origin = await begun(storage)
    storage.hold("102.ts")
    feed(origin, [5, 6])
    await settle()
    assert "1000.1-102.ts" not in await listed(worker)
    await worker.close()
    storage.let_go("102.ts")
    assert await listed(await succeeding(storage, range(4, 7))) == ["1000.1-100.ts", "1000.1-101.ts", "1000.2-102.ts"]


@in_virtual_time
async def test_killed_when_a_segment_is_stored_and_not_listed_its_successor_lists_it() -> None:
    storage = SlowStorage()
    worker, origin = await begun(storage)
    storage.hold("/state/00000000000000001000.00000000000000000001")
    feed(origin, [5, 6])
    await settle()
    storage.hold("/owner")
    storage.let_go("/state/00000000000000001000.00000000000000000001")
    await settle()
    assert "1000.1-102.ts" not in await listed(worker)
    await worker.close()
    storage.let_go("/owner")
    assert await listed(await succeeding(storage, range(6, 9))) == [f"1000.1-{number}.ts" for number in (100, 101, 102)] + [
        "1000.2-103.ts"
    ]


@in_virtual_time
async def test_what_was_listed_unstored_is_answered_for_by_the_successor_with_the_same_media() -> None:
    storage = SlowStorage()
    worker, origin = await begun(storage)
    storage.hold("102.ts")
    feed(origin, range(5, 8))
    await asyncio.sleep(HELD_TARGETS * TARGET_S)
    names = ["1000.1-102.ts", "1000.1-102.m4s", "1000.1-102.1.m4s", "1000.1-103.0.m4s"]
    before = [await body(worker, name) for name in names]
    assert names[0] in await listed(worker)
    assert None not in before
    await worker.close()
    storage.let_go("102.ts")
    node = HlsNode(storage)
    after = started(node, 2, limit=103)
    asked = [asyncio.create_task(body(after, name)) for name in names]
    feed(await node.origin(), range(4, 8))
    found = await asyncio.gather(*asked)
    assert found[1:] == before[1:]
    assert without_tables(found[0]) == without_tables(before[0])
    assert await body(after, "1000.1-120.ts") is None
    assert await body(after, "1000.3-102.ts") is None


@in_virtual_time
async def test_after_a_hole_the_successor_does_not_answer_for_the_worker_before() -> None:
    storage = SlowStorage()
    worker, _ = await begun(storage)
    await worker.close()
    node = HlsNode(storage)
    after = started(node, 2, limit=103)
    (await node.origin()).events.receive(run(second(6), missing=2 * 75))
    await settle()
    assert await body(after, "1000.1-103.0.m4s") is None


@in_virtual_time
async def test_segments_of_the_past_that_a_new_playlist_lists_are_stored_at_once() -> None:
    storage = SlowStorage()
    worker, _ = await begun(storage, LIVE)
    assert await listed(worker) == ["1000.1-100.ts", "1000.1-101.ts"]
    await worker.close()
    assert storage.names(".ts") == ["1000.1-100.ts", "1000.1-101.ts"]
    after = await succeeding(storage, range(4, 7))
    assert await listed(after) == ["1000.1-100.ts", "1000.1-101.ts", "1000.2-102.ts"]
    assert "1000.1-101.m4s" in await listed(after, LIVE)


@in_virtual_time
async def test_the_marker_is_put_before_the_state_is_read() -> None:
    storage = SlowStorage()
    worker, origin = await begun(storage)
    storage.hold("/owner/00000000000000001000.00000000000000000002")
    node = HlsNode(storage)
    after = started(node, 2, limit=103)
    await settle()
    feed(origin, [5, 6])  # the worker before stores and lists on
    await settle()
    assert (await listed(worker))[-1] == "1000.1-102.ts"
    storage.let_go("/owner/00000000000000001000.00000000000000000002")
    feed(await node.origin(), range(6, 9))
    await settle()
    assert (await listed(after))[-2:] == ["1000.1-102.ts", "1000.2-103.ts"]


@in_virtual_time
async def test_a_state_of_another_version_says_that_there_are_numbers_and_not_which() -> None:
    storage = SlowStorage()
    worker, _ = await begun(storage)
    await worker.close()
    path = next(path for path in storage.objects if "/state/" in path)
    storage.objects[path] = storage.objects[path].replace(b'"version":1', b'"version":2')
    after = await succeeding(storage, range(4, 7))
    assert after.next_number > 100_000_000


@pytest.mark.parametrize("limit", [0, 100])
@in_virtual_time
async def test_a_worker_whose_storage_hangs_begins_without_it_above_all_numbers_that_may_be_used(limit: int) -> None:
    storage = SlowStorage()
    storage.hold("/owner")
    node = HlsNode(storage)
    worker = started(node, limit=limit)
    asked = asyncio.create_task(listed(worker))
    await asyncio.sleep((PREDECESSOR_WAIT_S if limit else STATE_WAIT_S) + 0.1)
    feed(await node.origin(), range(5))
    (first, second_) = await asked
    number = int(first.rpartition("-")[2].removesuffix(".ts"))
    assert number > 100_000_000, "the limit alone does not say how far a worker with storage has come"
    assert node.scheduler.limits[0].limit == number + 3
    assert second_ == f"1000.1-{number + 1}.ts"
    assert worker.waiting_segments == 2
    storage.let_go("/owner")
    await settle(50)
    assert worker.waiting_segments == 0
