"""docs/telemetry.md says what spans there are."""

from lalmesh.runtime.telemetry.__main__ import PAGE, page_as_it_has_to_be
from lalmesh.runtime.telemetry.names import SPANS, SpanName


def test_the_table_of_spans_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page_as_it_has_to_be()


def test_every_span_is_in_the_table() -> None:
    assert set(SPANS) == set(SpanName)
