"""Counting connections, refusing those over a limit, closing those that never begin or fall silent."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry
from support.virtual_time import in_virtual_time, suspend

from lalmesh.runtime.listener import (
    BLACKLISTED,
    REFUSALS_KEPT,
    Admission,
    Connection,
    ListenerLimits,
    ListenerMetrics,
    sweep_each_second,
)


class Listener:
    """A listener's admission, and what it says to connections."""

    def __init__(self, limits: ListenerLimits) -> None:
        self.registry = CollectorRegistry()
        self.admission = Admission("rtmp", limits, ListenerMetrics("edge", self.registry))
        self.expired: list[str] = []

    def connect(self, address: str = "10.0.0.1") -> tuple[Connection, str]:
        return self.admission.admit(address, self.expired.append)

    def refused(self, reason: str) -> float | None:
        return self.registry.get_sample_value("edge_connections_refused_total", {"listener": "rtmp", "reason": reason})


@in_virtual_time
async def test_connections_are_counted_until_they_leave() -> None:
    listener = Listener(ListenerLimits())
    connection, refusal = listener.connect()
    assert (len(listener.admission), refusal) == (1, "")
    listener.admission.leave(connection)
    listener.admission.leave(connection)
    assert len(listener.admission) == 0


@in_virtual_time
async def test_a_connection_over_the_limit_is_refused_with_a_reason() -> None:
    listener = Listener(ListenerLimits(connections=1))
    first, _ = listener.connect()
    second, refusal = listener.connect()
    assert (refusal, listener.refused("limit")) == ("1 connections", 1.0)
    listener.admission.leave(first)
    listener.admission.leave(second)
    assert listener.connect()[1] == ""


@in_virtual_time
async def test_what_is_over_the_limit_and_the_kept_refusals_is_dropped_at_once(caplog: pytest.LogCaptureFixture) -> None:
    listener = Listener(ListenerLimits(connections=2))
    kept = [listener.connect()[0] for _ in range(2 + REFUSALS_KEPT)]
    assert (len(listener.admission), listener.expired) == (2 + REFUSALS_KEPT, [])
    dropped = [listener.connect()[0] for _ in range(3)]
    await asyncio.sleep(0)
    assert (len(listener.admission), listener.expired) == (2 + REFUSALS_KEPT, ["2 connections"] * 3)
    assert listener.refused("limit") == REFUSALS_KEPT + 3
    listener.admission.sweep()
    listener.admission.sweep()
    assert [record.getMessage() for record in caplog.records] == ["dropped 3 connections over the limit"]
    for connection in dropped + kept:
        listener.admission.leave(connection)
    assert (len(listener.admission), listener.connect()[1]) == (0, "")


@in_virtual_time
async def test_connections_that_are_refused_take_no_room_of_others() -> None:
    listener = Listener(ListenerLimits(connections=3, connections_per_address=1))
    for _ in range(10):
        listener.connect("10.0.0.1")
    assert [listener.connect(f"10.0.0.{host}")[1] for host in (2, 3, 4)] == ["", "", "3 connections"]


@in_virtual_time
async def test_one_address_gets_only_so_many() -> None:
    listener = Listener(ListenerLimits(connections_per_address=2))
    first, _ = listener.connect()
    listener.connect()
    third, refusal = listener.connect()
    assert refusal == "2 connections of one address"
    assert listener.connect("10.0.0.2")[1] == ""
    listener.admission.leave(third)
    listener.admission.leave(first)
    assert listener.connect()[1] == ""


@in_virtual_time
async def test_what_never_begins_is_closed() -> None:
    listener = Listener(ListenerLimits(handshake_timeout_s=10))
    listener.connect()
    begun, _ = listener.connect()
    begun.begun = True
    await asyncio.sleep(9)
    listener.admission.sweep()
    assert listener.expired == []
    await asyncio.sleep(2)
    listener.admission.sweep()
    assert (listener.expired, listener.refused("handshake timeout")) == (["no request within 10 s"], 1.0)


@in_virtual_time
async def test_what_falls_silent_is_closed_where_silence_means_something() -> None:
    listener = Listener(ListenerLimits(idle_timeout_s=60))
    publisher, _ = listener.connect()
    player, _ = listener.connect()
    publisher.begun = player.begun = publisher.watch_idle = True
    await asyncio.sleep(50)
    publisher.last_read = asyncio.get_running_loop().time()
    await asyncio.sleep(59)
    listener.admission.sweep()
    assert listener.expired == []
    await asyncio.sleep(2)
    listener.admission.sweep()
    assert listener.expired == ["silent for 60 s"]


@in_virtual_time
async def test_all_are_closed_at_the_end() -> None:
    listener = Listener(ListenerLimits())
    listener.connect()
    listener.connect()
    listener.admission.expire_all("the edge stops")
    assert listener.expired == ["the edge stops"] * 2


@in_virtual_time
async def test_one_that_cannot_be_closed_keeps_no_other() -> None:
    listener = Listener(ListenerLimits(handshake_timeout_s=10))
    listener.connect()
    listener.admission.admit("10.0.0.1", lambda _: [].pop())
    listener.connect()
    await asyncio.sleep(11)
    listener.admission.sweep()
    assert listener.expired == ["no request within 10 s"] * 2
    listener.admission.expire_all("the edge stops")
    assert listener.expired[2:] == ["the edge stops"] * 2
    listener.admission.blocks = lambda _: True
    listener.admission.expire_blocked()
    assert listener.expired[4:] == [BLACKLISTED] * 2


@in_virtual_time
async def test_a_sweep_that_fails_keeps_no_other_from_its_deadlines(caplog: pytest.LogCaptureFixture) -> None:
    swept: list[float] = []

    def fails() -> None:
        raise RuntimeError("a bug")

    sweeping = asyncio.create_task(sweep_each_second(lambda: (fails, lambda: swept.append(asyncio.get_running_loop().time()))))
    begun = asyncio.get_running_loop().time()
    await asyncio.sleep(2.5)
    sweeping.cancel()
    assert [round(at - begun) for at in swept] == [1, 2]
    assert [record.getMessage() for record in caplog.records] == ["sweep failed"] * 2


@in_virtual_time
async def test_who_comes_from_an_address_that_is_blocked_is_refused_and_who_is_here_is_closed() -> None:
    listener = Listener(ListenerLimits())
    listener.connect("10.0.0.1")
    listener.connect("10.0.0.2")
    listener.admission.blocks = lambda address: address == "10.0.0.2"
    late, refusal = listener.connect("10.0.0.2")
    assert (late.is_blocked, refusal, listener.refused("blacklist")) == (True, BLACKLISTED, 1.0)
    listener.admission.expire_blocked()
    assert listener.expired == [BLACKLISTED], "who is being told why is not cut off"


@in_virtual_time
async def test_who_was_asleep_itself_finds_nobody_silent_before_it_has_read_what_came_meanwhile() -> None:
    swept: list[float] = []
    loop = asyncio.get_running_loop()
    sweeping = asyncio.create_task(sweep_each_second(lambda: (lambda: swept.append(loop.time()),)))
    await asyncio.sleep(1.5)
    suspend(200.0)
    await asyncio.sleep(0.5)
    assert len(swept) == 1
    await asyncio.sleep(1.0)
    assert len(swept) == 2
    for _ in range(6):  # who never has time enough sweeps all the same
        suspend(10.0)
        await asyncio.sleep(0.5)
    assert len(swept) == 5
    sweeping.cancel()
