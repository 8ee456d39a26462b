"""The page about the API says what there is."""

from __future__ import annotations

from services.scheduler.api.__main__ import PAGE, page_as_it_has_to_be


async def test_the_page_has_every_operation() -> None:
    assert PAGE.read_text(encoding="utf-8") == await page_as_it_has_to_be(), "run `make docs`"
