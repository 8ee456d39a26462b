from __future__ import annotations

from lalmesh.runtime.event_docs import PAGE, page_as_it_has_to_be
from lalmesh.runtime.event_kinds import KINDS, EventKind


def test_every_kind_is_described_and_so_is_every_fact() -> None:
    assert list(KINDS) == list(EventKind)
    assert all(spec.text and all(fact.text for fact in spec.facts.values()) for spec in KINDS.values())


def test_the_page_has_the_kinds_of_now() -> None:
    assert PAGE.read_text(encoding="utf-8") == page_as_it_has_to_be(), "run `python -m lalmesh.runtime.event_docs`"
