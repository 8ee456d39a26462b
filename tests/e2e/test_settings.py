"""Settings of running nodes: by the file on SIGHUP, and by the API for the whole cluster."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from support.cluster import Cluster, Node, Standalone
from support.process import wait_until
from support.webhook_sink import WebhookSink

StartCluster = Callable[..., Cluster]

LIMIT_S = 30.0
PATH = "/v1/settings"


def ask(node: Node, method: str, body: object = None, token: str = "") -> tuple[int, dict[str, Any]]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(f"{node.api_url}{PATH}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def value(answer: dict[str, Any], key: str) -> object:
    return next(setting["value"] for setting in answer["settings"] if setting["key"] == key)


def says(node: Node, text: str) -> None:
    wait_until(f"{node.name} says {text!r}", lambda: text in node.output(), LIMIT_S)


def test_a_file_that_has_changed_is_taken_on_sighup_whole_or_not_at_all(tmp_path: Path, stack: ExitStack) -> None:
    file = tmp_path / "lalmesh.yaml"
    file.write_text("edge: {play: {linger_s: 3}}")
    node = stack.enter_context(Standalone(tmp_path, arguments=("--config", str(file))))
    file.write_text("edge: {play: {linger_s: 4}}")
    os.kill(node.pid, signal.SIGHUP)
    says(node, "setting changed by the file: edge.play.linger_s: 3.0 -> 4.0")
    file.write_text("edge: {play: {linger_s: 5}, rtmp: {chunk_size_bytes: 4096}}")
    os.kill(node.pid, signal.SIGHUP)
    says(node, "settings of the file are refused, none was taken: edge.rtmp.chunk_size_bytes: cannot change while the node runs")
    file.write_text("edge: {play: {linger: 5}}")
    os.kill(node.pid, signal.SIGHUP)
    says(node, "unknown key, did you mean edge.play.linger_s?")
    assert "-> 5.0" not in node.output()
    assert node.is_ready()


def test_a_token_is_replaced_without_a_restart(tmp_path: Path, stack: ExitStack) -> None:
    token = tmp_path / "token"
    token.write_text("the-first-token-of-all")
    node = stack.enter_context(Standalone(tmp_path, {"scheduler.http.token_file": str(token)}))
    assert ask(node, "DELETE", token="the-first-token-of-all")[0] == 200
    token.write_text("the-second-token-of-all")
    os.kill(node.pid, signal.SIGHUP)
    says(node, "setting changed by the file: scheduler.http.token: ")
    assert ask(node, "DELETE", token="the-first-token-of-all")[0] == 401
    assert ask(node, "DELETE", token="the-second-token-of-all")[0] == 200
    assert "token-of-all" not in node.output()


def test_settings_of_the_api_reach_every_node_also_one_that_joins_later(start_cluster: StartCluster) -> None:
    cluster = start_cluster(schedulers=2, origins=1, edges=1)
    first, second = cluster.schedulers
    status, answer = ask(first, "PATCH", {"values": {"edge.play.linger_s": 7.5, "origin.grace_s": 9.0}})
    assert (status, value(answer, "edge.play.linger_s")) == (200, 7.5)
    assert {"key": "origin.grace_s", "before": 30.0, "now": 9.0} in answer["changed"]
    for node in (*cluster.edges, *cluster.origins, *cluster.schedulers):
        says(node, "setting changed by the api: origin.grace_s: 30.0 -> 9.0")
    late = cluster.add("edge").wait_ready()
    says(late, "setting changed by the api: edge.play.linger_s: 3.0 -> 7.5")
    assert value(ask(second, "GET")[1], "edge.play.linger_s") == 7.5
    assert ask(second, "PATCH", {"values": {"edge.play.linger_s": None}, "revision": answer["revision"]})[0] == 200
    says(late, "setting changed by the api: edge.play.linger_s: 7.5 -> 3.0")
    assert ask(first, "PATCH", {"values": {"edge.play.linger_s": 1.0}, "revision": answer["revision"]})[0] == 409
    assert ask(first, "DELETE")[0] == 200
    says(late, "setting changed by the api: origin.grace_s: 9.0 -> 30.0")


def status_of(url: str, origin: str = "") -> tuple[int, str]:
    """Status and who may read the answer."""
    request = urllib.request.Request(url, headers={"Origin": origin} if origin else {})
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return answer.status, answer.headers.get("Access-Control-Allow-Origin", "")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get("Access-Control-Allow-Origin", "")


def test_a_setting_holds_for_the_next_who_comes(tmp_path: Path, stack: ExitStack) -> None:
    page = "https://player.example"
    node = stack.enter_context(Standalone(tmp_path, {"edge.play.wait_publisher_s": 60}))
    values = {"edge.play.wait_publisher_s": 0.5, "edge.http.cors_origins": [page], "hls.recording.rules": ["live/* flv"]}
    assert ask(node, "PATCH", {"values": values})[0] == 200
    says(node, "setting changed by the api: edge.http.cors_origins")
    begun = time.monotonic()
    assert status_of(node.flv_url("live/nobody"), page) == (404, page)
    assert time.monotonic() - begun < LIMIT_S
    with urllib.request.urlopen(f"{node.api_url}/v1/recordings", timeout=LIMIT_S) as answer:
        assert [rule["pattern"] for rule in json.load(answer)["items"]] == ["live/*"]
    assert ask(node, "PATCH", {"values": {"edge.limits.connections": 1}})[0] == 200
    says(node, "setting changed by the api: edge.limits.connections")
    with socket.create_connection(("127.0.0.1", node.ports["http"])):
        assert status_of(node.flv_url("live/nobody"))[0] == 503


def test_the_scheduler_takes_pages_readers_and_zones_as_they_are_set(tmp_path: Path, stack: ExitStack) -> None:
    page, token = "https://console.example", "a-token-of-an-administrator"
    secret = tmp_path / "token"
    secret.write_text(token)
    node = stack.enter_context(Standalone(tmp_path, {"scheduler.http.token_file": str(secret)}))
    route = f"{node.api_url}/v1/route/play?stream=live/cam&protocol=http-flv"
    assert status_of(f"{node.api_url}/v1/nodes", page) == (200, "")
    values = {
        "scheduler.http.cors_origins": [page],
        "scheduler.http.read_without_token": False,
        "scheduler.routing.zones": ["here 127.0.0.0/8"],
    }
    assert ask(node, "PATCH", {"values": values}, token)[0] == 200
    assert status_of(f"{node.api_url}/v1/nodes", page) == (401, page)
    with urllib.request.urlopen(route, timeout=LIMIT_S) as answer:
        assert "no edge of zone here has room" in json.load(answer)["reason"]
    assert ask(node, "DELETE", token=token)[0] == 200
    assert status_of(f"{node.api_url}/v1/nodes", page) == (200, "")


def test_receivers_of_events_are_replaced_without_a_restart(tmp_path: Path, stack: ExitStack) -> None:
    sink = stack.enter_context(WebhookSink())
    file = tmp_path / "lalmesh.yaml"
    file.write_text(f"notify: {{receivers: ['own {sink.url}/before']}}")
    node = stack.enter_context(Standalone(tmp_path, arguments=("--config", str(file))))
    sink.until(lambda hooks: any(hook.event_name == "server_start" for hook in hooks), LIMIT_S, "/before")
    receivers = ", ".join(
        f"'{name} {sink.url}/{path} events=server_start+update'" for name, path in (("own", "after"), ("new", "new"))
    )
    file.write_text(f"notify: {{receivers: [{receivers}], update_interval_s: 0.5}}")
    os.kill(node.pid, signal.SIGHUP)
    for path in ("/after", "/new"):
        sink.until(lambda hooks: any(hook.event_name == "update" for hook in hooks), LIMIT_S, path)
    assert not [hook for hook in sink.taken("/after") if hook.event_name == "server_start"]  # it had that
    before = tmp_path / "before"
    before.write_text("a key that was the one before")
    file.write_text(f"cluster: {{previous_key_file: '{before}'}}")
    os.kill(node.pid, signal.SIGHUP)
    says(node, "settings of the file are refused, none was taken: cluster.previous_key: cannot change while the node runs")
    assert "the one before" not in node.output()


def test_what_events_are_kept_and_called_by_changes_without_a_restart(tmp_path: Path, stack: ExitStack) -> None:
    sink = stack.enter_context(WebhookSink())
    file = tmp_path / "lalmesh.yaml"
    notify = f"receivers: ['own {sink.url}/own events=update', 'bad http://127.0.0.1:1/ events=update give_up_s=1']"
    file.write_text(f"notify: {{{notify}, update_interval_s: 0.3}}")
    node = stack.enter_context(Standalone(tmp_path, arguments=("--config", str(file))))
    sink.until(lambda hooks: any(hook.body["server_id"] == "1" for hook in hooks), LIMIT_S, "/own")
    assert ask(node, "PATCH", {"values": {"notify.server_id": "by the api", "notify.shard_events_num": 2000}})[0] == 200
    sink.until(lambda hooks: hooks[-1].body["server_id"] == "by the api", LIMIT_S, "/own")
    assert shown(node, "/api/stat/lal_info")["data"]["server_id"] == "by the api"
    assert ask(node, "DELETE")[0] == 200
    file.write_text(f"notify: {{{notify}, update_interval_s: 0.3, server_id: by the file, dead_letters_num: 1}}")
    os.kill(node.pid, signal.SIGHUP)
    says(node, "setting changed by the file: notify.dead_letters_num: 10000 -> 1")
    sink.until(lambda hooks: hooks[-1].body["server_id"] == "by the file", LIMIT_S, "/own")
    assert shown(node, "/api/stat/lal_info")["data"]["server_id"] == "by the file"

    def dead() -> tuple[int, int]:
        webhooks = shown(node, "/v1/webhooks")
        return next(each["dead"] for each in webhooks["receivers"] if each["name"] == "bad"), webhooks["dead_letters"]

    wait_until("more dead letters than are kept", lambda: dead()[0] >= 3 and dead()[1] == 1, LIMIT_S)


def shown(node: Node, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{node.api_url}{path}", timeout=LIMIT_S) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def test_what_cannot_be_set_is_refused_by_its_name(start_cluster: StartCluster) -> None:
    scheduler = start_cluster(origins=1, edges=1).schedulers[0]
    for values, detail in (
        ({"edge.rtmp.port": 1}, "cannot change while nodes run"),
        ({"edge.play.linger": 1}, "unknown key, did you mean edge.play.linger_s?"),
        ({"edge.play.gop_num": "2"}, '"2" is not allowed'),
        ({"edge.play.gop_num": True}, "true is not allowed"),
        ({"hls.part_ms": 5000}, "part_ms must be at most half of segment_ms"),
    ):
        status, problem = ask(scheduler, "PATCH", {"values": values})
        assert status == 422, problem
        assert detail in problem["errors"][0]["detail"]
        assert problem["errors"][0]["field"].startswith("values.")
    assert ask(scheduler, "GET")[1]["revision"] == 0
