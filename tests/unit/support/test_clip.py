"""Players of the chaos tests find every kind of fault, and none where there is none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from support.clip import Clip, Got, GotSegment, digest, judge, longest_gap_s, longest_segment_gap_s
from support.wire import file_of_tags

from lalmesh.container.flv import TAG_AUDIO, Tag
from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND, AccessUnit, Codec, Kind

FRAMES, STEP_MS = 40, 23
HEADER = Tag(TAG_AUDIO, 0, bytes.fromhex("af001210"))


def frame(number: int, base: int = 0) -> bytes:
    return bytes((base + number, 1, 2, 3))


def a_clip(folder: Path, base: int = 0) -> Clip:
    tags = [Tag(TAG_AUDIO, number * STEP_MS, b"\xaf\x01" + frame(number, base)) for number in range(FRAMES)]
    return Clip(file_of_tags([HEADER, *tags], folder / f"{base}.flv"))


def got(first: int, count: int, base: int = 0, from_ms: int = 0) -> list[Got]:
    """What a faultless player gets, over the end of the clip too, each unit when it is due."""
    units = []
    for number in range(first, first + count):
        at_ms = from_ms + number * STEP_MS
        name = digest(AccessUnit(2, 0, 0, True, frame(number % FRAMES, base)), Codec.AAC)
        units.append(Got(at_ms / 1000, Kind.AUDIO, name, at_ms * TICKS_PER_MS, random_access=True))
    return units


def test_a_faultless_player_passes_over_the_end_of_the_clip_too(tmp_path: Path) -> None:
    verdict = judge(got(5, 3 * FRAMES), [a_clip(tmp_path)])
    assert (verdict.faults, verdict.units, verdict.joints) == ([], 3 * FRAMES, 0)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (lambda units: units[:9] + units[10:], "not the next"),
        (lambda units: units[:10] + units[9:], "time does not rise"),
        (lambda units: [*units[:9], units[10], units[9], *units[11:]], "time does not rise"),
        (lambda units: units[:9] + [dataclasses.replace(one, dts=one.dts + 9_000) for one in units[9:]], "0.100 s off"),
        (lambda units: [*units, dataclasses.replace(units[-1], name=b"", dts=units[-1].dts + 1)], "of no clip"),
    ],
    ids=["missing", "twice", "out of order", "late in time", "unknown"],
)
def test_a_fault_is_told(tmp_path: Path, fault: object, told: str) -> None:
    assert callable(fault)
    faults = judge(fault(got(0, 30)), [a_clip(tmp_path)]).faults
    assert told in " ".join(faults)


def test_a_new_publication_is_a_joint_and_what_follows_is_told(tmp_path: Path) -> None:
    clips = [a_clip(tmp_path), a_clip(tmp_path, base=100)]
    units = [*got(0, 10), *got(0, 10, base=100, from_ms=1000)]
    verdict = judge(units, clips, joints=1)
    assert (verdict.faults, [clip for clip, _ in verdict.orders]) == ([], [0, 1])
    assert judge(units, clips).faults
    back = [*units, *got(0, 5, from_ms=5000)]
    assert [clip for clip, _ in judge(back, clips, joints=2).orders] == [0, 1, 0]


def test_a_gap_is_what_a_player_waited_beyond_the_distance_of_the_units() -> None:
    units = got(0, 20)
    late = [*units[:10], *(dataclasses.replace(one, at_s=one.at_s + 0.5) for one in units[10:])]
    assert longest_gap_s(late, 0.0, late[-1].at_s) == pytest.approx(0.5)
    assert longest_gap_s(late, 0.0, late[5].at_s) == pytest.approx(0.0)


def test_a_gap_goes_on_to_the_moment_of_the_look() -> None:
    units = got(0, 20)
    assert longest_gap_s(units, 0.2, 1.437) == pytest.approx(1.0)
    assert longest_gap_s([*units, *got(100, 5)], 0.2, 1.437) == pytest.approx(1.0)
    assert longest_gap_s([], 0.2, 1.2) == pytest.approx(1.0)


def test_a_gap_of_one_kind_is_one_though_the_other_goes_on() -> None:
    sound = got(0, 100)
    pictures = [dataclasses.replace(one, kind=Kind.VIDEO) for one in got(0, 10)]
    both = sorted([*sound, *pictures], key=lambda one: one.at_s)
    assert longest_gap_s(both, 0.0, sound[-1].at_s) == pytest.approx((99 - 9) * STEP_MS / 1000)


def segments(*at_s: float, length_s: float = 1.0) -> list[GotSegment]:
    """Segments that follow each other without a hole, by when they came."""
    lengths = [(number * length_s, (number + 1) * length_s) for number in range(len(at_s))]
    return [
        GotSegment(at, round(first * TICKS_PER_SECOND), round(last * TICKS_PER_SECOND))
        for at, (first, last) in zip(at_s, lengths, strict=True)
    ]


@pytest.mark.parametrize(
    ("came", "until_s", "gap_s"),
    [((1.0, 2.0, 3.0), 3.9, 0.0), ((1.0, 2.0, 3.5), 3.9, 0.5), ((1.0, 2.0), 3.9, 0.9), ((1.0, 2.0, 9.0), 3.9, 0.9), ((), 3.9, 2.4)],
    ids=["in time", "late", "ended", "late beyond the look", "nothing"],
)
def test_a_segment_is_late_by_what_it_came_or_still_comes_after_its_length(
    came: tuple[float, ...], until_s: float, gap_s: float
) -> None:
    assert longest_segment_gap_s(segments(*came), 1.5, until_s) == pytest.approx(gap_s)


def test_media_that_is_missing_before_a_segment_does_not_make_it_due_later() -> None:
    first, second = segments(1.0, 2.0)
    late = GotSegment(12.0, first.first + 11 * TICKS_PER_SECOND, first.last + 11 * TICKS_PER_SECOND)
    assert longest_segment_gap_s([first, second, late], 1.5, 12.5) == pytest.approx(10.0 - 1.1)
