from __future__ import annotations

import asyncio
import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hls_checker import HlsChecker
from support.hls_fakes import FakeStorage

from lalmesh.names import StreamKey
from lalmesh.protocol.hls import PlaylistKind, parse_path, render_media
from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.storage import MAX_LISTED, StorageUnavailable, StoredObject
from services.hls.kept import KeptName, KeptSegments, Place, find_kept, kept_path, place_path, recorded_playlist
from services.hls.kept import _playlist as playlists
from services.hls.kept import _segments as segments
from services.hls.kept._place import place_after

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


def test_a_name_says_what_a_playlist_says() -> None:
    text = "0000000000000007-1000.1-1799999997000-180000-3d.ts"  # stored ones are read by every later version
    assert KeptName.parse(text) == name(7, discontinuity=True)


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
    assert [segment.number for segment in playlist.segments] == [7, 8, 9]


def test_what_is_left_out_for_its_length_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [name(1), name(2, discontinuity=True), name(9), name(10), name(20)]
    monkeypatch.setattr(playlists, "MAX_LISTED", 2)
    playlist = recorded_playlist(names, NOW_S)
    assert playlist is not None
    assert (playlist.media_sequence, playlist.discontinuity_sequence) == (4, 2)
    assert [segment.discontinuity for segment in playlist.segments] == [False, True]


@given(st.sets(st.integers(0, 40), min_size=2), st.data())
def test_segments_that_went_change_nothing_of_the_others(numbers: set[int], data: st.DataObject) -> None:
    names = [name(number, discontinuity=data.draw(st.booleans())) for number in sorted(numbers)]
    gone = data.draw(st.integers(1, len(names) - 1))
    begin = functools.reduce(place_after, names[:gone], None)
    whole = recorded_playlist(names, NOW_S)
    for left in (recorded_playlist(names, NOW_S, begin=begin), recorded_playlist(names[gone:], NOW_S, begin=begin)):
        assert whole is not None
        assert left is not None
        assert left.segments == whole.segments[gone:]
        assert left.discontinuity_sequence == sum(segment.discontinuity for segment in whole.segments[:gone])


def test_segments_may_go_from_a_complete_recording() -> None:
    names, checker = [name(number, age_s=100 - 2 * number) for number in (1, 2, 5, 6, 7, 8, 9)], HlsChecker()
    begin = functools.reduce(place_after, names[:3], None)
    for at_s, over, gone in ((0, False, None), (1, True, None), (2, True, begin)):
        playlist = recorded_playlist(names, NOW_S, over=over, begin=gone)
        assert playlist is not None
        checker.see(at_s, "http://node/record.m3u8", render_media(playlist))
    assert checker.violations == []


@given(st.integers(0, 10**16 - 1), st.integers(0, 10**16 - 1), st.integers(0, 10**16 - 1))
def test_a_place_is_read_as_it_was_written(number: int, missing: int, discontinuities: int) -> None:
    place = Place(number, missing, discontinuities, 6)
    assert Place.parse(str(place)) == place
    assert Place.parse(f"{place}.ts") is None


def test_a_recording_to_which_nothing_is_added_is_complete() -> None:
    playlist = recorded_playlist([name(7, age_s=100)], NOW_S)
    assert playlist is not None
    assert (playlist.ended, playlist.kind) == (True, PlaylistKind.LIVE)
    assert recorded_playlist([], NOW_S) is None


class Counting(FakeStorage):
    """Counts listings."""

    listings = 0

    async def list(self, prefix: str, *, after: str = "", limit: int = MAX_LISTED) -> list[StoredObject]:
        self.listings += prefix.startswith("record-hls/")
        return await super().list(prefix, after=after, limit=limit)


async def test_all_players_of_a_recording_cost_one_listing_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Counting()
    kept, asked = KeptSegments(storage), parse_path("/hls/live/eu/cam%201/record.m3u8")
    monkeypatch.setattr(segments, "FRESH_S", 1000.0)
    assert (await kept.answer(asked, STREAM, "")).status == 404
    await storage.put(kept_path(STREAM, str(name(7))), b"segment")
    assert (await kept.answer(asked, STREAM, "")).status == 404
    monkeypatch.setattr(segments, "LONGEST_FRESH_S", -1.0)
    answers = await asyncio.gather(*(kept.answer(asked, STREAM, f"token={number}") for number in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 20
    assert storage.listings == 2


@pytest.mark.parametrize(("took_s", "fresh_s"), [(0.01, 1.0), (0.5, 2.5), (10.0, 5.0)])
def test_the_longer_a_listing_takes_the_longer_it_holds(took_s: float, fresh_s: float) -> None:
    listed = segments._Listed(100.0, took_s, None)
    assert listed.is_fresh(100.0 + fresh_s)
    assert not listed.is_fresh(100.01 + fresh_s)


async def test_a_text_is_made_once_of_each_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = FakeStorage()
    kept, asked = KeptSegments(storage), parse_path("/hls/live/eu/cam%201/record.m3u8")
    await storage.put(kept_path(STREAM, str(name(7))), b"segment")
    monkeypatch.setattr(segments, "FRESH_S", 1000.0)
    first, again, other = [(await kept.answer(asked, STREAM, query)).body for query in ("a=1", "a=1&_HLS_msn=3", "a=2")]
    assert first is again
    assert first != other
    await storage.put(kept_path(STREAM, str(name(8))), b"segment")
    monkeypatch.setattr(segments, "LONGEST_FRESH_S", -1.0)
    assert str(name(8)) in (await kept.answer(asked, STREAM, "a=1")).body.decode()


async def test_a_query_that_would_make_a_long_playlist_huge_is_refused() -> None:
    storage = FakeStorage()
    kept, asked = KeptSegments(storage), parse_path("/hls/live/eu/cam%201/record.m3u8")
    await storage.put(kept_path(STREAM, str(name(7))), b"segment")
    longest = "x=" + "y" * (segments.MAX_QUERY_BYTES - 2)
    assert (await kept.answer(asked, STREAM, f"{longest}&_HLS_msn=1")).status == 200
    answer = await kept.answer(asked, STREAM, f"{longest}y")
    assert (answer.status, b"1000 bytes" in answer.body) == (414, True)
    assert (await kept.answer(asked, STREAM, "x=" + '"' * (segments.MAX_QUERY_BYTES // 2))).status == 414  # as it would stand there


@pytest.mark.parametrize("times", [1, 10])
async def test_a_playlist_whose_beginning_moves_is_listed_anew(times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Swept(Counting):
        """Somebody else removes segments while they are listed."""

        async def list(self, prefix: str, *, after: str = "", limit: int = MAX_LISTED) -> list[StoredObject]:
            found = await super().list(prefix, after=after, limit=limit)
            if prefix.startswith("record-hls/") and self.listings <= times:
                await self.put(place_path(STREAM, Place(self.listings, 0, 3, 3)), b"")
            return found

    storage = Swept()
    for number in range(1, 4):
        await storage.put(kept_path(STREAM, str(name(number))), b"segment")
    answering = KeptSegments(storage).answer(parse_path("/hls/live/eu/cam%201/record.m3u8"), STREAM, "")
    if times > 1:
        with pytest.raises(StorageUnavailable):
            await answering
    else:
        assert "#EXT-X-MEDIA-SEQUENCE:2\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n" in (await answering).body.decode()


async def test_lines_lead_to_where_recordings_are() -> None:
    storage = FakeStorage()
    kept, file = KeptSegments(storage), str(name(7))
    await storage.put(kept_path(STREAM, file), b"segment")
    answer = await kept.answer(parse_path("/hls/live/eu/cam%201/record.m3u8"), STREAM, "token=1")
    assert f"\n../../../../record/live/eu/cam%201/{file}?token=1\n" in answer.body.decode()
    found = await find_kept(storage, STREAM, file)
    assert found is not None
    assert found.size_bytes == 7
    assert await find_kept(storage, STREAM, "x.ts") is None
    assert (await kept.answer(parse_path("/hls/live/b/record.m3u8"), StreamKey.of("live", "b"), "")).status == 404
