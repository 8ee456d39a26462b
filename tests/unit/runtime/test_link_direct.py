from __future__ import annotations

import asyncio

import pytest
from support.links import EDGE, ELSEWHERE, EPOCH, PLACE, PUBLICATION, FakeOrigin, FakePublisher, FakeReader, plain, run, units

from lalmesh.runtime.link import CloseReason, DirectLink
from lalmesh.runtime.ownership import UnitName


async def settle() -> None:
    """Let what was put off until the call had returned happen."""
    for _ in range(3):
        await asyncio.sleep(0)


def joined(origin: FakeOrigin) -> DirectLink:
    return DirectLink(EDGE, origin)


async def test_units_go_from_publisher_to_readers_complete_and_in_order() -> None:
    origin = FakeOrigin()
    link = joined(origin)
    publisher, readers = FakePublisher(link), [FakeReader(link), FakeReader(link)]
    await settle()
    publisher.feed(3)
    publisher.feed(4)
    assert [plain(reader.units) for reader in readers] == [plain(units(0, 7))] * 2
    assert readers[0].units[0] is publisher.ring.newest(99)[0]  # no copy
    assert (readers[0].opened, publisher.opened) == ((EPOCH, PLACE), (None, PLACE))
    assert origin.peers == [EDGE] * 3


async def test_answers_come_only_after_the_call_that_asked_has_returned() -> None:
    origin = FakeOrigin()
    origin.group().append(run(0, 5))
    publisher, reader = FakePublisher(joined(origin)), FakeReader(joined(origin))
    assert (publisher.opened, reader.opened, reader.runs) == (None, None, [])
    await settle()
    assert publisher.opened is not None
    assert (reader.opened, reader.seqs) == ((EPOCH, PLACE), [0, 1, 2, 3, 4])


async def test_what_the_origin_holds_is_not_replayed() -> None:
    origin = FakeOrigin()
    origin.group().append(run(0, 5))
    publisher = FakePublisher(joined(origin))
    publisher.feed(8)
    await settle()
    assert publisher.opened == (UnitName(PUBLICATION, 4), PLACE)
    assert [unit.seq for unit in origin.group().ring.newest(99)] == list(range(8))


async def test_a_reader_resumes_after_the_unit_that_it_has() -> None:
    origin = FakeOrigin()
    origin.group().append(run(0, 9))
    reader = FakeReader(joined(origin), after=UnitName(PUBLICATION, 5))
    await settle()
    assert (reader.seqs, reader.missing) == ([6, 7, 8], 0)


async def test_a_refusal_within_the_call_reaches_the_dialler_and_nothing_else() -> None:
    origin = FakeOrigin()
    origin.refuse = CloseReason.BAD_GRANT
    publisher, reader = FakePublisher(joined(origin)), FakeReader(joined(origin))
    await settle()
    assert publisher.closed == reader.closed == (CloseReason.BAD_GRANT, "no")
    assert (publisher.opened, reader.opened, origin.group().ended) == (None, None, [])


async def test_units_are_flushed_before_the_publisher_is_gone() -> None:
    origin = FakeOrigin()
    publisher, reader = FakePublisher(joined(origin)), FakeReader(joined(origin))
    await settle()
    publisher.ring.append(run(0, 3))
    publisher.outlet.close(CloseReason.DONE)
    publisher.outlet.close(CloseReason.LIMIT)
    publisher.feed(1)
    assert reader.seqs == [0, 1, 2]
    assert origin.group().ended == [CloseReason.DONE]
    assert publisher.closed is None
    await settle()
    assert publisher.closed == (CloseReason.DONE, "")  # the origin has all


async def test_the_origin_ends_both_kinds_with_a_reason_after_the_last_units() -> None:
    origin = FakeOrigin()
    publisher, reader = FakePublisher(joined(origin)), FakeReader(joined(origin))
    await settle()
    publisher.feed(2)
    origin.group().publications[0].close(CloseReason.FENCED, "newer")
    origin.group().ring.append(run(2, 1))
    origin.group().subscriptions[0].close(CloseReason.STREAM_ENDED, "over")
    await settle()
    assert (publisher.closed, reader.closed) == ((CloseReason.FENCED, "newer"), (CloseReason.STREAM_ENDED, "over"))
    assert reader.seqs == [0, 1, 2]
    assert origin.group().ended == []


async def test_word_that_the_stream_is_elsewhere_closes_nothing() -> None:
    origin = FakeOrigin()
    publisher, reader = FakePublisher(joined(origin)), FakeReader(joined(origin))
    await settle()
    for port in (origin.group().publications[0], origin.group().subscriptions[0]):
        port.source_lost(ELSEWHERE)
    await settle()
    publisher.feed(2)
    assert (publisher.told, reader.told, reader.seqs) == ([ELSEWHERE], [ELSEWHERE], [0, 1])


async def test_a_reader_that_leaves_hears_no_more() -> None:
    origin = FakeOrigin()
    publisher, reader = FakePublisher(joined(origin)), FakeReader(joined(origin))
    early = FakeReader(joined(origin))
    early.subscription.close()
    await settle()
    publisher.feed(1)
    reader.subscription.close()
    reader.subscription.close()
    publisher.feed(1)
    await settle()
    assert (reader.seqs, reader.closed, early.opened, early.runs) == ([0], None, None, [])
    assert origin.group().ended == [CloseReason.DONE, CloseReason.DONE]


async def test_a_reader_that_fails_ends_alone(caplog: pytest.LogCaptureFixture) -> None:
    origin = FakeOrigin()
    publisher = FakePublisher(joined(origin))
    failing, beside = FakeReader(joined(origin), failing=True), FakeReader(joined(origin))
    await settle()
    publisher.feed(2)
    await settle()
    publisher.feed(1)
    assert beside.seqs == [0, 1, 2]
    assert failing.closed == (CloseReason.LIMIT, "failed on the other side")
    assert (publisher.closed, origin.group().ended) == (None, [CloseReason.LIMIT])
    assert "a reader of this test fails" in caplog.text


async def test_an_origin_that_fails_on_a_publication_ends_it_on_both_sides(caplog: pytest.LogCaptureFixture) -> None:
    origin = FakeOrigin()
    publisher = FakePublisher(joined(origin))
    await settle()
    origin.failing = set(origin.groups)
    publisher.feed(2)
    assert publisher.closed is None  # not within its own call
    await settle()
    assert publisher.closed == (CloseReason.LIMIT, "failed on the other side")
    assert origin.group().ended == [CloseReason.LIMIT]
    assert "an origin of this test fails" in caplog.text
