"""What edges are built with."""

from __future__ import annotations

import pytest

from lalmesh.runtime.config import Config
from services.hls.waits import ANSWER_S, ENOUGH_WAIT_S, RELOAD_TARGETS
from services.standalone.edge_settings import edge_settings


@pytest.mark.parametrize(("wait_s", "max_target_s"), [(20.0, 12), (20.0, 120), (600.0, 12)])
def test_an_edge_waits_longer_for_an_hls_node_than_that_may_let_anybody_wait(wait_s: float, max_target_s: int) -> None:
    config = Config.model_validate({"hls": {"wait_s": wait_s, "max_target_s": max_target_s}})
    longest_s = wait_s + ENOUGH_WAIT_S + RELOAD_TARGETS * max_target_s + ANSWER_S
    assert edge_settings(config, (b"key",)).hls.silence_s > longest_s
