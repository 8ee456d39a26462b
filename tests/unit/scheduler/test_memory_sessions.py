from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.turned_clock import Clock

from lalmesh.names import StreamKey
from lalmesh.runtime.sessions import ALL, MAX_PAGE, Session, SessionFilter, SessionTouch
from services.scheduler.redis_client import RedisSettings
from services.scheduler.sessions import MemorySessions
from services.scheduler.sessions._names import end_of, first_of, member_of, split_member

CAM = StreamKey.of("live/a", "cam 1")


def seen(*ids: str) -> list[SessionTouch]:
    return [SessionTouch(id=each, stream=CAM, sent_bytes=10) for each in ids]


async def test_a_session_lives_for_its_time_from_when_it_was_last_seen() -> None:
    clock = Clock()
    directory = MemorySessions(ttl_s=60, wall_clock=clock)
    await directory.touch("h1", seen("a", "b"))
    clock.now += 59
    await directory.touch("h2", seen("a"))
    clock.now += 1
    assert [each.hls_players for each in await directory.count([CAM])] == [1]
    (session,) = (await directory.page()).sessions
    assert (session.id, session.node, session.sent_bytes) == ("a", "h2", 20)
    assert (session.seen_us - session.opened_us) == 59_000_000
    clock.now += 59
    assert [each.hls_players for each in await directory.count([CAM])] == [0]


async def test_of_too_many_those_that_were_not_seen_for_longest_are_forgotten() -> None:
    directory = MemorySessions(limit=3)
    await directory.touch("h1", seen("a", "b", "c"))
    await directory.touch("h1", seen("a", "d"))
    assert [session.id for session in (await directory.page()).sessions] == ["a", "c", "d"]
    assert [each.hls_players for each in await directory.count([CAM])] == [3]


STREAMS = [CAM, StreamKey.of("live/a", "cam 1!"), StreamKey.of("live", "b")]


async def paged(directory: MemorySessions, wanted: SessionFilter, limit: int) -> list[Session]:
    found: list[Session] = []
    cursor = ""
    while True:
        page = await directory.page(wanted, cursor=cursor, limit=limit)
        found += page.sessions
        cursor = page.cursor
        if not cursor:
            return found


@given(st.lists(st.tuples(st.sampled_from(STREAMS), st.sampled_from("abcdef"), st.booleans())), st.integers(1, 4))
async def test_pages_hold_each_session_once_and_in_order(touches: list[tuple[StreamKey, str, bool]], limit: int) -> None:
    directory = MemorySessions()
    there: set[tuple[StreamKey, str]] = set()
    for stream, session_id, over in touches:
        await directory.touch("h1", [SessionTouch(id=session_id, stream=stream, over=over)])
        (there.discard if over else there.add)((stream, session_id))
    expected = sorted(there, key=lambda each: member_of(*each))
    assert [(each.stream, each.id) for each in await paged(directory, ALL, limit)] == expected
    of_one = [(each.stream, each.id) for each in await paged(directory, SessionFilter(stream=CAM), limit)]
    assert of_one == [each for each in expected if each[0] == CAM]


async def test_a_page_of_no_size_is_the_callers_bug() -> None:
    for limit in (0, MAX_PAGE + 1):
        with pytest.raises(ValueError):
            await MemorySessions().page(limit=limit)


def test_the_sessions_of_a_stream_stand_together() -> None:
    longer = StreamKey.of("live/a", "cam 1!")
    assert split_member(member_of(CAM, "x y")) == (CAM, "x y")
    assert first_of(CAM) < member_of(CAM, "\x01") < member_of(CAM, "\U0010ffff") < end_of(CAM) < first_of(longer)


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="no host"):
        RedisSettings(host="")
    with pytest.raises(ValueError, match="prefix"):
        RedisSettings(host="h", prefix="")
    with pytest.raises(ValueError, match="go together"):
        RedisSettings(host="h", cert_file="c")
    assert "hidden" not in repr(RedisSettings(host="h", password="hidden"))
