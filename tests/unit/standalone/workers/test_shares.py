"""What of the configuration each worker gets."""

from __future__ import annotations

from typing import Any

import pytest

from lalmesh.runtime.config import Config, ConfigError
from services.standalone.workers import Worker, share_of, worker_count, worker_here
from services.standalone.workers._worker import CORE, parse_ports

PORTS = {"rtmp": 1935, "http": 8080}


def config(**sections: Any) -> Config:
    return Config.model_validate(sections)


def worker(number: int, count: int = 2) -> Worker:
    return Worker(node="e", number=number, count=count, ports=PORTS)


def test_a_worker_is_a_node_of_its_own_at_the_ports_of_all() -> None:
    share = share_of(config(edge={"rtmp": {"port": 0}, "workers": 2}, metrics={"host": "0.0.0.0"}), "edge", worker(2))
    assert (share.cluster.node, share.edge.workers) == ("e-2", 1)
    assert (share.edge.rtmp.port, share.edge.http.port, share.edge.rtsp.port) == (1935, 8080, 5544)
    assert (share.metrics.host, share.metrics.port) == ("127.0.0.1", 0)


def test_what_is_of_all_is_divided_and_what_is_not_stated_is_not() -> None:
    capacity = {"sessions": 100, "cpu_percent": 80, "memory_bytes": 7}
    edge = config(edge={"capacity": capacity, "limits": {"connections": 10}, "hls": {"cache_bytes": 1 << 20}})
    share = share_of(edge, "edge", worker(1, 3)).edge
    assert (share.capacity.sessions, share.capacity.cpu_percent, share.capacity.memory_bytes) == (34, 80 / 3, 3)
    assert share.capacity.egress_bps == 0
    assert (share.limits.connections, share.hls.cache_bytes) == (4, 349_526)


@pytest.mark.parametrize("count", [2, 3, 16, 64])
def test_all_workers_together_may_take_as_much_of_the_processor_as_their_node(count: int) -> None:
    made = config(edge={"capacity": {"cpu_percent": 80}}, origin={"capacity": {"cpu_percent": 80}})
    edge, origin = share_of(made, "edge", worker(1, count)).edge, share_of(made, "origin", worker(1, count)).origin
    assert count * edge.capacity.cpu_percent == pytest.approx(80)
    assert count * origin.capacity.cpu_percent == pytest.approx(80)


def test_udp_ports_are_of_one_worker_each_and_none_is_left_out() -> None:
    ranges = [share_of(config(edge={"rtsp": {"udp_ports": "20000-20009"}}), "edge", worker(n, 3)).edge.rtsp for n in (1, 2, 3)]
    assert [each.udp_ports for each in ranges] == ["20000-20001", "20002-20005", "20006-20009"]
    shared = config(edge={"rtsp": {"udp_ports": "shared", "shared_udp_port": 6000}})
    assert [share_of(shared, "edge", worker(n)).edge.rtsp.shared_udp_port for n in (1, 2)] == [6000, 6002]
    free = config(edge={"rtsp": {"udp_ports": "shared", "shared_udp_port": 0}})
    assert share_of(free, "edge", worker(2)).edge.rtsp.shared_udp_port == 0


def test_workers_of_an_origin_have_ports_behind_each_other_or_free_ones() -> None:
    origin = config(origin={"capacity": {"streams": 5}})
    shares = [share_of(origin, "origin", worker(number)).origin for number in (1, 2)]
    assert [(each.grpc.port, each.capacity.streams) for each in shares] == [(50_052, 3), (50_053, 3)]
    assert share_of(config(origin={"grpc": {"port": 0}}), "origin", worker(2)).origin.grpc.port == 0


def test_a_standalone_server_is_a_cluster_of_its_own_on_the_loopback() -> None:
    made = config(
        cluster={"tls": {"ca_file": "a", "cert_file": "b", "key_file": "c"}, "drain_s": 5, "node": "n"}, edge={"workers": 2}
    )
    core = share_of(made, "standalone", Worker(node="n-edge", number=CORE, count=2, ports=PORTS, scheduler_port=4711))
    edge = share_of(made, "edge", Worker(node="n-edge", number=2, count=2, ports=PORTS, scheduler_port=4711))
    for share in (core, edge):
        assert share.cluster.schedulers == ("127.0.0.1:4711",)
        assert (share.cluster.tls.enabled, share.cluster.drain_s, share.metrics.port) == (False, 0, 0)
    assert (core.cluster.node, core.scheduler.grpc.host, core.scheduler.grpc.port) == ("n", "127.0.0.1", 4711)
    assert (core.origin.advertise_host, core.origin.grpc.host, core.origin.grpc.port) == ("127.0.0.1", "127.0.0.1", 0)
    assert (edge.cluster.node, edge.edge.rtmp.port) == ("n-edge-2", 1935)


@pytest.mark.parametrize(
    ("role", "sections", "key"),
    [
        ("edge", {"edge": {"rtsp": {"udp_ports": "20000-20001"}}}, "edge.rtsp.udp_ports"),
        ("edge", {"edge": {"rtsp": {"udp_ports": "shared", "shared_udp_port": 65_534}}}, "edge.rtsp.shared_udp_port"),
        ("origin", {"origin": {"grpc": {"port": 65_535}}}, "origin.grpc.port"),
    ],
)
def test_too_few_ports_are_told_of(role: Any, sections: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        share_of(config(**sections), role, worker(1))
    assert [problem.key for problem in refused.value.problems] == [key]


def test_how_many_there_are_is_of_the_role_and_auto_is_what_the_machine_has() -> None:
    made = config(edge={"workers": 3}, origin={"workers": "auto"})
    assert [worker_count(made, role, lambda: 9) for role in ("edge", "origin", "hls", "scheduler")] == [3, 9, 1, 1]
    assert worker_count(made, "origin", lambda: 1000) == 64
    assert worker_count(config(), "edge", lambda: 9) == 1
    assert worker_count(config(edge={"workers": "auto"}), "standalone", lambda: 4) == 4


def test_a_process_knows_which_worker_it_is_and_what_it_starts_is_none() -> None:
    environ = {"PATH": "/bin", **worker(2).environ}
    assert worker_here(environ) == worker(2)
    assert environ == {"PATH": "/bin"}
    assert worker_here(environ) is None


def test_what_was_said_in_half_was_not_said() -> None:
    assert parse_ports(b'{"metrics": 5}\n') == {"metrics": 5}
    assert parse_ports(b'{"metr') is None
    assert parse_ports(b"") is None
