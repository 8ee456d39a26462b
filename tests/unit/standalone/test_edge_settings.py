"""What edges are built with."""

from __future__ import annotations

import pytest

from lalmesh.runtime.config import Config, OriginConfig
from services.hls.waits import ANSWER_S, ENOUGH_WAIT_S, RELOAD_TARGETS
from services.standalone.edge_settings import edge_settings
from services.standalone.hls_settings import hls_settings
from services.standalone.settings import FAILOVER_S


@pytest.mark.parametrize(("wait_s", "max_target_s"), [(20.0, 12), (20.0, 120), (600.0, 12)])
def test_an_edge_waits_longer_for_an_hls_node_than_that_may_let_anybody_wait(wait_s: float, max_target_s: int) -> None:
    config = Config.model_validate({"hls": {"wait_s": wait_s, "max_target_s": max_target_s}})
    longest_s = wait_s + ENOUGH_WAIT_S + RELOAD_TARGETS * max_target_s + ANSWER_S
    assert edge_settings(config, (b"key",)).hls.silence_s > longest_s


@pytest.mark.parametrize(
    ("grace_s", "dead_s", "lost_s"), [(0.0, 2.0, 2.0 + FAILOVER_S), (1.0, 10.0, 10.0 + FAILOVER_S), (30.0, 2.0, 30.0)]
)
def test_readers_look_for_an_origin_as_long_as_the_grace_and_never_shorter_than_a_failover_takes(
    grace_s: float, dead_s: float, lost_s: float
) -> None:
    config = Config.model_validate({"origin": {"grace_s": grace_s}, "cluster": {"link": {"dead_s": dead_s}}})
    assert edge_settings(config, (b"key",)).relay.lost_s == lost_s
    assert hls_settings(config, (b"key",)).worker.follow.lost_s == lost_s


def test_the_reference_tells_how_long_readers_look_for_an_origin_at_least() -> None:
    assert f"cluster.link.dead_s and {FAILOVER_S:g} s" in str(OriginConfig.model_fields["grace_s"].description)
