"""A publisher that is silent for long while its stream moves or loses its origin: edge and origins as they are, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from support.edge_fakes import BOTH, EDGE, ORIGINS, STREAM, FakeScheduler, location
from support.virtual_time import in_virtual_time, settle

from lalmesh.media import AccessUnit, MediaEvent, TracksChanged
from lalmesh.names import StreamKey
from lalmesh.runtime.link import DirectLink, OriginLink
from lalmesh.runtime.ownership import Epoch, Grant, Location, Place
from services.edge.publication import PublicationSettings
from services.edge.publisher import Publishers
from services.edge.publishing import Publishing
from services.edge.relay import Relay, Relays, RelaySettings
from services.origin.group import GroupSettings
from services.origin.groups import Groups

KEY = b"the key of the cluster"
SILENT_S = 1000.0  #: longer than anything is waited for
NOW_US = 1_700_000_000_000_000


class Scheduler(FakeScheduler):
    """Signs what it grants, as origins want to see."""

    def _grant(self, publication: bytes, origin: str, at: Epoch | None = None) -> Grant:
        return super()._grant(publication, origin, at).signed(KEY)


class Cluster:
    """An edge, and origins that it reaches by direct calls."""

    def __init__(self) -> None:
        self.scheduler = Scheduler()
        self.scheduler.heir = "p"
        self.origins = {name: self._origin(name) for name in ORIGINS}
        self.publishers = Publishers(EDGE, self.scheduler, self, PublicationSettings(), take_over=False, claim_timeout_s=5.0)
        self.relays = Relays(self.scheduler, self, RelaySettings(lost_s=30))

    def link(self, address: str) -> OriginLink:
        return DirectLink(EDGE.node, self.origins[address.partition(":")[0]])

    @staticmethod
    def _origin(name: str) -> Groups:
        async def is_claimed(_stream: StreamKey, _epoch: Epoch, _place: Place) -> bool:
            return False

        return Groups(ORIGINS[name].node, (KEY,), GroupSettings(), is_claimed)

    async def restart(self, name: str) -> None:
        before, self.origins[name] = self.origins[name], self._origin(name)
        await before.close()

    async def live(self) -> tuple[Publishing, Relay]:
        """A stream that is published and played."""
        publishing = await self.publishers.start(STREAM, lambda reason: pytest.fail(reason))
        await settle()
        send(publishing, range(3))
        self.scheduler.put(location(1, heir="p"))
        return publishing, await self.relays.acquire(STREAM, 1.0)

    async def close(self) -> None:
        await self.relays.close()
        await self.publishers.close(1.0)
        for origin in self.origins.values():
            await origin.close()


def send(publishing: Publishing, numbers: Iterable[int]) -> None:
    events: list[MediaEvent] = [] if publishing.core.tracks.tracks else [TracksChanged(BOTH)]
    events += [AccessUnit(1, number * 3600, 0, number % 25 == 0, b"v") for number in numbers]
    publishing.feed(events, NOW_US)


def tell(cluster: Cluster, publishing: Publishing, where: Location, *, reader_first: bool) -> None:
    """Notice of a move goes to publication and reader as it happens to get there, and to the origin that had the stream."""
    assert publishing.grant is not None
    grant = cluster.scheduler._grant(publishing.grant.publication, where.origin.node.name, publishing.grant.epoch)
    if reader_first:
        cluster.relays.moved(where)
    cluster.publishers.moved(where, grant)
    if not reader_first:
        cluster.relays.moved(where)
    cluster.origins["o"].moved(where)


@in_virtual_time
@pytest.mark.parametrize("reader_first", [True, False])
async def test_players_stay_where_the_stream_of_a_publisher_that_is_silent_has_moved_as_planned(*, reader_first: bool) -> None:
    cluster = Cluster()
    publishing, relay = await cluster.live()
    where = location(2, "q", heir="p")
    cluster.scheduler.put(where)
    tell(cluster, publishing, where, reader_first=reader_first)
    await asyncio.sleep(SILENT_S)
    assert (list(cluster.relays), relay.reader.counters.units) == ([relay], 3)
    send(publishing, range(3, 5))
    await settle()
    assert (relay.reader.counters.units, relay.reader.counters.missing, relay.location) == (5, 0, where)
    await cluster.close()


@in_virtual_time
@pytest.mark.parametrize("is_written_down", [True, False])
async def test_players_stay_where_the_origin_of_a_publisher_that_is_silent_was_lost(*, is_written_down: bool) -> None:
    cluster = Cluster()
    publishing, relay = await cluster.live()
    await cluster.restart("o")
    await asyncio.sleep(1.0)
    if is_written_down:
        cluster.scheduler.put(location(2, "p", heir="q"))
    await asyncio.sleep(SILENT_S)
    assert (list(cluster.relays), relay.reader.counters.units) == ([relay], 3)
    send(publishing, range(3, 5))
    await settle()
    assert (relay.reader.counters.units, relay.reader.counters.missing) == (5, 0)
    await cluster.close()
