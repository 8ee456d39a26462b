"""Programs find in the documentation what each field of a report is."""

from dataclasses import fields
from pathlib import Path

import pytest

from lalmesh.client.load import DelayReport, DelayRow, Report, Spread
from lalmesh.client.load._report import Client, Looks, Players, Publishers

PAGE = (Path(__file__).parents[4] / "docs" / "bench-tool.md").read_text(encoding="utf-8")
BENCH, DELAY = PAGE.split("## A delay")

TOLD = {
    "bench": (BENCH, {"": Report, "publishers.": Publishers, "players[].": Players, "players[].looks.": Looks, "client.": Client}),
    "delay": (DELAY, {"": DelayReport, "rows[].": DelayRow}),
}
TOLD_BY_WHAT_IS_IN_THEM = {"publishers", "players", "players[].looks", "rows", "client"}


@pytest.mark.parametrize(("section", "told"), TOLD.values(), ids=TOLD)
def test_each_field_of_the_json_is_documented(section: str, told: dict[str, type]) -> None:
    first_cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    named = {name for cell in first_cells for name in cell.replace("`", "").replace(",", " ").split()}
    wanted = {prefix + field.name for prefix, kind in told.items() for field in fields(kind)}
    assert wanted - TOLD_BY_WHAT_IS_IN_THEM - named == set()
    assert {field.name for field in fields(Spread)} <= set(BENCH.split("`"))
