"""Streams for lal's API: however many there are and ask, the loop goes on."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.virtual_time import in_virtual_time

from lalmesh.names import StreamKey
from lalmesh.runtime.sessions import ALL, MAX_PAGE, Session, SessionFilter, SessionPage, SessionRole, SessionTouch
from services.scheduler.lal_api import _objects
from services.scheduler.lal_api._groups import REMEMBERED_S, Groups
from services.scheduler.lal_api._models import GroupList, GroupsReply, StatSession
from services.scheduler.lal_api._objects import AT_ONCE
from services.scheduler.sessions import MemorySessions

CAM = StreamKey("live", "cam")


class Counting(MemorySessions):
    """Says how many pages were asked for."""

    pages = 0

    async def page(self, wanted: SessionFilter = ALL, *, cursor: str = "", limit: int = MAX_PAGE) -> SessionPage:
        self.pages += 1
        return await super().page(wanted, cursor=cursor, limit=limit)


async def cluster(players: int, streams: int = 1) -> tuple[Groups, Counting]:
    """So many players of so many streams, the first of which is `CAM`."""
    keys = [StreamKey("live", f"cam{number or ''}") for number in range(streams)]
    sessions = Counting()
    touches = [
        SessionTouch(id=f"{number:08x}", stream=keys[number % streams], role=SessionRole.PLAYER) for number in range(players)
    ]
    await sessions.touch("e1", touches)

    async def figures(streams: list[StreamKey]) -> list[Any]:
        return [SimpleNamespace(at=lambda node: None) for _ in streams]

    directory = SimpleNamespace(streams=lambda: sorted(keys), claim=lambda _: None, group=lambda _: None)
    service = SimpleNamespace(directory=directory)
    return Groups(cast(Any, service), cast(Any, SimpleNamespace(of=figures)), sessions), sessions


@in_virtual_time
async def test_other_work_is_done_while_many_players_are_listed() -> None:
    groups, _ = await cluster(3 * MAX_PAGE)
    asked = asyncio.create_task(groups.show_all())
    turns = 0
    while not asked.done():
        await asyncio.sleep(0)
        turns += 1
    assert len((await asked)[0].subs or ()) == 3 * MAX_PAGE
    assert turns > 3 * MAX_PAGE // AT_ONCE


@in_virtual_time
async def test_all_who_ask_at_once_and_for_a_while_after_get_one_answer() -> None:
    groups, sessions = await cluster(1)
    first, *others = await asyncio.gather(*(groups.show_all() for _ in range(100)))
    assert all(each is first for each in others)
    await asyncio.sleep(REMEMBERED_S / 2)
    assert await groups.show_all() is first
    assert sessions.pages == 1
    await asyncio.sleep(REMEMBERED_S)
    assert await groups.show_all() is not first


@in_virtual_time
async def test_of_many_who_ask_for_one_stream_one_asks() -> None:
    groups, sessions = await cluster(1)
    await asyncio.gather(*(groups.show(CAM) for _ in range(100)))
    assert sessions.pages == 1


@in_virtual_time
async def test_the_answer_of_all_streams_is_written_once_for_all_who_ask_and_other_work_is_done_meanwhile() -> None:
    groups, sessions = await cluster(MAX_PAGE, streams=50)
    asked, turns = asyncio.gather(*(groups.written_all() for _ in range(100))), 0
    while not asked.done():
        await asyncio.sleep(0)
        turns += 1
    first, *others = await asked
    assert all(each is first for each in others)
    assert turns > 2 * MAX_PAGE // AT_ONCE
    assert first.decode() == GroupsReply(data=GroupList(groups=await groups.show_all())).model_dump_json()
    assert await groups.written_all() is first
    await asyncio.sleep(2 * REMEMBERED_S)
    await sessions.touch("e1", [SessionTouch(id="late", stream=CAM, role=SessionRole.PLAYER)])
    assert b"late" in await groups.written_all()


@in_virtual_time
async def test_where_there_is_no_stream_the_answer_says_so() -> None:
    groups, _ = await cluster(0, streams=0)
    assert json.loads(await groups.written_all())["data"] == {"groups": None}


@in_virtual_time
async def test_the_sessions_of_one_stream_at_a_time_are_put_into_words(monkeypatch: pytest.MonkeyPatch) -> None:
    groups, _ = await cluster(20 * 3 * AT_ONCE, streams=20)
    between, made = [0], _objects.stat_session

    def count(session: Session) -> StatSession:
        between[-1] += 1
        return made(session)

    monkeypatch.setattr(_objects, "stat_session", count)
    asked = asyncio.gather(*(groups.show(StreamKey("live", f"cam{number or ''}")) for number in range(20)))
    while not asked.done():
        await asyncio.sleep(0)
        between.append(0)
    assert [len(group.subs or ()) for group in await asked] == [3 * AT_ONCE] * 20
    assert max(between) <= 2 * AT_ONCE  # one ends, and another begins
