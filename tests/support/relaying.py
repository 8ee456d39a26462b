"""Relays as tests ask for them: clusters that fetch from each other, what their APIs say, and what comes."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from support.cluster import Node, Standalone
from support.ffmpeg import Player
from support.frames import assert_same_from_join, of_file, read
from support.process import wait_until

StartStandalone = Callable[..., Standalone]

LIMIT_S = 30.0
ROWS = 120  #: packets of a player that are compared: more than two seconds


def asked(node: Node, path: str, body: dict[str, Any] | None = None, *, method: str = "") -> dict[str, Any]:
    """What the API answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{node.api_url}{path}", data, {"Content-Type": "application/json"}, method=method or None)
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        found: dict[str, Any] = json.loads(answer.read() or b"{}")
        return found


def relays(node: Node) -> list[dict[str, Any]]:
    """All relays."""
    items: list[dict[str, Any]] = asked(node, "/v1/relays")["items"]
    return items


def state(node: Node) -> list[str]:
    """How far they are."""
    return [relay["state"] for relay in relays(node)]


def check_frames(file: Path, url: str, folder: Path, name: str, stack: ExitStack) -> None:
    """Play `url` for a while: what comes is what `file` has."""
    player = stack.enter_context(Player(url, folder / f"{name}.rows", log=folder / f"{name}.log"))
    wait_until(f"packets of {name}", lambda: player.row_count() >= ROWS, LIMIT_S, child=player)
    player.stop()
    assert_same_from_join(of_file(file, loops=10), read(player.rows))


def other(start: StartStandalone, name: str, settings: dict[str, object] | None = None) -> Standalone:
    """A cluster of its own: relays know clusters apart by their names and keys."""
    return start({"cluster.name": name, **(settings or {})}, name=name)
