"""Limits of applications at schedulers: who may claim, by the claims that are there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from lalmesh.names import StreamKey
from lalmesh.runtime.authorisation import parse_limit
from lalmesh.runtime.ownership import NodeAddress, NodeId
from services.scheduler.app_usage import AppUsagePart
from services.scheduler.changes import ClaimChanged
from services.scheduler.ownership import Ownership
from services.scheduler.peers import Peers
from services.scheduler.records import ClaimRecord
from services.scheduler.service import SchedulerService

EDGE = NodeAddress(NodeId("edge", b"e" * 16), "127.0.0.1:1")


def claim(name: str, app: str = "live") -> ClaimRecord:
    return ClaimRecord(stream=StreamKey(app, name), term=1, publication=b"p" * 16, edge=EDGE, origin="origin")


def test_an_application_is_closed_once_it_has_its_publishers_and_open_again_when_one_has_gone() -> None:
    ownership = SimpleNamespace(closed=None)
    part = AppUsagePart(
        cast(SchedulerService, SimpleNamespace(ownership=cast(Ownership, ownership))),
        cast(Peers, None),
        [parse_limit("live publishers=2"), parse_limit("free players=1")],
    )
    closed = ownership.closed
    part.handle(ClaimChanged(None, claim("a")))
    part.handle(ClaimChanged(None, claim("x", "other")))
    assert closed(StreamKey("live", "c")) == ""
    part.handle(ClaimChanged(None, claim("b")))
    part.handle(ClaimChanged(claim("b"), claim("b")))
    assert closed(StreamKey("live", "c")) == "live has 2 publishers"
    assert closed(StreamKey("other", "c")) == closed(StreamKey("free", "c")) == ""
    part.handle(ClaimChanged(claim("a"), None))
    assert closed(StreamKey("live", "c")) == ""
    part.handle(ClaimChanged(claim("b"), None))
    part.handle(ClaimChanged(claim("x", "other"), None))
    assert not part._publishers, "applications that nobody publishes in are forgotten"
