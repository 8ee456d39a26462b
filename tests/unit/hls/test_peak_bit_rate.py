"""The bit rate that a multivariant playlist promises."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lalmesh.media import TICKS_PER_SECOND
from services.hls.rendition._peak import PeakBitRate

TARGET = 2 * TICKS_PER_SECOND


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, TARGET * 5 // 4)), max_size=40))
def test_it_is_that_of_half_to_one_and_a_half_target_durations_in_a_row(listed: list[tuple[int, int]]) -> None:
    # RFC 8216 §4.1
    peak = PeakBitRate(TARGET)
    for size_bytes, duration in listed:
        peak.add(size_bytes, duration)
    runs = [listed[first:last] for first in range(len(listed)) for last in range(first + 1, len(listed) + 1)]
    totals = [(sum(size for size, _ in run), sum(duration for _, duration in run)) for run in runs]
    rates = [size * 8 * TICKS_PER_SECOND // total for size, total in totals if TARGET // 2 <= total <= TARGET * 3 // 2]
    assert peak.bps == max(rates, default=0)


def test_one_short_segment_says_nothing() -> None:
    peak = PeakBitRate(TARGET)
    peak.add(50_000, TICKS_PER_SECOND // 25)
    assert peak.bps == 0
    peak.add(100_000, TARGET)
    assert peak.bps == 150_000 * 8 * 100 // 204
