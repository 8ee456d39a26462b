"""The HTTP API of schedulers as an operator uses it: sessions, kicks, the blacklist, settings."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from support.cluster import Node
from support.process import wait_until

Sessions = list[dict[str, Any]]

ANSWER_S = 30.0


class AwayError(Exception):
    """The session directory does not answer now."""


def live(api_url: str) -> set[str]:
    """The streams that have units."""
    with urllib.request.urlopen(f"{api_url}/v1/streams?items_per_page=100", timeout=ANSWER_S) as answer:
        return {item["stream"] for item in json.load(answer)["items"] if item["units"]}


def call(method: str, url: str, body: object = None) -> tuple[int, Any]:
    """Status and JSON of an answer; None where it has none."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"} if data else {})
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            text, status = answer.read(), answer.status
    except urllib.error.HTTPError as error:
        text, status = error.read(), error.code
    return status, json.loads(text) if text[:1] in (b"{", b"[") else None


def sessions(api_url: str, **wanted: str) -> Sessions:
    """Those that are wanted, page by page."""
    found: Sessions = []
    cursor = ""
    while True:
        status, page = call("GET", f"{api_url}/v1/sessions?{urlencode({**wanted, 'cursor': cursor, 'limit': '3'})}")
        if status == 503:
            raise AwayError(page)
        assert status == 200, page
        found += page["items"]
        cursor = page["cursor"]
        if not cursor:
            return found


def sessions_until(
    api_url: str, true: Callable[[list[dict[str, Any]]], bool], limit_s: float, **wanted: str
) -> list[dict[str, Any]]:
    """The sessions that are wanted, once that is true of them."""
    end, found = time.monotonic() + limit_s, None
    while found is None or not true(found):
        assert time.monotonic() < end, found
        time.sleep(0.1)
        with contextlib.suppress(AwayError):
            found = sessions(api_url, **wanted)
    return found


def kick(api_url: str, session_id: str, reason: str) -> None:
    """End a session."""
    status, answer = call("DELETE", f"{api_url}/v1/sessions/{quote(session_id, safe='')}?{urlencode({'reason': reason})}")
    assert (status, answer and answer["ids"]) == (202, [session_id]), answer


def block(api_url: str, network: str, lasts_s: int = 0) -> None:
    """Put a network on the blacklist."""
    status, answer = call("PUT", f"{api_url}/v1/blacklist/{quote(network, safe='')}", {"lasts_s": lasts_s, "reason": "a test"})
    assert status == 200, answer


def let_in(api_url: str, network: str) -> None:
    """Take it off."""
    status, answer = call("DELETE", f"{api_url}/v1/blacklist/{quote(network, safe='')}")
    assert status == 204, answer


def change_setting(node: Node, key: str, value: object) -> None:
    """Have a running standalone server go by another value, None: by its own again; returns once it does."""
    said = f"setting changed by the api: {key}: "
    before = node.output().count(said)
    status, answer = call("PATCH", f"{node.api_url}/v1/settings", {"values": {key: value}})
    assert status == 200, answer
    wait_until(f"{key} to change", lambda: node.output().count(said) > before, ANSWER_S)
