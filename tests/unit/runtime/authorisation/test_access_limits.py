"""Limits of applications, and how often an address may be wrong."""

from __future__ import annotations

import pytest

from lalmesh.errors import RemoteProtocolError
from lalmesh.rpc.lalmesh.v1 import control_pb2
from lalmesh.runtime.authorisation import AccessRefused, Action, AppLimits, Reason, Usage, limit_of, parse_limit
from lalmesh.runtime.scheduling.control import AppFigures, AppUsage
from lalmesh.runtime.scheduling.usage_wire import parse_app_usage, serialize_app_usage


class Edge:
    """One edge, whose counts and time the test turns."""

    def __init__(self, *limits: str) -> None:
        self.players = 0
        self.now_s = 100.0
        self.limits = AppLimits([parse_limit(text) for text in limits], lambda app, action: self.players, lambda: self.now_s)

    def lets_in(self, app: str = "live", action: Action = Action.PLAY) -> bool:
        try:
            self.limits.check(app, action)
        except AccessRefused as error:
            return not (error.refused.reason is Reason.FULL and error.refused.retry_after_s > 0)
        return True


def test_the_first_limit_that_matches_counts() -> None:
    limits = [parse_limit("live publishers=1"), parse_limit("* players=5 egress_bps=1000000")]
    first, second = limit_of(limits, "live"), limit_of(limits, "vod")
    assert first is not None
    assert (first.publishers, first.players) == (1, 0)
    assert second is not None
    assert (second.players, second.egress_bps) == (5, 1_000_000)
    assert limit_of(limits[:1], "vod") is None


@pytest.mark.parametrize(
    "text", ["", "live", "live players", "live players=-1", "live players=x", "live bytes=1", "live players=" + "9" * 30]
)
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_limit(text)


def test_an_edge_alone_keeps_to_the_limit() -> None:
    edge = Edge("live players=2")
    assert edge.lets_in()
    edge.players = 2
    assert not edge.lets_in()
    assert edge.lets_in("vod")
    assert edge.lets_in(action=Action.PUBLISH)


def test_what_all_edges_have_counts_and_what_was_let_in_here_since() -> None:
    edge = Edge("live players=10")
    edge.players = 3
    edge.limits.told({"live": Usage(players=8)})
    assert edge.lets_in()
    edge.players = 5
    assert not edge.lets_in()
    edge.players = 2
    assert edge.lets_in()


def test_what_was_told_long_ago_counts_no_more() -> None:
    edge = Edge("live players=10 egress_bps=1000")
    edge.limits.told({"live": Usage(players=8, egress_bps=1000)})
    assert not edge.lets_in()
    edge.now_s += 10.0
    assert edge.lets_in()


def test_usage_goes_over_the_wire() -> None:
    usage = AppUsage((AppFigures(app="live/inner", publishers=1, players=2, egress_bps=1 << 40),))
    assert parse_app_usage(serialize_app_usage(usage)) == usage
    with pytest.raises(RemoteProtocolError):
        parse_app_usage(control_pb2.AppUsage(apps=[control_pb2.AppFigures(app="..")]))
