"""What operators say of the clients of an edge."""

from __future__ import annotations

import asyncio
from functools import partial

from prometheus_client import CollectorRegistry
from support.edge_fakes import EDGE, FakeScheduler
from support.virtual_time import in_virtual_time

from lalmesh.names import StreamKey
from lalmesh.runtime.blacklist import AddressBlacklist
from lalmesh.runtime.hls_sessions import HlsPlayer, PlayerReports, Players
from lalmesh.runtime.listener import BLACKLISTED, Admission, ListenerLimits
from lalmesh.runtime.scheduling import Evicted
from lalmesh.runtime.scheduling.control import Blacklist, BlacklistEntry, KickSessions
from lalmesh.runtime.sessions import SessionRole
from services.edge.client import Client
from services.edge.metrics import EdgeMetrics
from services.edge.orders import GOODBYE_S, Orders
from services.edge.session import Session, Sessions

CAM = StreamKey.of("live", "cam")


class Edge:
    """Sessions and a listener, and what closed them."""

    def __init__(self) -> None:
        metrics = EdgeMetrics(CollectorRegistry())
        self.sessions = Sessions(metrics)
        self.admission = Admission("rtmp", ListenerLimits(), metrics)
        self.blacklist = AddressBlacklist()
        self.admission.blocks = self.blacklist.blocks
        self.players = Players(30.0, lambda: 0.0)
        reports = PlayerReports(self.players, FakeScheduler(), lambda: EDGE)
        self.orders = Orders(self.sessions, self.blacklist, lambda: [self.admission], reports)
        self.closed: list[tuple[str, str]] = []

    def open(self, address: str) -> Session:
        client = Client(protocol="rtmp", address=address, peer=f"{address}:9")
        return self.sessions.open(client, SessionRole.PLAYER, CAM, lambda reason: self.closed.append((address, reason)))

    def open_broken(self, address: str) -> Session:
        """One that cannot be closed."""
        session = self.open(address)
        session.close = lambda _reason: [].pop()
        return session


@in_virtual_time
async def test_a_kick_closes_the_sessions_that_are_here() -> None:
    edge = Edge()
    session = edge.open("192.0.2.1")
    edge.open("192.0.2.2")
    edge.orders.handle(KickSessions((session.session_id, "elsewhere"), "enough"))
    assert edge.closed == [("192.0.2.1", "enough")]


@in_virtual_time
async def test_sessions_of_a_blacklisted_address_are_closed_and_the_rest_of_its_connections_soon() -> None:
    edge = Edge()
    for address in ("192.0.2.1", "198.51.100.1"):
        edge.open(address)
    expired: list[str] = []
    edge.admission.admit("192.0.2.1", expired.append)
    edge.orders.handle(Blacklist((BlacklistEntry("192.0.2.0/24"),)))
    assert (edge.closed, expired) == ([("192.0.2.1", BLACKLISTED)], [])
    await asyncio.sleep(GOODBYE_S * 2)
    assert expired == [BLACKLISTED]
    edge.orders.handle(Blacklist())
    assert not edge.blacklist.blocks("192.0.2.1")


@in_virtual_time
async def test_players_of_hls_are_ended_by_their_ids_and_by_their_addresses() -> None:
    edge = Edge()
    for session_id, address in (("a", "198.51.100.1"), ("b", "192.0.2.1"), ("c", "198.51.100.1")):
        edge.players.saw(CAM, session_id, partial(HlsPlayer, peer=address), 1)
    edge.orders.handle(KickSessions(("a", "elsewhere"), "enough"))
    assert edge.players.is_kicked("elsewhere")
    edge.orders.handle(Blacklist((BlacklistEntry("192.0.2.0/24"),)))
    assert [(touch.id, touch.over) for touch in edge.players.touches()] == [("a", True), ("b", True), ("c", False)]


@in_virtual_time
async def test_one_that_cannot_be_closed_keeps_no_other() -> None:
    edge = Edge()
    kicked = [edge.open_broken("198.51.100.1"), edge.open("198.51.100.1")]
    edge.orders.handle(KickSessions(tuple(session.session_id for session in kicked), "enough"))
    assert edge.closed == [("198.51.100.1", "enough")]
    edge.open_broken("192.0.2.1")
    edge.open("192.0.2.2")
    edge.players.saw(CAM, "b", partial(HlsPlayer, peer="192.0.2.3"), 1)
    expired: list[str] = []
    edge.admission.admit("192.0.2.1", expired.append)
    edge.orders.handle(Blacklist((BlacklistEntry("192.0.2.0/24"),)))
    await asyncio.sleep(GOODBYE_S * 2)
    assert edge.closed[1:] == [("192.0.2.2", BLACKLISTED)]
    assert ([touch.over for touch in edge.players.touches()], expired) == ([True], [BLACKLISTED])


@in_virtual_time
async def test_what_is_no_word_about_clients_is_left_alone() -> None:
    edge = Edge()
    edge.orders.handle(Evicted("another start"))
    assert edge.closed == []
