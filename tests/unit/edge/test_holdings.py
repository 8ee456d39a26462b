"""What an edge reports of its streams."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from lalmesh.media import TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, Place
from services.edge.hls_nodes import HlsProxyCounters
from services.edge.holdings import HLS_OVER_S, Holdings
from services.edge.publisher import Publishers
from services.edge.relay import Relays
from services.edge.session import Sessions

CAM, FILM = StreamKey.of("live", "cam"), StreamKey.of("live", "film")
NO_TRACKS = TrackSet(())


class Core:
    """A publication, as far as it is reported."""

    epoch, publication, tracks = Epoch(1, 5), b"p" * 16, NO_TRACKS
    ring = SimpleNamespace(place=Place(1, 5), newest=lambda count: [])
    first_us = 0

    def __init__(self) -> None:
        self.counters = SimpleNamespace(payload_bytes=0, units=75)


def relay(stream: StreamKey, players: int) -> Any:
    counters = SimpleNamespace(units=50, missing=2)
    reader = SimpleNamespace(epoch=Epoch(1, 7), place=Place(1, 7), last=None, counters=counters, delay_us=4_000)
    return SimpleNamespace(stream=stream, players=players, tracks=NO_TRACKS, left_out=("flv: mp2",), reader=reader)


class Streams(list[Any]):
    """Relays, and what they sent."""

    def __init__(self, relays: list[Any]) -> None:
        super().__init__(relays)
        self.fanout_totals = SimpleNamespace(sent_bytes=0)


class Opened(list[Any]):
    """Sessions, of which others have gone."""

    opened = 10


def test_a_stream_that_is_published_and_played_is_told_once_and_how_loaded_the_edge_is() -> None:
    now = 100.0
    core, relays = Core(), Streams([relay(CAM, 3), relay(FILM, 2)])
    publishers = [SimpleNamespace(stream=CAM, core=core)]
    relayed = [SimpleNamespace(stream=FILM, client=SimpleNamespace(via=via)) for via in (("a", "b"), ("b",))]
    sessions = Opened([*relayed, *(SimpleNamespace(stream=CAM, client=SimpleNamespace(via=())) for _ in range(4))])
    hls = HlsProxyCounters()
    holdings = Holdings(cast(Publishers, publishers), cast(Relays, relays), cast(Sessions, sessions), hls, lambda: now)
    holdings.now()
    now, core.counters.payload_bytes, relays.fanout_totals.sent_bytes = 101.0, 250_000, 1_000_000
    load, streams = holdings.now()
    assert [(held.stream, held.published, held.players, held.units, held.missing) for held in streams] == [
        (CAM, True, 3, 75, 0),
        (FILM, False, 2, 50, 2),
    ]
    assert [held.place.revision for held in streams] == [5, 7]
    assert [held.delay_us for held in streams] == [None, 4_000]
    assert [held.relayed_to for held in streams] == [(), ("a", "b")]
    assert (load.ingress_bps, load.egress_bps, load.sessions, load.opened_sessions, load.streams) == (
        2_000_000,
        8_000_000,
        6,
        10,
        2,
    )


def test_hls_is_a_part_of_what_goes_out_evenly_though_it_comes_in_bursts() -> None:
    now, hls, relays = 100.0, HlsProxyCounters(), Streams([])
    holdings = Holdings(cast(Publishers, []), cast(Relays, relays), cast(Sessions, Opened([])), hls, lambda: now)
    told = []
    for second in range(40):  # a segment each 5 s, and a live player beside it
        now += 1
        hls.sent_bytes += 5_000_000 if second % 5 == 0 else 0
        relays.fanout_totals.sent_bytes += 1_000
        told.append(holdings.now()[0])
    assert {load.hls_egress_bps for load in told[int(HLS_OVER_S) :]} == {8_000_000}
    assert {load.egress_bps - load.hls_egress_bps for load in told[1:]} == {8_000}
    assert told[0].hls_egress_bps == 4_000_000, "the first burst is not taken for what goes on"
