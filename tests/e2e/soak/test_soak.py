"""The short form of the endurance run: everything that goes on for hours goes on for a minute, and nothing is left of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from e2e.soak import page
from e2e.soak.run import END_S
from e2e.soak.runner import SHORT, soak
from e2e.soak.world import World
from support.redis import CAN_RUN_REDIS

LIMIT_S = SHORT.warm_s + SHORT.main_s + 2 * (END_S + SHORT.rest_s)


@pytest.mark.timeout(LIMIT_S)
@pytest.mark.skipif(not CAN_RUN_REDIS, reason="no redis server here")
def test_nobody_who_does_nothing_wrong_loses_a_unit_and_nothing_is_left_of_those_who_came(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        outcome = asyncio.run(soak(world, SHORT, tmp_path / "samples.jsonl"))
    print(page.told(outcome))
    assert not outcome.faults
