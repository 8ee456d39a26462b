"""Kicks and the blacklist through one of two replicas, which nodes of both hear of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from support.members import Member, eventually

from lalmesh.names import StreamKey
from lalmesh.runtime.scheduling import Role
from lalmesh.runtime.scheduling.control import Blacklist, KickSessions
from lalmesh.runtime.sessions import SessionRole, SessionsUnavailable, SessionTouch
from services.scheduler import SchedulerApp
from services.scheduler.registry import MemoryRegistry
from services.scheduler.sessions import MemorySessions

CAM = StreamKey.of("live", "cam")


class Away(MemorySessions):
    """A directory that does not answer."""

    async def find(self, session_id: str) -> Any:
        raise SessionsUnavailable("away", retry_after_s=1)


class Two:
    """Two replicas, who share registry and sessions, with an edge at each and an hls node at the second."""

    def __init__(self, stack: AsyncExitStack, sessions: MemorySessions) -> None:
        self.stack = stack
        self.sessions = sessions
        self.registry = MemoryRegistry(asyncio.get_running_loop().time)
        self.apps: list[SchedulerApp] = []

    async def start(self) -> Two:
        for _ in range(2):
            app = SchedulerApp(self.registry, [b"key"], http_port=0, sessions=self.sessions)
            await app.start()
            self.stack.push_async_callback(app.stop)
            await app.service.ready()
            self.apps.append(app)
        self.client = await self.stack.enter_async_context(aiohttp.ClientSession())
        self.near = await self.join(0, "e1", Role.EDGE)
        self.far = await self.join(1, "e2", Role.EDGE)
        self.hls = await self.join(1, "h1", Role.HLS)
        await eventually(lambda: all(app.service.members.named(name) for app, name in zip(self.apps, ("e1", "e2"), strict=True)))
        return self

    async def join(self, at: int, name: str, role: Role) -> Member:
        return await self.stack.enter_async_context(Member(name, role, self.apps[at].service))

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.apps[0].http_port}/v1{path}"
        async with self.client.request(method, url, json=body) as answer:
            text = await answer.text()
            return answer.status, await answer.json(content_type=None) if text else None

    async def seen(self, node: str, *ids: str, protocol: str = "rtmp", peer: str = "192.0.2.1:5") -> None:
        touches = [SessionTouch(id=each, stream=CAM, protocol=protocol, role=SessionRole.PLAYER, peer=peer) for each in ids]
        await self.sessions.touch(node, touches)


def kicks(member: Member) -> list[tuple[tuple[str, ...], str]]:
    return [(each.session_ids, each.reason) for each in member.commands if isinstance(each, KickSessions)]


def lists(member: Member) -> list[list[str]]:
    return [[entry.network for entry in each.entries] for each in member.commands if isinstance(each, Blacklist)]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def two(stack: AsyncExitStack) -> Two:
    return await Two(stack, MemorySessions()).start()


async def test_a_node_that_joined_another_replica_is_told_and_no_other_node(two: Two) -> None:
    await two.seen("e2", "a", "b")
    status, answer = await two.ask("DELETE", "/sessions/a?reason=enough")
    assert (status, answer["ids"], answer["is_known"]) == (202, ["a"], True)
    await eventually(lambda: kicks(two.far) == [(("a",), "enough")])
    assert kicks(two.near) == kicks(two.hls) == []
    assert (await two.ask("DELETE", "/sessions/none"))[0] == 404


async def test_of_a_player_of_hls_all_are_told_whom_it_may_ask(two: Two) -> None:
    await two.seen("h9", "a", protocol="hls")
    assert (await two.ask("DELETE", "/sessions/a"))[0] == 202
    await eventually(lambda: all(kicks(member) == [(("a",), "kicked")] for member in (two.near, two.far, two.hls)))


async def test_a_node_that_joins_while_a_kick_stands_is_told(two: Two) -> None:
    await two.seen("late", "a")
    assert (await two.ask("DELETE", "/sessions/a"))[0] == 202
    late = await two.join(1, "late", Role.EDGE)
    await eventually(lambda: kicks(late) == [(("a",), "kicked")])


async def test_many_are_ended_by_what_they_have_in_common_within_a_bound(two: Two) -> None:
    await two.seen("e1", "a", "b")
    await two.seen("e2", "c", peer="192.0.2.2:5")
    status, answer = await two.ask("POST", "/sessions/kick", {"address": "192.0.2.1", "reason": "all"})
    assert (status, answer["ids"], answer["more"]) == (202, ["a", "b"], False)
    await eventually(lambda: kicks(two.near) == [(("a", "b"), "all")])
    status, answer = await two.ask("POST", "/sessions/kick", {"stream": "live/cam", "limit": 2})
    assert (status, len(answer["ids"]), answer["more"]) == (202, 2, True)
    assert (await two.ask("POST", "/sessions/kick", {"stream": "no stream"}))[0] == 400
    assert (await two.ask("POST", "/sessions/kick", {}))[0] == 400


async def test_where_the_directory_is_away_every_node_is_told_of_the_id(stack: AsyncExitStack) -> None:
    two = await Two(stack, Away()).start()
    status, answer = await two.ask("DELETE", "/sessions/a")
    assert (status, answer["is_known"]) == (202, False)
    await eventually(lambda: all(kicks(member) == [(("a",), "kicked")] for member in (two.near, two.far, two.hls)))


async def test_every_node_that_lets_clients_in_is_told_of_the_whole_blacklist(two: Two) -> None:
    members = (two.near, await two.join(0, "h2", Role.HLS))  # what is in memory is one replica's
    await eventually(lambda: all(lists(member)[-1:] == [[]] for member in members))
    status, listed = await two.ask("PUT", "/blacklist/192.0.2.77%2F24", {"lasts_s": 60, "reason": "a flood"})
    assert (status, listed["network"], listed["reason"]) == (200, "192.0.2.0/24", "a flood")
    assert (await two.ask("PUT", "/blacklist/2001:db8::1"))[0] == 200
    networks = ["192.0.2.0/24", "2001:db8::1/128"]
    await eventually(lambda: all(lists(member)[-1] == networks for member in members))
    assert [item["network"] for item in (await two.ask("GET", "/blacklist"))[1]["items"]] == networks
    assert (await two.ask("DELETE", "/blacklist/192.0.2.0%2F24"))[0] == 204
    assert (await two.ask("DELETE", "/blacklist/192.0.2.0%2F24"))[0] == 404
    assert (await two.ask("PUT", "/blacklist/x.example"))[0] == 400
    late = await two.join(0, "late", Role.EDGE)
    await eventually(lambda: lists(late) == [["2001:db8::1/128"]])


async def test_sessions_are_listed_by_pages_and_filters(two: Two) -> None:
    await two.seen("e1", "a", "b", "c")
    await two.seen("e2", "d", protocol="hls", peer="::ffff:192.0.2.9")
    status, page = await two.ask("GET", "/sessions?limit=2&node=e1")
    assert (status, [item["id"] for item in page["items"]]) == (200, ["a", "b"])
    _, rest = await two.ask("GET", f"/sessions?limit=2&node=e1&cursor={page['cursor']}")
    assert ([item["id"] for item in rest["items"]], rest["cursor"]) == (["c"], "")
    _, found = await two.ask("GET", "/sessions?address=192.0.2.9")
    assert [item["id"] for item in found["items"]] == ["d"]
    assert (await two.ask("GET", "/sessions/d"))[1]["protocol"] == "hls"
    assert (await two.ask("GET", "/sessions?role=nobody"))[0] == 400
