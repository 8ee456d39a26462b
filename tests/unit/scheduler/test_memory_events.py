from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.names import StreamKey
from lalmesh.runtime.event_log import BEGINNING, SHARDS, EventPage, position_key
from lalmesh.runtime.events import Event, event_id
from services.scheduler.events import MemoryEventLog, _memory

KEPT = 4_000
ALL = range(SHARDS)


@pytest.fixture
async def log() -> MemoryEventLog:
    log = MemoryEventLog()
    streams = [StreamKey("live", f"cam{number}") for number in range(100)]
    await log.append(
        [Event(id=event_id(b"12345678", n), kind="alarm", at_us=n, node="e", stream=streams[n % 100]) for n in range(1, KEPT + 1)]
    )
    return log


async def everything(log: MemoryEventLog, limit: int) -> list[EventPage]:
    pages = [await log.read(ALL, BEGINNING, limit)]
    while pages[-1].more:
        pages.append(await log.read(ALL, pages[-1].position, limit))
    return pages


async def test_who_reads_on_does_not_look_at_all_that_is_kept(log: MemoryEventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    (page,) = await everything(log, KEPT)
    looks: list[str] = []

    def look(position: str) -> tuple[int, int]:
        looks.append(position)
        return position_key(position)

    monkeypatch.setattr(_memory, "position_key", look)
    assert not (await log.read(ALL, page.position, 100)).events  # each listener does, ten times a second
    assert len(looks) < KEPT / 10
    looks.clear()
    pages = await everything(log, 100)
    assert sum(len(each.events) for each in pages) == KEPT
    assert len(looks) < 10 * KEPT


_CHANGES = st.tuples(st.sampled_from([b"1" * 8, b"2" * 8]), st.sampled_from(["sub_start", "sub_stop"]), st.sampled_from("abc"))


@given(st.lists(_CHANGES, max_size=30), st.booleans())
async def test_nodes_have_sessions_from_the_first_that_begins_to_the_last_that_ends(
    changes: Sequence[tuple[bytes, str, str]], is_gone: bool
) -> None:
    log, there = MemoryEventLog(), set[tuple[str, str]]()
    for number, (node, kind, session_id) in enumerate(changes, start=1):
        cam, facts = StreamKey("live", "cam"), {"session_id": session_id}
        await log.append([Event(id=event_id(node, number), kind=kind, at_us=1, node="e", stream=cam, facts=facts)])
        there = there | {(node.hex(), session_id)} if kind == "sub_start" else there - {(node.hex(), session_id)}
        assert await log.incarnations() == {node for node, _ in there}
    if is_gone:
        gone = (b"1" * 8).hex()
        await log.forget_node(gone)
        assert await log.incarnations() == {node for node, _ in there} - {gone}
