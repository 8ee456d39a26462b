"""Programs find in the documentation what each field of a report is, and people every option with its default."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import typer

from lalmesh.client.load import DelayReport, DelayRow, Report, Spread
from lalmesh.client.load._report import Client, Looks, Players, Publishers
from services.standalone.load_cli import add_load_commands

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


#: for which the page has what may be written there, not what holds where nothing is
SHOWN_BY_EXAMPLE = {"--publish", "--file", "--json", "--ca", "--insecure", "--no-publish", "--rtsp-transport"}


@pytest.mark.parametrize(("command", "section"), [("bench", BENCH), ("delay", DELAY)])
def test_each_option_is_documented_with_its_default(command: str, section: str) -> None:
    app = typer.Typer()
    add_load_commands(app)
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    options = {name: each.default for each in group.commands[command].params for name in each.opts if name.startswith("--")}
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `--")]
    told = dict((*words.split(" ", 1), "")[:2] for cell in cells for words in re.findall("`([^`]+)`", cell))
    assert told.keys() == options.keys()
    for name in options.keys() - SHOWN_BY_EXAMPLE:
        default = options[name]
        assert told[name] == (f"{default:g}" if isinstance(default, float) else str(default)), name
