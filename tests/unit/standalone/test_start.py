"""A node does not look for garbage among what it imports; a command that goes on for long does."""

import gc
from collections.abc import Iterator

import pytest
from typer.main import get_command

from services.standalone.cli import START_ALLOCATIONS, app


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def threshold_with(name: str) -> int:
    """Objects that make a collection, once the command is there to be run."""
    commands = get_command(app)
    found = commands.get_command(None, name)  # type: ignore[attr-defined]  # typer's own kind of group
    assert found is not None
    return gc.get_threshold()[0]


@pytest.mark.parametrize("role", ["standalone", "edge", "origin", "hls", "scheduler"])
def test_a_node_starts_without_collections(role: str) -> None:
    assert threshold_with(role) == START_ALLOCATIONS


@pytest.mark.parametrize("command", ["push", "token"])
def test_other_commands_collect_as_ever(command: str) -> None:
    assert threshold_with(command) == gc.get_threshold()[0] < START_ALLOCATIONS
