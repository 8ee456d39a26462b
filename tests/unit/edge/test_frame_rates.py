from __future__ import annotations

from support.edge_fakes import AUDIO, FIRST, VIDEO, epoch

from lalmesh.media import AccessUnit, TracksChanged, TrackSet
from lalmesh.runtime.scheduling.model import MAX_FRAME_SECONDS, MAX_GOPS
from services.edge.frame_rates import FrameRates
from services.edge.publication import Publication, PublicationSettings

BEGUN_S = 1_700_000_000
US = 1_000_000


def publication(*tracks: object) -> Publication:
    core = Publication(FIRST, PublicationSettings())
    core.grant(epoch(1))
    core.feed([TracksChanged(TrackSet(tracks, 1))], BEGUN_S * US)  # type: ignore[arg-type]
    return core


def send(core: Publication, second: int, count: int, track_id: int = 1) -> None:
    units = [AccessUnit(track_id, second * 90_000 + number, 0, True, b"u") for number in range(count)]
    core.feed(units, (BEGUN_S + second) * US)


def test_pictures_are_counted_by_the_second_that_they_came_in_and_sound_is_not() -> None:
    core, rates = publication(VIDEO, AUDIO), FrameRates()
    send(core, 0, 25)
    send(core, 0, 40, track_id=2)
    send(core, 1, 30)
    assert rates.told(core, BEGUN_S + 2).frames == (30, 25)
    send(core, 2, 7)
    assert rates.told(core, BEGUN_S + 2).frames == (30, 25)  # the second is not over
    assert rates.told(core, BEGUN_S + 4).frames == (0, 7, 30, 25)


def test_of_a_stream_without_video_sound_is_counted() -> None:
    core = publication(AUDIO)
    send(core, 0, 46, track_id=2)
    assert FrameRates().told(core, BEGUN_S + 1).frames == (46,)


def test_nothing_is_told_of_seconds_before_the_publication_or_long_past() -> None:
    core, rates = publication(VIDEO), FrameRates()
    assert rates.told(core, BEGUN_S).frames == ()
    send(core, 0, 1)
    assert len(rates.told(core, BEGUN_S + 1000).frames) == MAX_FRAME_SECONDS


def test_bytes_of_all_tracks_are_counted() -> None:
    core, rates = publication(VIDEO, AUDIO), FrameRates()
    send(core, 0, 25)
    send(core, 0, 40, track_id=2)
    send(core, 1, 30)
    assert rates.told(core, BEGUN_S + 2).payload_bytes == (30, 65)


def picture(dts_ms: int, key: bool) -> AccessUnit:
    return AccessUnit(1, dts_ms * 90, 0, key, b"u")


def test_a_gop_is_told_of_when_the_next_begins() -> None:
    core, rates = publication(VIDEO, AUDIO), FrameRates()
    core.feed([picture(number * 40, number % 25 == 0) for number in range(50)], BEGUN_S * US)
    told = rates.told(core, BEGUN_S + 1)
    assert (told.gop_frames, told.gop_ms, told.gops_end_us) == ((25,), (1000,), BEGUN_S * US)
    core.feed([picture(2000, True), AccessUnit(2, 2000 * 90, 0, True, b"a"), picture(2040, True)], (BEGUN_S + 1) * US)
    told = rates.told(core, BEGUN_S + 2)
    assert (told.gop_frames, told.gop_ms, told.gops_end_us) == ((1, 25, 25), (40, 1000, 1000), (BEGUN_S + 1) * US)


def test_so_many_gops_are_told_of_and_of_sound_none() -> None:
    core = publication(VIDEO)
    core.feed([picture(number * 40, True) for number in range(MAX_GOPS + 5)], BEGUN_S * US)
    assert FrameRates().told(core, BEGUN_S + 1).gop_ms == (40,) * MAX_GOPS
    core = publication(AUDIO)
    send(core, 0, 46, track_id=2)
    assert FrameRates().told(core, BEGUN_S + 1).gop_frames == ()


def test_all_pictures_are_counted_once_however_often_somebody_looks() -> None:
    core, rates = publication(VIDEO, AUDIO), FrameRates()
    assert rates.of(core) is None
    for second in range(3):
        send(core, second, 25)
        rates.told(core, BEGUN_S + second)
        rates.told(core, BEGUN_S + second)
    rate = rates.of(core)
    assert rate is not None
    assert rate.frames == 75
