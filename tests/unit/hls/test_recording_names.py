from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import InvalidName
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch
from services.hls.recording import RecordFormat, RecordingName, RecordRule, RecordRules

FILES = [RecordFormat.FLV, RecordFormat.TS, RecordFormat.MP4]


def name(stream: str = "live/eu/cam 1", started_us: int = 1_764_112_648_123_456, number: int = 2) -> RecordingName:
    key = StreamKey.parse(stream)
    return RecordingName(stream=key, started_us=started_us, epoch=Epoch(1764, 12), number=number, format=RecordFormat.TS)


def test_a_name_tells_stream_start_epoch_and_number() -> None:
    assert name().path == "live%2Feu/cam%201/20251125T231728.123Z-1764.12-2.ts"


def test_names_are_ordered_by_time() -> None:
    starts = [0, 999, 1000, 1_764_112_648_123_456, 1_764_112_648_999_999, 4_000_000_000_000_000]
    files = [name(started_us=start).file for start in starts]
    assert files == sorted(files)


@given(
    st.integers(0, 4_000_000_000_000),
    st.integers(0, 1 << 60),
    st.integers(0, 1 << 60),
    st.integers(0, 10**8),
    st.sampled_from(FILES),
)
def test_a_name_comes_back_from_its_path(start_ms: int, term: int, revision: int, number: int, record_format: RecordFormat) -> None:
    sent = RecordingName(
        stream=StreamKey.of("a/b", "ü %2F"),
        started_us=start_ms * 1000,
        epoch=Epoch(term, revision),
        number=number,
        format=record_format,
    )
    assert RecordingName.parse(sent.path) == sent


@given(st.text(max_size=60) | st.from_regex(r"a/b/[0-9TZ.\-]+(flv|ts)", fullmatch=True))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    with suppress(InvalidName):
        assert RecordingName.parse(text).path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "20251125T231728.123Z-1764.12-2.ts",
        "live/20251125T231728.123Z-1764.12-2.ts",
        "a/b/c/20251125T231728.123Z-1764.12-2.ts",
        "../b/20251125T231728.123Z-1764.12-2.ts",
        "live/%2e%2e/20251125T231728.123Z-1764.12-2.ts",
        "live/a/20251325T231728.123Z-1764.12-2.ts",
        "live/a/20251125T231728.123Z-1764.12-2.exe",
        "live/a/20251125T231728.123Z-1764.12-2.ts.growing",
        "live/a b/20251125T231728.123Z-1764.12-2.ts",
    ],
)
def test_what_is_no_name_is_refused(path: str) -> None:
    with pytest.raises(InvalidName):
        RecordingName.parse(path)


def test_the_first_rule_that_matches_holds() -> None:
    first = RecordRule(pattern="live/rec_*", formats=(RecordFormat.FLV,))
    second = RecordRule(pattern="live/*", formats=(RecordFormat.TS,))
    rules = RecordRules([first, second])
    assert rules.of(StreamKey.parse("live/rec_1")) is first
    assert rules.of(StreamKey.parse("live/eu/cam")) is second
    assert rules.of(StreamKey.parse("other/rec_1")) is None
