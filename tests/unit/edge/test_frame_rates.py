from __future__ import annotations

from support.edge_fakes import AUDIO, FIRST, VIDEO, epoch

from lalmesh.media import AccessUnit, TracksChanged, TrackSet
from lalmesh.runtime.scheduling.model import MAX_FRAME_SECONDS
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
    assert rates.past(core, BEGUN_S + 2) == (30, 25)
    send(core, 2, 7)
    assert rates.past(core, BEGUN_S + 2) == (30, 25)  # the second is not over
    assert rates.past(core, BEGUN_S + 4) == (0, 7, 30, 25)


def test_of_a_stream_without_video_sound_is_counted() -> None:
    core = publication(AUDIO)
    send(core, 0, 46, track_id=2)
    assert FrameRates().past(core, BEGUN_S + 1) == (46,)


def test_nothing_is_told_of_seconds_before_the_publication_or_long_past() -> None:
    core, rates = publication(VIDEO), FrameRates()
    assert rates.past(core, BEGUN_S) == ()
    send(core, 0, 1)
    assert len(rates.past(core, BEGUN_S + 1000)) == MAX_FRAME_SECONDS
