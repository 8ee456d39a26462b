"""What is said of the way of a stream, and of what came of late, where nodes say little."""

from __future__ import annotations

import asyncio

from support.api_web import Web

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.scheduling.model import HeldStream, Role
from services.scheduler import SchedulerApp
from services.scheduler.api.stream_details import history_of
from services.scheduler.peers import MAX_PLAYED, HeldAt, StreamFigures
from services.scheduler.registry import MemoryRegistry

CAM = StreamKey.of("live", "cam")


def test_an_edge_that_has_said_nothing_has_no_history() -> None:
    history = history_of(HeldStream(stream=CAM))
    assert (history.end_s, history.frames, history.bitrate_bps, history.gops) == (0, [], [], [])


def test_a_gop_ends_where_the_next_begins() -> None:
    held = HeldStream(stream=CAM, gops_end_us=10_000_000, gop_frames=(10, 20, 30), gop_ms=(1000, 2000, 3000))
    assert [gop.ended_us for gop in history_of(held).gops] == [10_000_000, 9_000_000, 7_000_000]


def test_of_very_many_edges_that_play_some_are_shown() -> None:
    def played(number: int) -> StreamFigures:
        node = NodeAddress(NodeId(f"e{number}", b"12345678"), "a:1")
        return StreamFigures(played=(HeldAt(node, Role.EDGE, HeldStream(stream=CAM)),), players=1)

    figures = StreamFigures()
    for number in range(MAX_PLAYED + 1):
        figures |= played(number)
    assert (len(figures.played), figures.players) == (MAX_PLAYED, MAX_PLAYED + 1)


async def test_of_a_stream_that_nobody_publishes_nothing_is_known() -> None:
    app = SchedulerApp(MemoryRegistry(asyncio.get_running_loop().time), [b"key"])
    web = Web(*app.operations)
    for word in ("path", "history"):
        answer = await web.ask("GET", f"/v1/streams/live/cam/{word}")
        assert answer.status == 404
