"""Every alert of the chart is made to fire by its cause, in a cluster that a real Prometheus watches, and is quiet otherwise.

The rules are those that the chart renders, and only the times in them are short. Causes that do not disturb each other go on side
by side.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import npm, wire
from support.certificates import self_signed
from support.cluster import Cluster, Node
from support.etcd import CAN_RUN_ETCD
from support.ffmpeg import Publisher
from support.helm import CHART, NAMESPACE, of_kind, template
from support.http_thread import HttpThread, QuietHandler
from support.operator_api import call
from support.ports import LOOPBACK
from support.process import ProcessError, wait_until
from support.prometheus import CAN_RUN_PROMETHEUS, Alert, Prometheus, pods
from support.redis import CAN_RUN_REDIS, RedisServer
from support.s3 import S3Server
from support.tcp_relay import TcpRelay
from support.webhook_sink import WebhookSink

pytestmark = [
    pytest.mark.skipif(not npm.available(), reason="helm comes by npm, which is not installed here"),
    pytest.mark.skipif(not CAN_RUN_PROMETHEUS, reason="no Prometheus here"),
    pytest.mark.skipif(not (CAN_RUN_ETCD and CAN_RUN_REDIS), reason="no etcd or no Redis here"),
]

Media = Callable[[str], Path]
Labels = Mapping[str, str]

RELEASE = "media-lalmesh"  #: what the chart calls it
STREAM, RECORDED = "live/cam", "tape/fat"
FAR = "127.0.0.2"  #: where origins say that they are: a relay leads from there to where they listen
LIMIT_S = 60.0
SCRAPE_S, EVALUATE_S = 1.0, 0.5
SHORT: dict[str, object] = {"for": "1s", "partlyFor": "1s", "window": "5s"}
#: times that have to be others for a test, by the alert's key
OTHER_TIMES: dict[str, dict[str, object]] = {
    "nodeRestarts": {"window": "15s"},
    "failoverSlow": {"seconds": "1.0"},
    # What a busy machine brings for a moment, too.
    "nodeNotScraped": {"for": "3s"},
    "clockOff": {"for": "3s"},
    "linkDelayHigh": {"for": "3s"},
}
TIMES = {*SHORT, "seconds"}  #: what may differ from what ships
STOPPED_PLAYERS = 12
LATE_S = 7  #: above the seconds of LalmeshSegmentsLate; a segment is one long
CAPACITY = 3  #: sessions of the small edge
MEMORY_S = 5  #: that the windows look back
TRACE = f"00-{1:032x}-{1:016x}-01"  #: that visitors bring


# What is watched


def short_rules(folder: Path) -> Path:
    """The rules of the chart with short times, as a file for Prometheus."""
    shipped = yaml.safe_load((CHART / "values.yaml").read_text())["monitoring"]["prometheusRule"]["alerts"]
    alerts = {}
    for key, values in shipped.items():
        alerts[key] = {name: SHORT.get(name, value) for name, value in values.items()} | OTHER_TIMES.get(key, {})
        assert {name for name, value in alerts[key].items() if value != values[name]} <= TIMES
    values = folder / "values.yaml"
    rule = {"enabled": True, "alerts": alerts, "runbookUrl": "https://example.org/runbooks/"}
    values.write_text(yaml.safe_dump({"monitoring": {"prometheusRule": rule}}))
    [rendered] = of_kind(template(values), "PrometheusRule")
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump(rendered["spec"]))
    return file


@dataclass(frozen=True)
class Firing:
    """An alert that a cause is to bring, with some of its labels."""

    name: str
    severity: str = "warning"
    labels: Labels = field(default_factory=dict, hash=False)

    def is_seen(self, alerts: list[Alert]) -> bool:
        """Whether it fires."""
        wanted = {**self.labels, "severity": self.severity}.items()
        return any(each.name == self.name and each.state == "firing" and wanted <= each.labels.items() for each in alerts)


class Answering(HttpThread):
    """Answers each request with `status`."""

    def __init__(self, status: int) -> None:
        self.status = status
        outer = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:  # noqa: N802 - the name that is called
                self.asked()
                self.answer(outer.status)

        super().__init__(Handler)


@contextmanager
def again_and_again(work: Callable[[threading.Event], object], pause_s: float = 0.1) -> Iterator[None]:
    """`work` is done in a thread until the block is left, which it is told, whatever becomes of it on the way."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            with suppress(OSError, HTTPException):
                work(over)
            over.wait(pause_s)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def visit(url: str, _: threading.Event) -> None:
    """Watch a stream for a moment."""
    request = urllib.request.Request(url, headers={"traceparent": TRACE})
    with urllib.request.urlopen(request, timeout=2) as answer:
        answer.read(1000)


def connection(port: int, request: bytes = b"") -> socket.socket:
    """A connection that takes in little, and has said `request`."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((LOOPBACK, port))
    client.sendall(request)
    return client


def gauge(node: Node, series: str) -> float:
    """What a node says of a series, 0 where it says nothing."""
    return next((float(line.split()[1]) for line in node.metrics().splitlines() if line.startswith(f"{series} ")), 0.0)


def get(stream: str) -> bytes:
    """A player's request."""
    return f"GET /{stream}.flv HTTP/1.1\r\nHost: edge\r\n\r\n".encode()


class Scene:
    """A cluster with all that it stands on, and with somebody who publishes, plays and is told of it."""

    def __init__(self, folder: Path, media: Media, stack: ExitStack) -> None:
        self.folder, self.media, self.stack = folder, media, stack
        self.cert = self_signed(folder, days=90)
        self.redis = stack.enter_context(RedisServer(folder))
        self.s3 = stack.enter_context(S3Server(folder))
        self.sink = stack.enter_context(WebhookSink())
        self.callback = stack.enter_context(Answering(200))
        self.collector = stack.enter_context(Answering(200))
        self.redis_way = stack.enter_context(TcpRelay(self.redis.port))
        self.cluster = stack.enter_context(Cluster(folder, origins=2, edges=1, hls=2, settings=self._settings()))
        self.etcd_way = stack.enter_context(TcpRelay(self.cluster.etcd.port))
        own = {
            "scheduler.etcd.endpoints": [f"{LOOPBACK}:{self.etcd_way.port}"],
            "scheduler.redis.port": self.redis_way.port,
        }
        self.cluster.add("scheduler", own).wait_ready()
        self.cluster.add("edge", self._small()).wait_ready()
        self.schedulers = self.cluster.schedulers
        self.edge, self.small = self.cluster.edges
        self.hls, self.spare = self.cluster.hls
        ports = [int(node.grpc_address.rpartition(":")[2]) for node in self.cluster.origins]
        self.ways = [stack.enter_context(TcpRelay(port, host=FAR, port=port)) for port in ports]
        self.publish(STREAM)
        visitors = (self.edge.flv_url(STREAM), f"{self.edge.flv_url('guarded/cam')}?token=some", self.small.flv_url(STREAM))
        for url in visitors:
            stack.enter_context(again_and_again(partial(visit, url), 0.5))
        stack.enter_context(self.playing(self.edge))
        self.prometheus = stack.enter_context(
            Prometheus(folder, self.targets(), rules=[short_rules(folder)], scrape_s=SCRAPE_S, evaluate_s=EVALUATE_S)
        )

    def _settings(self) -> dict[str, dict[str, object]]:
        storage = {
            "hls.storage.url": self.s3.url,
            "hls.storage.endpoint": self.s3.endpoint,
            "hls.storage.region": "us-east-1",
            "hls.storage.access_key_id": "key",
            "hls.storage.secret_access_key_file": self._secret("secret"),
            "hls.storage.deadline_s": 0.5,
        }
        recording = {"hls.recording.rules": ["tape/* flv segment_s=1"], "hls.recording.spool_max_bytes": 1 << 20}
        always = {"hls.start": "always", "hls.segment_ms": 1000, "telemetry.per_stream_metrics": True}
        edge = {
            "edge.capacity.sessions": STOPPED_PLAYERS + 8,
            "edge.fanout.player_sndbuf_bytes": 16_384,
            "edge.fanout.player_queue_bytes": 131_072,
            "edge.fanout.slow_player_s": 300,
            "edge.play.wait_publisher_s": 0,
            "auth.rules": ["play guarded/* callback"],
            "auth.callback.url": f"{self.callback.root}/auth",
            "auth.callback.yes_s": 0,
            "auth.callback.open_s": 1,
        }
        notify = {
            "notify.receivers": [f"one {self.sink.url}/one timeout_s=1 give_up_s=2"],
            "scheduler.redis.host": LOOPBACK,
            "scheduler.redis.port": self.redis.port,
        }
        return {
            "all": {"cluster.lease_s": 5},
            "origin": {"origin.advertise_host": FAR},
            "hls": {**storage, **recording, **always},
            "scheduler": {**notify, **recording, **always},
            "edge": edge,
        }

    def _small(self) -> dict[str, object]:
        """An edge that has a certificate and traces, and lets in few, and those not often."""
        return {
            "edge.capacity.sessions": CAPACITY,
            "edge.limits.handshakes_per_s": 20,
            "edge.tls.cert_file": str(self.cert),
            "edge.tls.key_file": str(self.cert),
            "telemetry.traces.endpoint": f"{self.collector.root}/v1/traces",
            "telemetry.traces.protocol": "http",
            "telemetry.traces.sample_percent": 100,
        }

    def _secret(self, text: str) -> str:
        file = self.folder / "secret"
        file.write_text(text)
        return str(file)

    def targets(self, *more: Node) -> list[Any]:
        """What Prometheus scrapes."""
        return pods([*self.cluster.nodes, *more], namespace=NAMESPACE, release=RELEASE)

    def publish(self, stream: str, name: str = "h264_aac") -> Publisher:
        """A publisher, until the end."""
        log = self.folder / f"{stream.replace('/', '-')}.log"
        return self.stack.enter_context(Publisher(self.media(name), self.edge.rtmp_url(stream), log=log, loops=-1, limit_s=300))

    def playing(self, edge: Node) -> AbstractContextManager[None]:
        """A player that takes in all that comes, and comes again where it is sent away."""

        def play(over: threading.Event) -> None:
            with socket.create_connection((LOOPBACK, edge.ports["http"]), 5) as client:
                client.sendall(get(STREAM))
                while client.recv(1 << 16) and not over.is_set():
                    pass

        return again_and_again(play)

    def change(self, values: dict[str, object]) -> None:
        """Settings of all nodes, which schedulers know that they go by."""
        api = self.schedulers[0].api_url
        status, answer = call("PATCH", f"{api}/v1/settings", {"values": values})
        assert status == 200, answer
        for key, value in values.items():
            role, _, what = key.split(".")
            wait_until(f"{key} at schedulers", partial(self._have, role, what, value), LIMIT_S)

    def _have(self, role: str, what: str, value: object) -> bool:
        """Whether all nodes of a role have reported that capacity."""
        nodes = call("GET", f"{self.schedulers[0].api_url}/v1/nodes?role={role}")[1]["items"]
        return all(node["capacity"][what] == value for node in nodes)

    def pod(self, node: Node) -> str:
        """What the node is called in labels."""
        return f"{RELEASE}-{node.name}"


# What goes wrong


Cause = Callable[[Scene], AbstractContextManager[None]]


@contextmanager
def a_receiver_that_refuses(scene: Scene) -> Iterator[None]:
    scene.sink.fails = "/"
    yield
    scene.sink.fails = ""


@contextmanager
def storage_that_does_not_answer(scene: Scene) -> Iterator[None]:
    publisher = scene.publish(RECORDED, "h264_20m_aac")  # its recording passes what the spool may hold
    scene.s3.freeze()
    yield
    publisher.stop()


@contextmanager
def storage_that_answers_again(scene: Scene) -> Iterator[None]:
    """What waited is stored late: some of it has waited for longer than it may."""
    waiting = f'hls_stream_unstored_segments{{stream="{STREAM}"}}'
    wait_until("segments that wait", lambda: any(gauge(node, waiting) > LATE_S for node in scene.cluster.hls), LIMIT_S)
    scene.s3.thaw()
    yield


@contextmanager
def an_authorisation_that_does_not_answer(scene: Scene) -> Iterator[None]:
    scene.callback.status = 500
    for _ in range(10):  # until it is not asked any more
        with connection(scene.edge.ports["http"], get("guarded/cam")) as client:
            client.recv(1000)
    wait_until("nobody asked any more", lambda: gauge(scene.edge, "edge_access_callback_open") == 1, LIMIT_S)
    yield
    scene.callback.status = 200


@contextmanager
def a_collector_that_refuses(scene: Scene) -> Iterator[None]:
    scene.collector.status = 403
    yield
    scene.collector.status = 200


@contextmanager
def certificates_that_end(scene: Scene) -> Iterator[None]:
    """One in two days; the other, of an hls node, in ten."""
    self_signed(scene.folder, days=2)
    os.kill(scene.small.pid, signal.SIGHUP)
    later = str(self_signed(scene.folder, "hls", days=10))
    tls = {"hls.tls.cert_file": later, "hls.tls.key_file": later}
    node = scene.cluster.add("hls", {**tls, "hls.capacity.streams": 1}).wait_ready()
    scene.prometheus.reload(scene.targets())
    yield
    self_signed(scene.folder, days=90)
    os.kill(scene.small.pid, signal.SIGHUP)
    node.stop()
    scene.cluster.hls.remove(node)
    stay, url = {each.name for each in scene.cluster.hls}, f"{scene.schedulers[0].api_url}/v1/streams/{STREAM}"
    wait_until("a segmenter that stays", lambda: call("GET", url)[1].get("hls") in stay, LIMIT_S)  # before there is no more room
    scene.prometheus.reload(scene.targets())


@contextmanager
def a_clock_that_nobody_keeps(scene: Scene) -> Iterator[None]:
    library = scene.folder / "clock_ahead.so"
    source = Path(__file__).parents[1] / "support" / "clock_ahead.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True, stdin=subprocess.DEVNULL, timeout=LIMIT_S)
    shared = {"cluster.schedulers": [node.grpc_address for node in scene.schedulers], "cluster.lease_s": 5}
    inside = ("env", f"LD_PRELOAD={library}", "AHEAD_S=30")
    own = {"cluster.node": "origin-late", "origin.capacity.sessions": 1, **shared}
    with Node("origin", "origin-late", scene.folder, own, inside=inside) as node:
        scene.prometheus.reload(scene.targets(node))
        yield
    scene.prometheus.reload(scene.targets())


@contextmanager
def few_descriptors(scene: Scene) -> Iterator[None]:
    pid = scene.cluster.origins[0].pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (round(used / 0.9), before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@contextmanager
def somebody_who_comes_too_often(scene: Scene) -> Iterator[None]:
    with again_and_again(lambda _: connection(scene.small.ports["http"]).close(), 0.0):
        yield


@contextmanager
def more_players_than_there_is_room_for(scene: Scene) -> Iterator[None]:
    """Those of the large edge take in nothing."""
    with ExitStack() as players:
        for _ in range(STOPPED_PLAYERS + 8):
            players.enter_context(connection(scene.edge.ports["http"], get(STREAM)))
        players.enter_context(scene.playing(scene.edge))
        for _ in range(CAPACITY + 1):
            players.enter_context(scene.playing(scene.small))
        yield


@contextmanager
def a_scheduler_that_is_cut_off_from_its_stores(scene: Scene) -> Iterator[None]:
    for way in (scene.etcd_way, scene.redis_way):
        way.cut()
    yield
    for way in (scene.etcd_way, scene.redis_way):
        way.mend()


@contextmanager
def a_node_that_starts_again_and_again(scene: Scene) -> Iterator[None]:
    for _ in range(3):
        scene.spare.kill()
        scene.spare.wait()
        scene.spare.restart().wait_ready()
        started = gauge(scene.spare, "process_start_time_seconds")
        query = f'process_start_time_seconds{{pod="{scene.pod(scene.spare)}"}} == {started}'
        scene.prometheus.wait_for("a scrape", lambda query=query: bool(scene.prometheus.query(query)))  # type: ignore[misc]
    yield


@contextmanager
def no_room_for_streams(scene: Scene) -> Iterator[None]:
    """Origins have as many streams as they may, and hls nodes too; and publishers come."""
    scene.change({"hls.capacity.streams": 1})
    waiting = "max(scheduler_hls_waiting_streams) > 0"
    extra = []
    for name in ("live/more-0", "live/more-1"):  # one after another: two replicas that place one each do not know of the other's

        def is_placed(url: str = f"{scene.schedulers[0].api_url}/v1/streams/{name}") -> bool:
            return bool(call("GET", url)[1].get("hls")) or bool(scene.prometheus.query(waiting))

        extra.append(scene.publish(name))
        wait_until(f"a segmenter of {name}, or none with room", is_placed, LIMIT_S)
    scene.prometheus.wait_for("streams without a segmenter", lambda: bool(scene.prometheus.query(waiting)))
    scene.change({"origin.capacity.memory_bytes": 1})
    with again_and_again(lambda _: asyncio.run(refused_publisher(scene.edge))):
        yield
    status, answer = call("DELETE", f"{scene.schedulers[0].api_url}/v1/settings")
    assert status == 200, answer
    for publisher in extra:
        publisher.stop()


async def refused_publisher(edge: Node) -> None:
    """Somebody asks to publish, in vain."""
    async with wire.rtmp(edge.rtmp_url("live/refused"), "publish") as peer:
        with suppress(AssertionError):
            await peer.started()


@contextmanager
def a_long_way_between_nodes(scene: Scene) -> Iterator[None]:
    for way in scene.ways:
        way.delay_s = 0.8
    yield
    for way in scene.ways:
        way.delay_s = 0.0


@contextmanager
def nodes_that_hang(scene: Scene) -> Iterator[None]:
    """The origin that has the stream, which moves to the other one, and an hls node."""
    _, stream = call("GET", f"{scene.schedulers[0].api_url}/v1/streams/{STREAM}")
    owner = next(node for node in scene.cluster.origins if node.name == stream["origin"])
    for node in (owner, scene.spare):
        node.pause()
    yield
    for node in (owner, scene.spare):
        node.resume()


@contextmanager
def a_redis_that_hangs(scene: Scene) -> Iterator[None]:
    scene.redis.freeze()
    yield
    scene.redis.thaw()


@contextmanager
def an_etcd_that_hangs(scene: Scene) -> Iterator[None]:
    scene.cluster.etcd.freeze()
    yield
    scene.cluster.etcd.thaw()


@contextmanager
def schedulers_that_are_killed(scene: Scene) -> Iterator[None]:
    for node in scene.schedulers:
        node.kill()
        node.wait()
    yield
    for node in scene.schedulers:
        node.restart()
    for node in scene.schedulers:
        node.wait_ready()


#: Causes that go on side by side, and then the next ones: with what each brings.
PHASES: tuple[Mapping[Cause, tuple[Firing, ...]], ...] = (
    {
        an_authorisation_that_does_not_answer: (Firing("LalmeshAuthorisationFailing", "critical"),),
        storage_that_does_not_answer: (
            Firing("LalmeshStorageFailing"),
            Firing("LalmeshStorageFailing", "critical"),
        ),
        a_receiver_that_refuses: (
            Firing("LalmeshWebhookReceiverFailing", labels={"receiver": "one"}),
            Firing("LalmeshEventsLost", labels={"how": "given up"}),
        ),
        certificates_that_end: (
            Firing("LalmeshCertificateExpires", "critical", {"certificate": "edge"}),
            Firing("LalmeshCertificateExpires", "warning", {"certificate": "hls"}),
        ),
        a_scheduler_that_is_cut_off_from_its_stores: (
            Firing("LalmeshEtcdAway", labels={"pod": f"{RELEASE}-scheduler-2"}),
            Firing("LalmeshRedisAway", labels={"pod": f"{RELEASE}-scheduler-2"}),
        ),
        a_collector_that_refuses: (Firing("LalmeshSpansLost", "info", {"reason": "export_failed"}),),
        few_descriptors: (Firing("LalmeshDescriptorsShort", labels={"pod": f"{RELEASE}-origin-1"}),),
        a_node_that_starts_again_and_again: (Firing("LalmeshNodeRestarts", labels={"pod": f"{RELEASE}-hls-2"}),),
    },
    {
        storage_that_answers_again: (Firing("LalmeshSegmentsLate"),),
        no_room_for_streams: (
            Firing("LalmeshNoOriginWithRoom", "critical"),
            Firing("LalmeshStreamsWithoutSegmenter", "critical"),
            Firing("LalmeshClientsRefused", "critical"),
        ),
        a_clock_that_nobody_keeps: (Firing("LalmeshClockOff", labels={"pod": f"{RELEASE}-origin-late"}),),
        somebody_who_comes_too_often: (Firing("LalmeshRateLimited", labels={"pod": f"{RELEASE}-edge-2"}),),
        a_long_way_between_nodes: (Firing("LalmeshLinkDelayHigh", labels={"pod": f"{RELEASE}-edge-1"}),),
    },
    {
        nodes_that_hang: (
            Firing("LalmeshNodeNotScraped", labels={"pod": f"{RELEASE}-hls-2"}),
            Firing("LalmeshNodeAway", labels={"role": "origin"}),
            Firing("LalmeshNodesMissing", labels={"role": "hls"}),
            Firing("LalmeshFailoverSlow"),
        ),
        more_players_than_there_is_room_for: (
            Firing("LalmeshPlayersSkip", labels={"pod": f"{RELEASE}-edge-1"}),
            Firing("LalmeshEdgeFull", labels={"pod": f"{RELEASE}-edge-1"}),
            Firing("LalmeshEdgeFull", "critical"),
        ),
    },
    {
        an_etcd_that_hangs: (Firing("LalmeshEtcdAway", "critical"),),
        a_redis_that_hangs: (Firing("LalmeshRedisAway", "critical"),),
    },
    {schedulers_that_are_killed: (Firing("LalmeshSchedulersAway", "critical"),)},
)


def test_each_alert_fires_by_its_cause_goes_when_that_has_gone_and_is_quiet_otherwise(
    media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    scene = Scene(tmp_path, media, stack)
    prometheus = scene.prometheus
    rules = {(rule["name"], rule["labels"]["severity"]) for rule in prometheus.rules()}
    brought = [firing for phase in PHASES for firings in phase.values() for firing in firings]
    assert {(firing.name, firing.severity) for firing in brought} == rules, "an alert without a cause here"
    prometheus.wait_scraped()
    prometheus.wait_for("windows that are full", lambda: prometheus.value(f"min(count_over_time(up[{MEMORY_S}s]))") >= MEMORY_S - 1)
    try:  # for so long none has even been pending
        prometheus.wait_for("quiet", lambda: bool(prometheus.query(f"absent_over_time(ALERTS[{MEMORY_S}s])")), LIMIT_S)
    except ProcessError:
        raise AssertionError([(each.name, each.state, each.labels) for each in prometheus.alerts()]) from None
    for phase in PHASES:
        bring(scene, phase)
    prometheus.wait_for("quiet", lambda: not prometheus.alerts(), LIMIT_S)
    assert [(rule["name"], rule["lastError"]) for rule in prometheus.rules() if rule["health"] != "ok"] == []


@contextmanager
def side_by_side(causes: list[AbstractContextManager[None]]) -> Iterator[None]:
    """All begin at once, and all end, also where some do not begin."""
    with ExitStack() as stack, ThreadPoolExecutor(len(causes)) as pool:
        begun = [(cause, pool.submit(cause.__enter__)) for cause in causes]
        wait([each for _, each in begun])
        for cause, each in begun:
            if each.exception() is None:
                stack.push(cause)
        for _, each in begun:
            each.result()
        yield


def bring(scene: Scene, phase: Mapping[Cause, tuple[Firing, ...]]) -> None:
    """Have the causes of a phase go on until all that they bring has fired."""
    missing = {firing for firings in phase.values() for firing in firings}

    def look(_: threading.Event) -> None:
        missing.difference_update([firing for firing in missing if firing.is_seen(scene.prometheus.alerts())])

    with again_and_again(look, EVALUATE_S / 2), side_by_side([cause(scene) for cause in phase]):
        try:
            scene.prometheus.wait_for("alerts", lambda: not missing, LIMIT_S)
        except ProcessError:
            raise AssertionError(f"did not fire: {missing}; {[each.labels for each in scene.prometheus.alerts()]}") from None
