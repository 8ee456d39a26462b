"""Lists of the API show what was asked for, and refuse what can match nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlencode

import pytest
from support.api_web import Web

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.recording import parse_rule
from lalmesh.runtime.relay_rules import parse_relay_rule
from lalmesh.runtime.scheduling.control import RelayState, RelayStatus
from lalmesh.runtime.scheduling.model import Role
from lalmesh.runtime.sessions import Session, SessionFilter, SessionTouch
from services.scheduler.api import blacklist, recordings, relays, routing, sessions, streams
from services.scheduler.blacklisting import Listed
from services.scheduler.recording_rules import RuleRecord
from services.scheduler.records import NodeRecord
from services.scheduler.relay_records import RelayRecord, RelayRuleRecord
from services.scheduler.relays import Relays, ShownRelay
from services.scheduler.sessions import MemorySessions

CAM, CINEMA = StreamKey("live", "cam"), StreamKey("vod", "cinema")
EDGE = NodeAddress(NodeId("edge-1", b"12345678"), "edge-1:1")
PULLS = parse_relay_rule("live/* rtmp://source.example/{app}/{name}", is_push=False)
PUSHES = parse_relay_rule("* rtmp://target.example/{app}/{name}", is_push=True)
NONE: Any = None


async def shown(web: Web, path: str, key: str, **wanted: str) -> list[str]:
    status, page = await web.told("GET", f"{path}?{urlencode(wanted)}")
    assert status == 200, page
    return [item[key] for item in page["items"]]


async def refused(web: Web, path: str, **wanted: str) -> tuple[str, str]:
    status, problem = await web.told("GET", f"{path}?{urlencode(wanted)}")
    assert status == 400, problem
    return problem["field"], problem["errors"][0]["detail"]


def nodes() -> list[NodeRecord]:
    """Two workers of an edge, and an edge that is none of them."""
    return [
        NodeRecord(address=NodeAddress(NodeId(name, b"12345678"), f"{name}:1"), role=Role.EDGE, machine="host", worker_of=of)
        for name, of in (("edge-1", "edge"), ("edge-2", "edge"), ("edge-3", ""))
    ]


def of_relays() -> Web:
    records = [
        RelayRecord(id="a", is_push=False, stream=CAM, urls=("rtmp://s/live/cam",), edge=EDGE, rule="config-1"),
        RelayRecord(id="b", is_push=True, stream=CAM, urls=("rtmp://t/live/cam",), edge=EDGE),
        RelayRecord(id="c", is_push=False, stream=CINEMA, urls=("rtmp://s/vod/cinema",)),
    ]
    by_api = RelayRuleRecord(id="d", rule=PUSHES)

    def shown(records: list[RelayRecord]) -> list[ShownRelay]:
        status = RelayStatus(id="a", state=RelayState.RUNNING, url="", session_id="", error="", since_us=0)
        return [ShownRelay(record, status if record.id == "a" else None) for record in records]

    known = SimpleNamespace(
        relays=lambda: records,
        rules=[("config-1", PULLS), ("d", PUSHES)],
        rule_record=lambda rule_id: by_api if rule_id == "d" else None,
    )
    return Web(*relays.operations(cast(Any, SimpleNamespace(known=known, shown=shown)), nodes))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, "abc"),
        ({"stream": "live/cam"}, "ab"),
        ({"kind": "push"}, "b"),
        ({"kind": "pull"}, "ac"),
        ({"state": "running"}, "a"),
        ({"state": "connecting"}, "b"),
        ({"state": "waiting"}, "c"),
        ({"edge": "edge-1"}, "ab"),
        ({"edge": "edge-2"}, ""),
        ({"edge": "edge"}, "ab"),  # which it is a worker of
        ({"rule": "config-1"}, "a"),
        ({"stream": "live/cam", "kind": "pull", "state": "waiting"}, ""),
    ],
)
async def test_relays_are_those_of_which_all_is_true(wanted: dict[str, str], found: str) -> None:
    assert await shown(of_relays(), "/v1/relays", "id", **wanted) == list(found)


async def test_what_edges_reported_is_looked_through_once_however_many_relays_are_listed() -> None:
    looks: list[str] = []

    def statuses() -> dict[str, RelayStatus]:
        looks.append("all")
        return {}

    records = [RelayRecord(id=f"{n}", is_push=False, stream=CAM, urls=("rtmp://s/a/b",), edge=EDGE) for n in range(9)]
    known = SimpleNamespace(relays=lambda: records, state=lambda relay_id: None)
    view, states = SimpleNamespace(directory=SimpleNamespace(relaying=known)), SimpleNamespace(statuses=statuses)
    web = Web(*relays.operations(Relays(NONE, cast(Any, view), cast(Any, SimpleNamespace(states=states))), nodes))
    assert len(await shown(web, "/v1/relays", "id")) == 9
    assert looks == ["all"]
    assert len(await shown(web, "/v1/relays", "id", state="connecting")) == 9
    assert len(looks) == 3


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["config-1", "d"]),
        ({"kind": "pull"}, ["config-1"]),
        ({"source": "api"}, ["d"]),
        ({"source": "config"}, ["config-1"]),
        ({"stream": "live/cam"}, ["config-1", "d"]),
        ({"stream": "vod/cinema"}, ["d"]),
    ],
)
async def test_rules_of_relays_are_those_of_a_kind_a_source_a_stream(wanted: dict[str, str], found: list[str]) -> None:
    assert await shown(of_relays(), "/v1/relays/rules", "id", **wanted) == found


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["config-0", "config-1", "e"]),
        ({"source": "config"}, ["config-0", "config-1"]),
        ({"source": "api"}, ["e"]),
        ({"stream": "vod/cinema"}, ["config-1"]),
        ({"stream": "live/cam", "source": "api"}, ["e"]),
    ],
)
async def test_rules_of_recording_are_those_of_a_source_or_a_stream(wanted: dict[str, str], found: list[str]) -> None:
    configured = [parse_rule("live/* flv"), parse_rule("vod/* mp4")]
    records = [RuleRecord(id="e", rule=parse_rule("live/cam ts"), stream="live/cam")]
    known = SimpleNamespace(configured=configured, records=lambda: records)
    web = Web(*recordings.operations(cast(Any, SimpleNamespace(known=known))))
    assert await shown(web, "/v1/recordings", "id", **wanted) == found


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("192.0.2.7", ["0.0.0.0/0", "192.0.2.0/24", "192.0.2.7/32"]),
        ("::ffff:192.0.2.8", ["0.0.0.0/0", "192.0.2.0/24"]),
        ("2001:db8::1", ["2001:db8::/32"]),
        ("2001:db9::1", []),
    ],
)
async def test_networks_are_those_that_hold_an_address(address: str, found: list[str]) -> None:
    networks = ("0.0.0.0/0", "192.0.2.0/24", "192.0.2.7/32", "2001:db8::/32")
    part = SimpleNamespace(listed=[Listed(network=network) for network in networks])
    web = Web(*blacklist.operations(cast(Any, part)))
    assert await shown(web, "/v1/blacklist", "network", address=address) == found


async def test_sessions_are_of_a_protocol_that_there_is() -> None:
    directory = MemorySessions()
    await directory.touch(
        "edge-1", [SessionTouch(id=each, stream=CAM, protocol=each) for each in ("rtmp", "rtmps", "wss-fmp4", "hls")]
    )
    web = Web(*sessions.operations(directory, NONE, nodes), remote="127.0.0.1")
    for protocol in ("rtmp", "rtmps", "wss-fmp4", "hls"):
        assert await shown(web, "/v1/sessions", "id", protocol=protocol) == [protocol]
    assert await shown(web, "/v1/sessions", "id", protocol="https-hls") == []
    for wrong in ("RTMP", "rtps", "ll-hls", ""):
        field, detail = await refused(web, "/v1/sessions", protocol=wrong)
        assert field == "protocol"
        assert "'rtsps'" in detail
        assert detail.endswith("'https-hls'"), "all that may be said is told, to the end"
    status, problem = await web.told("POST", "/v1/sessions/kick", b'{"protocol":"RTMP"}')
    assert (status, problem["field"]) == (400, "protocol")


async def test_sessions_of_a_node_are_those_of_all_its_workers() -> None:
    directory = MemorySessions()
    for each in ("edge-1", "edge-2", "edge-3", "other"):
        await directory.touch(each, [SessionTouch(id=f"of-{each}", stream=CAM, protocol="rtmp")])
    web = Web(*sessions.operations(directory, NONE, nodes), remote="127.0.0.1")
    assert await shown(web, "/v1/sessions", "id", node="edge") == ["of-edge-1", "of-edge-2"]
    assert await shown(web, "/v1/sessions", "id", node="edge-2") == ["of-edge-2"]
    assert await shown(web, "/v1/sessions", "id", node="other") == ["of-other"], "also of one that has gone"
    assert await shown(web, "/v1/sessions", "id", node="nobody") == []


async def test_a_kick_of_a_node_is_of_all_its_workers() -> None:
    kicked: list[SessionFilter] = []

    async def kick_all(wanted: SessionFilter, reason: str, limit: int) -> tuple[list[Session], bool]:
        kicked.append(wanted)
        return [], False

    web = Web(*sessions.operations(MemorySessions(), cast(Any, SimpleNamespace(kick_all=kick_all)), nodes), remote="127.0.0.1")
    status, _ = await web.told("POST", "/v1/sessions/kick", b'{"node":"edge"}')
    assert (status, kicked) == (202, [SessionFilter(nodes=frozenset({"edge", "edge-1", "edge-2"}))])
    assert (await web.told("POST", "/v1/sessions/kick", b"{}"))[0] == 400, "nobody in particular"


async def test_streams_of_a_node_are_those_of_all_its_workers() -> None:
    at = {CAM: NodeAddress(NodeId("edge-2", b"12345678"), "edge-2:1"), CINEMA: NodeAddress(NodeId("other", b"12345678"), "o:1")}
    directory = SimpleNamespace(
        streams=lambda: sorted(at),
        nodes=nodes,
        claim=lambda stream: SimpleNamespace(edge=at[stream]),
        group=lambda stream: None,
        hls=SimpleNamespace(record=lambda stream: None),
    )
    for name, found in (("edge", [CAM]), ("edge-2", [CAM]), ("edge-1", []), ("other", [CINEMA])):
        is_wanted = streams.wanted(cast(Any, directory), NONE, streams.StreamQuery(node=name))
        assert list(filter(is_wanted, directory.streams())) == found
    assert streams.wanted(cast(Any, directory), NONE, streams.StreamQuery()) is None


@pytest.mark.parametrize("path", ["/v1/relays", "/v1/relays/rules"])
async def test_a_stream_that_cannot_be_is_a_problem(path: str) -> None:
    assert (await refused(of_relays(), path, stream="a//b"))[0] == "stream"
    assert (await refused(of_relays(), path, kind="both"))[0] == "kind"


async def test_who_may_look_but_not_ask_for_others_is_told_what_it_takes() -> None:
    web = Web(*routing.operations(cast(Any, SimpleNamespace(zone_of=str)), lambda: True))  # reads are open
    asked = urlencode({"stream": "live/cam", "protocol": "rtmp", "client": "192.0.2.9"})
    status, problem = await web.told("GET", f"/v1/route/play?{asked}")
    assert (status, problem["field"]) == (403, "client")
    assert "token" in problem["detail"]
