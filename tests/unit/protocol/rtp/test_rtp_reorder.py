from hypothesis import given
from hypothesis import strategies as st

from lalmesh.protocol.rtp import Lost, Ordered, ReorderBuffer, RtpPacket

MS = 1000


def packet(sequence_number: int) -> RtpPacket:
    return RtpPacket(96, sequence_number & 0xFFFF, 0, 1, False, b"")


def pushed(buffer: ReorderBuffer, *sequence_numbers: int, now_us: int = 0) -> list[int | Lost]:
    return flat([item for number in sequence_numbers for item in buffer.push(packet(number), now_us)])


def flat(items: list[Ordered]) -> list[int | Lost]:
    return [item if isinstance(item, Lost) else item.sequence_number for item in items]


def test_packets_in_order_do_not_wait() -> None:
    buffer = ReorderBuffer()
    assert pushed(buffer, 65_534, 65_535, 0, 1) == [65_534, 65_535, 0, 1]
    assert buffer.next_timer is None


def test_what_is_early_waits_for_what_is_missing() -> None:
    buffer = ReorderBuffer()
    assert pushed(buffer, 1, 3, 4) == [1]
    assert pushed(buffer, 2) == [2, 3, 4]
    assert (buffer.counters.reordered, buffer.counters.lost) == (1, 0)


def test_a_lost_packet_costs_no_more_than_the_time() -> None:
    buffer = ReorderBuffer(reorder_ms=100)
    assert pushed(buffer, 1, 3, now_us=0) == [1]
    assert pushed(buffer, 4, now_us=60 * MS) == []
    assert buffer.next_timer == 100 * MS
    assert flat(buffer.handle_timer(99 * MS)) == []
    assert flat(buffer.handle_timer(100 * MS)) == [Lost(1), 3, 4]
    assert buffer.counters.lost == 1
    assert buffer.handle_timer(900 * MS) == []


def test_what_came_while_the_caller_was_busy_is_not_given_up() -> None:
    buffer = ReorderBuffer(reorder_ms=100)
    assert pushed(buffer, 1, 3, now_us=0) == [1]
    assert pushed(buffer, 4, 2, now_us=150 * MS) == [2, 3, 4]
    assert buffer.counters.lost == 0


def test_each_gap_is_waited_for_on_its_own() -> None:
    buffer = ReorderBuffer(reorder_ms=100)
    assert pushed(buffer, 1, 3, now_us=0) == [1]
    assert pushed(buffer, 6, now_us=50 * MS) == []
    assert flat(buffer.handle_timer(100 * MS)) == [Lost(1), 3]
    assert flat(buffer.handle_timer(150 * MS)) == [Lost(2), 6]


def test_no_more_packets_wait_than_the_bound() -> None:
    buffer = ReorderBuffer(max_packets=4)
    assert pushed(buffer, 1, 3, 4, 5, 6) == [1]
    assert pushed(buffer, 7) == [Lost(1), 3, 4, 5, 6, 7]


def test_without_patience_nothing_waits() -> None:
    assert pushed(ReorderBuffer(reorder_ms=0), 1, 3, 2, 4) == [1, Lost(1), 3, 4]


def test_second_copies_and_late_packets_are_counted() -> None:
    buffer = ReorderBuffer(reorder_ms=0)
    pushed(buffer, 1, 2, 4)
    assert pushed(buffer, 2, 3, 4) == []
    assert (buffer.counters.duplicates, buffer.counters.late, buffer.counters.lost) == (2, 1, 1)
    waiting = ReorderBuffer()
    assert pushed(waiting, 1, 3, 3, 2) == [1, 2, 3]
    assert waiting.counters.duplicates == 1


def test_one_number_out_of_reach_is_a_stray() -> None:
    buffer = ReorderBuffer()
    assert pushed(buffer, 1, 20_000, 2, 3) == [1, 2, 3]
    assert (buffer.counters.strays, buffer.counters.restarts) == (1, 0)


def test_two_numbers_out_of_reach_are_a_new_beginning() -> None:
    buffer = ReorderBuffer()
    assert pushed(buffer, 1, 3, 20_000, 20_001, 20_002) == [1, Lost(1), 3, Lost(0), 20_000, 20_001, 20_002]
    assert (buffer.counters.strays, buffer.counters.restarts) == (0, 1)


def test_what_waits_is_given_at_the_end() -> None:
    buffer = ReorderBuffer()
    pushed(buffer, 1, 3, 6)
    assert flat(buffer.flush()) == [Lost(1), 3, Lost(2), 6]


@given(st.integers(0, 0xFFFF), st.lists(st.integers(0, 3), min_size=1, max_size=60), st.data())
def test_any_loss_and_any_order_within_the_window_is_mended(start: int, fates: list[int], data: st.DataObject) -> None:
    """0: lost; else the packet comes that many places later, at most."""
    sent = [(index + (data.draw(st.integers(0, fate)) if fate else 0), index) for index, fate in enumerate(fates) if fate]
    if not sent or sent[0][1] != 0:
        return
    sent[0] = -1, 0  # the first one tells where the sequence begins
    buffer = ReorderBuffer(reorder_ms=1_000)
    arrived = [index for _, index in sorted(sent)]
    given = [item for index in arrived for item in pushed(buffer, start + index)] + flat(buffer.flush())
    assert [item for item in given if not isinstance(item, Lost)] == [start + index & 0xFFFF for index in sorted(arrived)]
    assert sum(item.count for item in given if isinstance(item, Lost)) == max(arrived) + 1 - len(arrived)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 50)), max_size=200))
def test_no_packet_waits_longer_than_it_may_nor_is_given_twice(arrivals: list[tuple[int, int]]) -> None:
    buffer, now_ms, came = ReorderBuffer(reorder_ms=100, max_packets=8), 0, dict[int, int]()

    def check(items: list[Ordered], at_us: int) -> None:
        for item in items:
            if isinstance(item, RtpPacket):
                assert at_us - came.pop(item.ssrc) <= 100 * MS

    for index, (number, pause_ms) in enumerate(arrivals):
        now_ms += pause_ms
        while (timer := buffer.next_timer) is not None and timer <= now_ms * MS:
            check(buffer.handle_timer(timer), timer)
        came[index] = now_ms * MS
        check(buffer.push(RtpPacket(96, index + number, 0, index, False, b""), now_ms * MS), now_ms * MS)
    check(buffer.flush(), now_ms * MS)
