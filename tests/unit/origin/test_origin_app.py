"""An origin as a whole: what becomes of it when a part of it fails."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry
from support.edge_fakes import EDGE, FIRST, FakeScheduler, epoch, place
from support.virtual_time import in_virtual_time

from lalmesh.names import StreamKey
from lalmesh.runtime.link import CloseReason, PublicationRequest
from lalmesh.runtime.ownership import Grant, NodeAddress, NodeId, UnitName
from lalmesh.runtime.ownership import Place as GroupPlace
from services.origin.app import GATHERED_S, OriginApp, OriginSettings


@in_virtual_time
async def test_an_origin_of_which_a_part_has_failed_cannot_go_on() -> None:
    scheduler, failed, node = FakeScheduler(), list[str](), NodeId("o", b"1")
    scheduler.join_error = IndexError("a bug of ours")
    origin = OriginApp(node, (b"key",), OriginSettings(), scheduler, CollectorRegistry(), None, lambda: "here", failed.append)
    await origin.start()
    await asyncio.sleep(1)
    assert failed == ["origin-membership failed: IndexError('a bug of ours')"]
    await origin.stop()


class Port:
    """The link of a publication, which hears nothing of interest."""

    def opened(self, held: UnitName | None, place: GroupPlace) -> None: ...

    def source_lost(self, location: object) -> None: ...

    def close(self, reason: CloseReason, detail: str = "") -> None: ...


def lose_publisher(origin: OriginApp, node: NodeId, stream: str) -> None:
    """A stream that was published, and whose publisher has gone."""
    grant = Grant(
        stream=StreamKey("live", stream),
        epoch=epoch(1),
        publication=FIRST,
        edge=EDGE,
        origin=NodeAddress(node, "here"),
        heir=None,
        place=place(1),
    )
    request = PublicationRequest(grant=grant.signed(b"key"), take_over_as_heir=False)
    origin.groups.open_publication(EDGE.node, request, Port()).closed(CloseReason.DONE)


@in_virtual_time
async def test_groups_whose_grace_ends_together_ask_together_and_an_outage_of_schedulers_is_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "services.origin.app")
    scheduler, node = FakeScheduler(), NodeId("o", b"1")
    scheduler.release_failures = failures = 9
    origin = OriginApp(node, (b"key",), OriginSettings(), scheduler, CollectorRegistry(), None, lambda: "here", lambda _: None)
    for stream in "abc":
        lose_publisher(origin, node, stream)
    await asyncio.sleep(30.0 + 2 * GATHERED_S)
    assert (scheduler.release_failures, len(origin.groups)) == (failures - 1, 3)
    await asyncio.sleep(120.0)
    assert (scheduler.release_failures, len(origin.groups)) == (0, 0)
    assert [record.getMessage() for record in caplog.records] == [
        "groups are not released, and kept until they are: no scheduler",
        "groups are released again",
    ]
