"""Who is let in, and where whoever is not may go."""

from __future__ import annotations

import pytest

from lalmesh.errors import Unavailable
from lalmesh.runtime.scheduling import Endpoint
from services.edge.entrance import Closed, Entrance

OTHERS = (Endpoint("rtmp", "10.0.0.2", 1935), Endpoint("http", "::1", 8080))


def test_an_open_edge_sends_nobody_away() -> None:
    entrance = Entrance(lambda: OTHERS)
    entrance.check()
    assert (entrance.closed, entrance.url("rtmp", "/live")) == (None, "")


def test_a_draining_edge_lets_nobody_in_and_says_when_to_ask_again() -> None:
    entrance = Entrance()
    entrance.drain()
    assert entrance.closed is Closed.DRAINING
    with pytest.raises(Unavailable, match="drains") as refused:
        entrance.check()
    assert refused.value.retry_after_s > 0


def test_a_full_edge_lets_nobody_in_until_somebody_has_gone() -> None:
    full = [True]
    entrance = Entrance(is_full=lambda: full[0])
    with pytest.raises(Unavailable, match="full"):
        entrance.check()
    full[0] = False
    entrance.check()


@pytest.mark.parametrize("drains", [True, False])
def test_clients_are_sent_where_their_protocol_is_spoken(drains: bool) -> None:
    entrance = Entrance(lambda: OTHERS, lambda: not drains)
    if drains:
        entrance.drain()
    assert entrance.url("rtmp", "/live") == "rtmp://10.0.0.2:1935/live"
    assert entrance.url("http", "/live/cam.flv") == "http://[::1]:8080/live/cam.flv"
    assert entrance.url("https", "/live/cam.flv") == ""
