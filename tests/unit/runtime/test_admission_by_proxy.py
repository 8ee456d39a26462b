"""Connections of proxies count for whom they speak, and how often an address may come."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from support.virtual_time import in_virtual_time

from lalmesh.runtime.forwarded import TrustedProxies
from lalmesh.runtime.listener import BLACKLISTED, Admission, Connection, ListenerLimits, ListenerMetrics

PROXY, CLIENT, OTHER = "10.0.0.1", "203.0.113.7", "203.0.113.8"
LIMITS = ListenerLimits(connections_per_address=1, proxies=TrustedProxies(["10.0.0.0/24"]))


class Listener:
    """A listener's admission, and what it says to connections."""

    def __init__(self, limits: ListenerLimits = LIMITS, *, is_secure: bool = False) -> None:
        self.registry = CollectorRegistry()
        self.admission = Admission("http", limits, ListenerMetrics("edge", self.registry), is_secure=is_secure)
        self.expired: list[str] = []

    def connect(self, address: str = PROXY) -> tuple[Connection, str]:
        return self.admission.admit(address, self.expired.append)

    def refused(self, reason: str) -> float | None:
        return self.registry.get_sample_value("edge_connections_refused_total", {"listener": "http", "reason": reason})


@in_virtual_time
async def test_a_proxy_may_have_any_number_of_connections_and_its_client_one() -> None:
    listener = Listener()
    connections = [listener.connect()[0] for _ in range(3)]
    speaks_for = listener.admission.speaks_for
    assert speaks_for(connections[0], CLIENT) == ""
    assert speaks_for(connections[1], CLIENT) == "1 connections of one address"
    assert speaks_for(connections[2], OTHER) == ""
    assert (listener.connect(OTHER)[1], listener.refused("address limit")) == ("1 connections of one address", 2.0)
    assert listener.refused("limit") == 0, "there is room"


@in_virtual_time
async def test_who_is_spoken_for_no_more_is_not_counted() -> None:
    listener = Listener()
    connection, other = listener.connect()[0], listener.connect()[0]
    listener.admission.speaks_for(connection, CLIENT)
    listener.admission.falls_silent(connection, PROXY)
    assert listener.admission.speaks_for(other, CLIENT) == ""
    listener.admission.leave(other)
    assert listener.admission.speaks_for(connection, CLIENT) == ""
    assert listener.admission.speaks_for(connection, OTHER) == "", "the same connection has gone on to another"
    assert listener.connect(CLIENT)[1] == ""
    listener.admission.leave(connection)
    assert listener.connect(OTHER)[1] == ""


@in_virtual_time
async def test_the_blacklist_is_for_those_behind_the_proxy() -> None:
    listener = Listener()
    listener.admission.blocks = lambda address: address != OTHER
    connection, refusal = listener.connect()
    assert (connection.is_blocked, refusal) == (False, "")
    listener.admission.expire_blocked()
    assert listener.expired == []
    listener.admission.speaks_for(connection, OTHER)
    listener.admission.expire_blocked()
    assert listener.expired == []
    listener.admission.speaks_for(connection, CLIENT)
    listener.admission.expire_blocked()
    assert listener.expired == [BLACKLISTED]


@in_virtual_time
async def test_a_proxy_counts_among_all_connections() -> None:
    listener = Listener(replace(LIMITS, connections=1))
    assert [listener.connect()[1] for _ in range(2)] == ["", "1 connections"]


@in_virtual_time
async def test_an_address_that_comes_too_often_is_refused_until_it_waits() -> None:
    listener = Listener(ListenerLimits(handshakes_per_s=2))
    refusals = [listener.connect(CLIENT)[1] for _ in range(11)]
    assert refusals == [""] * 10 + ["2 connections a second of one address"]
    assert (listener.connect(OTHER)[1], listener.refused("rate")) == ("", 1.0)
    await asyncio.sleep(0.5)
    assert [bool(listener.connect(CLIENT)[1]) for _ in range(2)] == [False, True]


@in_virtual_time
async def test_where_that_was_asked_before_tls_it_is_not_asked_again() -> None:
    listener = Listener(ListenerLimits(handshakes_per_s=0.1), is_secure=True)
    assert not listener.admission.turns_away(CLIENT, 0)
    assert listener.connect(CLIENT)[1] == ""
    assert listener.admission.turns_away(CLIENT, 0)
    assert listener.refused("rate") == 1.0


@in_virtual_time
async def test_an_address_has_no_more_on_their_way_than_it_may_have_and_none_where_it_has_those() -> None:
    listener = Listener(ListenerLimits(connections_per_address=2), is_secure=True)
    turns_away = listener.admission.turns_away
    assert [turns_away(CLIENT, beginning) for beginning in range(4)] == [False, False, True, True]
    first, _ = listener.connect(CLIENT)
    assert [turns_away(CLIENT, beginning) for beginning in (1, 2)] == [False, True], "the one that came may be on its way still"
    listener.connect(CLIENT)
    assert (turns_away(CLIENT, 0), turns_away(OTHER, 0)) == (True, False)
    listener.admission.leave(first)
    assert (turns_away(CLIENT, 0), listener.refused("address limit")) == (False, 4.0)


@in_virtual_time
async def test_who_is_on_the_blacklist_is_turned_away_and_a_proxy_never_is() -> None:
    listener = Listener(replace(LIMITS, handshakes_per_s=0.1), is_secure=True)
    listener.admission.blocks = lambda address: address != OTHER
    assert [listener.admission.turns_away(address, 0) for address in (CLIENT, OTHER)] == [True, False]
    assert [listener.admission.turns_away(PROXY, 9) for _ in range(9)] == [False] * 9
    assert listener.refused("blacklist") == 1.0


@in_virtual_time
async def test_proxies_come_as_often_as_they_like() -> None:
    listener = Listener(replace(LIMITS, handshakes_per_s=0.1))
    assert [listener.connect()[1] for _ in range(20)] == [""] * 20


@pytest.mark.parametrize("before", [0.0, 0.1])
@in_virtual_time
async def test_the_rate_changes_while_a_listener_runs(before: float) -> None:
    listener = Listener(ListenerLimits(handshakes_per_s=before))
    listener.connect(CLIENT)
    listener.admission.apply(ListenerLimits(handshakes_per_s=1))
    assert [bool(listener.connect(CLIENT)[1]) for _ in range(6)][-1]
    listener.admission.apply(ListenerLimits())
    assert listener.connect(CLIENT)[1] == ""
