"""What an etcd that loses its data, or goes back to an old snapshot, leaves of what operators have set (docs/settings.md)."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.cluster import Cluster, Node
from support.etcd import CAN_RUN_ETCD, EtcdServer
from support.ports import LOOPBACK
from support.process import wait_until
from support.redis import CAN_RUN_REDIS, RedisServer

pytestmark = pytest.mark.skipif(not (CAN_RUN_ETCD and CAN_RUN_REDIS), reason="no etcd or redis server here")

LINGER, GRACE = "edge.play.linger_s", "origin.grace_s"
TOKEN = "a-token-of-an-administrator"
BLOCKED = "127.0.0.5"
LEASE_S = 3
LIMIT_S = 30.0


class Operated(Cluster):
    """One scheduler and an edge, as an operator sees them."""

    def ask(self, method: str, path: str, body: object = None, token: str = TOKEN) -> tuple[int, dict[str, Any]]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        request = urllib.request.Request(f"{self.api_url}/v1/{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
                text, status = answer.read(), answer.status
        except urllib.error.HTTPError as error:
            with error:
                text, status = error.read(), error.code
        return status, json.loads(text or b"{}")

    def set(self, **values: object) -> None:
        """By the names of the keys with two underscores for a dot."""
        status, answer = self.ask(
            "PATCH", "settings", {"values": {name.replace("__", "."): value for name, value in values.items()}}
        )
        assert status == 200, answer

    def value(self, key: str) -> object:
        return next(each["value"] for each in self.ask("GET", "settings")[1]["settings"] if each["key"] == key)

    def pull(self, app: str) -> None:
        rule = {"kind": "pull", "pattern": f"{app}/*", "urls": ["rtmp://192.0.2.1/{app}/{name}"]}
        status, answer = self.ask("POST", "relays/rules", rule)
        assert status == 201, answer

    def pulled(self) -> list[str]:
        return [rule["pattern"] for rule in self.ask("GET", "relays/rules")[1]["items"]]


@pytest.fixture
def cluster(tmp_path: Path, stack: ExitStack) -> Iterator[Operated]:
    redis = stack.enter_context(RedisServer(tmp_path))
    token = tmp_path / "token"
    token.write_text(TOKEN)
    scheduler: dict[str, object] = {
        "scheduler.redis.host": LOOPBACK,
        "scheduler.redis.port": redis.port,
        "scheduler.http.token_file": str(token),
        "relay.pulls": ["configured/* rtmp://192.0.2.1/{app}/{name}"],
    }
    edge: dict[str, object] = {"edge.play.wait_publisher_s": 0.5}
    settings: dict[str, dict[str, object]] = {"all": {"cluster.lease_s": LEASE_S}, "scheduler": scheduler, "edge": edge}
    with Operated(tmp_path, origins=1, edges=1, settings=settings) as running:
        yield running


def wiped(etcd: EtcdServer, snapshot: Path) -> None:
    etcd.wipe()


def restored(etcd: EtcdServer, snapshot: Path) -> None:
    etcd.wipe()
    etcd.restore(snapshot)


def says(node: Node, text: str) -> None:
    wait_until(f"{node.name} says {text!r}", lambda: text in node.output(), LIMIT_S)


def status(edge: Node, source: str) -> int:
    """What an edge answers to whoever asks from an address for a stream that is not there."""
    with socket.create_connection((LOOPBACK, edge.ports["http"]), LIMIT_S, source_address=(source, 0)) as client:
        client.sendall(b"GET /live/nobody.flv HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n")
        return int(client.recv(1000).split()[1])


@pytest.mark.parametrize(("disaster", "linger_s", "rules"), [(wiped, 3.0, []), (restored, 7.5, ["early/*"])])
def test_what_is_left_of_settings_rules_tokens_and_the_blacklist(
    cluster: Operated, tmp_path: Path, disaster: Callable[[EtcdServer, Path], None], linger_s: float, rules: list[str]
) -> None:
    edge, snapshot = cluster.edges[0], tmp_path / "snapshot"
    cluster.set(edge__play__linger_s=7.5)
    cluster.pull("early")
    cluster.etcd.save(snapshot)
    cluster.set(edge__play__linger_s=8.5)
    cluster.pull("late")
    assert cluster.ask("PUT", f"blacklist/{BLOCKED}", {"lasts_s": 0, "reason": "a test"})[0] == 200
    says(edge, f"setting changed by the api: {LINGER}: 7.5 -> 8.5")
    cluster.etcd.kill()
    disaster(cluster.etcd, snapshot)
    cluster.etcd.start()

    stands = None if disaster is wiped else linger_s
    wait_until("the settings of the registry", lambda: cluster.value(LINGER) == stands, LIMIT_S)
    wait_until("the rules of the registry", lambda: cluster.pulled() == ["configured/*", *rules], LIMIT_S)
    late = cluster.add("edge").wait_ready()  # one that joins now goes by what the registry has
    if stands is not None:
        says(late, f"setting changed by the api: {LINGER}: 3.0 -> {stands}")
    assert "8.5 ->" not in edge.output(), "one that was there keeps what it was told last"

    assert cluster.ask("PATCH", "settings", {"values": {GRACE: 9.0}}, token="another-token-of-somebody")[0] == 401
    cluster.set(origin__grace_s=9.0)  # whoever has the token of the configuration goes on
    says(edge, f"setting changed by the api: {LINGER}: 8.5 -> {linger_s}")
    says(cluster.origins[0], f"setting changed by the api: {GRACE}: 30.0 -> 9.0")
    says(late, f"setting changed by the api: {GRACE}: 30.0 -> 9.0")
    cluster.set(edge__play__linger_s=9.5)
    for node in (edge, late):
        says(node, f"setting changed by the api: {LINGER}: {linger_s} -> 9.5")

    listed = [entry["network"] for entry in cluster.ask("GET", "blacklist")[1]["items"]]
    assert [network.partition("/")[0] for network in listed] == [BLOCKED], "it is in Redis"
    assert [status(edge, BLOCKED), status(late, BLOCKED), status(edge, LOOPBACK)] == [403, 403, 404]
