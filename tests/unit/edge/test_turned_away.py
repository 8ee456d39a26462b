"""Who is turned away by a full or draining edge is counted as that in every protocol, and not as what is unavailable."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request
from prometheus_client import CollectorRegistry

from services.edge.entrance import Closed, Entrance, TurnedAway
from services.edge.http_refusal import Refusals
from services.edge.metrics import EdgeMetrics
from services.edge.rtmp_refusals import refused_play, refused_publish
from services.edge.rtsp_refusal import refusal_of


def turned_away() -> TurnedAway:
    with pytest.raises(TurnedAway) as caught:
        Entrance(is_full=lambda: True).check()
    return caught.value


def test_rtmp_and_rtsp_say_that_it_may_be_tried_again() -> None:
    error = turned_away()
    assert refused_play(error) == ("full", "NetStream.Play.Failed")
    assert refused_publish(error) == ("full", "NetStream.Publish.Failed")
    assert (refusal_of(error).status, refusal_of(error).reason, refusal_of(error).fields) == (503, "full", (("Retry-After", "1"),))
    assert refusal_of(TurnedAway(Closed.DRAINING)).reason == "draining"


async def test_http_counts_it_so_too() -> None:
    registry = CollectorRegistry()
    answer = Refusals(EdgeMetrics(registry)).for_error(make_mocked_request("GET", "/live/cam.flv"), "http-flv", turned_away())
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert registry.get_sample_value("edge_refused_total", {"protocol": "http-flv", "reason": "full"}) == 1
