"""One hls node asks another, over gRPC on loopback."""

from __future__ import annotations

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
        answer = await peers.fetch(there, "/hls/live/a/1000.1-5.ts", "token=1", 10.0)
    assert answer == Answer(200, LARGE, {"Content-Type": "video/mp2t"})
    assert service.asked == [("/hls/live/a/1000.1-5.ts", "token=1")]


async def test_a_node_that_is_not_the_owner_any_more_says_so() -> None:
    async with asking() as (_, peers, there):
        with pytest.raises(OwnerLost, match="not the owner"):
            await peers.fetch(there, "/hls/live/gone.m3u8", "", 10.0)


async def test_an_assignment_that_nobody_signed_is_refused() -> None:
    async with asking() as (service, peers, there):
        unsigned = HlsOwner(stream=there.stream, epoch=there.epoch, worker=there.worker, limit=9, signature=there.signature)
        with pytest.raises(NotAuthorized):
            unsigned.verify((KEY,))
        with pytest.raises(OwnerLost, match="PERMISSION_DENIED"):
            await peers.fetch(unsigned, "/hls/live/a.m3u8", "", 10.0)
        assert service.asked == []


async def test_who_has_no_key_of_the_cluster_is_refused() -> None:
    async with asking(b"another key") as (service, peers, there):
        with pytest.raises(OwnerLost, match="UNAUTHENTICATED"):
            await peers.fetch(there, "/hls/live/a.m3u8", "", 10.0)
        assert service.asked == []


async def test_a_node_that_cannot_be_reached_is_lost() -> None:
    async with asking() as (_, peers, there):
        nobody = HlsOwner(
            stream=there.stream, epoch=there.epoch, worker=there.worker._replace(address="127.0.0.1:1"), limit=0
        ).signed(KEY)
        with pytest.raises(OwnerLost, match="UNAVAILABLE"):
            await peers.fetch(nobody, "/hls/live/a.m3u8", "", 10.0)
