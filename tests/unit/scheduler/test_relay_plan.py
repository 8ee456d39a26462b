"""What is relayed, by which edge, and until when."""

from __future__ import annotations

import pytest
from support.rulings import CAM, NODES, address, directory, group, held, node

from lalmesh.names import ANY_APP, StreamKey
from lalmesh.runtime.ownership import NodeAddress
from lalmesh.runtime.registry import Changed, KeyValue, Removed
from lalmesh.runtime.relay_rules import RelayRule, parse_relay_rule
from lalmesh.runtime.scheduling.control import MAX_VIA, RelayState
from lalmesh.runtime.scheduling.model import NOT_ASKED, AskedUrl, Endpoint, HeldStream, NodeReport, Role, Wanted
from services.scheduler import records
from services.scheduler.cluster_records import scheduler_key, serialize_scheduler
from services.scheduler.directory import Directory
from services.scheduler.relay_demand import HOLD_S, VIA_HOLD_S, RelayDemand
from services.scheduler.relay_places import RelayLoopError
from services.scheduler.relay_plan import (
    LEAST_UNWANTED_S,
    OWN_RIVAL_S,
    RIVAL_S,
    ROLL_OUT_S,
    VIA_KEPT_S,
    RelayPlan,
    RelayWrite,
    Unfollowed,
)
from services.scheduler.relay_records import (
    CONFIGURED,
    RelayRecord,
    RelayRuleRecord,
    RelayStateRecord,
    parse_relay,
    parse_relay_rule_record,
    parse_wanted,
    rule_key,
    serialize_relay,
    serialize_relay_rule,
    serialize_state,
    serialize_wanted,
    state_key,
    wanted_key,
)

PULL = parse_relay_rule("live/* rtmp://a/{app}/{name} rtmp://b/{app}/{name}?{query} stop_after_s=5", is_push=False)
PUSH = parse_relay_rule("live/* rtmp://c/{app}/{name} rtsp://d/{name}", is_push=True)
ALWAYS = parse_relay_rule("live/cam rtsp://e/x start=always", is_push=False)


class World:
    """A directory with rules, and a plan by it."""

    def __init__(self, *rules: RelayRule, entries: tuple[KeyValue, ...] = (), nodes: tuple[KeyValue, ...] = NODES) -> None:
        self.directory: Directory = directory(*entries, nodes=nodes)
        self.directory.relaying.configure([(f"rule{number}", rule) for number, rule in enumerate(rules)])
        self.plan = RelayPlan(self.directory, new_id=lambda: "id")
        self.revision = 100

    def put(self, key: str, value: bytes, now: float = 0.0) -> None:
        self.revision += 1
        self.directory.handle(Changed(KeyValue(key, value, self.revision, self.revision)), now)

    def remove(self, key: str, now: float = 0.0) -> None:
        self.revision += 1
        self.directory.handle(Removed(key, self.revision), now)

    def carry_out(self, *writes: RelayWrite) -> None:
        for write in writes:
            if write.now is None:
                self.remove(write.record.key)
            else:
                self.put(write.record.key, serialize_relay(write.now))

    def fetch(self, *via: str, query: str = "", app: str = "") -> RelayRecord:
        write = self.plan.on_demand(CAM, via, AskedUrl(app, query), 7)
        assert write is not None
        self.carry_out(write)
        found = self.directory.relaying.pull(CAM)
        assert found is not None
        return found

    def look(self, now: float = 0.0) -> list[RelayWrite]:
        found = list(self.plan.look(self.directory.streams(), now, 7))
        assert not [each for each in found if isinstance(each, Unfollowed)]
        return [each for each in found if isinstance(each, RelayWrite)]

    def want(self, *via: str, replica: str = "s1") -> None:
        self.put(wanted_key(replica, CAM), serialize_wanted(via))


def test_what_somebody_wants_is_fetched_by_one_edge_from_the_sources_of_its_rule() -> None:
    record = World(PULL).fetch(query="token=1")
    assert record.urls == ("rtmp://a/live/cam", "rtmp://b/live/cam?token=1")
    assert record.edge in (address("e1"), address("e2"))
    assert (record.rule, record.stop_after_s) == ("rule0", 5)


def test_what_is_published_or_fetched_or_matches_nothing_is_not() -> None:
    assert World(PULL, entries=(held(), group())).plan.on_demand(CAM, (), NOT_ASKED, 7) is None
    assert World(PUSH, ALWAYS).plan.on_demand(CAM, (), NOT_ASKED, 7) is None
    world = World(PULL)
    world.fetch()
    assert world.plan.on_demand(CAM, (), NOT_ASKED, 7) is None


def test_it_ends_when_nobody_has_wanted_it_for_as_long_as_its_rule_says() -> None:
    world = World(PULL)
    world.fetch()
    world.want()
    assert world.look(0.0) == []
    world.remove(wanted_key("s1", CAM))
    assert world.look(10.0) == []
    assert world.look(14.9) == []
    [write] = world.look(15.0)
    assert write.now is None


def test_somebody_at_another_replica_keeps_it() -> None:
    world = World(PULL)
    world.fetch()
    world.want(replica="s2")
    assert world.look(0.0) == world.look(100.0) == []


def test_at_once_is_not_before_a_player_can_have_shown() -> None:
    world = World(parse_relay_rule("* rtmp://a/{app}/{name} stop_after_s=0", is_push=False))
    world.fetch()
    assert world.look(0.0) == world.look(LEAST_UNWANTED_S - 0.1) == []
    assert [write.now for write in world.look(LEAST_UNWANTED_S)] == [None]


def test_it_ends_with_its_rule() -> None:
    world = World(PULL)
    world.fetch()
    world.want()
    world.directory.relaying.configure([])
    assert [write.now for write in world.look()] == [None]


def with_replicas(world: World, *names: str) -> World:
    for name in names:
        world.put(scheduler_key(name, b"1"), serialize_scheduler(name, ""))
    return world


def test_while_files_of_replicas_differ_it_goes_on_and_ends_when_they_have_agreed() -> None:
    world = with_replicas(World(), "s1", "s2")
    world.directory.relaying.configure([(CONFIGURED + "1", PULL)])
    world.fetch()
    world.want()
    world.directory.relaying.configure([])
    assert world.look(0.0) == world.look(ROLL_OUT_S - 1) == []
    world.directory.relaying.configure([(CONFIGURED + "1", PULL)])
    assert world.look(ROLL_OUT_S) == []
    world.directory.relaying.configure([])
    assert world.look(ROLL_OUT_S + 1) == world.look(2 * ROLL_OUT_S) == []
    assert [write.now for write in world.look(2 * ROLL_OUT_S + 1)] == [None]


def test_a_replica_that_is_alone_needs_to_agree_with_nobody() -> None:
    world = with_replicas(World(), "s1")
    world.directory.relaying.configure([(CONFIGURED + "1", PULL)])
    world.fetch()
    world.want()
    world.directory.relaying.configure([])
    assert [write.now for write in world.look()] == [None]


def test_it_moves_when_its_edge_has_gone_and_stays_otherwise() -> None:
    world = World(PULL)
    record = world.fetch()
    world.want()
    assert world.look() == []
    assert record.edge is not None
    world.remove(records.node_key(record.edge.node.name))
    [write] = world.look()
    assert write.now is not None
    assert {record.edge, write.now.edge} == {address("e1"), address("e2")}
    assert write.now.id == record.id


def test_it_leaves_an_edge_that_drains_while_there_is_another() -> None:
    world = World(PULL)
    record = world.fetch()
    world.want()
    assert record.edge is not None
    name = record.edge.node.name
    world.put(records.node_key(name), node(name, Role.EDGE, 0, draining=True).value)
    [write] = world.look()
    assert write.now is not None
    world.carry_out(write)
    assert write.now.edge not in (record.edge, None)
    other = write.now.edge.node.name if write.now.edge else ""
    world.put(records.node_key(other), node(other, Role.EDGE, 0, draining=True).value)
    assert world.look() == []


def test_without_an_edge_it_waits_for_one() -> None:
    world = World(PULL, nodes=NODES[2:])
    assert world.fetch().edge is None
    world.want()
    assert world.look() == []
    world.put(records.node_key("e9"), node("e9", Role.EDGE, 0).value)
    [write] = world.look()
    assert write.now is not None
    assert write.now.edge == address("e9")


def test_it_ends_where_somebody_else_goes_on_publishing_it() -> None:
    world = World(PULL, nodes=NODES[1:])
    assert world.fetch().edge == address("e2")
    world.want()
    world.put(records.claim_key(CAM), held("e1").value)
    assert world.look(0.0) == world.look(RIVAL_S - 0.1) == []
    assert [write.now for write in world.look(RIVAL_S)] == [None]


def test_it_stays_while_its_own_edge_publishes_it() -> None:
    world = World(PULL, nodes=NODES[1:])
    world.fetch()
    world.want()
    world.put(records.claim_key(CAM), held("e2").value)
    assert world.look(0.0) == world.look(2 * RIVAL_S) == []


def test_it_ends_where_an_encoder_goes_on_publishing_it_at_its_own_edge() -> None:
    world = World(PULL, nodes=NODES[1:])
    world.fetch()
    world.want()
    world.put(records.claim_key(CAM), held("e2").value)
    for state, expected in ((RelayState.RUNNING, []), (RelayState.CONNECTING, []), (RelayState.PAUSED, [None])):
        world.put(state_key("id"), serialize_state(RelayStateRecord(id="id", state=state)))
        assert world.look(0.0) == world.look(OWN_RIVAL_S - 1) == []
        assert [write.now for write in world.look(OWN_RIVAL_S)] == expected


def test_where_no_edge_has_room_the_edges_are_looked_at_once_for_all_relays(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(PULL, nodes=NODES[2:])
    for number in range(50):
        write = world.plan.on_demand(StreamKey.of("live", f"s{number}"), (), NOT_ASKED, 7)
        assert write is not None
        world.carry_out(write)
    looked = 0
    nodes = world.directory.nodes

    def counted() -> object:
        nonlocal looked
        looked += 1
        return nodes()

    monkeypatch.setattr(world.directory, "nodes", counted)
    assert world.look() == []
    assert looked == 1


def test_what_is_always_fetched_needs_nobody_who_wants_it() -> None:
    world = World(ALWAYS)
    [write] = world.look()
    world.carry_out(write)
    assert world.look(0.0) == world.look(1000.0) == []


def test_what_is_published_is_sent_to_each_target_until_it_is_over() -> None:
    world = World(PUSH, entries=(held(), group()))
    writes = world.look()
    assert sorted(write.record.urls for write in writes) == [("rtmp://c/live/cam",), ("rtsp://d/cam",)]
    world.carry_out(*writes)
    assert world.look() == []
    world.remove(records.claim_key(CAM))
    assert world.look() == []  # its publisher may come back
    world.remove(records.group_key(CAM))
    assert [write.now for write in world.look()] == [None, None]


def test_one_that_was_asked_for_waits_for_its_stream_and_outlives_it() -> None:
    world = World()
    record = RelayRecord(id="", is_push=True, stream=CAM, urls=("rtmp://c/x/y",))
    write = world.plan.made(record, None)
    assert write.now is not None
    assert write.now.edge is None
    world.carry_out(write)
    world.put(records.claim_key(CAM), held().value)
    [begun] = world.look()
    assert begun.now is not None
    assert begun.now.edge is not None
    world.carry_out(begun)
    world.remove(records.claim_key(CAM))
    [over] = world.look()
    assert over.now is not None
    assert over.now.edge is None


def test_what_no_edge_has_had_says_what_it_waits_for() -> None:
    world = World(PULL, nodes=NODES[2:])
    assert world.fetch().waits_for == "an edge with room"
    write = world.plan.made(RelayRecord(id="", is_push=True, stream=CAM, urls=("rtmp://c/x/y",)), None)
    world.carry_out(write)
    world.want()
    assert write.record.waits_for == "a publisher"
    world.put(records.claim_key(CAM), held().value)
    [waiting] = world.look()
    world.carry_out(waiting)
    assert (waiting.record.waits_for, waiting.reason, world.look()) == ("an edge with room", "no edge has room", [])


def test_what_an_edge_has_had_waits_for_nothing_more_though_no_edge_is_left() -> None:
    world = World(PULL, nodes=NODES[1:])
    assert world.fetch().waits_for == ""
    world.want()
    world.remove(records.node_key("e2"))
    [write] = world.look()
    assert write.now is not None
    assert (write.now.edge, write.now.waits_for, write.reason) == (None, "", "no edge is left")


def test_clusters_that_it_is_wanted_for_are_told_to_the_source() -> None:
    world = World(PULL)
    assert world.fetch("a").via == ("a",)
    world.want("b")
    world.want("c", replica="s2")
    [write] = world.look()
    assert write.now is not None
    assert write.now.via == ("a", "b", "c")
    world.carry_out(write)
    assert world.look() == []


def test_a_cluster_that_wants_it_no_more_is_named_a_while_longer_and_not_for_ever() -> None:
    world = World(ALWAYS)
    world.carry_out(*world.look())
    world.want("a", "c")
    world.want("b", replica="s2")
    world.carry_out(*world.look(1.0))
    world.want("a")
    assert world.look(2.0) == []
    assert world.look(1.9 + VIA_KEPT_S) == []
    [write] = world.look(2.0 + VIA_KEPT_S)
    assert write.now is not None
    assert write.now.via == ("a", "b")
    world.carry_out(write)
    for replica in ("s1", "s2"):
        world.remove(wanted_key(replica, CAM))
    world.carry_out(*world.look(100.0), *world.look(100.0 + VIA_KEPT_S))
    found = world.directory.relaying.pull(CAM)
    assert found is not None
    assert (found.via, world.look(200.0)) == ((), [])
    assert world.plan._unnamed_since == {}


def test_a_cluster_that_wants_it_again_is_named_from_then_on() -> None:
    world = World(ALWAYS)
    world.carry_out(*world.look())
    world.want("c")
    world.carry_out(*world.look(1.0))
    world.want()
    assert world.look(2.0) == []
    world.want("c")
    assert world.look(1.0 + VIA_KEPT_S) == []
    world.want()
    assert world.look(2.0 + VIA_KEPT_S) == []
    assert world.look(1.0 + 2 * VIA_KEPT_S) == []
    [write] = world.look(2.0 + 2 * VIA_KEPT_S)
    assert write.now is not None
    assert write.now.via == ()


def test_what_was_named_before_makes_room_for_what_wants_it_now() -> None:
    world = World(ALWAYS)
    world.carry_out(*world.look())
    made_up = [f"x{number}" for number in range(MAX_VIA)]
    world.want(*made_up)
    world.carry_out(*world.look(1.0))
    world.want("real")
    [write] = world.look(2.0)
    assert write.now is not None
    assert write.now.via == (*made_up[:-1], "real")
    world.carry_out(write)
    assert world.look(2.0) == []


def with_endpoint(name: str, host: str, port: int) -> KeyValue:
    report = NodeReport(node=address(name), role=Role.EDGE, endpoints=(Endpoint("rtmp", host, port),))
    return KeyValue(records.node_key(name), records.serialize_node(records.NodeRecord.of(report)), 8, 8)


def test_a_source_that_is_this_cluster_is_left_out() -> None:
    world = World(PULL, nodes=(*NODES, with_endpoint("e3", "A", 1935)))
    assert world.fetch().urls == ("rtmp://b/live/cam",)


def test_a_rule_that_cannot_be_followed_is_told_of_with_its_stream() -> None:
    world = World(ALWAYS, nodes=(*NODES, with_endpoint("e3", "e", 554)))
    [found] = world.plan.look((), 0.0, 7)
    assert isinstance(found, Unfollowed)
    assert (found.stream, type(found.error)) == (CAM, RelayLoopError)


def test_where_all_are_it_is_refused_without_a_secret() -> None:
    world = World(nodes=(*NODES, with_endpoint("e3", "a", 1935)))
    with pytest.raises(RelayLoopError) as refused:
        world.plan.made(RelayRecord(id="", is_push=False, stream=CAM, urls=("rtmp://u:p@a/x/y?k=secret",)), None)
    assert str(refused.value) == "a relay from this cluster to itself: rtmp://a/x/y"


def test_records_are_what_was_written() -> None:
    record = RelayRecord(
        id="1",
        is_push=True,
        stream=StreamKey.of("a/b", "c d"),
        urls=("rtmp://h/x/y",),
        via=("a",),
        edge=NodeAddress(*address("e1")),
        waits_for="an edge",
    )
    assert parse_relay(KeyValue(record.key, serialize_relay(record), 1, 0)) == record
    rule = RelayRuleRecord(id="r", rule=PULL, stream="live/cam", created_us=5)
    assert parse_relay_rule_record(KeyValue(rule_key("r"), serialize_relay_rule(rule), 1, 0)) == rule
    wanted = parse_wanted(KeyValue(wanted_key("s/1", CAM), serialize_wanted(("a",)), 1, 1))
    assert (wanted.replica, wanted.stream, wanted.via) == ("s/1", CAM, ("a",))


# who wants what


def played(players: int = 1, *via: str) -> HeldStream:
    return HeldStream(stream=CAM, players=players, relayed_to=via)


def test_who_waits_and_who_watches_wants_it_and_for_a_moment_longer() -> None:
    world = World(PULL)
    demand = RelayDemand(world.directory)
    assert demand.note(Wanted(CAM, via=("a",), asked=AskedUrl(query="q=1")), 0.0)
    assert demand.asked(CAM) == AskedUrl(query="q=1")
    assert demand.look((), (), 1.0) == {CAM: ("a",)}
    assert demand.look((), (), HOLD_S) == {}
    assert demand.look([CAM], (), 10.0) == {CAM: ()}
    assert demand.look((), [played(1, "b")], 11.0) == {CAM: ("b",)}
    assert demand.look((), [played(0)], 11.0 + HOLD_S) == {}


def test_a_cluster_counts_as_long_as_it_says_so_and_not_as_long_as_anybody_watches() -> None:
    demand = RelayDemand(World(PULL).directory)
    assert demand.note(Wanted(CAM, via=("a",)), 0.0)
    assert demand.look((), [played(1, "b")], 1.0) == {CAM: ("a", "b")}
    assert demand.look([CAM], [played(1, "b")], 10.0) == {CAM: ("a", "b")}
    assert demand.note(Wanted(CAM, via=("a",)), 10.0)
    assert demand.look([CAM], (), 10.0 + VIA_HOLD_S - 0.1) == {CAM: ("a", "b")}
    assert demand.look([CAM], (), 10.0 + VIA_HOLD_S) == {CAM: ()}
    assert demand._via == {}


def test_of_many_clusters_the_first_count_until_they_leave() -> None:
    demand = RelayDemand(World(PULL).directory)
    made_up = tuple(f"x{number}" for number in range(MAX_VIA))
    assert demand.look((), [played(1, *made_up), played(1, "real")], 0.0) == {CAM: made_up}
    assert demand.look((), [played(1, "real")], VIA_HOLD_S) == {CAM: ("real",)}


def test_nobody_wants_what_no_rule_is_for_or_what_is_published() -> None:
    assert not RelayDemand(World(PUSH).directory).note(Wanted(CAM), 0.0)
    published = World(PULL, entries=(held(), group()))
    assert RelayDemand(published.directory).look([CAM], [played()], 0.0) == {}


def test_who_watches_what_is_fetched_wants_it_though_it_is_published() -> None:
    world = World(PULL)
    world.fetch()
    world.put(records.claim_key(CAM), held().value)
    assert RelayDemand(world.directory).look((), [played()], 0.0) == {CAM: ()}


def test_the_control_plane_of_a_node_is_no_source_either() -> None:
    record = RelayRecord(id="", is_push=False, stream=CAM, urls=("http://e1:1/x",))
    with pytest.raises(RelayLoopError):
        World().plan.made(record, None)


# the URL of who asked, and of who publishes

LAL = parse_relay_rule("* rtmp://c/{app}/{name}?{query}", is_push=True)


def test_the_application_of_who_asks_is_that_of_the_source_where_applications_mean_nothing() -> None:
    world, stream = World(parse_relay_rule("* rtmp://a/{app}/{name}?{query}", is_push=False)), StreamKey(ANY_APP, "cam")
    write = world.plan.on_demand(stream, (), AskedUrl("studio", "token=1"), 7)
    assert write is not None
    assert write.record.urls == ("rtmp://a/studio/cam?token=1",)


def test_a_push_goes_to_the_url_of_the_publisher() -> None:
    world = World(LAL, entries=(held(asked=AskedUrl(query="lal_secret=abc")), group()))
    [write] = world.look()
    assert write.record.urls == ("rtmp://c/live/cam?lal_secret=abc",)
    world.carry_out(write)
    assert world.look() == world.look(1.0) == []
    world.remove(records.claim_key(CAM))
    assert [write.reason for write in world.look()] == []  # in its time of grace


def test_a_push_goes_elsewhere_at_once_where_the_publisher_comes_back_by_another_url() -> None:
    world = World(LAL, entries=(held(asked=AskedUrl(query="a=1")), group()))
    for name in ("s1", "s2"):  # the rule may yet come back with the other, so it would be waited for
        world.put(scheduler_key(name, b"1"), serialize_scheduler(name, ""))
    world.carry_out(*world.look())
    world.put(records.claim_key(CAM), held(publication=b"q" * 16, asked=AskedUrl(query="a=2")).value)
    begun, ended = world.look()
    assert begun.now is not None
    assert ended.before is not None
    assert (begun.now.urls, ended.before.urls, ended.now) == (("rtmp://c/live/cam?a=2",), ("rtmp://c/live/cam?a=1",), None)


def test_a_push_that_names_no_query_goes_on_whoever_publishes() -> None:
    world = World(PUSH, entries=(held(asked=AskedUrl(query="a=1")), group()))
    world.carry_out(*world.look())
    world.put(records.claim_key(CAM), held(publication=b"q" * 16).value)
    assert world.look() == []


def test_what_a_publisher_says_is_written_down_where_a_push_wants_it_and_read_back() -> None:
    said = AskedUrl("studio", "token=1")
    assert World(PULL, PUSH).directory.relaying.noted(CAM, said) == AskedUrl("studio")
    assert World(LAL).directory.relaying.noted(CAM, said) == said
    assert records.parse_claim(held(asked=said)).asked == said
    world = World(LAL, entries=(held(asked=said), group()))
    [write] = world.look()
    assert write.now is not None
    assert parse_relay(KeyValue(write.now.key, serialize_relay(write.now), 1, 1)).asked == said


def test_one_that_never_ends_does_not_though_nobody_has_wanted_it_for_a_week() -> None:
    world = World(parse_relay_rule("live/* rtmp://a/{app}/{name} stop_after_s=-1", is_push=False))
    world.fetch()
    assert world.look(0.0) == world.look(7 * 86_400.0) == []
