"""The simulation itself: time, processes, the network, and that a seed goes the same way each time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from lalmesh.runtime.registry import Absent, Changed, FollowEvent, Listing, Put
from simulation.cluster import determined
from simulation.etcd import Etcd
from simulation.etcd_client import EtcdClient
from simulation.network import Network, Weather
from simulation.plans import Plan, plan_of
from simulation.schedule import run_plan, run_seed
from simulation.world import Process, World


@pytest.fixture(autouse=True)
def _chance() -> Iterator[None]:
    with determined(1):
        yield


class Pair:
    """Two processes on a network, and what `b` gets from `a`."""

    def __init__(self) -> None:
        self.world = World()
        self.network = Network(self.world, Weather())
        self.a, self.b = Process(self.world, "a"), Process(self.world, "b")
        self.got: list[Any] = []
        for process in (self.a, self.b):
            self.network.run(process)
        self.network.serve(self.b, "port", self._accept)
        self.end = self.network.connect(self.a, "b", "port", dead_s=2.0)
        self.end.closed = self.got.append

    def _accept(self, _process: Process, end: Any, _source: str) -> None:
        end.receive = lambda *message: self.got.extend(message)


def test_without_faults_a_schedule_holds() -> None:
    assert run_plan(Plan(seed=1, kind="none", faults=[], streams=2, hls=True, lossless=True)).problems == ()


def test_a_seed_goes_the_same_way_each_time() -> None:
    seeds = range(0, 40, 4)
    assert [run_seed(seed).fingerprint for seed in seeds] == [run_seed(seed).fingerprint for seed in seeds]


def test_a_schedule_is_drawn_from_its_seed_alone() -> None:
    assert [str(plan_of(seed)) for seed in range(20)] == [str(plan_of(seed)) for seed in range(20)]


def test_time_jumps_to_the_next_timer() -> None:
    world = World()
    process, done = Process(world, "a", fast=2.0), list[float]()

    async def work() -> None:
        await asyncio.sleep(3.0)
        done.append(world.now)

    process.call_soon(lambda: process.create_task(work()))
    world.run(10.0)
    assert done == [pytest.approx(1.5)]


def test_a_killed_process_does_nothing_more() -> None:
    pair = Pair()
    pair.a.call_later(1.0, pair.got.append, "never")
    pair.a.kill()
    pair.world.run(2.0)
    assert "never" not in pair.got


def test_a_halted_process_does_everything_later() -> None:
    pair = Pair()
    pair.end.send("late")
    pair.b.halt()
    pair.world.run(1.0)
    assert pair.got == []
    pair.b.resume()
    pair.world.run(1.0)
    assert pair.got == ["late"]


def test_a_connection_keeps_the_order() -> None:
    pair = Pair()
    pair.network.change_weather(Weather(jitter_s=1.0, loss=0.5))
    for number in range(50):
        pair.end.send(number)
    pair.world.run(60.0)
    assert pair.got == list(range(50))


def test_what_is_sent_over_a_cut_way_comes_when_it_heals() -> None:
    pair = Pair()
    pair.world.run(1.0)
    pair.network.cut("a", "b")
    pair.end.send("held")
    pair.world.run(2.0)
    assert pair.got == []
    pair.network.heal("a", "b")
    pair.world.run(3.0)
    assert pair.got == ["held"]


def test_silence_breaks_a_connection() -> None:
    pair = Pair()
    pair.world.run(1.0)
    pair.network.cut("b", "a")
    pair.world.run(2.4)
    assert pair.got == []
    pair.world.run(3.1)
    assert pair.got == ["silent for too long"]


def test_the_end_of_a_process_resets_its_connections() -> None:
    pair = Pair()
    pair.world.run(1.0)
    pair.b.kill()
    pair.network.died(pair.b, silently=False)
    pair.world.run(1.1)
    assert pair.got == ["reset"]


def test_a_machine_that_vanishes_is_silent() -> None:
    pair = Pair()
    pair.world.run(1.0)
    pair.b.kill()
    pair.network.died(pair.b, silently=True)
    pair.world.run(2.4)
    assert pair.got == []
    pair.world.run(3.1)
    assert pair.got == ["silent for too long"]


class Followed:
    """A client of etcd that follows everything."""

    def __init__(self) -> None:
        self.world = World()
        self.network = Network(self.world, Weather())
        self.etcd = Etcd(self.network)
        self.process = Process(self.world, "scheduler")
        self.network.run(self.process)
        self.client = EtcdClient(self.network, self.process)
        self.heard: list[FollowEvent] = []
        self.process.call_soon(lambda: self.process.create_task(self._follow()))
        self.world.run(1.0)

    async def _follow(self) -> None:
        async for event in self.client.follow(""):
            self.heard.append(event)

    def put(self, key: str) -> None:
        self.process.call_soon(lambda: self.process.create_task(self.client.transact([Absent(key)], [Put(key, b"")])))
        self.world.run(self.world.now + 1.0)

    @property
    def keys(self) -> list[str]:
        """What was heard: keys that changed; of listings, all of them in one word."""
        return [event.entry.key if isinstance(event, Changed) else " ".join(_keys(event)) for event in self.heard]


def _keys(event: FollowEvent) -> list[str]:
    assert isinstance(event, Listing)
    return [entry.key for entry in event.entries]


def test_a_follower_hears_what_changed_while_it_was_cut_off() -> None:
    followed = Followed()
    followed.network.cut("etcd", "scheduler")
    followed.put("a")
    followed.network.heal("etcd", "scheduler")
    followed.world.run(5.0)
    assert followed.keys == ["", "a"]


@pytest.mark.parametrize(("fault", "then"), [("compact", "a b"), ("wipe", "")])
def test_a_follower_that_may_have_missed_something_lists_again(fault: str, then: str) -> None:
    followed = Followed()
    followed.put("a")
    followed.network.cut("etcd", "scheduler")
    followed.put("b")
    followed.network.cut("scheduler", "etcd")
    followed.world.run(followed.world.now + 5.0)  # until it takes the connection for dead
    getattr(followed.etcd, fault)()
    followed.network.heal("etcd", "scheduler")
    followed.network.heal("scheduler", "etcd")
    followed.world.run(followed.world.now + 5.0)
    assert followed.keys[-1] == then


def test_nobody_answers_without_a_leader_and_no_lease_ends() -> None:
    followed = Followed()
    followed.etcd.lose_leader()
    followed.put("a")
    assert followed.etcd.store.entries == {}
    followed.etcd.elect()
    followed.put("b")
    assert list(followed.etcd.store.entries) == ["b"]
