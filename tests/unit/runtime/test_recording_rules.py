from __future__ import annotations

from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.names import StreamKey
from lalmesh.runtime import recording
from lalmesh.runtime.recording import MAX_RULES, RecordFormat, RecordRule, RecordRules, RuleError, make_rule, parse_rule

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
    with suppress(RuleError):
        assert parse_rule(text).formats


@given(st.text(st.characters(exclude_categories=()), max_size=20))
def test_any_pattern_matches_what_file_names_would_or_is_refused(pattern: str) -> None:
    with suppress(RuleError):
        rule = make_rule(pattern, ["flv"], {})
        assert rule.matches(CAM) is fnmatchcase(str(CAM), pattern)


@pytest.mark.parametrize("value", [True, "1", None, 1.5, -1, 1 << 60])
def test_a_limit_that_is_no_number_names_its_field(value: Any) -> None:
    with pytest.raises(RuleError, match="keep_s has to be") as caught:
        make_rule("*", ["flv"], {"keep_s": value})
    assert caught.value.field == "keep_s"


def test_a_thousand_patterns_are_compiled_once() -> None:
    rules = RecordRules([parse_rule(f"app{number}/* flv") for number in range(MAX_RULES)])
    assert rules.of(CAM) is None
    before = recording._compiled.cache_info().misses
    assert rules.of(StreamKey.of("app999", "a")) is rules.rules[-1]
    assert recording._compiled.cache_info().misses == before


def test_each_format_is_under_the_first_rule_that_asks_for_it() -> None:
    first, second, other = parse_rule("live/* flv keep_s=1"), parse_rule("live/eu/cam flv+ts"), parse_rule("vod/* mp4")
    rules = RecordRules([first, second, other])
    assert rules.by_format(CAM) == {RecordFormat.FLV: first, RecordFormat.TS: second}
    assert rules.of(CAM) is first
    assert rules.of(CAM, RecordFormat.TS) is second
    assert rules.of(CAM, RecordFormat.MP4) is None
