"""A worker: what it makes, how it stores, how another goes on for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest
from support.edge_fakes import SECOND, FakeSubscription
from support.hls_fakes import OTHER, SETTINGS, STREAM, FakeStorage, HlsNode, owner, run, second
from support.ts_units import AUDIO, VIDEO, picture
from support.virtual_time import in_virtual_time, settle

from lalmesh.container import mpegts
from lalmesh.errors import UnsupportedError
from lalmesh.media import AccessUnit, TrackSet
from lalmesh.protocol.hls import PlaylistName, ReloadRequest, parse_file_name
from lalmesh.runtime.link import CloseReason
from lalmesh.runtime.ownership import Epoch, UnitName
from lalmesh.runtime.scheduling import HlsWanted, Refusal, Refused
from services.hls.hosting import Cleanup, Ending
from services.hls.waits import ENOUGH_WAIT_S
from services.hls.worker import Worker
from services.hls.workers import RELEASE_RETRY_S

TS, LIVE, INDEX = PlaylistName.PLAYLIST, PlaylistName.LIVE, PlaylistName.INDEX


def feed(origin: FakeSubscription, seconds: Iterable[int]) -> None:
    for number in seconds:
        origin.events.receive(run(second(number)))


async def text(worker: Worker, name: PlaylistName = TS, reload: ReloadRequest | None = None) -> str:
    answer = await worker.playing.playlist(name, reload or ReloadRequest(), "", "")
    assert answer.status == 200, answer.body
    return answer.body.decode()


def started(node: HlsNode, **assigned: int | bool) -> Worker:
    worker = node.workers.assigned(owner(**assigned))  # type: ignore[arg-type]
    assert worker is not None
    return worker


async def playing(node: HlsNode, seconds: int, *names: PlaylistName) -> tuple[Worker, FakeSubscription]:
    """A worker that has been fed, with playlists that were asked for from the start."""
    worker = started(node, limit=100)
    asked = [asyncio.create_task(text(worker, name)) for name in names or (TS,)]
    origin = await node.origin()
    feed(origin, range(seconds))
    await asyncio.gather(*asked)
    await settle(300)
    return worker, origin


def listed(playlist: str) -> list[str]:
    return [line for line in playlist.splitlines() if line and not line.startswith("#")]


@in_virtual_time
async def test_a_first_request_waits_for_two_target_durations() -> None:
    node = HlsNode()
    worker = started(node, limit=100)
    asked = asyncio.create_task(text(worker))
    origin = await node.origin()
    feed(origin, range(4))
    await settle()
    assert not asked.done()
    feed(origin, [4])
    assert listed(await asked) == ["1000.1-100.ts", "1000.1-101.ts"]


@in_virtual_time
async def test_a_first_request_is_answered_with_one_segment_after_a_while() -> None:
    node = HlsNode()
    worker = started(node, limit=100)
    asked = asyncio.create_task(text(worker))
    feed(await node.origin(), range(3))
    await asyncio.sleep(ENOUGH_WAIT_S - 4.1)
    assert not asked.done()
    assert len(listed(await asked)) in (1, 2)


@in_virtual_time
async def test_the_open_segment_is_closed_when_nothing_comes_for_a_target_duration() -> None:
    node = HlsNode()
    worker, origin = await playing(node, 6)
    await asyncio.sleep(1.9)
    assert listed(await text(worker))[-1] == "1000.1-101.ts"
    await asyncio.sleep(0.2)
    await settle()
    assert "#EXTINF:2.000,\n1000.1-102.ts" in await text(worker)
    await asyncio.sleep(10)
    feed(origin, [6, 7, 8])
    await settle()
    playlist = await text(worker)
    assert listed(playlist)[-1] == "1000.1-103.ts"
    assert "DISCONTINUITY" not in playlist


@in_virtual_time
async def test_a_publisher_that_comes_back_begins_another_segment_after_a_discontinuity() -> None:
    node = HlsNode()
    worker, origin = await playing(node, 6)
    await asyncio.sleep(3)
    for number in range(3):
        origin.events.receive(run(second(number), publication=SECOND, revision=2))
    await settle()
    playlist = await text(worker)
    assert playlist.index("1000.1-102.ts") < playlist.index("#EXT-X-DISCONTINUITY\n") < playlist.index("1000.1-103.ts")


@in_virtual_time
async def test_a_stream_of_which_nothing_comes_is_answered_after_a_while() -> None:
    worker = started(HlsNode())
    answer = await worker.playing.playlist(TS, ReloadRequest(), "", "")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


@in_virtual_time
async def test_segments_are_stored_with_a_marker_before_and_a_state_after_them() -> None:
    node = HlsNode()
    await playing(node, 7)
    assert node.storage.names(".ts") == ["1000.1-100.ts", "1000.1-101.ts", "1000.1-102.ts"]
    assert node.storage.names("00000000000000001000.00000000000000000001") == ["00000000000000001000.00000000000000000001"] * 2


@in_virtual_time
async def test_renditions_have_the_same_numbers_and_a_late_one_begins_with_what_is_kept() -> None:
    node = HlsNode()
    worker, _ = await playing(node, 9)
    live = await text(worker, LIVE)
    assert "#EXT-X-MEDIA-SEQUENCE:102" in live
    assert [name for name in listed(live) if name.endswith(".m4s")] == ["1000.1-102.m4s", "1000.1-103.m4s"]
    assert listed(await text(worker))[-1] == "1000.1-103.ts"


@in_virtual_time
async def test_a_blocking_reload_is_answered_when_its_part_is_there() -> None:
    node = HlsNode()
    worker, origin = await playing(node, 3, LIVE)
    asked = asyncio.create_task(text(worker, LIVE, ReloadRequest(101, 3)))
    await settle()
    assert not asked.done()
    feed(origin, [3])
    assert "1000.1-101.3.m4s" in (await asked)


@in_virtual_time
async def test_a_blocking_reload_of_a_stream_that_stands_still_ends_with_503() -> None:
    node = HlsNode()
    worker, _ = await playing(node, 3, LIVE)
    assert (await worker.playing.playlist(LIVE, ReloadRequest(101, 3), "", "")).status == 503
    assert (await worker.playing.playlist(LIVE, ReloadRequest(200, 0), "", "")).status == 400


@in_virtual_time
async def test_a_delta_playlist_skips_nothing_that_its_player_cannot_have() -> None:
    node = HlsNode(settings=replace(SETTINGS, list_size=20))
    worker, _ = await playing(node, 33, LIVE)
    assert worker.next_number == 116
    assert "#EXT-X-SKIP" in await text(worker, LIVE, ReloadRequest(115, 0, skip=True))
    assert "#EXT-X-SKIP" in await text(worker, LIVE, ReloadRequest(skip=True))
    assert "#EXT-X-SKIP" not in await text(worker, LIVE, ReloadRequest(105, 0, skip=True)), "it knows 100 to 104"


@in_virtual_time
async def test_a_part_that_is_hinted_at_is_waited_for_and_another_is_not() -> None:
    node = HlsNode()
    worker, origin = await playing(node, 3, LIVE)
    hinted = (await text(worker, LIVE)).partition('HINT:TYPE=PART,URI="')[2].partition('"')[0]
    asked = asyncio.create_task(worker.playing.file(parse_file_name(hinted)))
    await settle()
    feed(origin, [3])
    answer = await asked
    assert answer is not None
    assert answer.body[4:8] == b"moof"
    assert await worker.playing.file(parse_file_name("1000.1-900.0.m4s")) is None


def pictures(times: Iterable[int], first: int = 0) -> list[AccessUnit]:
    """Pictures at these times, without sound, numbered from `first` on."""
    units = [picture(dts, key=seq % 25 == 0) for seq, dts in enumerate(times, first)]
    for seq, unit in enumerate(units, first):
        unit.seq, unit.wall_us = seq, 1_700_000_000_000_000 + unit.dts * 100 // 9
    return units


@in_virtual_time
async def test_who_waits_for_parts_gets_a_segment_that_has_none_and_goes_on_with_the_next_that_has() -> None:
    node, only = HlsNode(), TrackSet((VIDEO,))
    worker = started(node, limit=100)
    asked = asyncio.create_task(text(worker, LIVE))
    origin = await node.origin()
    origin.events.receive(run(pictures(range(0, 450_000, 3600)), tracks=only))
    live = await asked
    hinted = live.partition('HINT:TYPE=PART,URI="')[2].partition('"')[0]
    number = worker.next_number
    asked = asyncio.create_task(text(worker, LIVE, ReloadRequest(number + 1, 0)))
    part = asyncio.create_task(worker.playing.file(parse_file_name(f"1000.1-{number + 1}.0.m4s")))
    assert hinted == f"1000.1-{number}.1.m4s"
    origin.events.receive(run(pictures([450_000, 540_000], 125), tracks=only))
    live = await asked
    assert listed(live)[-1] == f"1000.1-{number + 1}.m4s"
    assert f"1000.1-{number + 1}.0.m4s" not in live
    assert await part is None
    assert f'URI="1000.1-{number + 2}.0.m4s"' in live
    whole = await worker.playing.file(parse_file_name(f"1000.1-{number + 1}.m4s"))
    assert whole is not None
    asked = asyncio.create_task(text(worker, LIVE, ReloadRequest(worker.next_number + 1, 1)))
    origin.events.receive(run(pictures(range(543_600, 900_000, 3600), 127), tracks=only))
    assert ".1.m4s" in await asked
    assert "DISCONTINUITY" not in await text(worker, LIVE)


@in_virtual_time
async def test_a_segment_is_the_sum_of_its_parts() -> None:
    node = HlsNode()
    worker, _ = await playing(node, 5, LIVE)
    whole = await worker.playing.file(parse_file_name("1000.1-100.m4s"))
    parts = [await worker.playing.file(parse_file_name(f"1000.1-100.{index}.m4s")) for index in range(5)]
    assert whole is not None
    assert whole.body == b"".join(part.body for part in parts if part is not None)


@in_virtual_time
async def test_the_end_of_the_stream_is_said_stored_and_handed_over_exactly() -> None:
    node = HlsNode()
    worker, origin = await playing(node, 5)
    origin.events.subscription_closed(CloseReason.STREAM_ENDED, "it is over")
    await settle(100)
    assert worker.ending is Ending.OVER
    assert (await text(worker)).endswith("#EXT-X-ENDLIST\n")
    assert [released.next_number for released in node.scheduler.hls_released] == [103]
    assert (node.workers.get(STREAM), node.workers.over(STREAM)) == (None, worker)


@in_virtual_time
async def test_what_is_over_is_removed_after_a_while_but_not_how_far_numbers_went() -> None:
    node = HlsNode()
    _, origin = await playing(node, 5)
    origin.events.subscription_closed(CloseReason.STREAM_ENDED, "it is over")
    await asyncio.sleep(SETTINGS.linger_s + 1)
    assert node.storage.names(".ts") == []
    assert any("/state/" in path for path in node.storage.objects)
    assert node.workers.budget.used_bytes == 0


@in_virtual_time
async def test_old_segments_go_while_the_stream_is_live() -> None:
    node = HlsNode()
    await playing(node, 41)
    assert len(node.storage.names(".ts")) == SETTINGS.list_size + SETTINGS.delete_threshold


@in_virtual_time
async def test_everything_stays_where_that_is_wanted() -> None:
    node = HlsNode(settings=replace(SETTINGS, cleanup=Cleanup.NEVER))
    await playing(node, 41)
    assert len(node.storage.names(".ts")) == 20


@in_virtual_time
async def test_a_stream_that_nobody_asks_for_is_handed_over() -> None:
    node = HlsNode()
    worker, origin = await playing(node, 6)
    await asyncio.sleep(61)
    assert (worker.ending, origin.closed, len(node.workers)) == (Ending.IDLE, True, 0)
    assert [released.next_number for released in node.scheduler.hls_released] == [103]


@in_virtual_time
async def test_a_node_that_stops_lets_the_open_segment_become_whole() -> None:
    node = HlsNode()
    _, origin = await playing(node, 6)
    stopping = asyncio.create_task(node.workers.close(10.0))
    await asyncio.sleep(0.5)
    assert not stopping.done()
    feed(origin, [6])
    await stopping
    assert [released.next_number for released in node.scheduler.hls_released] == [103]
    assert node.storage.names(".ts")[-1] == "1000.1-102.ts"


@in_virtual_time
async def test_a_stream_of_which_nothing_comes_does_not_keep_its_node_from_stopping() -> None:
    node = HlsNode()
    await playing(node, 6)
    began = asyncio.get_running_loop().time()
    await node.workers.close(10.0)
    assert asyncio.get_running_loop().time() - began < 2
    assert [released.next_number for released in node.scheduler.hls_released] == [102]


@in_virtual_time
async def test_units_that_cannot_be_segmented_end_their_worker_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    node = HlsNode()
    worker, origin = await playing(node, 6)

    def fail(_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(worker.output, "take", fail)
    feed(origin, [6])
    await settle(50)
    assert (worker.ending, len(node.workers)) == (Ending.FAILED, 0)
    assert [released.stream for released in node.scheduler.hls_released] == [STREAM]


@in_virtual_time
async def test_a_stream_that_was_left_and_is_wanted_again_begins_with_the_next_number() -> None:
    storage = FakeStorage()
    node = HlsNode(storage)
    await playing(node, 6)
    await asyncio.sleep(60 + SETTINGS.linger_s + 5)  # left, since nobody asks
    worker = started(node, revision=2, limit=103, exact=True)
    asked = asyncio.create_task(text(worker))
    feed(await node.origin(2), range(6, 11))
    assert listed(await asked) == ["1000.2-103.ts", "1000.2-104.ts"]
    assert "1000.2-103.ts" in storage.names(".ts")


# storage


@in_virtual_time
async def test_storage_that_fails_costs_nothing_but_memory() -> None:
    node = HlsNode()
    worker, origin = await playing(node, 5)
    node.storage.away = True
    for number in range(5, 15):
        feed(origin, [number])
        await asyncio.sleep(1)
    assert worker.waiting_segments == 5
    assert listed(await text(worker))[-1] == "1000.1-106.ts"
    node.storage.away = False
    await asyncio.sleep(11)
    assert (worker.waiting_segments, node.storage.names(".ts")[-1]) == (0, "1000.1-107.ts")
    assert node.workers.store_counters.failures > 2


@in_virtual_time
async def test_numbers_that_are_far_ahead_of_storage_are_announced_first() -> None:
    node = HlsNode()
    _, origin = await playing(node, 5)
    node.storage.away = True
    for number in range(5, 15):
        feed(origin, [number])
        await settle()
    assert [limit.limit for limit in node.scheduler.limits] == [103, 105, 107, 111]


@in_virtual_time
async def test_memory_is_bounded_and_what_had_to_go_is_a_gap() -> None:
    node = HlsNode(memory_bytes=100_000)
    node.storage.away = True
    worker, origin = await playing(node, 3)
    feed(origin, range(3, 21))
    await settle()
    assert node.workers.budget.used_bytes <= 100_000
    playlist = await text(worker)
    assert "#EXT-X-GAP" in playlist
    assert node.workers.store_counters.lost_segments > 0


# successors


@in_virtual_time
async def test_a_successor_goes_on_after_the_last_stored_unit_under_its_own_name() -> None:
    storage = FakeStorage()
    first = HlsNode(storage)
    await playing(first, 5, TS, LIVE)
    second_node = HlsNode(storage)
    worker = started(second_node, revision=2, limit=100)
    origin = await second_node.origin()
    assert origin.request.after == UnitName(b"1" * 16, 4 * 75 - 1)
    feed(origin, range(4, 7))
    await settle()
    assert listed(await text(worker)) == ["1000.1-100.ts", "1000.1-101.ts", "1000.2-102.ts"]
    live = await text(worker, LIVE)
    name, earlier = parse_file_name("1000.1-101.1.m4s"), first.workers.get(STREAM)
    assert earlier is not None
    before, kept = await earlier.playing.file(name), await worker.playing.file(name)
    assert before is not None
    assert before == kept, "a part of the worker before, out of its segment"
    assert '#EXT-X-MAP:URI="1000.1-init0.mp4"' in live
    assert "DISCONTINUITY" not in live
    assert worker.next_number == 103


@in_virtual_time
async def test_where_the_origin_no_longer_has_what_is_missing_there_are_gaps_and_a_discontinuity() -> None:
    storage = FakeStorage()
    await playing(HlsNode(storage), 5)
    node = HlsNode(storage)
    worker = started(node, revision=2, limit=100)
    origin = await node.origin()
    origin.events.receive(run(second(8), missing=4 * 75))
    feed(origin, range(9, 12))
    await settle()
    lines = (await text(worker)).splitlines()
    assert [lines[index + 2] for index, line in enumerate(lines) if line == "#EXT-X-GAP"] == ["1000.2-102.ts", "1000.2-103.ts"]
    assert lines.index("#EXT-X-DISCONTINUITY") == lines.index("1000.2-104.ts") - 3


@in_virtual_time
async def test_a_worker_that_finds_a_higher_marker_stops() -> None:
    storage = FakeStorage()
    node = HlsNode(storage)
    worker, origin = await playing(node, 5)
    storage.objects["hls/live/a/owner/00000000000000001000.00000000000000000009"] = b""
    feed(origin, range(5, 8))
    await settle(100)
    assert worker.ending is Ending.OUTDATED
    assert node.storage.names(".ts")[-1] == "1000.1-101.ts"
    assert node.scheduler.hls_released == []


@in_virtual_time
async def test_a_marker_from_before_the_registry_was_restored_is_shown_and_the_next_worker_is_above_it() -> None:
    node = HlsNode()
    node.storage.objects["hls/live/a/owner/00000000000000001001.00000000000000000009"] = b""
    node.scheduler.owner = replace(owner(limit=100), epoch=Epoch(1002, 1))
    worker = started(node, limit=100)
    await settle(100)
    assert worker.ending is Ending.OUTDATED
    assert node.scheduler.hls_wanted == [HlsWanted(STREAM, Epoch(1001, 9))]
    after = node.workers.get(STREAM)
    assert after is not None
    assert (after.epoch, after.ending) == (Epoch(1002, 1), None)


@in_virtual_time
async def test_an_epoch_that_no_scheduler_could_be_shown_is_shown_again() -> None:
    node = HlsNode()
    node.storage.objects["hls/live/a/owner/00000000000000001001.00000000000000000009"] = b""
    node.scheduler.hls_refusals = [Refused(Refusal.UNAVAILABLE), Refused(Refusal.NO_WORKER)]
    node.scheduler.owner = replace(owner(limit=100), epoch=Epoch(1002, 1))
    started(node, limit=100)
    await asyncio.sleep(1)
    assert len(node.workers) == 0
    await asyncio.sleep(2 * RELEASE_RETRY_S)
    assert len(node.workers) == 1


@in_virtual_time
async def test_units_that_a_container_does_not_take_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    mux = mpegts.TsMuxer.mux

    def without_sound(muxer: mpegts.TsMuxer, unit: AccessUnit, tracks: TrackSet, into: list[bytes | memoryview]) -> None:
        if unit.track_id == AUDIO.track_id:
            raise UnsupportedError("sound")
        mux(muxer, unit, tracks, into)

    monkeypatch.setattr(mpegts.TsMuxer, "mux", without_sound)
    node = HlsNode()
    await playing(node, 6)
    assert 200 < node.workers.counters.unmuxed_units <= 300


@in_virtual_time
async def test_a_node_that_nobody_tells_finds_its_successors_between_segments_whatever_went_wrong_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = FakeStorage()
    node = HlsNode(storage)
    worker, _ = await playing(node, 5)
    await node.workers.look_for_successors()
    assert len(node.workers) == 1
    storage.objects["hls/live/a/owner/00000000000000001000.00000000000000000009"] = b""
    storage.away = True
    await node.workers.look_for_successors()
    with monkeypatch.context() as broken:
        broken.setattr(storage, "list", lambda prefix: int("a bug"))
        await node.workers.look_for_successors()
    await settle()
    assert len(node.workers) == 1
    storage.away = False
    await node.workers.look_for_successors()
    await settle()
    assert (worker.ending, len(node.workers)) == (Ending.OUTDATED, 0)


@in_virtual_time
async def test_a_worker_whose_stream_is_somebody_elses_stops_at_once() -> None:
    node = HlsNode()
    worker, _ = await playing(node, 5)
    assert node.workers.assigned(owner(2, at=OTHER)) is None
    await settle()
    assert (worker.ending, len(node.workers)) == (Ending.OUTDATED, 0)
    assert node.workers.assigned(owner(1)) is None, "an outdated word was followed"


@pytest.mark.parametrize("ends", ["left", "replaced"])
@in_virtual_time
async def test_what_a_reader_has_counted_stays_counted_once_however_its_worker_ends(ends: str) -> None:
    node = HlsNode()
    worker, _ = await playing(node, 5)
    node.scheduler.is_away = True  # it is not given back for a while
    seen = [node.workers.reader_totals.units]
    if ends == "left":
        worker.stop()
    else:
        node.workers.assigned(owner(2, at=OTHER))
    for _ in range(30):
        seen.append(node.workers.reader_totals.units)
        await asyncio.sleep(0.1)
    node.scheduler.is_away = False
    await asyncio.sleep(2 * RELEASE_RETRY_S)
    assert len(node.workers) == 0
    assert {*seen, node.workers.reader_totals.units} == {5 * 75}


@in_virtual_time
async def test_segments_that_left_the_playlists_of_the_worker_before_go_in_time() -> None:
    storage, before = FakeStorage(), HlsNode
    node = before(storage)
    worker, _ = await playing(node, 41, TS, LIVE)
    kept = SETTINGS.list_size + SETTINGS.delete_threshold
    assert len(storage.names(".ts")) == kept
    await worker.close()
    for revision in (2, 3):
        node = HlsNode(storage)
        worker = started(node, revision=revision, limit=100)
        first = 40 + 20 * (revision - 2)
        feed(await node.origin(), range(first, first + 21))
        await settle(300)
        assert "DISCONTINUITY" not in await text(worker)
        assert (len(storage.names(".ts")), len(storage.names("m4s"))) == (kept, kept)
        await worker.close()


@in_virtual_time
async def test_segments_of_a_playlist_that_does_not_go_on_go_in_time() -> None:
    storage = FakeStorage()
    node = HlsNode(storage)
    _, origin = await playing(node, 41)
    origin.events.subscription_closed(CloseReason.STREAM_ENDED, "it is over")
    await settle(100)
    worker = started(node, revision=2, limit=121, exact=True)
    asked = asyncio.create_task(text(worker))
    feed(await node.origin(2), range(41))
    await asked
    await settle(300)
    assert [name for name in storage.names(".ts") if name.startswith("1000.1-")] == []


@in_virtual_time
async def test_after_the_end_another_publication_begins_a_playlist_with_higher_numbers() -> None:
    storage = FakeStorage()
    node = HlsNode(storage)
    _, origin = await playing(node, 5)
    origin.events.subscription_closed(CloseReason.STREAM_ENDED, "it is over")
    await settle(100)
    worker = started(node, revision=2, limit=103, exact=True)
    again = await node.origin(2)
    assert again.request.after is None
    feed(again, range(5))
    await settle()
    assert listed(await text(worker)) == ["1000.2-103.ts", "1000.2-104.ts"]


@in_virtual_time
async def test_a_later_worker_refuses_a_publication_that_its_node_has_seen_outdated() -> None:
    node = HlsNode()
    first = started(node)
    (await node.origin()).events.receive(run(second(0), revision=5))
    first.stop(at_once=True)
    await settle()
    later = node.workers.assigned(owner(2))
    assert later is not None
    (await node.origin(2)).events.receive(run(second(1), revision=4, publication=SECOND))
    assert later.reader is not None
    assert (later.reader.counters.units, later.reader.counters.fenced) == (0, 75)
