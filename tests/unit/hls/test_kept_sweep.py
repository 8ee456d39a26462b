from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest
from support.hls_checker import HlsChecker
from support.hls_fakes import FakeStorage

from lalmesh.names import StreamKey
from lalmesh.protocol.hls import parse_path
from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.recording import RecordRules, parse_rule
from lalmesh.runtime.storage import StorageUnavailable, list_pages
from services.hls.kept import KeptName, KeptSegments, kept_path, sweep_kept
from services.hls.kept import _sweep as sweeping

NOW_S = 1_800_000_000.0
STREAM = StreamKey.of("live/eu", "cam 1")
DAY_S = 86_400.0


def name(number: int, *, age_s: float | None = None, discontinuity: bool = False, target_s: int = 3) -> KeptName:
    """A segment of two seconds; of number 100 is the picture that is shown now."""
    return KeptName(
        number=number,
        epoch=Epoch(1000, 1),
        begun_ms=int((NOW_S - (200 - number * 2 if age_s is None else age_s)) * 1000),
        duration=180_000,
        target_s=target_s,
        discontinuity=discontinuity,
    )


async def keep(storage: FakeStorage, *names: KeptName, stream: StreamKey = STREAM) -> None:
    for kept in names:
        await storage.put(kept_path(stream, str(kept)), b"12345")


def rules(*lines: str) -> RecordRules:
    return RecordRules([parse_rule(line) for line in lines])


def numbers(storage: FakeStorage) -> list[int]:
    return [kept.number for file in storage.names(".ts") if (kept := KeptName.parse(file))]


async def playlist(storage: FakeStorage) -> str:
    answer = await KeptSegments(storage).answer(parse_path("/hls/live/eu/cam%201/record.m3u8"), STREAM, "")
    return answer.body.decode()


async def test_rules_let_segments_go() -> None:
    storage = FakeStorage()
    await keep(storage, *(name(number, age_s=100 - number) for number in range(5)))
    assert await sweep_kept(storage, DAY_S, rules("live/* hls"), NOW_S) == 0
    assert await sweep_kept(storage, DAY_S, rules("live/* flv keep_s=1", "live/* hls keep_s=97"), NOW_S) == 1
    assert await sweep_kept(storage, DAY_S, rules("live/* hls keep_bytes=10"), NOW_S) == 2
    assert numbers(storage) == [3, 4]


async def test_a_size_is_that_of_all_streams_of_a_rule() -> None:
    storage = FakeStorage()
    await keep(storage, name(1), name(3), stream=StreamKey.of("live", "a"))
    await keep(storage, name(2), name(4), stream=StreamKey.of("live", "b"))
    await keep(storage, name(0), stream=StreamKey.of("other", "c"))
    assert await sweep_kept(storage, DAY_S, rules("live/* hls keep_bytes=14"), NOW_S) == 2
    assert numbers(storage) == [3, 4, 0]


async def test_the_first_go_whatever_a_clock_said() -> None:
    storage = FakeStorage()
    await keep(storage, name(1, age_s=10), name(2, age_s=1000), name(3, age_s=5))
    assert await sweep_kept(storage, DAY_S, rules("live/* hls keep_s=100"), NOW_S) == 0
    assert await sweep_kept(storage, DAY_S, rules("live/* hls keep_bytes=5"), NOW_S) == 2
    assert numbers(storage) == [3]


@pytest.mark.parametrize(("most", "left"), [(2, [8, 9]), (1000, [8, 9])])
async def test_more_segments_than_are_remembered_are_swept(most: int, left: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    storage = FakeStorage()
    await keep(storage, *(name(number) for number in range(10)))
    monkeypatch.setattr(sweeping, "MAX_SWEPT", most + 1)
    monkeypatch.setattr(sweeping, "list_pages", partial(list_pages, limit=2))
    assert await sweep_kept(storage, DAY_S, rules("live/* hls keep_bytes=10"), NOW_S) == 8
    assert numbers(storage) == left


async def test_too_old_ones_go_where_too_many_are_kept_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = FakeStorage()
    await keep(storage, *(name(number) for number in range(5)), stream=StreamKey.of("a", "large"))
    await keep(storage, name(1), name(2), name(99))
    monkeypatch.setattr(sweeping, "MAX_SWEPT", 3)
    monkeypatch.setattr(sweeping, "list_pages", partial(list_pages, limit=2))
    assert await sweep_kept(storage, DAY_S, rules("a/* hls keep_bytes=1000", "live/* hls keep_s=100"), NOW_S) == 2
    assert numbers(storage) == [0, 1, 2, 3, 4, 99]


async def test_playlists_go_on_when_segments_before_a_hole_are_removed() -> None:
    storage, checker = FakeStorage(), HlsChecker()
    first = [name(60, target_s=4), name(61), name(64), name(65, discontinuity=True), *map(name, range(66, 80))]
    await keep(storage, *first)

    async def look(at_s: float) -> str:
        body = await playlist(storage)
        checker.see(at_s, "http://node/hls/live/eu/cam%201/record.m3u8", body)
        return body

    assert "#EXT-X-MEDIA-SEQUENCE:60\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n" in await look(0)
    assert await sweep_kept(storage, DAY_S, rules("live/* hls keep_s=74"), NOW_S) == 2  # up to the hole
    assert "#EXT-X-MEDIA-SEQUENCE:62\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n" in await look(1)
    await keep(storage, name(80), name(84))
    assert await sweep_kept(storage, DAY_S, rules("live/* hls keep_s=67"), NOW_S) == 2  # the hole and a discontinuity
    assert "#EXT-X-MEDIA-SEQUENCE:64\n#EXT-X-DISCONTINUITY-SEQUENCE:2\n" in await look(2)
    await keep(storage, name(85))
    assert await sweep_kept(storage, DAY_S, rules("live/* hls keep_bytes=50"), NOW_S) == 7
    assert "#EXT-X-MEDIA-SEQUENCE:71\n#EXT-X-DISCONTINUITY-SEQUENCE:2\n" in await look(3)
    assert checker.violations == []


@pytest.mark.parametrize("rule", ["live/* hls keep_s=70", "live/* hls keep_bytes=75"])
@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
async def test_what_several_workers_made_of_one_number_goes_together(
    limit: int, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, checker = FakeStorage(), HlsChecker()
    again = replace(name(63, discontinuity=True, target_s=5), epoch=Epoch(1000, 2))
    await keep(storage, *map(name, range(60, 80)), again)
    checker.see(0, "http://node/record.m3u8", await playlist(storage))
    monkeypatch.setattr(sweeping, "list_pages", partial(list_pages, limit=limit))
    assert await sweep_kept(storage, DAY_S, rules(rule), NOW_S) == (5 if "keep_s" in rule else 6)
    checker.see(1, "http://node/record.m3u8", body := await playlist(storage))
    assert "#EXT-X-TARGETDURATION:5\n" in body
    assert "#EXT-X-DISCONTINUITY-SEQUENCE:1\n" in body
    assert checker.violations == []


async def test_a_segment_that_a_later_worker_made_longer_stays_with_what_the_first_made_of_it() -> None:
    storage = FakeStorage()
    longer = replace(name(61, discontinuity=True), epoch=Epoch(1000, 2), duration=900_000)
    await keep(storage, *map(name, range(60, 70)), longer)
    assert await sweep_kept(storage, DAY_S, rules("live/* hls keep_s=72"), NOW_S) == 1
    assert "#EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-DISCONTINUITY\n" in (body := await playlist(storage))
    assert str(longer) in body


async def test_playlists_go_on_where_removing_fails_halfway() -> None:
    class Sticky(FakeStorage):
        async def delete(self, paths: Sequence[str]) -> None:
            if any(path.startswith("record-hls/") for path in paths):
                raise StorageUnavailable("away", retry_after_s=1.0)

    storage = Sticky()
    await keep(storage, name(60), name(65), *map(name, range(70, 80)))
    with pytest.raises(StorageUnavailable):
        await sweep_kept(storage, DAY_S, rules("live/* hls keep_s=67"), NOW_S)
    before = await playlist(storage)
    gone = {kept_path(STREAM, str(name(number))) for number in (60, 65)}
    storage.objects = {path: data for path, data in storage.objects.items() if path not in gone}
    assert await playlist(storage) == before
    assert "#EXT-X-MEDIA-SEQUENCE:62\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n" in before


async def test_numbers_go_on_where_all_was_removed() -> None:
    storage = FakeStorage()
    await keep(storage, name(1), name(5))
    await sweep_kept(storage, DAY_S, rules("live/* hls keep_s=1"), NOW_S)
    assert await playlist(storage) == "live/eu/cam 1: no segments are kept\n"
    await keep(storage, name(50))
    assert "#EXT-X-MEDIA-SEQUENCE:3\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n" in await playlist(storage)
    assert [file for file in storage.names() if not file.endswith(".ts")] == ["0000000000000005-3-1-3"]


async def test_how_far_a_playlist_has_come_is_forgotten_when_nothing_of_it_was_there_for_long() -> None:
    storage = FakeStorage()
    storage.now_us = int(NOW_S * 1_000_000)
    await keep(storage, *(name(number) for number in range(3)))
    only, rule = partial(storage.list, "record-hls-begin"), rules("live/* hls keep_s=1")
    assert await sweep_kept(storage, DAY_S, rule, NOW_S) == 3
    await storage.put("record-hls-begin/README", b"")
    for days in (0.5, 2):
        assert await sweep_kept(storage, DAY_S, rule, NOW_S + days * DAY_S) == 0
        assert len(await only()) == (2 if days < 1 else 1)


async def test_how_far_a_playlist_has_come_stays_while_it_has_segments_some_that_came_just_now_too() -> None:
    class Late(FakeStorage):
        async def delete(self, paths: Sequence[str]) -> None:
            await super().delete(paths)
            if self.comes:  # between the listing of segments and that of places
                await keep(self, name(99))

        comes = False

    storage, rule = Late(), rules("live/* hls keep_s=100")
    await keep(storage, *(name(number, age_s=111 - number * 2) for number in range(6)))
    assert await sweep_kept(storage, DAY_S, rule, NOW_S) == 5
    assert await sweep_kept(storage, DAY_S, rule, NOW_S + 2 * DAY_S) == 1
    assert len(await storage.list("record-hls-begin")) == 1
    storage.comes = True
    await keep(storage, name(1, age_s=110), stream=StreamKey("live", "b"))
    assert await sweep_kept(storage, DAY_S, rule, NOW_S) == 1
    assert len(await storage.list(f"record-hls-begin/{STREAM.quoted()}")) == 1
