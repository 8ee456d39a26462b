"""The short form of the chaos tests. The machine should have nothing else to do: gaps are measured."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from e2e.chaos.cluster import ChaosCluster
from e2e.chaos.runner import run, short
from support.netns import can_make_namespaces


@pytest.mark.skipif(not can_make_namespaces(), reason="network namespaces need root")
def test_nobody_loses_a_unit_while_origins_die_and_all_that_decides_is_away(tmp_path: Path) -> None:
    with ChaosCluster(tmp_path) as cluster:
        reports = asyncio.run(run(cluster, short()))
    assert not [f"{report.title}: {fault}" for report in reports for fault in report.faults]
