"""The console's policies, and its interfaces held to the API's document."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from lalmesh.runtime.event_kinds import EventKind
from services.scheduler import SchedulerApp
from services.scheduler.console import INDEX, MAX_NAMED, POLICY, built, player_policy
from services.scheduler.registry import MemoryRegistry

SOURCES = Path(__file__).parents[3] / "console" / "src"
INTERFACE = re.compile(r"export interface (\w+Model) \{\n(.*?)\n\}", re.DOTALL)
FIELD = re.compile(r"^  (\w+)\??: (.+);$", re.MULTILINE)
#: what the document calls the types that an interface may name
TYPES = {"string": "string", "number": "number integer", "boolean": "boolean", "null": "null"}


def test_the_console_asks_its_scheduler_alone() -> None:
    assert "connect-src 'self';" in POLICY
    assert "default-src 'none'" in POLICY
    assert "unsafe" not in POLICY
    assert "http" not in POLICY


def test_the_player_asks_edges_alone() -> None:
    policy = player_policy([("http", "edge.example", 8080), ("rtmp", "edge.example", 1935), ("https", "2001:db8::1", 443)])
    assert (
        "connect-src http://edge.example:8080 ws://edge.example:8080 https://[2001:db8::1]:443 wss://[2001:db8::1]:443;" in policy
    )
    assert "'self'" not in policy.partition("connect-src")[2].partition(";")[0]
    assert "1935" not in policy


def test_without_edges_the_player_asks_nobody() -> None:
    assert "connect-src 'none';" in player_policy([])


def test_an_address_cannot_say_something_else_in_a_policy() -> None:
    assert "evil" not in player_policy([("http", "a; script-src evil", 80), ("http", "a evil", 80)])


def test_of_very_many_edges_the_policy_names_the_schemes_only() -> None:
    policy = player_policy([("http", f"edge-{n}", 8080) for n in range(MAX_NAMED)])
    assert "connect-src http: https: ws: wss:;" in policy
    assert len(policy) < 1000


def test_a_folder_without_a_page_is_no_console(tmp_path: Path) -> None:
    assert built([tmp_path]) == {}
    (tmp_path / "assets").mkdir()
    for name in (INDEX, f"{INDEX}.gz", "assets/a.js", ".lock"):
        (tmp_path / name).touch()
    assert set(built([tmp_path])) == {INDEX, "assets/a.js"}


def test_the_console_listens_to_all_that_happens_but_what_comes_by_the_thousand() -> None:
    listed = (SOURCES / "events.ts").read_text(encoding="utf-8").partition("KINDS = [")[2].partition("];")[0]
    left_out = {EventKind.UPDATE, EventKind.HLS_MAKE_TS}
    assert set(re.findall(r'"(\w+)"', listed)) == {kind.value for kind in EventKind if kind not in left_out}


async def test_interfaces_are_as_the_document_has_the_models() -> None:
    app = SchedulerApp(MemoryRegistry(asyncio.get_running_loop().time), [b"key"])
    models = app.document()["components"]["schemas"]
    interfaces = dict(INTERFACE.findall((SOURCES / "api.ts").read_text(encoding="utf-8")))
    assert len(interfaces) > 10
    for name, body in interfaces.items():
        fields = FIELD.findall(body)
        assert len(fields) == body.count("\n") + 1, name
        for field, written in fields:
            assert field in models[name]["properties"], f"{name}.{field}"
            said = _types(models[name]["properties"][field], models)
            found = set().union(*(_of_word(word) for word in written.split(" | ")))
            assert said <= found, f"{name}.{field} is {written}, and {said} in the document"


def _of_word(word: str) -> set[str]:
    return {"array"} if word.endswith("[]") else set(TYPES.get(word, "object").split())


def _types(schema: dict[str, Any], models: dict[str, Any]) -> set[str]:
    if "$ref" in schema:
        return _types(models[schema["$ref"].rpartition("/")[2]], models)
    if "anyOf" in schema:
        return set().union(*(_types(each, models) for each in schema["anyOf"]))
    return {schema["type"]}
