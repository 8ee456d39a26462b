from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from support.hls_fakes import FakeStorage
from support.virtual_time import in_virtual_time

from lalmesh.names import StreamKey
from lalmesh.protocol.hls import PlaylistKind, parse_path
from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.recording import RecordRules, parse_rule
from lalmesh.runtime.storage import MAX_LISTED, StoredObject
from services.hls.kept import FRESH_S, KeptName, KeptSegments, kept_path, recorded_playlist, sweep_kept

NOW_S = 1_800_000_000.0
STREAM = StreamKey.of("live/eu", "cam 1")


def name(number: int, revision: int = 1, *, age_s: int = 3, discontinuity: bool = False) -> KeptName:
    return KeptName(
        number=number,
        epoch=Epoch(1000, revision),
        begun_ms=int(NOW_S - age_s) * 1000,
        duration=180_000,
        target_s=3,
        discontinuity=discontinuity,
    )


@given(st.integers(0, 10**16 - 1), st.integers(0, 10**15), st.integers(1, 10**9 - 1), st.booleans())
def test_a_name_is_read_as_it_was_written(number: int, begun_ms: int, duration: int, discontinuity: bool) -> None:
    made = KeptName(number=number, epoch=Epoch(1, 2), begun_ms=begun_ms, duration=duration, target_s=6, discontinuity=discontinuity)
    assert KeptName.parse(str(made)) == made


@given(st.text())
def test_any_text_is_a_name_or_none(text: str) -> None:
    found = KeptName.parse(text)
    assert found is None or isinstance(found, KeptName)


def test_a_recording_that_grows_lists_what_is_there() -> None:
    playlist = recorded_playlist([name(7), name(8), name(8, 2), name(12)], NOW_S)
    assert playlist is not None
    assert (playlist.media_sequence, playlist.ended, playlist.kind) == (7, False, PlaylistKind.LIVE)
    assert [segment.uri for segment in playlist.segments] == [str(name(7)), str(name(8, 2)), str(name(12))]
    assert [segment.discontinuity for segment in playlist.segments] == [False, False, True]


def test_a_recording_to_which_nothing_is_added_is_complete() -> None:
    playlist = recorded_playlist([name(7, age_s=100)], NOW_S)
    assert playlist is not None
    assert (playlist.ended, playlist.kind) == (True, PlaylistKind.VOD)
    assert recorded_playlist([], NOW_S) is None


class Counting(FakeStorage):
    """Counts listings."""

    listings = 0

    async def list(self, prefix: str, *, after: str = "", limit: int = MAX_LISTED) -> list[StoredObject]:
        self.listings += prefix.startswith("record-hls/")
        return await super().list(prefix, after=after, limit=limit)


@in_virtual_time
async def test_all_players_of_a_recording_cost_one_listing_a_second() -> None:
    storage = Counting()
    kept, asked = KeptSegments(storage), parse_path("/hls/live/eu/cam%201/record.m3u8")
    assert (await kept.answer(asked, STREAM, "")).status == 404
    await storage.put(kept_path(STREAM, str(name(7))), b"segment")
    await asyncio.sleep(FRESH_S + 0.1)
    answers = await asyncio.gather(*(kept.answer(asked, STREAM, f"token={number}") for number in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 20
    assert storage.listings == 2


async def test_lines_lead_to_where_recordings_are() -> None:
    storage = FakeStorage()
    kept, file = KeptSegments(storage), str(name(7))
    await storage.put(kept_path(STREAM, file), b"segment")
    answer = await kept.answer(parse_path("/hls/live/eu/cam%201/record.m3u8"), STREAM, "token=1")
    assert f"\n../../../../record/live/eu/cam%201/{file}?token=1\n" in answer.body.decode()
    found = await kept.find(STREAM, file)
    assert found is not None
    assert found.size_bytes == 7
    assert await kept.find(STREAM, "x.ts") is None
    assert (await kept.answer(parse_path("/hls/live/b/record.m3u8"), StreamKey.of("live", "b"), "")).status == 404


async def test_rules_let_segments_go() -> None:
    storage = FakeStorage()
    for number in range(5):
        await storage.put(kept_path(STREAM, str(name(number, age_s=100 - number))), b"12345")
    assert await sweep_kept(storage, RecordRules([parse_rule("live/* hls")]), NOW_S) == 0
    assert (
        await sweep_kept(storage, RecordRules([parse_rule("live/* flv keep_s=1"), parse_rule("live/* hls keep_s=97")]), NOW_S) == 1
    )
    assert await sweep_kept(storage, RecordRules([parse_rule("live/* hls keep_bytes=10")]), NOW_S) == 2
    assert storage.names() == [str(name(3, age_s=97)), str(name(4, age_s=96))]
