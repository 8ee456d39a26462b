from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from support.links import KEEP_ALL, TRACKS, run
from support.virtual_time import in_virtual_time

from lalmesh.container.flv import MAX_CONFIGURATION_BYTES, MAX_METADATA_BYTES, MAX_VIDEO_METADATA_BYTES
from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError
from lalmesh.media import AccessUnit, Codec, Track, TrackSet
from lalmesh.rpc.lalmesh.v1 import media_pb2, origin_pb2
from lalmesh.runtime.link import CloseReason, LinkCounters, LinkLimits, LinkSession
from lalmesh.runtime.link._interface import FAILED
from lalmesh.runtime.link._outlet import WireOutlet
from lalmesh.runtime.link._session import MAX_CONTROL_ITEMS, MIN_SHARE_BYTES
from lalmesh.runtime.link._wire import MAX_UNITS_PER_RUN, RunDecoder, RunEncoder
from lalmesh.runtime.ownership import Epoch, Place
from lalmesh.runtime.ring import Cursor, Ring, RingLimits, Run

SMALL = LinkLimits(batch_bytes=64 << 10)


def encoded(run: Run, encoder: RunEncoder | None = None) -> media_pb2.Run:
    message = media_pb2.Run()
    (encoder or RunEncoder()).encode(run, message)
    return media_pb2.Run.FromString(message.SerializeToString())


UINT32 = st.integers(0, 2**32 - 1)
UINT64 = st.integers(0, 2**64 - 1)
UNITS = st.lists(
    st.builds(
        AccessUnit,
        track_id=UINT32,
        dts=st.integers(-(2**50), 2**50),
        cts=st.integers(-(2**31), 2**31 - 1),
        random_access=st.booleans(),
        payload=st.binary(max_size=20),
        wall_us=st.integers(0, 2**60),
    ),
    min_size=1,
    max_size=5,
)
RUNS = st.builds(
    Run,
    epoch=st.builds(Epoch, UINT64, UINT64),
    publication=st.binary(min_size=16, max_size=16),
    tracks=st.sampled_from([TRACKS, TrackSet((), 9)]),
    units=UNITS,
    place=st.builds(Place, UINT64, UINT64, st.booleans()),
    missing=st.integers(0, 2**63),
)


@given(RUNS, st.integers(0, 2**60))
def test_a_run_comes_back_from_the_wire(sent: Run, first_seq: int) -> None:
    for index, unit in enumerate(sent.units):
        unit.seq = first_seq + index
    assert RunDecoder().decode(encoded(sent)) == sent


def test_what_was_received_at_once_is_of_one_age_however_long_it_plays() -> None:
    sent = run(0, 500)  # 20 s, of an encoder that was cut off meanwhile
    for unit in sent.units:
        unit.wall_us = 7_000_000
    ring = Ring(RingLimits(keep_us=3_000_000))
    ring.append(RunDecoder().decode(encoded(sent)))
    assert len(ring) == 500


def test_tracks_travel_where_they_differ_from_those_before() -> None:
    encoder, decoder = RunEncoder(), RunDecoder()
    changed = TrackSet(TRACKS.tracks, 2)
    messages = [encoded(replace(run(0, 1), tracks=tracks), encoder) for tracks in (TRACKS, TRACKS, changed)]
    assert [message.HasField("tracks") for message in messages] == [True, False, True]
    assert [decoder.decode(message).tracks.version for message in messages] == [1, 1, 2]


def altered(**changes: object) -> media_pb2.Run:
    message = encoded(run(0, 1))
    for field, value in changes.items():
        message.ClearField(field)
        if value is not None:
            setattr(message, field, value)
    return message


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (altered(tracks=None), "before its tracks"),
        (altered(units=None), "without units"),
        (altered(publication=b"short"), "publication id of 5 bytes"),
    ],
)
def test_a_run_that_cannot_be_is_refused(message: media_pb2.Run, reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason):
        RunDecoder().decode(message)


def test_the_units_of_a_run_are_bounded() -> None:
    message = encoded(run(0, 1))
    message.units.extend([media_pb2.AccessUnit()] * MAX_UNITS_PER_RUN)
    with pytest.raises(LimitExceeded):
        RunDecoder().decode(message)


@given(st.binary(max_size=80))
def test_any_message_gives_a_run_or_a_documented_error(data: bytes) -> None:
    try:
        message = media_pb2.Run.FromString(encoded(run(0, 1)).SerializeToString() + data)
    except DecodeError:  # not a message at all: gRPC refuses it before it comes here
        return
    with contextlib.suppress(RemoteProtocolError, UnsupportedError):
        RunDecoder().decode(message)


# one end of a link, without a network


class End:
    """A session and what its owner hears."""

    def __init__(self, limits: LinkLimits = SMALL) -> None:
        self.items: list[origin_pb2.LinkItem] = []
        self.failures: list[tuple[int, str]] = []
        self.session = LinkSession(limits, self.items.append, self.failed)
        self.rings: dict[int, Ring] = {}

    def failed(self, handle: int, detail: str) -> None:
        self.failures.append((handle, detail))
        self.session.drop(handle)

    def outlet(self, handle: int, *backlog: Run) -> WireOutlet:
        ring = self.rings[handle] = Ring(KEEP_ALL)
        for appended in backlog:
            ring.append(appended)
        outlet = WireOutlet(self.session, handle)
        outlet.send_from(Cursor(ring, 0))
        return outlet

    def batch(self) -> origin_pb2.LinkBatch:
        return self.session._next_batch()

    def batches(self) -> list[origin_pb2.LinkBatch]:
        """Every batch until nothing is left."""
        return list(iter(self.batch, origin_pb2.LinkBatch()))


def handles(batch: origin_pb2.LinkBatch) -> list[int]:
    return [item.handle for item in batch.items]


def payload_bytes(batch: origin_pb2.LinkBatch) -> int:
    return sum(len(unit.payload) for item in batch.items for unit in item.run.units)


def payload_of(batches: list[origin_pb2.LinkBatch], handle: int) -> list[bytes]:
    return [unit.payload for batch in batches for item in batch.items if item.handle == handle for unit in item.run.units]


async def test_a_batch_holds_what_is_ready_of_every_stream() -> None:
    end = End()
    for handle in (1, 2, 3):
        end.outlet(handle, run(0, 2))
    assert handles(end.batch()) == [1, 2, 3]
    assert end.batch() == origin_pb2.LinkBatch()


async def test_no_batch_is_larger_than_its_bound_and_nothing_is_lost() -> None:
    end = End()
    backlog = {handle: run(0, 40, size=1000 * handle) for handle in (1, 5, 20)}
    for handle, replay in backlog.items():
        end.outlet(handle, replay)
    batches = end.batches()
    assert max(payload_bytes(batch) for batch in batches) <= SMALL.batch_bytes
    for handle, replay in backlog.items():
        assert payload_of(batches, handle) == [unit.payload for unit in replay.units]


def described(size: int, version: int = 1) -> TrackSet:
    """Tracks with `size` bytes that tell of them."""
    script = Track(track_id=3, codec=Codec.SCRIPT, configuration=version.to_bytes(4, "big").ljust(size, b"."))
    return TrackSet((*TRACKS.tracks, script), version)


def taken(batches: list[origin_pb2.LinkBatch], handle: int) -> list[Run]:
    """The runs of one stream as the other side has them."""
    decoder = RunDecoder()
    return [decoder.decode(item.run) for batch in batches for item in batch.items if item.handle == handle]


async def test_tracks_that_change_with_each_unit_fill_batches_like_payload() -> None:
    limits = LinkLimits()
    end, changing = End(limits), [replace(run(seq, 1), tracks=described(240_000, seq)) for seq in range(100)]
    end.outlet(1, *changing)
    batches = end.batches()
    assert max(batch.ByteSize() for batch in batches) <= limits.batch_bytes
    assert len(batches) == 50
    assert [(each.units[0].payload, each.tracks) for each in taken(batches, 1)] == [
        (each.units[0].payload, each.tracks) for each in changing
    ]
    assert end.failures == []


async def test_the_tracks_of_many_streams_that_begin_at_once_fill_batches_like_payload() -> None:
    limits = LinkLimits()
    end, tracks = End(limits), described(240_000)
    for handle in range(1, 71):
        end.outlet(handle, *(replace(run(seq, 2), tracks=tracks) for seq in (0, 2)))
    batches = end.batches()
    assert max(batch.ByteSize() for batch in batches) <= limits.batch_bytes
    assert sum(item.run.HasField("tracks") for batch in batches for item in batch.items) == 70
    for handle in range(1, 71):
        assert [unit.seq for each in taken(batches, handle) for unit in each.units] == [0, 1, 2, 3]


async def test_tracks_that_are_larger_than_a_batch_go_alone() -> None:
    end = End()
    changing = [replace(run(seq, 3), tracks=described(300_000, seq)) for seq in range(0, 12, 3)]
    end.outlet(1, run(0, 1))
    end.outlet(2, *changing)
    end.outlet(3, run(0, 1))
    batches = end.batches()
    assert sorted({handle for batch in batches for handle in handles(batch)}) == [1, 2, 3]
    assert max(batch.ByteSize() for batch in batches) < 301_000
    assert [unit.seq for each in taken(batches, 2) for unit in each.units] == list(range(12))
    assert end.failures == []


async def test_the_largest_unit_has_room_beside_the_largest_tracks_of_a_publisher_by_rtmp() -> None:
    limits = replace(SMALL, max_message_bytes=1 << 20)
    video, audio = (replace(track, configuration=bytes(MAX_CONFIGURATION_BYTES)) for track in TRACKS.tracks)
    script = Track(track_id=3, codec=Codec.SCRIPT, configuration=bytes(MAX_METADATA_BYTES))
    tracks = TrackSet((replace(video, video_metadata=bytes(MAX_VIDEO_METADATA_BYTES)), audio, script), 1)
    end = End(limits)
    end.outlet(1, replace(run(0, 1, size=limits.max_unit_bytes), tracks=tracks))
    (batch,) = end.batches()
    assert limits.max_unit_bytes < batch.ByteSize() <= limits.max_message_bytes
    assert end.failures == []


async def test_tracks_that_no_message_can_carry_end_their_stream_alone(caplog: pytest.LogCaptureFixture) -> None:
    limits = replace(SMALL, max_message_bytes=1 << 20)
    end = End(limits)
    end.outlet(1, run(0, 1), replace(run(1, 1), tracks=described(1 << 20)))
    end.outlet(2, run(0, 3, size=30_000))
    batches = end.batches()
    assert max(batch.ByteSize() for batch in batches) <= limits.max_message_bytes
    assert (len(payload_of(batches, 1)), len(payload_of(batches, 2))) == (1, 3)
    assert [handle for handle, _ in end.failures] == [1]


LEAST_BATCH = LinkLimits(batch_bytes=16 << 10)
BESIDE_BYTES = 512  #: numbers of the last run of a batch, its units and its tracks: these are counted once it is there
BACKLOGS = st.lists(
    st.lists(st.tuples(st.integers(1, 3), st.integers(8, 20_000), st.sampled_from([0, 500, 9_000, 40_000])), max_size=6), max_size=5
)


@given(BACKLOGS)
def test_whatever_units_and_tracks_wait_batches_are_bounded_and_all_goes_in_order(
    backlogs: list[list[tuple[int, int, int]]],
) -> None:
    asyncio.run(sent_whole(backlogs))


async def sent_whole(backlogs: list[list[tuple[int, int, int]]]) -> None:
    """Send a backlog of runs, (units, size of each, bytes of their tracks), for each stream."""
    end, sent = End(LEAST_BATCH), dict[int, list[tuple[AccessUnit, TrackSet]]]()
    for handle, backlog in enumerate(backlogs, 1):
        runs, seq = list[Run](), 0
        for version, (count, size, tracks_bytes) in enumerate(backlog):
            runs.append(replace(run(seq, count, size), tracks=described(tracks_bytes, version)))
            seq += count
        sent[handle] = [(unit, each.tracks) for each in runs for unit in each.units]
        end.outlet(handle, *runs)
    batches = end.batches()
    for batch in batches:
        assert batch.ByteSize() <= LEAST_BATCH.batch_bytes + BESIDE_BYTES or len(batch.items) == 1 == len(batch.items[0].run.units)
    for handle, units in sent.items():
        assert [(unit, each.tracks) for each in taken(batches, handle) for unit in each.units] == units
    assert end.failures == []


async def test_a_backlog_leaves_room_for_the_others_in_each_batch() -> None:
    end = End()
    end.outlet(1, run(0, 2000, size=1000))
    live = end.outlet(2)
    for seq in range(5):
        end.rings[2].append(run(seq, 1))
        live.wake()
        batch = end.batch()
        assert 2 in handles(batch)
        assert payload_bytes(batch) > SMALL.batch_bytes // 2


async def test_streams_with_a_backlog_take_turns() -> None:
    end = End()
    for handle in range(1, 11):
        end.outlet(handle, run(0, 100, size=MIN_SHARE_BYTES))
    first = [handles(end.batch()) for _ in range(4)]
    assert {handle for turn in first for handle in turn} == set(range(1, 11))


async def test_a_unit_larger_than_a_batch_goes_alone() -> None:
    end = End()
    end.outlet(1, run(0, 1))
    end.outlet(2, run(0, 1, size=200 << 10))
    end.outlet(3, run(0, 1))
    assert [handles(batch) for batch in end.batches()] == [[1], [2], [3]]


async def test_a_unit_that_no_message_can_carry_ends_its_stream_alone(caplog: pytest.LogCaptureFixture) -> None:
    limits = replace(SMALL, max_message_bytes=1 << 20)
    end = End(limits)
    bad = end.outlet(1, run(0, 1), run(1, 1, size=limits.max_run_bytes + 1))
    end.outlet(2, run(0, 3, size=30_000))
    assert len(payload_of(end.batches(), 2)) == 3
    assert end.failures == [(1, "access unit of more than 1015808 bytes with its tracks")]
    bad.wake()
    assert end.batches() == []


async def test_an_exception_while_sending_ends_its_stream_alone(caplog: pytest.LogCaptureFixture) -> None:
    end = End()
    odd = TrackSet((Track(track_id=1, codec=Codec.H264, width=2**33),), 5)  # not in 32 bits: no message takes it
    end.outlet(1, run(0, 1), replace(run(1, 1), tracks=odd))
    end.outlet(2, run(0, 3))
    (batch,) = end.batches()
    assert handles(batch) == [2]
    assert [handle for handle, _ in end.failures] == [1]
    assert "Traceback" in caplog.text


async def test_what_waits_is_sent_before_a_stream_is_closed() -> None:
    end = End()
    outlet = end.outlet(1, run(0, 100, size=2000))
    outlet.close(CloseReason.STREAM_ENDED, "over")
    outlet.close(CloseReason.DONE)
    end.rings[1].append(run(100, 1))
    batches = end.batches()
    assert len(payload_of(batches, 1)) == 101
    last = batches[-1].items[-1]
    assert (last.WhichOneof("item"), last.closed.reason, last.closed.detail) == ("closed", CloseReason.STREAM_ENDED.value, "over")
    end.rings[1].append(run(101, 1))
    outlet.wake()
    assert end.batches() == []


async def test_a_stream_that_the_peer_has_closed_is_not_sent_any_further() -> None:
    end = End()
    outlet = end.outlet(1, run(0, 100, size=2000))
    end.batch()
    end.session.drop(1)
    outlet.wake()
    outlet.close(CloseReason.DONE)
    assert end.batches() == []


async def test_control_items_go_first_in_order_and_are_bounded_in_a_batch() -> None:
    end = End()
    end.outlet(1, run(0, 1))
    for handle in range(10, 5010):
        end.session.send_closed(handle, CloseReason.DONE, "x" * 20)
    batches = end.batches()
    assert [handle for batch in batches for handle in handles(batch)] == [*range(10, 5010), 1]
    assert max(batch.ByteSize() for batch in batches) < 2 * SMALL.batch_bytes


async def test_a_peer_that_takes_no_control_items_loses_its_link(caplog: pytest.LogCaptureFixture) -> None:
    end = End()
    for handle in range(MAX_CONTROL_ITEMS + 1):
        end.session.control(handle)
    assert end.session.closed
    end.session.control(1)
    assert end.batches() == []


async def test_a_receiver_that_fails_ends_alone(caplog: pytest.LogCaptureFixture) -> None:
    sender, receiver = End(), End()
    taken: list[Run] = []

    def fail(_run: Run) -> None:
        raise RemoteProtocolError("not the peer's fault: the bytes of a publisher")

    receiver.session.receive_runs(1, fail)
    receiver.session.receive_runs(2, taken.append)
    for handle in (1, 2):
        sender.outlet(handle, run(0, 3))
    for batch in sender.batches():
        receiver.session.feed(batch)
    assert [unit.seq for unit in taken[0].units] == [0, 1, 2]
    assert receiver.failures == [(1, FAILED)]
    assert "Traceback" in caplog.text


async def test_a_codec_that_only_the_peer_knows_ends_its_stream_alone(caplog: pytest.LogCaptureFixture) -> None:
    end = End()
    taken: list[Run] = []
    message = encoded(run(0, 1))
    message.tracks.tracks[0].codec = 1000  # type: ignore[assignment]
    for handle in (1, 2):
        end.session.receive_runs(handle, taken.append)
    items = [origin_pb2.LinkItem(handle=1, run=message), origin_pb2.LinkItem(handle=2, run=encoded(run(0, 1)))]
    end.session.feed(origin_pb2.LinkBatch(items=items))
    assert (len(taken), end.failures) == (1, [(1, "not supported: codec number 1000")])


async def test_runs_of_a_stream_closed_here_are_passed_over() -> None:
    end = End()
    end.session.feed(origin_pb2.LinkBatch(items=[origin_pb2.LinkItem(handle=9, run=encoded(run(0, 1)))]))
    assert (end.items, end.session.counters.units_received) == ([], 0)


async def test_both_ends_count_the_same() -> None:
    sender, receiver = End(), End()
    receiver.session.receive_runs(1, lambda run: None)
    sender.outlet(1, run(0, 7, size=100))
    receiver.session.feed(sender.batch())
    assert (sender.session.counters.units_sent, sender.session.counters.payload_bytes_sent) == (7, 700)
    assert receiver.session.counters == LinkCounters(batches_received=1, units_received=7, payload_bytes_received=700)


async def test_a_session_that_has_ended_keeps_nothing() -> None:
    end = End()
    outlet = end.outlet(1, run(0, 7))
    end.session.send_closed(4, CloseReason.DONE)
    end.session.shut()
    outlet.wake()
    end.outlet(2, run(0, 1))
    end.session.send_closed(4, CloseReason.DONE)
    assert end.batches() == []
    assert [batch async for batch in end.session.batches()] == []
    await end.session.watch_silence()


# pace


class FakeClock:
    """Stands for the loop of a session where only its clock matters."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def time(self) -> float:
        return self.now_s


def paced(limits: LinkLimits) -> tuple[LinkSession, Callable[[float, float], bool]]:
    """A session, and a way to send for some seconds at some rate that tells whether the link is busy then."""
    session, clock = End(limits).session, FakeClock()
    session._loop = clock  # type: ignore[assignment]

    def send(duration_s: float, rate: float) -> bool:
        for _ in range(round(duration_s * rate)):
            clock.now_s += 1 / rate
            session._measure()
        return session._busy

    return session, send


async def test_a_link_is_busy_while_it_would_send_more_than_its_rate() -> None:
    _, send = paced(LinkLimits())
    assert not send(1, 250)
    assert send(1, 450)
    assert send(1, 100)  # as fast as the pace of a busy link lets it: still more would be sent
    assert not send(1, 60)
    assert not send(1, 250)


@pytest.mark.parametrize("busy_flush_s", [0.0, 0.0005])
async def test_any_busy_pace_is_allowed(busy_flush_s: float) -> None:
    _, send = paced(LinkLimits(busy_flush_s=busy_flush_s))
    assert send(1, 450)
    assert send(1, 450)
    assert not send(1, 250)


async def test_the_first_batch_after_a_pause_does_not_make_a_link_busy() -> None:
    session, send = paced(LinkLimits())
    send(1, 250)
    session._loop.now_s += 60  # type: ignore[attr-defined]
    assert not send(0.01, 450)


async def sent_at(session: LinkSession, times: list[float], count: int) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    async for _ in session.batches():
        times.append(round(loop.time() - start, 6))
        if len(times) == count:
            return


@in_virtual_time
async def test_an_idle_link_sends_heartbeats() -> None:
    times: list[float] = []
    await sent_at(End(LinkLimits(heartbeat_s=0.5)).session, times, 3)
    assert times == [0.5, 1.0, 1.5]


@in_virtual_time
async def test_a_send_follows_the_last_by_the_pause_of_the_link() -> None:
    end, times = End(LinkLimits(flush_s=0.002)), list[float]()
    outlet = end.outlet(1)
    sending = asyncio.create_task(sent_at(end.session, times, 3))
    for seq in range(5):
        end.rings[1].append(run(seq, 1))
        outlet.wake()
        await asyncio.sleep(0.001)
    await sending
    assert times == [0.0, 0.002, 0.004]
    assert end.session.counters.units_sent == 5


@in_virtual_time
async def test_silence_is_noticed_on_time_and_not_while_there_are_heartbeats() -> None:
    end, loop = End(LinkLimits(dead_s=2.0)), asyncio.get_running_loop()
    start = loop.time()
    watching = asyncio.create_task(end.session.watch_silence())
    for _ in range(10):
        await asyncio.sleep(0.5)
        end.session.feed(origin_pb2.LinkBatch())
    await watching
    assert loop.time() - start == pytest.approx(5.0 + 2.0)
    assert end.session.silent_s == pytest.approx(2.0)


@in_virtual_time
async def test_a_session_that_ends_stops_its_watch_and_its_batches() -> None:
    end, loop = End(), asyncio.get_running_loop()
    start = loop.time()
    waiting = [asyncio.create_task(end.session.watch_silence()), asyncio.create_task(sent_at(end.session, [], 99))]
    await asyncio.sleep(0.1)
    end.session.shut()
    await asyncio.gather(*waiting)
    assert loop.time() - start == pytest.approx(0.1)


@in_virtual_time
async def test_what_a_full_batch_leaves_behind_follows_at_once() -> None:
    end, times = End(replace(SMALL, flush_s=0.02)), list[float]()
    end.outlet(1, run(0, 200, size=1000))
    await sent_at(end.session, times, 4)
    assert times == [times[0]] * 4
