"""Which edge a client is sent to."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from heapq import heappop, heappush

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.scheduling.model import Capacity, Endpoint, Load, Role
from services.scheduler.candidates import STREAM_BPS
from services.scheduler.edges import NOMINAL_SESSIONS, Edge, Pool, usage_of, weight_of
from services.scheduler.expected import EXPECTED_S, Coming
from services.scheduler.records import NodeRecord
from services.scheduler.route_urls import PROTOCOLS
from services.scheduler.routing import (
    DRAWS,
    FULL_S,
    MAX_HELD,
    NETWORK_SHARE,
    Choice,
    NotListenedFor,
    Question,
    Route,
    Routing,
    ZoneMatch,
)

CAM = StreamKey.of("live", "cam")
PLAY = Question(CAM, "http", is_play=True)
PUBLISH = Question(CAM, "rtmp", is_play=False)
HLS = PLAY._replace(as_session=False)


def edge(
    name: str, sessions: int = 100, *, zone: str = "", host: str = "", protocols: Sequence[str] = ("http", "rtmp")
) -> NodeRecord:
    endpoints = tuple(Endpoint(protocol, host or name, 8080) for protocol in protocols)
    address = NodeAddress(NodeId(name, b"12345678"), "")
    return NodeRecord(
        address=address, role=Role.EDGE, zone=zone, machine=name, endpoints=endpoints, capacity=Capacity(sessions=sessions)
    )


class Cluster:
    """Edges with loads, and a routing over them."""

    def __init__(self, *records: NodeRecord, **sessions: int) -> None:
        self.records = {record.node.name: record for record in records}
        self.loads = {name: Load(sessions=sessions.get(name.replace("-", "_"), 0)) for name in self.records}
        self.routing = Routing(lambda record: self.loads[record.node.name], random.Random(1))
        self.routing.replace(records)

    def route(self, question: Question = PLAY, now: float = 0.0) -> Route:
        return self.routing.route(question, now)

    def names(self, count: int, question: Question = PLAY, now: float = 0.0) -> Counter[str]:
        return Counter(self.route(question, now).edge.name for _ in range(count))

    def holding(self, question: Question, *names: str) -> Question:
        return question._replace(holders=[self.records[name].node for name in names])


def test_the_less_used_of_two_is_taken_and_the_reason_says_so() -> None:
    found = Cluster(edge("a"), edge("b"), a=50, b=40).route()
    assert (found.edge.name, found.choice, found.usage.share) == ("b", Choice.LEAST_USED, 0.4)
    assert found.reason == "b has 40.0% of its sessions used, a 50.0% of its sessions; these two were drawn"


def test_an_edge_that_does_not_listen_for_it_is_no_candidate() -> None:
    cluster = Cluster(edge("a", protocols=["rtmp"]), edge("b", protocols=["rtmp", "http"]), b=99)
    assert cluster.names(1) == {"b": 1}
    with pytest.raises(NotListenedFor):
        cluster.route(Question(CAM, "https", is_play=True))


def test_a_full_edge_is_never_chosen_and_what_is_on_its_way_counts() -> None:
    cluster = Cluster(edge("a", 10), edge("b", 5), a=10)
    assert cluster.names(5) == {"b": 5}
    with pytest.raises(Unavailable) as refused:
        cluster.route()
    assert refused.value.retry_after_s > 0


def test_room_that_comes_back_is_found_soon() -> None:
    cluster = Cluster(edge("a", 1), a=1)
    with pytest.raises(Unavailable):
        cluster.route()
    cluster.loads["a"] = Load()
    assert cluster.route(now=FULL_S).edge.name == "a"


def test_where_most_are_full_a_route_costs_no_look_at_all_of_them() -> None:
    cluster, looks = Cluster(*(edge(f"e{number}") for number in range(100))), 0
    for number in range(90):
        cluster.loads[f"e{number}"] = Load(sessions=100)

    def load_of(record: NodeRecord) -> Load:
        nonlocal looks
        looks += 1
        return cluster.loads[record.node.name]

    cluster.routing._load_of = load_of
    found = cluster.names(200)
    assert looks < 100 + 200 * 2 * DRAWS
    assert set(found) == {f"e{number}" for number in range(90, 100)}
    assert min(found.values()) >= 17  # of 20
    cluster.loads["e0"] = Load()
    assert "e0" in cluster.names(20, now=FULL_S)


def test_an_edge_that_fills_up_between_two_looks_at_all_is_left_out() -> None:
    cluster = Cluster(edge("a"), edge("b"), edge("c", 5), *(edge(f"e{number}") for number in range(7)), a=98)
    for number in range(7):
        cluster.loads[f"e{number}"] = Load(sessions=100)
    assert cluster.names(107) == {"a": 2, "b": 100, "c": 5}
    with pytest.raises(Unavailable):
        cluster.route()


def test_who_did_not_come_makes_room_again() -> None:
    cluster = Cluster(edge("a", 1))
    cluster.route()
    assert cluster.route(now=EXPECTED_S).edge.name == "a"


def test_players_of_hls_take_no_room_for_sessions_and_bits_as_others_do() -> None:
    cluster = Cluster(edge("a", 10))
    for number in range(3000):  # 600 a second
        assert cluster.route(HLS, now=number / 600).usage.share == 0.0
    line = replace(edge("b", 10), capacity=Capacity(sessions=10, egress_bps=20 * STREAM_BPS))
    cluster = Cluster(line)
    cluster.names(5, HLS)
    assert cluster.route(PUBLISH).usage == (0.25, "bit/s", False)
    cluster.names(15, HLS)
    with pytest.raises(Unavailable):
        cluster.route(PUBLISH)
    assert cluster.route(PUBLISH, EXPECTED_S).usage.share == 0.0


@pytest.mark.parametrize("question", [PLAY, HLS, PUBLISH])
@pytest.mark.parametrize("client", ["192.0.2.7", "2001:db8::7"])
def test_those_of_one_network_who_never_come_do_not_fill_the_cluster(question: Question, client: str) -> None:
    records = [replace(edge(name), capacity=Capacity(sessions=100, egress_bps=100 * STREAM_BPS)) for name in ("a", "b")]
    cluster = Cluster(*records)
    for number in range(4000):  # 200 a second, 20 s long
        cluster.route(question._replace(client=client), now=number / 200)
        sure = sum(max(cluster.routing._expected.of(record.node, number / 200)[0]) for record in records)
        assert sure <= 200 * (2 * NETWORK_SHARE + 0.01)
    assert not cluster.route(question, now=20.0).usage.is_full


def test_many_of_one_network_are_spread_like_others() -> None:
    cluster = Cluster(*(edge(f"e{number}", 1000) for number in range(10)))
    spread = cluster.names(5000, PLAY._replace(client="192.0.2.7"))
    assert all(450 <= spread[f"e{number}"] <= 550 for number in range(10))


def test_of_one_network_so_many_are_sure_and_others_beside_them() -> None:
    cluster = Cluster(edge("a", 1000))
    counted = round(1000 * NETWORK_SHARE)
    for clients, expected in (
        (["192.0.2.7"] * 200, counted),
        (["2001:db8::1", "2001:db8::2"] * 100, 2 * counted),  # neighbours
        ([f"198.51.100.{number}" for number in range(200)], 2 * counted + 200),
        ([""] * 200, 2 * counted + 400),  # somebody who may ask for many
    ):
        for client in clients:
            cluster.route(PLAY._replace(client=client))
        assert cluster.routing._expected.of(cluster.records["a"].node, 0.0)[0].sessions == expected


def test_of_a_small_cluster_one_of_each_network_is_sure_at_least() -> None:
    cluster = Cluster(edge("a", 2))
    assert cluster.names(5, PLAY._replace(client="192.0.2.7")) == {"a": 5}
    assert not cluster.route(PLAY._replace(client="192.0.2.8")).usage.is_full
    with pytest.raises(Unavailable):
        cluster.route()


def test_the_zone_of_the_client_comes_first_as_long_as_it_has_room() -> None:
    cluster = Cluster(edge("w", 2, zone="west"), edge("e", 100, zone="east"))
    west = PLAY._replace(zone="west")
    first = cluster.route(west)
    assert (first.edge.name, first.zone_match, first.reason.endswith("; in zone west")) == ("w", ZoneMatch.SAME, True)
    assert cluster.names(3, west) == {"w": 1, "e": 2}
    last = cluster.route(west)
    assert (last.zone_match, last.reason.endswith("; no edge of zone west has room")) == (ZoneMatch.OTHER, True)
    assert cluster.route(PLAY).zone_match is ZoneMatch.UNKNOWN


def test_a_player_goes_where_the_stream_is_while_that_costs_no_balance() -> None:
    cluster = Cluster(edge("a", 1000), edge("b", 1000), a=104, b=100)
    asked = cluster.holding(PLAY, "a")
    found = cluster.route(asked)
    assert (found.edge.name, found.choice) == ("a", Choice.HAS_STREAM)
    cluster.loads["a"] = Load(sessions=150)
    assert cluster.route(asked).choice is Choice.LEAST_USED


def test_the_next_players_of_a_new_stream_follow_the_first() -> None:
    cluster = Cluster(*(edge(f"e{number}", 1000) for number in range(20)))
    assert len(cluster.names(10)) == 1


def test_many_players_of_one_stream_are_spread_all_the_same() -> None:
    cluster = Cluster(*(edge(f"e{number}", 1000) for number in range(10)))
    spread = cluster.names(5000)
    assert all(450 <= spread[f"e{number}"] <= 550 for number in range(10))


@pytest.mark.parametrize("least_used", range(2 * MAX_HELD))
def test_of_many_edges_that_have_a_stream_each_is_looked_at_as_often_as_another(least_used: int) -> None:
    names = [f"e{number}" for number in range(2 * MAX_HELD)]
    cluster = Cluster(*(edge(name, 100_000) for name in names), **dict.fromkeys(names, 1000) | {names[least_used]: 0})
    found = cluster.names(200, cluster.holding(PLAY, *names))
    assert 80 <= found[names[least_used]] <= 120  # half of the times, as it is one of half of them that are looked at


def test_a_publisher_that_comes_back_goes_where_its_stream_is() -> None:
    cluster = Cluster(edge("a"), edge("b"), a=90)
    found = cluster.route(cluster.holding(PUBLISH, "a"))
    assert (found.edge.name, found.choice) == ("a", Choice.PUBLISHES)
    cluster.loads["a"] = Load(sessions=100)
    assert cluster.route(cluster.holding(PUBLISH, "a")).edge.name == "b"


def test_the_only_edge_with_room_is_called_so() -> None:
    assert Cluster(edge("a")).route().choice is Choice.ONLY
    assert Cluster(edge("a"), edge("b"), b=100).route().choice is Choice.ONLY


def test_edges_that_share_an_address_are_told_of() -> None:
    cluster = Cluster(edge("a", host="lb"), edge("b", host="lb"), edge("c"), c=100)
    assert cluster.route().shared == 2
    assert Cluster(edge("a"), edge("b")).route().shared == 1


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_has_a_url_of_its_listener(name: str) -> None:
    protocol = PROTOCOLS[name]
    url = protocol.url(Endpoint(protocol.listener, "2001:db8::1", 80), StreamKey.of("live/a", "cam 1"))
    assert url.startswith(f"{protocol.scheme}://[2001:db8::1]:80/")
    assert "live/a/cam%201" in url


def test_hls_is_below_a_folder_of_its_own() -> None:
    urls = [PROTOCOLS[name].url(Endpoint("http", "h", 8080), CAM) for name in ("http-flv", "hls", "ll-hls")]
    assert urls == ["http://h:8080/live/cam.flv", "http://h:8080/hls/live/cam.m3u8", "http://h:8080/hls/live/cam/index.m3u8"]


def test_an_edge_that_states_no_capacity_is_never_full() -> None:
    cluster = Cluster(edge("a", 0), a=5 * NOMINAL_SESSIONS)
    assert cluster.route().usage.share == 5.0


def test_players_that_come_take_bit_rate_as_those_that_are_there_do() -> None:
    capacity, load = Capacity(egress_bps=100_000_000), Load(egress_bps=50_000_000, sessions=50)
    assert usage_of(capacity, load, Coming(10, 10)).share == 0.6
    assert usage_of(capacity, load, Coming(10, 0)).share == 0.5
    assert usage_of(capacity, Load(), Coming(5, 5)).share == 5 * STREAM_BPS / 100_000_000
    beside_hls = Load(egress_bps=70_000_000, hls_egress_bps=20_000_000, sessions=50)
    assert usage_of(capacity, beside_hls, Coming(10, 10)).share == 0.8, "HLS fills the line, and is of no session"


def test_processor_and_memory_fill_an_edge_too() -> None:
    capacity = Capacity(cpu_fraction=0.8, memory_bytes=100)
    used = usage_of(capacity, Load(cpu_fraction=0.4, memory_bytes=10, sessions=40), Coming(20, 20))
    assert (used.dimension, used.is_full) == ("processor", False)
    assert used.share == pytest.approx(0.75)
    assert usage_of(capacity, Load(memory_bytes=100), Coming()).is_full


def test_the_tighter_limit_says_how_often_an_edge_is_drawn() -> None:
    assert weight_of(Capacity(sessions=100, egress_bps=50 * STREAM_BPS)) == 50
    assert weight_of(Capacity()) == NOMINAL_SESSIONS


def test_two_different_ones_are_drawn_by_weight() -> None:
    pool, rng = (
        Pool([Edge(record, record.endpoints[0]) for record in (edge("a", 900), edge("b", 90), edge("c", 10))]),
        random.Random(2),
    )
    drawn = [pool.draw_two(rng) for _ in range(2000)]
    assert all(first != second for first, second in drawn)
    firsts = Counter(first.name for first, _ in drawn)
    assert firsts["a"] / 2000 == pytest.approx(0.9, abs=0.03)


_CAPACITIES = st.lists(st.integers(50, 400), min_size=1, max_size=12)


@given(_CAPACITIES, st.floats(0.3, 0.95), st.integers(1, 30), st.integers(0, 1 << 32))
def test_the_spread_is_within_a_tenth_of_the_shares(capacities: list[int], fill: float, streams: int, seed: int) -> None:
    rng = random.Random(seed)
    cluster = Cluster(*(edge(f"e{number}", capacity) for number, capacity in enumerate(capacities)))
    total = round(sum(capacities) * fill)
    asked = [PLAY._replace(stream=StreamKey.of("live", f"cam{number}")) for number in range(streams)]
    spread: Counter[str] = Counter(cluster.route(rng.choice(asked)).edge.name for _ in range(total))
    for number, capacity in enumerate(capacities):
        share = total * capacity / sum(capacities)
        assert abs(spread[f"e{number}"] - share) <= max(0.1 * share, 2.0)


class Member:
    """An edge as the property below has it come and go."""

    def __init__(self, record: NodeRecord) -> None:
        self.record = record
        self.sessions = self.opened = 0

    @property
    def load(self) -> Load:
        return Load(sessions=self.sessions, opened_sessions=self.opened)

    @property
    def used(self) -> float:
        return self.sessions / self.record.capacity.sessions

    def arrive(self) -> None:
        self.sessions += 1
        self.opened += 1


def test_edges_that_as_many_leave_as_come_to_keep_to_their_shares() -> None:
    stay_s, asked_per_s, rng = 4.0, 500, random.Random(1)
    rooms = (400, 800, 1600) * 4
    members = {f"e{number}": Member(edge(f"e{number}", room)) for number, room in enumerate(rooms)}
    shown = {name: member.load for name, member in members.items()}
    routing = Routing(lambda record: shown[record.node.name], random.Random(1))
    routing.replace([member.record for member in members.values()])
    leaving: list[tuple[float, str]] = []
    furthest = 0.0
    for number in range(15 * asked_per_s):
        now = number / asked_per_s
        while leaving and leaving[0][0] <= now:
            members[heappop(leaving)[1]].sessions -= 1
        if number % asked_per_s == 0:  # all report each second
            shown = {name: member.load for name, member in members.items()}
            if now >= 2 * stay_s:
                used = sum(member.sessions for member in members.values()) / sum(rooms)
                furthest = max(furthest, *(abs(member.used / used - 1) for member in members.values()))
        name = routing.route(PLAY._replace(stream=StreamKey.of("live", f"cam{rng.randrange(20)}")), now).edge.name
        members[name].arrive()
        heappush(leaving, (now + rng.expovariate(1 / stay_s), name))
    assert furthest <= 0.1  # it is a fifth where those who leave hide that others have come


@given(st.lists(st.sampled_from(["join", "leave", "route", "close", "report", "wait"]), max_size=150), st.data())
def test_whoever_has_left_or_is_full_is_never_chosen(events: list[str], data: st.DataObject) -> None:
    members, shown, now, count = dict[str, Member](), dict[str, Load](), 0.0, 0
    routing = Routing(lambda record: shown[record.node.name], random.Random(data.draw(st.integers(0, 99))))
    for event in events:
        name = data.draw(st.sampled_from(sorted(members))) if members else ""
        match event:
            case "join":
                count += 1
                members[f"e{count}"] = Member(edge(f"e{count}", data.draw(st.integers(1, 4))))
                shown[f"e{count}"] = members[f"e{count}"].load
            case "leave" if name:
                del members[name]
            case "close" if name and members[name].sessions:
                members[name].sessions -= 1
            case "report" if name:
                shown[name] = members[name].load
            case "wait":
                now += data.draw(st.floats(0, 1))
            case "route":
                routed(routing, members, now)
        routing.replace([member.record for member in members.values()])


def routed(routing: Routing, members: dict[str, Member], now: float) -> None:
    """Somebody asks, and comes at once."""
    try:
        found = routing.route(PLAY, now)
    except (Unavailable, NotListenedFor):
        return
    member = members[found.edge.name]
    assert not found.usage.is_full
    assert found.usage.share < 1
    member.arrive()


def test_a_new_incarnation_is_another_edge() -> None:
    cluster = Cluster(edge("a", 1))
    cluster.route()
    again = replace(cluster.records["a"], address=NodeAddress(NodeId("a", b"87654321"), ""))
    cluster.routing.replace([again])
    assert cluster.route().edge.record is again
