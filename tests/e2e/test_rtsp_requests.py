"""Every RTSP request is answered, whatever it asks for and whenever it comes: nobody is left to wait, no connection is closed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager

import pytest
from support import wire
from support.cluster import Cluster, Node, Standalone
from support.etcd import CAN_RUN_ETCD
from support.operator_api import change_setting
from support.rtsp_peer import RtspPeer, talking
from support.rtsp_talk import PCMA_SDP, TCP, UDP, frame

AT_ONCE_S = 0.5  #: an answer that waits for nothing; before, a missing stream took a second
WAIT = "edge.play.wait_publisher_s"
MULTICAST = "RTP/AVP;multicast"
OTHER_SESSION = {"Session": "123456"}
NO_WAIT = {"edge.rtsp.wait_publisher": False}
LOG_OF_A_BUG = "request failed"


def connected(node: Node, stream: str) -> AbstractAsyncContextManager[RtspPeer]:
    """A client that talks about a stream."""
    return talking(node.ports["rtsp"], node.rtsp_url(f"live/{stream}"))


async def setup(client: RtspPeer, transport: str = TCP.format(0, 1)) -> int:
    """The status of SETUP of the one track."""
    return (await client.answer(client.talk.setup(transport))).status


async def record(client: RtspPeer, frames: int) -> None:
    """Publish sounds."""
    assert (await client.answer(client.talk.announce(PCMA_SDP))).status == 200
    assert await setup(client) == 200
    assert await client.status("RECORD") == 200
    await client.way.send(b"".join(frame(number) for number in range(frames)))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Standalone(tmp_path_factory.mktemp("requests"), NO_WAIT) as node:
        yield node
        assert LOG_OF_A_BUG not in node.output()


async def test_who_has_asked_for_nothing_yet(node: Node) -> None:
    async with connected(node, "missing") as client:
        for method in ("OPTIONS", "GET_PARAMETER", "SET_PARAMETER"):
            assert await client.status(method) == 200
        for method in ("PLAY", "PAUSE", "RECORD", "TEARDOWN"):
            assert await client.status(method) == 455
        assert await client.status("FROBNICATE") == 501
        assert await client.status("OPTIONS", OTHER_SESSION) == 454
        assert await client.status("PLAY", OTHER_SESSION) == 454
        assert await setup(client, MULTICAST) == 461
        assert await setup(client) == 404
        assert await client.status("DESCRIBE") == 404
        assert await client.status("OPTIONS") == 200


async def test_a_publisher(node: Node) -> None:
    async with connected(node, "published") as client:
        assert (await client.answer(client.talk.announce(PCMA_SDP))).status == 200
        assert await client.status("RECORD") == 455
        assert await setup(client, MULTICAST) == 461
        assert await setup(client) == 200
        assert await client.status("RECORD") == 200
        for method in ("OPTIONS", "GET_PARAMETER", "SET_PARAMETER", "PAUSE", "RECORD"):
            assert await client.status(method) == 200
        for method in ("DESCRIBE", "PLAY"):
            assert await client.status(method) == 455
        assert await client.status("TEARDOWN") == 200
        assert await client.status("OPTIONS") == 454  # of the session that is over
        client.talk.session = ""
        assert await client.status("OPTIONS") == 200


async def test_a_player(node: Node) -> None:
    async with connected(node, "played") as publisher, connected(node, "played") as client:
        await record(publisher, 50)
        await described(client)
        assert await setup(client, MULTICAST) == 461
        assert await setup(client, f"{MULTICAST},{UDP.format(5000, 5001)}") == 200
        assert await setup(client) == 200
        assert await client.status("PLAY", OTHER_SESSION) == 454
        for method in ("PLAY", "OPTIONS", "GET_PARAMETER", "SET_PARAMETER", "PAUSE", "PLAY"):
            assert await client.status(method) == 200
        for method in ("RECORD", "ANNOUNCE"):
            assert await client.status(method) == 455
        assert client.talk.frames
        assert await client.status("TEARDOWN") == 200
        assert await client.status("OPTIONS") == 454  # of the session that is over
        client.talk.session = ""
        assert await client.status("OPTIONS") == 200


async def described(client: RtspPeer) -> None:
    """Once the stream is there: who waits for no publisher may be too early."""
    async with asyncio.timeout(wire.LIMIT_S):
        while await client.status("DESCRIBE") != 200:  # noqa: ASYNC110 -- nothing else tells
            await asyncio.sleep(0.05)


async def check_missing_at_once(node: Node) -> None:
    async with connected(node, "missing") as client:
        await client.status("OPTIONS")
        begun = time.monotonic()
        assert await client.status("DESCRIBE") == 404
        assert time.monotonic() - begun < AT_ONCE_S


async def test_a_stream_that_nobody_publishes_is_missing_at_once(node: Node) -> None:
    await check_missing_at_once(node)


@pytest.mark.skipif(not CAN_RUN_ETCD, reason="etcd is not installed")
async def test_a_stream_that_nobody_publishes_is_missing_at_once_in_a_cluster(tmp_path_factory: pytest.TempPathFactory) -> None:
    """And one that is published elsewhere is there."""
    with Cluster(tmp_path_factory.mktemp("cluster"), origins=1, settings={"edge": NO_WAIT}) as cluster:
        first, second = cluster.edges
        await check_missing_at_once(second)
        async with connected(first, "there") as publisher, connected(second, "there") as client:
            await record(publisher, 50)
            await described(client)


async def test_a_stream_that_nobody_publishes_is_waited_for_by_setting(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("waiting")
    with Standalone(folder, {WAIT: 1.5}) as node:
        async with connected(node, "later") as client:
            begun = time.monotonic()
            assert await client.status("DESCRIBE") == 404
            assert time.monotonic() - begun >= 1.4
        await asyncio.to_thread(change_setting, node, WAIT, wire.LIMIT_S)  # longer than a publisher takes on a busy machine
        async with connected(node, "later") as client, connected(node, "later") as publisher:
            waiting = asyncio.create_task(client.status("DESCRIBE"))
            await record(publisher, 50)
            assert await waiting == 200
