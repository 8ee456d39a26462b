"""Any node answers for any stream: from its worker, from storage, from the owner."""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import replace

import pytest
from support.hls_fakes import NODE, OTHER, SETTINGS, STREAM, FakeStorage, HlsNode, SlowStorage, owner, run, second
from support.virtual_time import in_virtual_time, settle

from lalmesh.errors import NotAuthorized
from lalmesh.runtime.link import CloseReason
from lalmesh.runtime.ownership import Epoch, HlsOwner
from lalmesh.runtime.scheduling import NamedStreams
from services.hls.answer import Answer
from services.hls.cleanup import SETTLED_S
from services.hls.cuts import CutSettings
from services.hls.hosting import Cleanup, WorkerSettings
from services.hls.naming import StreamNames
from services.hls.service import HlsService, OwnerLost
from services.hls.waits import ANSWER_S, ENOUGH_WAIT_S, RELOAD_TARGETS

KEY = b"a cluster key"
PLAYLIST = "/hls/live/a.m3u8"


class FakePeers:
    """Other nodes: answer 200 with the name of who was asked, unless that one is lost."""

    def __init__(self) -> None:
        self.lost: set[str] = set()
        self.silent: set[tuple[str, int]] = set()  # with the revision of the epoch
        self.dies_after_s = 3600.0  #: the silent ones
        self.slowness_s = 0.0  #: of the others
        self.deadlines_s: list[float] = []
        self.asked: list[tuple[str, str, str]] = []

    async def fetch(self, owner: HlsOwner, path: str, query: str, deadline_s: float) -> Answer:
        self.asked.append((owner.worker.node.name, path, query))
        self.deadlines_s.append(deadline_s)
        if (owner.worker.node.name, owner.epoch.revision) in self.silent:
            await asyncio.sleep(self.dies_after_s)
            raise OwnerLost("gone", retry_after_s=1.0)
        if owner.worker.node.name in self.lost:
            raise OwnerLost("gone", retry_after_s=1.0)
        if self.slowness_s:
            await asyncio.sleep(self.slowness_s)
        return Answer(200, owner.worker.node.name.encode())


class Replica:
    def __init__(self, storage: FakeStorage | None = None, settings: WorkerSettings = SETTINGS) -> None:
        self.node = HlsNode(storage, settings)
        self.peers = FakePeers()
        names = StreamNames(self._find, asyncio.get_running_loop().time)
        self.service = HlsService(self.node.workers, self.node.storage, self.peers, (KEY,), names)

    async def _find(self, name: str) -> NamedStreams:
        return (await self.node.scheduler.find_streams([name], 1.0))[0]

    async def get(self, path: str, query: str = "") -> tuple[int, str]:
        answer = await self.service.answer(path, query)
        return answer.status, answer.body.decode(errors="replace")

    async def segment(self) -> None:
        """Be the owner, with some segments."""
        self.node.scheduler.owner = owner(limit=100)
        asked = asyncio.create_task(self.get(PLAYLIST))
        origin = await self.node.origin()
        for number in range(9):
            origin.events.receive(run(second(number)))
        assert (await asked)[0] == 200
        await settle(50)


@in_virtual_time
async def test_the_first_request_begins_a_worker_where_the_scheduler_names_this_node() -> None:
    replica = Replica()
    await replica.segment()
    assert len(replica.node.workers) == 1
    status, text = await replica.get(PLAYLIST, "token=1&_HLS_skip=YES&x=a%20b")
    assert (status, text.splitlines()[-1]) == (200, "a/1000.1-103.ts?token=1&x=a%20b")
    assert (await replica.get("/hls/live/a/1000.1-103.ts"))[0] == 200
    assert (await replica.get("/hls/live/a/1000.1-100.ts"))[0] == 200, "one that is stored alone"
    assert (await replica.get("/hls/live/a/1000.1-99.ts"))[0] == 404


@in_virtual_time
async def test_another_node_answers_from_storage_and_asks_the_owner_for_the_rest() -> None:
    storage = FakeStorage()
    await Replica(storage).segment()
    other = Replica(storage)
    assert (await other.get("/hls/live/a/1000.1-100.ts"))[0] == 200
    assert other.peers.asked == []
    other.node.scheduler.owner = owner(at=OTHER)
    assert await other.get(PLAYLIST, "_HLS_msn=3") == (200, "hls-2")
    assert await other.get("/hls/live/a/1000.1-104.0.m4s") == (200, "hls-2")
    assert (await other.get("/hls/live/a/999.1-init4.mp4"))[0] == 404, "no owner has what another epoch made"
    assert [asked[1:] for asked in other.peers.asked] == [(PLAYLIST, "_HLS_msn=3"), ("/hls/live/a/1000.1-104.0.m4s", "")]
    assert len(other.node.scheduler.hls_wanted) == 1, "the owner is remembered"


@in_virtual_time
async def test_while_storage_fails_the_owner_is_asked_for_segments() -> None:
    storage = FakeStorage()
    await Replica(storage).segment()
    other = Replica(storage)
    other.node.scheduler.owner = owner(at=OTHER)
    storage.away = True
    assert await other.get("/hls/live/a/1000.1-103.ts") == (200, "hls-2")
    assert (await other.get("/hls/live/a/1001.1-103.ts"))[0] == 503, "it may be stored"
    other.peers.lost.add("hls-2")
    assert (await other.get("/hls/live/a/1000.1-103.ts"))[0] == 503


@in_virtual_time
async def test_who_asks_while_a_stream_is_handed_over_waits_no_longer_than_that() -> None:
    replica = Replica()
    await replica.segment()
    replica.node.links.subscriptions[0].events.subscription_closed(CloseReason.STREAM_ENDED, "over")
    await settle(2)
    replica.node.scheduler.owner = None
    began = asyncio.get_running_loop().time()
    assert (await replica.get(PLAYLIST))[0] == 200
    assert asyncio.get_running_loop().time() - began < 1


@in_virtual_time
async def test_a_stream_that_cannot_be_handed_over_is_refused_rather_than_answered_with_what_was() -> None:
    replica = Replica()
    await replica.segment()
    replica.node.scheduler.is_away = True
    await asyncio.sleep(61)  # nobody asks
    assert (await replica.get(PLAYLIST))[0] == 503
    replica.node.scheduler.is_away = False
    await asyncio.sleep(6)
    assert len(replica.node.workers) == 0


@in_virtual_time
async def test_an_owner_whose_storage_fails_is_the_owner_still() -> None:
    replica = Replica()
    await replica.segment()
    assert (await replica.get("/hls/live/a/live.m3u8"))[0] == 200
    worker = replica.node.workers.get(STREAM)
    assert worker is not None
    worker.output.clear()
    replica.node.storage.away = True
    answer = await replica.service.answer_as_owner(owner(limit=100).signed(KEY), "/hls/live/a/1000.1-103.0.m4s", "")
    assert answer is not None
    assert answer.status == 503


@in_virtual_time
async def test_while_storage_hangs_the_owner_is_asked_for_segments() -> None:
    storage = SlowStorage()
    await Replica(storage).segment()
    other = Replica(storage)
    other.node.scheduler.owner = owner(at=OTHER)
    storage.slowness_s = 5.0
    assert await other.get("/hls/live/a/1000.1-103.ts") == (200, "hls-2")
    third = Replica(storage)
    third.node.scheduler.owner = owner(0, at=OTHER)
    assert (await third.get("/hls/live/a/1000.1-103.ts"))[0] == 200, "what the owner does not have is waited for"
    assert third.peers.asked == []


@in_virtual_time
async def test_storage_that_fails_when_its_owner_is_asked_already_is_no_error_of_ours() -> None:
    storage = SlowStorage()
    await Replica(storage).segment()
    other = Replica(storage)
    other.node.scheduler.owner = owner(at=OTHER)
    storage.slowness_s, storage.away, other.peers.slowness_s = 2.0, True, 3.0
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    assert await other.get("/hls/live/a/1000.1-103.ts") == (200, "hls-2")
    await settle()
    gc.collect()
    assert errors == []


@in_virtual_time
async def test_an_owner_that_is_lost_is_told_and_the_next_one_asked() -> None:
    replica = Replica()
    replica.node.scheduler.owner = owner(1, at=OTHER)
    replica.peers.lost.add("hls-2")
    assert (await replica.get(PLAYLIST))[0] == 503
    assert [wanted.after for wanted in replica.node.scheduler.hls_wanted][:2] == [None, owner(1).epoch]
    replica.peers.lost.clear()
    assert await replica.get(PLAYLIST) == (200, "hls-2")


@in_virtual_time
async def test_requests_wait_a_while_for_the_successor_of_a_dead_owner_and_one_of_them_asks() -> None:
    replica = Replica()
    replica.node.scheduler.owner = owner(1, at=OTHER)
    replica.peers.lost.add("hls-2")
    asked = [asyncio.create_task(replica.get(PLAYLIST)) for _ in range(20)]
    await asyncio.sleep(1.1)
    assert not any(task.done() for task in asked)
    assert len(replica.node.scheduler.hls_wanted) < 10
    replica.peers.lost.clear()
    replica.node.scheduler.owner = owner(2, at=OTHER)
    assert {await task for task in asked} == {(200, "hls-2")}


@in_virtual_time
async def test_a_request_that_has_waited_for_its_segment_waits_for_the_successor_too() -> None:
    replica = Replica()
    replica.node.scheduler.owner = owner(1, at=OTHER)
    replica.peers.silent.add(("hls-2", 1))
    replica.peers.dies_after_s = 9.0
    asked = asyncio.create_task(replica.get(PLAYLIST, "_HLS_msn=3"))
    await asyncio.sleep(10)
    assert not asked.done()
    replica.node.scheduler.owner = owner(2, at=OTHER)
    assert await asked == (200, "hls-2")


@in_virtual_time
async def test_an_owner_that_says_nothing_is_left_for_its_successor() -> None:
    replica = Replica()
    replica.node.scheduler.owner = owner(1, at=OTHER)
    replica.peers.silent.add(("hls-2", 1))
    asked = asyncio.create_task(replica.get(PLAYLIST, "_HLS_msn=3"))
    await asyncio.sleep(10)
    assert not asked.done(), "it may wait for the next segment"
    replica.node.scheduler.owner = owner(2, at=OTHER)
    async with asyncio.timeout(2):
        assert await asked == (200, "hls-2")
    assert len(replica.peers.asked) == 2


@in_virtual_time
@pytest.mark.parametrize(("wait_s", "max_target_s"), [(20.0, 12), (20.0, 120), (600.0, 12)])
async def test_an_owner_may_take_as_long_as_the_configuration_lets_it_wait(wait_s: float, max_target_s: int) -> None:
    cuts = CutSettings(segment=SETTINGS.cuts.segment, part=SETTINGS.cuts.part, max_target_s=max_target_s)
    replica = Replica(settings=replace(SETTINGS, cuts=cuts, wait_s=wait_s))
    replica.node.scheduler.owner = owner(1, at=OTHER)
    await replica.get(PLAYLIST, "_HLS_msn=3")
    await replica.get("/hls/live/a/1000.1-3.ts")
    waiting_s, there_s = replica.peers.deadlines_s
    assert waiting_s == wait_s + ENOUGH_WAIT_S + RELOAD_TARGETS * max_target_s + ANSWER_S, "one wait after the other"
    assert there_s == ANSWER_S


@in_virtual_time
async def test_who_waits_for_an_owner_is_told_of_the_next_at_once() -> None:
    replica = Replica()
    replica.node.scheduler.owner = owner(1, at=OTHER)
    replica.peers.silent.add(("hls-2", 1))
    asked = [asyncio.create_task(replica.get(PLAYLIST, "_HLS_msn=3")) for _ in range(3)]
    await settle()
    wanted = len(replica.node.scheduler.hls_wanted)
    replica.service.learn_owner(owner(2, at=OTHER))
    await settle()
    assert {task.result() for task in asked} == {(200, "hls-2")}
    replica.service.learn_owner(owner(1, at=OTHER))
    assert await replica.get(PLAYLIST) == (200, "hls-2"), "an outdated word was followed"
    assert len(replica.node.scheduler.hls_wanted) == wanted


@in_virtual_time
async def test_the_owner_is_asked_for_segments_of_the_worker_before_it_and_not_for_those_of_a_later() -> None:
    replica = Replica()
    replica.node.scheduler.owner = owner(5, at=OTHER)
    assert await replica.get("/hls/live/a/1000.4-103.ts") == (200, "hls-2")
    assert (await replica.get("/hls/live/a/1000.6-103.ts"))[0] == 404
    assert (await replica.get("/hls/live/a/1000.4-init0.mp4"))[0] == 404
    assert len(replica.peers.asked) == 1


@in_virtual_time
async def test_a_stream_that_nobody_publishes_is_not_found() -> None:
    replica = Replica()
    assert (await replica.get(PLAYLIST))[0] == 404


@in_virtual_time
async def test_the_last_playlist_of_a_stream_that_is_over_comes_from_any_node() -> None:
    storage = FakeStorage()
    replica = Replica(storage)
    await replica.segment()
    await ended(replica)
    replica.node.scheduler.owner = None
    for node in (replica, Replica(storage)):
        status, text = await node.get(PLAYLIST)
        assert (status, text.splitlines()[-1]) == (200, "#EXT-X-ENDLIST")


async def ended(replica: Replica) -> None:
    replica.node.links.subscriptions[0].events.subscription_closed(CloseReason.STREAM_ENDED, "over")
    await settle(100)


@in_virtual_time
@pytest.mark.parametrize(("cleanup", "status"), [(Cleanup.ROLLING, 404), (Cleanup.AFTER_END, 404), (Cleanup.NEVER, 200)])
async def test_a_stream_that_is_over_is_found_for_as_long_as_its_segments_are_kept(
    cleanup: Cleanup, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, settings = FakeStorage(), replace(SETTINGS, cleanup=cleanup)
    replica = Replica(storage, settings)
    await replica.segment()
    await ended(replica)
    later_ns = time.time_ns() + int((settings.linger_s + 1) * 1e9)
    monkeypatch.setattr(time, "time_ns", lambda: later_ns)
    assert (await Replica(storage, settings).get(PLAYLIST))[0] == status


@in_virtual_time
async def test_a_stream_whose_worker_died_with_its_publisher_is_over_once_nobody_would_go_on_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage, began_ns = FakeStorage(), time.time_ns()
    await Replica(storage).segment()
    for age_s, status in (
        (0.0, 404),
        (SETTINGS.resumable_s + 1, 200),
        (SETTINGS.useful_s + SETTLED_S - 1, 200),
        (SETTINGS.useful_s + SETTLED_S + 1, 404),
    ):
        now_ns = began_ns + round(age_s * 1e9)
        monkeypatch.setattr(time, "time_ns", lambda now_ns=now_ns: now_ns)
        found, text = await Replica(storage).get(PLAYLIST)
        assert (found, text.splitlines()[-1] == "#EXT-X-ENDLIST") == (status, status == 200)


@in_virtual_time
async def test_a_stream_whose_publisher_was_gone_for_long_is_found_from_its_end_on(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = FakeStorage()
    replica = Replica(storage)
    await replica.segment()
    later_ns = time.time_ns() + int((SETTINGS.linger_s + 1) * 1e9)
    monkeypatch.setattr(time, "time_ns", lambda: later_ns)
    await ended(replica)
    assert (await Replica(storage).get(PLAYLIST))[0] == 200


@in_virtual_time
async def test_an_epoch_of_storage_that_the_scheduler_forgot_is_shown_to_it_where_it_names_a_lower_one() -> None:
    replica = Replica()
    replica.node.storage.objects["hls/live/a/owner/00000000000000001001.00000000000000000009"] = b""
    replica.node.scheduler.owner = owner(limit=100)
    await replica.get(PLAYLIST)
    await settle()
    replica.node.scheduler.hls_wanted.clear()
    asked = asyncio.create_task(replica.get(PLAYLIST))
    await settle()
    assert [wanted.after for wanted in replica.node.scheduler.hls_wanted] == [None, Epoch(1001, 9)]
    replica.node.scheduler.owner = replace(owner(limit=100), epoch=Epoch(1002, 1))
    origin = await replica.node.origin(1)
    for number in range(9):
        origin.events.receive(run(second(number)))
    status, text = await asked
    assert (status, text.splitlines()[-1][:8]) == (200, "a/1002.1")


@in_virtual_time
async def test_nonsense_is_refused() -> None:
    replica = Replica()
    await replica.segment()
    for path, query, status in (
        ("/hls/", "", 404),
        ("/hls/live/a/notes.txt", "", 404),
        ("/hls/live/../a.m3u8", "", 400),
        ("/hls/live/%2e%2e/a.m3u8", "", 400),
        ("/hls/live/a%00.m3u8", "", 400),
        (PLAYLIST, "_HLS_part=1", 400),
        ("/hls/live/a/live.m3u8", "_HLS_msn=99999999", 400),
        (PLAYLIST, "&".join(f"a{n}=1" for n in range(200)), 400),
    ):
        assert (await replica.get(path, query))[0] == status, (path, query)


@in_virtual_time
async def test_an_application_that_is_left_out_is_found_by_the_name() -> None:
    replica = Replica()
    assert await replica.get("/hls/x.m3u8") == (404, "live/x: nobody publishes it\n")
    await replica.segment()
    assert (await replica.get("/hls/a/playlist.m3u8"))[1].splitlines()[-1] == "../live/a/1000.1-103.ts"


@in_virtual_time
async def test_another_nodes_word_begins_a_worker_if_it_is_signed_and_for_this_node() -> None:
    replica = Replica()
    with pytest.raises(NotAuthorized):
        await replica.service.answer_as_owner(owner(), PLAYLIST, "")
    with pytest.raises(NotAuthorized):
        await replica.service.answer_as_owner(owner(at=OTHER).signed(KEY), PLAYLIST, "")
    asked = asyncio.create_task(replica.service.answer_as_owner(owner(limit=5).signed(KEY), PLAYLIST, "token=1"))
    origin = await replica.node.origin()
    for number in range(5):
        origin.events.receive(run(second(number)))
    answer = await asked
    assert answer is not None
    assert answer.body.decode().splitlines()[-1] == "a/1000.1-6.ts?token=1"
    assert replica.node.workers.node == NODE
    replica.node.workers.assigned(owner(2, at=OTHER))
    assert await replica.service.answer_as_owner(owner(limit=5).signed(KEY), PLAYLIST, "") is None
    assert replica.node.workers.get(STREAM) is None
