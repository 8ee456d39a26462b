"""An origin as a whole: what becomes of it when a part of it fails."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry
from support.edge_fakes import FakeScheduler
from support.virtual_time import in_virtual_time

from lalmesh.runtime.ownership import NodeId
from services.origin.app import OriginApp, OriginSettings


@in_virtual_time
async def test_an_origin_of_which_a_part_has_failed_cannot_go_on() -> None:
    scheduler, failed, node = FakeScheduler(), list[str](), NodeId("o", b"1")
    scheduler.join_error = IndexError("a bug of ours")
    origin = OriginApp(node, (b"key",), OriginSettings(), scheduler, CollectorRegistry(), None, lambda: "here", failed.append)
    await origin.start()
    await asyncio.sleep(1)
    assert failed == ["origin-membership failed: IndexError('a bug of ours')"]
    await origin.stop()
