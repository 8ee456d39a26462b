from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.names import StreamKey
from lalmesh.runtime.recording import RecordFormat, RecordRule, RecordRules, parse_rule

CAM = StreamKey.of("live/eu", "cam")


def test_a_rule_is_written_on_one_line() -> None:
    rule = parse_rule("live/* flv+mp4+flv segment_s=600 segment_bytes=7 keep_s=86400 keep_bytes=9")
    assert rule == RecordRule(
        pattern="live/*",
        formats=(RecordFormat.FLV, RecordFormat.MP4),
        segment_s=600,
        segment_bytes=7,
        keep_s=86_400,
        keep_bytes=9,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "live/*",
        "live/* webm",
        "live/* flv+",
        "live/* flv keep_s",
        "live/* flv keep_s=-1",
        "live/* flv segment_s=86401",
        "* ts x=1",
    ],
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|formats|expected|has to be|is none of"):
        parse_rule(text)


@given(st.text())
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert parse_rule(text).formats


def test_each_format_is_under_the_first_rule_that_asks_for_it() -> None:
    first, second, other = parse_rule("live/* flv keep_s=1"), parse_rule("live/eu/cam flv+ts"), parse_rule("vod/* mp4")
    rules = RecordRules([first, second, other])
    assert rules.by_format(CAM) == {RecordFormat.FLV: first, RecordFormat.TS: second}
    assert rules.of(CAM) is first
    assert rules.of(CAM, RecordFormat.TS) is second
    assert rules.of(CAM, RecordFormat.MP4) is None
