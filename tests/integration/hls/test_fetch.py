"""One hls node asks another, over gRPC on loopback."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from support.hls_fakes import owner

from lalmesh.errors import NotAuthorized
from lalmesh.runtime.channels import Channels
from lalmesh.runtime.ownership import HlsOwner, NodeAddress
from services.hls.answer import Answer
from services.hls.fetch import CHUNK_BYTES, GrpcPeers, HlsFace
from services.hls.service import HlsService, OwnerLost

KEY = b"a cluster key"
ANSWER_S = 30.0
FROZEN_S = 10.0  #: for a call to notice that its peer is frozen: a ping each 2 s, 4 s for its answer, and a busy machine
SILENT = """
import asyncio
from lalmesh.runtime.channels import Channels
from services.hls.fetch import HlsFace

class Silent:
    async def answer_as_owner(self, owner, path, query):
        print("asked", flush=True)
        await asyncio.sleep(60)

async def main():
    channels = Channels((b"a cluster key",))
    server = channels.server()
    server.add_generic_rpc_handlers((HlsFace(Silent()).handlers(),))
    port = channels.listen(server, "127.0.0.1", 0)
    await server.start()
    print(port, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""  #: a node that takes calls and never answers
LARGE = bytes(range(256)) * (3 * CHUNK_BYTES // 256) + b"end"


class Owner:
    """The service of the node that is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def answer_as_owner(self, owner: HlsOwner, path: str, query: str) -> Answer | None:
        owner.verify((KEY,))
        self.asked.append((path, query))
        return None if "gone" in path else Answer(200, LARGE, {"Content-Type": "video/mp2t"})


@asynccontextmanager
async def asking(key: bytes = KEY) -> AsyncIterator[tuple[Owner, GrpcPeers, HlsOwner]]:
    """The owner, a node that asks with `key`, and who it was told to ask."""
    service, listening, dialling = Owner(), Channels((KEY,)), Channels((key,))
    server = listening.server()
    server.add_generic_rpc_handlers((HlsFace(cast(HlsService, service)).handlers(),))
    port = listening.listen(server, "127.0.0.1", 0)
    await server.start()
    peers, told = GrpcPeers(dialling.dial), owner()
    there = NodeAddress(told.worker.node, f"127.0.0.1:{port}")
    try:
        yield service, peers, HlsOwner(stream=told.stream, epoch=told.epoch, worker=there, limit=0).signed(KEY)
    finally:
        await peers.close()
        await server.stop(None)


async def test_an_answer_comes_back_whole_with_its_headers() -> None:
    async with asking() as (service, peers, there):
        answer = await peers.fetch(there, "/hls/live/a/1000.1-5.ts", "token=1", ANSWER_S)
    assert answer == Answer(200, LARGE, {"Content-Type": "video/mp2t"})
    assert service.asked == [("/hls/live/a/1000.1-5.ts", "token=1")]


async def test_a_node_that_is_not_the_owner_any_more_says_so() -> None:
    async with asking() as (_, peers, there):
        with pytest.raises(OwnerLost, match="not the owner"):
            await peers.fetch(there, "/hls/live/gone.m3u8", "", ANSWER_S)


async def test_an_assignment_that_nobody_signed_is_refused() -> None:
    async with asking() as (service, peers, there):
        unsigned = HlsOwner(stream=there.stream, epoch=there.epoch, worker=there.worker, limit=9, signature=there.signature)
        with pytest.raises(NotAuthorized):
            unsigned.verify((KEY,))
        with pytest.raises(OwnerLost, match="PERMISSION_DENIED"):
            await peers.fetch(unsigned, "/hls/live/a.m3u8", "", ANSWER_S)
        assert service.asked == []


async def test_who_has_no_key_of_the_cluster_is_refused() -> None:
    async with asking(b"another key") as (service, peers, there):
        with pytest.raises(OwnerLost, match="UNAUTHENTICATED"):
            await peers.fetch(there, "/hls/live/a.m3u8", "", ANSWER_S)
        assert service.asked == []


async def test_a_node_that_cannot_be_reached_is_lost() -> None:
    async with asking() as (_, peers, there):
        nobody = HlsOwner(
            stream=there.stream, epoch=there.epoch, worker=there.worker._replace(address="127.0.0.1:1"), limit=0
        ).signed(KEY)
        with pytest.raises(OwnerLost, match="UNAVAILABLE"):
            await peers.fetch(nobody, "/hls/live/a.m3u8", "", ANSWER_S)


@asynccontextmanager
async def silent_peer() -> AsyncIterator[tuple[asyncio.subprocess.Process, HlsOwner]]:
    """A node in a process of its own that never answers, and the owner that it is."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SILENT, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        port, told = int(await process.stdout.readline()), owner()
        there = NodeAddress(told.worker.node, f"127.0.0.1:{port}")
        yield process, HlsOwner(stream=told.stream, epoch=told.epoch, worker=there, limit=0).signed(KEY)
    finally:
        process.kill()
        await process.wait()


async def test_a_node_that_is_frozen_is_lost_long_before_the_deadline() -> None:
    async with silent_peer() as (process, there):
        peers = GrpcPeers(Channels((KEY,)).dial)
        asked = asyncio.create_task(peers.fetch(there, "/hls/live/a.m3u8", "", 60.0))
        assert process.stdout is not None
        assert await process.stdout.readline() == b"asked\n"
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(OwnerLost, match="UNAVAILABLE"):
            async with asyncio.timeout(FROZEN_S):
                await asked
        await peers.close()


async def test_a_node_that_does_not_answer_in_time_is_lost() -> None:
    async with silent_peer() as (_, there):
        peers = GrpcPeers(Channels((KEY,)).dial)
        with pytest.raises(OwnerLost, match="DEADLINE_EXCEEDED"):
            await peers.fetch(there, "/hls/live/a/1000.1-1.ts", "", 0.5)
        await peers.close()
