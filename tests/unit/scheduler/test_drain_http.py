"""One node by name over HTTP, and a replica of the scheduler that is told to end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from support.reporting import Node, settle
from support.turned_clock import Clock, FlakyRegistry

from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.scheduling import Drain, Role
from services.scheduler import SchedulerService
from services.scheduler.api import ApiRole, ApiSettings, ApiToken, hash_token, problems
from services.scheduler.api.nodes import operations
from services.scheduler.peers import Peers

ORIGIN = NodeAddress(NodeId("o1", b"12345678"), "o1:1")


class Api:
    """The part of the API under test, without a socket."""

    def __init__(self, service: SchedulerService) -> None:
        token = ApiToken(name="ops", role=ApiRole.OPERATOR, hash=hash_token("secret"))
        self._app = ApiSettings(tokens=(token,)).build(operations(service, Peers(service))).app()
        self.service = service

    async def ask(self, method: str, path: str) -> tuple[int, Any]:
        request = make_mocked_request(method, path, headers={"Host": "localhost", "Authorization": "Bearer secret"})
        request._match_info = found = await self._app.router.resolve(request)
        answer = await problems(request, found.handler)
        assert isinstance(answer, web.Response)
        return answer.status, json.loads(answer.text or "")


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    service = SchedulerService(FlakyRegistry(Clock()), [b"key"], name="s1", wall_clock=lambda: 7)
    await service.start()
    await settle()
    yield Api(service)
    await service.stop()


async def test_a_node_is_shown_by_name_and_is_told_to_drain(api: Api) -> None:
    node = Node(api.service, ORIGIN, Role.ORIGIN)
    await node.report()
    status, shown = await api.ask("GET", "/v1/nodes/o1")
    assert (status, shown["name"], shown["role"], shown["state"]) == (200, "o1", "origin", "joined")
    assert (await api.ask("POST", "/v1/nodes/o1/drain"))[0] == 202
    await settle()
    assert await node.told() == [Drain(0.0)]
    assert (await api.ask("GET", "/v1/nodes/o1"))[1]["state"] == "draining"


async def test_workers_are_shown_by_the_name_of_their_node_and_drain_together(api: Api) -> None:
    nodes = [Node(api.service, NodeAddress(NodeId(f"e-{n}", b"12345678"), ""), Role.EDGE, worker_of="e") for n in (1, 2)]
    for node in nodes:
        await node.report()
    status, shown = await api.ask("GET", "/v1/nodes/e")
    assert (status, shown["name"], shown["role"], shown["state"]) == (200, "e", "edge", "joined")
    assert [(node["name"], node["worker_of"], node["state"]) for node in shown["workers"]] == [
        ("e-1", "e", "joined"),
        ("e-2", "e", "joined"),
    ]
    assert (await api.ask("GET", "/v1/nodes/e-2"))[1] == shown["workers"][1]
    listed = (await api.ask("GET", "/v1/nodes?worker_of=e"))[1]["items"]
    assert [node["name"] for node in listed] == ["e-1", "e-2"]
    assert (await api.ask("GET", "/v1/nodes?worker_of="))[1]["items"] == []
    assert (await api.ask("POST", "/v1/nodes/e-1/drain"))[1]["state"] == "draining"
    assert (await api.ask("GET", "/v1/nodes/e"))[1]["state"] == "joined"
    assert (await api.ask("POST", "/v1/nodes/e/drain"))[0] == 202
    await settle()
    assert [await node.told() for node in nodes] == [[Drain(0.0), Drain(0.0, all_workers=True)], [Drain(0.0, all_workers=True)]]
    assert (await api.ask("GET", "/v1/nodes/e"))[1]["state"] == "draining"


async def test_a_replica_is_shown_by_name_and_is_told_to_end(api: Api) -> None:
    told = list[float]()
    api.service.replicas.drain_asked = told.append
    status, shown = await api.ask("GET", "/v1/nodes/s1")
    assert (status, shown["role"], shown["state"], shown["is_here"]) == (200, "scheduler", "joined", True)
    assert await api.ask("POST", "/v1/nodes/s1/drain") == (202, shown | {"state": "draining"})
    assert told == [0.0]


async def test_a_node_comes_before_a_replica_of_the_same_name(api: Api) -> None:
    told = list[float]()
    api.service.replicas.drain_asked = told.append
    await Node(api.service, NodeAddress(NodeId("s1", b"12345678"), "s1:1"), Role.EDGE).report()
    assert (await api.ask("POST", "/v1/nodes/s1/drain"))[1]["role"] == "edge"
    await settle()
    assert told == []


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/nodes/stranger"), ("POST", "/v1/nodes/stranger/drain")])
async def test_what_nobody_knows_is_not_there(api: Api, method: str, path: str) -> None:
    status, problem = await api.ask(method, path)
    assert (status, problem["detail"]) == (404, "no node 'stranger'")


async def test_before_the_registry_was_read_nobody_is_taken_for_gone() -> None:
    api = Api(SchedulerService(FlakyRegistry(Clock()), [b"key"], name="s1"))
    assert (await api.ask("GET", "/v1/nodes/o1"))[0] == 503
