"""G.711 becomes AAC before it is cut."""

from __future__ import annotations

import pytest
from support.hls_fakes import run
from support.ts_units import VIDEO, picture, track

from lalmesh.media import AccessUnit, Codec, TrackSet
from services.hls.conversion import Conversion

pytest.importorskip("av", reason="the extra transcode is not installed")

PHONE = TrackSet((VIDEO, track(Codec.PCMA, rate=8000, channels=1)))


def phone(count: int) -> list[AccessUnit]:
    return [AccessUnit(2, number * 1800, 0, True, b"\xd5" * 160, number, number) for number in range(count)]


def test_a_stream_without_it_is_given_as_it_is() -> None:
    given = run([picture(0, key=True)])
    assert Conversion().convert(given) is given


def test_where_it_is_switched_off_a_stream_with_it_is_given_as_it_is_too() -> None:
    given = run(phone(50), tracks=PHONE)
    assert Conversion(enabled=False).convert(given) is given


def test_frames_of_aac_have_the_names_of_what_they_come_of() -> None:
    converted = Conversion().convert(run(phone(50), tracks=PHONE))
    assert converted is not None
    assert [one.codec for one in converted.tracks.tracks] == [Codec.H264, Codec.AAC]
    numbers = [unit.seq for unit in converted.units]
    assert numbers == sorted(numbers)
    assert numbers[-1] <= 49
    assert len(numbers) > 40


def test_a_hole_before_units_that_give_nothing_yet_is_told_with_the_next() -> None:
    conversion = Conversion()
    assert conversion.convert(run(phone(1), tracks=PHONE, missing=7)) is None
    converted = conversion.convert(run(phone(20)[1:], tracks=PHONE))
    assert converted is not None
    assert converted.missing == 7
