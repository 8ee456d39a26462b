"""The HTTP API held to its own OpenAPI document, by schemathesis, in a live cluster: etcd, Redis, and every role.

It makes up requests from the document, right and wrong ones, and follows what it is answered from one to the next. Nothing may be
answered that the document does not have, and no failure of the server but 503 with Retry-After, which is looked for while Redis is
away, and while etcd is. A rule that spans two fields, or what a name may be, is in no JSON schema, so it is right that requests are
refused which the document alone would allow.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.cluster import Cluster
from support.event_stream import EventSchema, Heard, listening
from support.ffmpeg import Publisher
from support.held_clients import HeldClient, holding
from support.media import media
from support.process import wait_until
from support.redis import RedisServer
from support.webhook_sink import WebhookSink

from lalmesh.runtime.api_tokens import hash_token
from services.scheduler.api.events import MAX_OF_ADDRESS

ADMIN = "an admin of the API in tests"
VIEWER = "a viewer of the API in tests"
CONFIG = Path(__file__).with_name("schemathesis.toml")
#: of hypothesis, with its tables of characters: where there are none each process makes them, each of its threads for itself
TABLES = Path(__file__).parents[2] / ".hypothesis"
REQUESTS = 25  #: made up for each operation and phase
LIMIT_S = 300.0  #: of all
FEW = 1  #: of each operation, where what is asked for is away
AWAY_S = 40.0  #: for those
FAILED = re.compile(r"\b[A-Z]+ /\S* failed")  #: what a scheduler logs of a request that ended in a bug
LINE = 400  #: characters of a line that is shown
#: all others are on, but for what the file has off: whatever is named here would be on again
UNKNOWN_TO_SCHEMAS = ("positive_data_acceptance",)
#: while something is away, or for who may not, not much else is answered: it is the answers that are looked at
OF_ANSWERS = ("status_code_conformance", "content_type_conformance", "response_headers_conformance", "response_schema_conformance")
CONFORMANCE = [status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance]

_Case = tuple[str, str, dict[str, Any], int]


@pytest.fixture(scope="module")
def sink() -> Iterator[WebhookSink]:
    """It takes no event at first."""
    with WebhookSink() as made:
        made.fails = "/"
        yield made


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as made:
        yield made


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer, sink: WebhookSink) -> Iterator[Cluster]:
    """One with a stream that is published, played and segmented."""
    folder = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        scheduler = {
            "scheduler.redis.host": "127.0.0.1",
            "scheduler.redis.port": redis.port,
            "scheduler.http.tokens": [f"admin admin {hash_token(ADMIN)}", f"viewer viewer {hash_token(VIEWER)}"],
            "scheduler.http.limits.token_failures_per_minute": 0,  # wrong tokens are made up too, each to be told so
            "notify.receivers": [f"own {sink.url}/own events=node_up give_up_s=1"],
        }
        made = stack.enter_context(Cluster(folder, schedulers=1, origins=2, edges=1, hls=1, settings={"scheduler": scheduler}))
        url = made.edges[0].rtmp_url("live/cam")
        stack.enter_context(Publisher(media("h264_aac"), url, log=folder / "publisher.log", loops=-1, limit_s=3 * LIMIT_S))
        yield made


def get(cluster: Cluster, path: str) -> Any:
    request = urllib.request.Request(f"{cluster.api_url}{path}", headers={"Authorization": f"Bearer {ADMIN}"})
    with urllib.request.urlopen(request, timeout=AWAY_S) as answer:
        return json.load(answer)


def listed(cluster: Cluster, path: str, count: int) -> list[Any]:
    """The items of a list, once there are so many."""
    wait_until(path, lambda: len(get(cluster, path)["items"]) >= count, AWAY_S)
    items: list[Any] = get(cluster, path)["items"]
    return items


def run(cluster: Cluster, folder: Path, token: str, examples: int, **options: str) -> subprocess.CompletedProcess[str]:
    """Let schemathesis ask."""
    program = str(Path(sys.executable).parent / "schemathesis")
    command = [program, "--config-file", str(CONFIG), "--no-color", "run", str(document_of(cluster, folder))]
    given = {
        "--url": cluster.api_url,
        "--header": f"Authorization: Bearer {token}",
        "--max-examples": str(examples),
        "--request-timeout": f"{AWAY_S}",
        "--seed": "1",
        "--report-dir": str(folder),
        "--generation-database": "none",  # what failed once is not looked for in what others keep there
    }
    given |= {f"--{name.replace('_', '-')}": value for name, value in options.items()}
    command += [word for option in given.items() for word in option] + ["--continue-on-failure"]
    env = {**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(TABLES)}
    return subprocess.run(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S)


def document_of(cluster: Cluster, folder: Path) -> Path:
    """The document, which cannot be asked for where too little is there."""
    path = folder / "openapi.json"
    path.write_text(json.dumps(get(cluster, "/openapi.json")))
    return path


def told_by(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join(line[:LINE] for line in f"{done.stdout}\n{done.stderr}".splitlines())  # the longest requests fill pages


def check_no_bug(cluster: Cluster) -> None:
    """lal's API answers these with status 200."""
    failed = [line[:LINE] for node in cluster.nodes for line in node.output().splitlines() if FAILED.search(line)]
    assert failed == []


def answers(cluster: Cluster, folder: Path, token: str) -> set[int]:
    """The statuses that a short run has, each as the document says, and each 503 with Retry-After."""
    few = {"phases": "fuzzing", "mode": "positive", "workers": "8", "report": "har", "report_har_path": str(folder / "all.har")}
    done = run(cluster, folder, token, FEW, checks=",".join(OF_ANSWERS), **few)
    assert done.returncode == 0, told_by(done)
    check_no_bug(cluster)
    found = [entry["response"] for entry in json.loads((folder / "all.har").read_text())["log"]["entries"]]
    busy = [answer for answer in found if answer["status"] == 503]
    assert all("retry-after" in {header["name"].lower() for header in answer["headers"]} for answer in busy)
    statuses = {answer["status"] for answer in found}
    assert not {status for status in statuses if status >= 500} - {503}
    return statuses


def test_the_document_is_a_valid_one(cluster: Cluster) -> None:
    document = get(cluster, "/openapi.json")
    OpenAPIV31SpecValidator(document).validate()
    assert {"/v1/streams", "/v1/nodes", "/v1/recordings"} <= document["paths"].keys()


async def test_what_is_there_is_shown_and_ended_as_the_document_has_it(cluster: Cluster, sink: WebhookSink, tmp_path: Path) -> None:
    """Which nobody can make up."""
    async with holding([HeldClient(cluster.edges[0], "http-flv", "play", "live/cam")]):
        found = await asyncio.to_thread(listed, cluster, "/v1/sessions?stream=live/cam", 2)
        player = next(each["id"] for each in found if each["role"] == "player")
        await asyncio.to_thread(check_cases, cluster, tmp_path, [
            ("GET", "/v1/sessions/{id}", {"id": player}, 200),
            ("DELETE", "/v1/sessions/{id}", {"id": player}, 202),
        ])  # fmt: skip
    letters = await asyncio.to_thread(listed, cluster, "/v1/webhooks/dead-letters", 2)
    sink.fails = ""
    one, other = ({"letter_id": letter["id"]} for letter in letters[:2])
    await asyncio.to_thread(check_cases, cluster, tmp_path, [
        ("GET", "/v1/webhooks/dead-letters", {}, 200),
        ("POST", "/v1/webhooks/dead-letters/{letter_id}/retry", one, 204),
        ("DELETE", "/v1/webhooks/dead-letters/{letter_id}", other, 204),
        ("DELETE", "/v1/webhooks/dead-letters/{letter_id}", other, 404),
    ])  # fmt: skip


async def test_events_are_as_the_document_has_them_and_go_on_behind_the_last_that_was_heard(cluster: Cluster) -> None:
    schema = EventSchema(await asyncio.to_thread(get, cluster, "/openapi.json"))
    heard: list[Heard] = []
    async with listening(cluster.api_url, "after=0-0", Authorization=f"Bearer {VIEWER}") as events:
        async with holding([HeldClient(cluster.edges[0], "http-flv", "play", "live/cam")]):
            await until(events, heard, "first_viewer")
        await until(events, heard, "last_viewer")
    for each in heard:
        schema.check(each)
    own = {"server_start", "node_up", "rtmp_connect", "pub_start", "sub_start", "sub_stop"}
    assert own <= {each["event"] for each in heard}
    last = len(heard) // 2
    again: list[Heard] = []
    query = f"after={heard[0]['id']}"  # which the header beats
    async with listening(cluster.api_url, query, Authorization=f"Bearer {VIEWER}", Last_Event_ID=heard[last]["id"]) as events:
        await until(events, again, "last_viewer", at=heard[-1]["id"])
    assert again == heard[last + 1 :]


async def until(events: AsyncIterator[Heard], heard: list[Heard], kind: str, *, at: str = "") -> None:
    """Listen until an event of a kind comes, or the one at a position."""
    async for event in events:
        heard.append(event)
        if event["event"] == kind and at in ("", event["id"]):
            return


async def test_who_may_not_listen_is_refused_as_the_document_has_it(cluster: Cluster, tmp_path: Path) -> None:
    operation = schemathesis.openapi.from_path(await asyncio.to_thread(document_of, cluster, tmp_path))["/v1/events"]["GET"]

    def refused(status: int, *, last: str = "1-1", **query: Any) -> Any:
        headers = {"Authorization": f"Bearer {VIEWER}", "Last-Event-ID": last}
        answer = operation.Case(query=query).call(base_url=cluster.api_url, headers=headers, timeout=AWAY_S)
        assert answer.status_code == status, answer.text
        operation.Case(query=query).validate_response(answer, checks=CONFORMANCE)
        return answer.json()

    wrong: list[dict[str, Any]] = [
        {"last": "behind all"}, {"after": "1"}, {"kind": ["pub_start", "none"]}, {"stream": "a//b"}, {"other": "1"}
    ]  # fmt: skip
    for each in wrong:
        problem = await asyncio.to_thread(refused, 400, **each)
        assert problem["errors"][0]["field"].partition(".")[0] in {*each, *(["Last-Event-ID"] if "last" in each else [])}
    async with AsyncExitStack() as stack:
        for _ in range(MAX_OF_ADDRESS):
            await stack.enter_async_context(listening(cluster.api_url, Authorization=f"Bearer {VIEWER}"))
        await asyncio.to_thread(refused, 503)


def check_cases(cluster: Cluster, folder: Path, cases: Sequence[_Case]) -> None:
    """Each is answered so, and as the document has it."""
    schema = schemathesis.openapi.from_path(document_of(cluster, folder))
    for method, path, parts, status in cases:
        case = schema[path][method].Case(path_parameters=parts)
        answer = case.call(base_url=cluster.api_url, headers={"Authorization": f"Bearer {ADMIN}"}, timeout=AWAY_S)
        assert answer.status_code == status, (method, path, answer.text)
        case.validate_response(answer, checks=CONFORMANCE)


@pytest.mark.timeout(LIMIT_S + 20)
def test_nothing_is_answered_that_the_document_does_not_have(cluster: Cluster, tmp_path: Path) -> None:
    done = run(cluster, tmp_path, ADMIN, REQUESTS, exclude_checks=",".join(UNKNOWN_TO_SCHEMAS))
    assert done.returncode == 0, told_by(done)
    check_no_bug(cluster)
    assert all(node.running for node in cluster.nodes if node.name != "origin-2"), cluster.output()


def test_who_may_look_alone_is_refused_as_the_document_has_it(cluster: Cluster, tmp_path: Path) -> None:
    assert {200, 403} <= answers(cluster, tmp_path, VIEWER)


def test_without_redis_nothing_else_fails_but_what_says_when_to_come_back(
    cluster: Cluster, redis: RedisServer, tmp_path: Path
) -> None:
    redis.kill()
    try:
        assert {200, 503} <= answers(cluster, tmp_path, ADMIN)
    finally:
        redis.start()


def test_without_etcd_likewise(cluster: Cluster, tmp_path: Path) -> None:
    cluster.etcd.kill()
    assert {200, 503} <= answers(cluster, tmp_path, ADMIN)
