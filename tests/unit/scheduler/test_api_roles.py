"""What each operation of the API needs: as it was decided here, not as the operations themselves have it."""

from __future__ import annotations

import re
from dataclasses import replace
from http import HTTPStatus

import pytest
from pydantic import BaseModel
from support.api_web import Web

from lalmesh.runtime.api_tokens import ApiRole, ApiToken, hash_token
from services.scheduler import SchedulerApp
from services.scheduler.api import Answer, Asked, Operation
from services.scheduler.registry import MemoryRegistry

#: what lets others in or shows who may, and what everything runs by, is for admins; what ends or begins something, or shows what
#: was sent to receivers, for operators; what is nobody's but the clients', or the balancers' in front of them, for anybody
NEEDED = {
    ApiRole.ANYBODY: """
        GET /healthz
        GET /readyz
        GET /metrics
        GET /v1/whoami
        GET /v1/route/play
        GET /v1/route/publish
        GET /play/{app}/{name}
        GET /lal.html
        GET /api/
        GET /api/{rest}
    """,
    ApiRole.VIEWER: """
        GET /v1/streams
        GET /v1/streams/{app}/{name}
        GET /v1/streams/{app}/{name}/path
        GET /v1/streams/{app}/{name}/history
        GET /v1/nodes
        GET /v1/nodes/{name}
        GET /v1/recordings
        GET /v1/recordings/{id}
        GET /v1/relays
        GET /v1/relays/{id}
        GET /v1/relays/rules
        GET /v1/relays/rules/{id}
        GET /v1/settings
        GET /v1/sessions
        GET /v1/sessions/{id}
        GET /v1/blacklist
        GET /v1/events
        GET /v1/webhooks
        GET /api/stat/group
        GET /api/stat/all_group
        GET /api/stat/lal_info
    """,
    ApiRole.OPERATOR: """
        POST /v1/nodes/{name}/drain
        POST /v1/recordings
        DELETE /v1/recordings/{id}
        POST /v1/relays
        DELETE /v1/relays/{id}
        POST /v1/relays/rules
        DELETE /v1/relays/rules/{id}
        POST /v1/sessions/kick
        DELETE /v1/sessions/{id}
        PUT /v1/blacklist/{network}
        DELETE /v1/blacklist/{network}
        GET /v1/webhooks/dead-letters
        POST /v1/webhooks/dead-letters/{letter_id}/retry
        DELETE /v1/webhooks/dead-letters/{letter_id}
        POST /api/ctrl/start_relay_pull
        POST /api/ctrl/stop_relay_pull
        POST /api/ctrl/kick_session
        POST /api/ctrl/add_ip_blacklist
        POST /api/ctrl/start_rtp_pub
        POST /api/ctrl/stop_rtp_pub
        POST /api/ctrl/start_record
        POST /api/ctrl/stop_record
    """,
    ApiRole.ADMIN: """
        PATCH /v1/settings
        DELETE /v1/settings
        GET /v1/tokens
    """,
}
ROLE = {line.strip(): role for role, lines in NEEDED.items() for line in lines.strip().splitlines()}
TOKENS = tuple(
    ApiToken(name=role.name.lower(), role=role, hash=hash_token(role.name)) for role in ApiRole if role is not ApiRole.ANYBODY
)


async def let_in(_: Asked) -> Answer:
    return Answer(status=HTTPStatus.NO_CONTENT)


async def operations() -> list[Operation]:
    """Those of a scheduler, which do nothing and look at nothing but who asks."""
    real = SchedulerApp(MemoryRegistry(lambda: 0.0), [b"key"]).operations
    answers: dict[HTTPStatus, type[BaseModel] | None] = {HTTPStatus.NO_CONTENT: None}
    idle = [replace(one, handler=let_in, answers=answers, refusal=None) for one in real]
    return [replace(one, parts=None, query=None, body=None) for one in idle]


def name_of(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


async def status(asked: Web, operation: Operation, method: str, bearer: str) -> int:
    path = re.sub(r"\{(\w+)\}", "x", operation.path)
    answer = await asked.ask(method, path, Authorization=f"Bearer {bearer}") if bearer else await asked.ask(method, path)
    return answer.status


async def test_each_operation_is_in_the_table() -> None:
    assert {name_of(one) for one in await operations()} == ROLE.keys()


@pytest.mark.parametrize("open_reads", [True, False])
async def test_each_operation_is_for_those_of_its_role_alone(open_reads: bool) -> None:
    rows = await operations()
    asked = Web(*rows, tokens=TOKENS, open_reads=open_reads)
    for row in rows:
        needed = ROLE[name_of(row)]
        for role in ApiRole:
            bearer = "" if role is ApiRole.ANYBODY else role.name
            is_open = role >= needed or (open_reads and needed is ApiRole.VIEWER)
            expected = 204 if is_open else 403 if bearer else 401
            assert await status(asked, row, row.method, bearer) == expected, (name_of(row), role)
            if row.method == "GET":
                head = await status(asked, row, "HEAD", bearer)
                assert head in (200, 204) if is_open else head == expected, (name_of(row), role)


async def test_a_method_that_lals_api_takes_too_needs_no_less() -> None:
    rows = [row for row in await operations() if row.any_method]
    asked = Web(*rows, tokens=TOKENS)
    assert rows
    for row in rows:
        expected = 401 if ROLE[name_of(row)] >= ApiRole.OPERATOR else 204
        for method in ("GET", "PUT", "DELETE"):
            assert await status(asked, row, method, "") == expected, (method, name_of(row))


async def test_without_tokens_changes_are_refused_to_other_machines_and_taken_from_this_one() -> None:
    rows = await operations()
    elsewhere, here = Web(*rows), Web(*rows, remote="127.0.0.1")
    for row in rows:
        expected = 403 if ROLE[name_of(row)] >= ApiRole.OPERATOR else 204
        assert await status(elsewhere, row, row.method, "") == expected, name_of(row)
        assert await status(here, row, row.method, "") == 204, name_of(row)


async def test_a_token_that_is_over_is_none() -> None:
    rows = await operations()
    over = ApiToken(name="over", role=ApiRole.ADMIN, hash=hash_token("OVER"), expires_s=1)
    asked = Web(*rows, tokens=(over,))
    for row in rows:
        expected = 401 if ROLE[name_of(row)] >= ApiRole.OPERATOR else 204
        assert await status(asked, row, row.method, "OVER") == expected, name_of(row)
