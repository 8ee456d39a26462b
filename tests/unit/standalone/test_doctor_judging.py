"""What the doctor makes of facts: a core a check, which asks nobody."""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any

import grpc
import pytest

from lalmesh.protocol.rtp import MAX_PACKET_BYTES
from lalmesh.runtime.config import Config, EdgeConfig, HlsConfig
from services.standalone.doctor import Finding, Place, Status
from services.standalone.doctor._clock import Kept, judge_date, judge_kept, judge_skew
from services.standalone.doctor._cluster import HttpAnswer, NodeSeen, judge_versions
from services.standalone.doctor._etcd import judge_answer, judge_refusal
from services.standalone.doctor._kernel import Kernel, judge_kernel
from services.standalone.doctor._limits import descriptors_of, descriptors_of_sessions, judge_descriptors
from services.standalone.doctor._names import judge_addresses
from services.standalone.doctor._owners import Owner
from services.standalone.doctor._path import IP_UDP_BYTES, Answered, UdpWay, ask, judge_grpc, judge_mtu, judge_udp
from services.standalone.doctor._ports import Listener, judge_port, listeners
from services.standalone.doctor._reach import Reached, Unreached, split, tls_reason
from services.standalone.doctor._redis import judge_server
from services.standalone.doctor._storage import judge_failure, judge_room, without_secrets
from services.standalone.doctor._udp_ports import UdpPorts, judge_ephemeral, judge_pairs, judge_shared, parse_ports, udp_ports

GIB = 1 << 30
ALL_LISTENERS = ("rtmp", "rtmps", "rtsp", "rtsps", "ws_rtsp", "http", "https")  #: of an edge, each of which lets 20,000 in
GOOD_KERNEL = Kernel(
    cuts=True,
    joins=True,
    shares_ports=True,
    takes_many_writes=True,
    receive_bytes=2 << 20,
    send_bytes=2 << 20,
    backlog=4096,
)


def statuses(findings: Iterable[Finding]) -> list[str]:
    found = list(findings)
    for each in found:  # whoever is told that something is wrong is told what to do
        assert bool(each.remedy) or each.status is Status.OK, each
    return [str(each.status) for each in found]


@pytest.mark.parametrize(
    ("hard", "needed", "stated", "status"),
    [
        (1_048_576, 80_256, 0, "ok"),
        (20_000, 80_256, 0, "warning"),
        (20_256, 20_256, 10_000, "ok"),
        (20_255, 20_256, 10_000, "failed"),
        (1023, 356, 0, "failed"),
    ],
)
def test_descriptors_have_to_do_for_what_is_stated_or_let_in(hard: int, needed: int, stated: int, status: str) -> None:
    (found,) = judge_descriptors(hard, needed, stated, ["hls.limits.connections"])
    assert statuses([found]) == [status]
    assert ("hls.limits.connections" in found.remedy) is (status == "warning")


def edge_with(*names: str, **others: Any) -> EdgeConfig:
    """An edge that has these listeners and no others."""
    secure = {"rtmps", "rtsps", "https"}
    sections: dict[str, Any] = {each: {"enable": each in names} for each in {*ALL_LISTENERS, *names}}
    if secure & set(names):
        sections["tls"] = {"cert_file": "cert.pem", "key_file": "key.pem"}
    sections["rtsp"]["udp_ports"] = "shared"
    return EdgeConfig.model_validate(sections | others)


@pytest.mark.parametrize(
    ("names", "of_each", "of_session"),
    [
        (["rtmp"], 2, 2),
        (["http"], 2, 2),
        (["ws_rtsp"], 2, 2),
        (["rtsp"], 2, 2),
        (["rtmps"], 1, 1),
        (["rtsps"], 1, 1),
        (["https"], 2, 1),  # of HLS, a question to an hls node
        (["rtmps", "rtsps", "https"], 4 / 3, 1),
        (["rtmp", "rtmps"], 1.5, 2),
        ([], 0, 0),
    ],
)
def test_blocks_go_past_the_connections_of_players_but_not_past_tls(names: list[str], of_each: float, of_session: int) -> None:
    edge = edge_with(*names, capacity={"sessions": 900})
    assert descriptors_of(Place(Config(edge=edge), "edge"), 1) == {"edge.limits.connections": round(of_each * 20_000 * len(names))}
    assert descriptors_of_sessions(edge, 1) == of_session * 900


@pytest.mark.parametrize(
    ("sessions", "ports", "workers", "needed"),
    [
        (100, "20000-20999", 1, 500),  # all may use UDP, with video and sound
        (1000, "20000-20999", 1, 2750),  # 250 may
        (1000, "20000-20999", 2, 1375),  # 125 may, at each worker
        (1000, "shared", 1, 2000),
    ],
)
def test_clients_by_udp_have_two_ports_for_each_track(sessions: int, ports: str, workers: int, needed: int) -> None:
    edge = edge_with("rtmp", "rtsp", capacity={"sessions": sessions}, rtsp={"udp_ports": ports})
    assert descriptors_of_sessions(edge, workers) == needed


def test_no_udp_port_is_opened_for_clients_under_tls_or_by_websocket() -> None:
    edge = edge_with("ws_rtsp", "rtsps", capacity={"sessions": 1000}, rtsp={"enable": False})
    assert descriptors_of_sessions(edge, 1) == 2000


@pytest.mark.parametrize(("workers", "of_edge"), [(1, 160_750), (3, 53_588)])
def test_each_worker_of_an_edge_has_its_share_of_players_and_ports(workers: int, of_edge: int) -> None:
    config = Config(edge=EdgeConfig(workers=workers))
    assert descriptors_of(Place(config, "edge"), workers) == {"edge.limits.connections": of_edge}
    others = {"hls.limits.connections": 20_000, "scheduler.http.limits.connections": 5_000}
    assert descriptors_of(Place(config, "standalone"), workers) == {"edge.limits.connections": of_edge, **others}


def test_http_and_https_of_an_hls_node_let_in_as_many_each() -> None:
    hls = HlsConfig.model_validate({"tls": {"cert_file": "cert.pem", "key_file": "key.pem"}, "limits": {"connections": 300}})
    assert descriptors_of(Place(Config(hls=hls), "hls"), 1) == {"hls.limits.connections": 600}


@pytest.mark.parametrize(
    ("error", "owner", "status", "said"),
    [
        (0, None, "ok", "free"),
        (errno.EADDRINUSE, None, "warning", "cannot see"),
        (errno.EADDRINUSE, Owner(7, "/usr/bin/python3 /opt/x/bin/lalmesh edge"), "ok", "process 7"),
        (errno.EADDRINUSE, Owner(7, "/usr/bin/python3 -P -m services.standalone edge"), "ok", "process 7"),  # a worker
        (errno.EADDRINUSE, Owner(7, "/usr/sbin/nginx -g daemon"), "failed", "in use by nginx"),
        (errno.EACCES, None, "failed", "not allowed"),
        (errno.EADDRNOTAVAIL, None, "failed", "no address"),
        (errno.EAFNOSUPPORT, None, "failed", "EAFNOSUPPORT"),
    ],
)
def test_a_port_is_free_or_ours_or_somebody_elses(error: int, owner: Owner | None, status: str, said: str) -> None:
    finding = judge_port(Listener("edge.http", "192.0.2.1", 80), error, owner)
    assert statuses([finding]) == [status]
    assert said in finding.found


NGINX, OURS = Owner(7, "/usr/sbin/nginx -g daemon"), Owner(8, "/usr/bin/python3 /opt/x/bin/lalmesh edge")


@pytest.mark.parametrize(
    ("free", "owner", "status", "said"),
    [
        (500, None, "ok", "250 clients"),
        (50, None, "ok", "25 clients"),
        (49, None, "warning", "49 of 500 pairs"),
        (49, NGINX, "warning", "nginx, process 7"),
        (0, None, "warning", "cannot see"),
        (0, OURS, "warning", "lalmesh, process 8"),
        (0, NGINX, "failed", "nginx, process 7"),
    ],
)
def test_tracks_need_pairs_of_udp_ports_that_nobody_has(free: int, owner: Owner | None, status: str, said: str) -> None:
    finding = judge_pairs(UdpPorts("edge.rtsp.udp_ports", 20000, 20999), free, owner)
    assert statuses([finding]) == [status]
    assert said in finding.found


@pytest.mark.parametrize(
    ("taken", "owner", "status", "said"),
    [
        ([], None, "ok", "UDP 20000-20003 are free"),
        ([20001, 20002], None, "warning", "UDP 20001, 20002 in use, by whom this user cannot see"),
        ([20001], OURS, "ok", "lalmesh, process 8"),
        ([20001], NGINX, "failed", "nginx, process 7"),
    ],
)
def test_the_ports_that_all_share_are_free_or_ours(taken: list[int], owner: Owner | None, status: str, said: str) -> None:
    finding = judge_shared(UdpPorts("edge.rtsp.shared_udp_port", 20000, 20003), taken, owner)
    assert statuses([finding]) == [status]
    assert said in finding.found


@pytest.mark.parametrize(
    ("ephemeral", "reserved", "remedy"),
    [
        ((32768, 60999), "", ""),
        ((10000, 60999), "20000-20999", ""),
        ((10000, 60999), "", "ip_local_reserved_ports=20000-20999,"),
        ((20500, 60999), "20000-20600,8080", "ip_local_reserved_ports=20000-20600,8080,20500-20999,"),
    ],
)
def test_udp_ports_have_to_stay_free(ephemeral: tuple[int, int], reserved: str, remedy: str) -> None:
    found = list(judge_ephemeral(UdpPorts("edge.rtsp.udp_ports", 20000, 20999), ephemeral, parse_ports(reserved)))
    assert statuses(found) == (["warning"] if remedy else [])
    assert all(remedy in each.remedy for each in found)


@pytest.mark.parametrize(
    ("edge", "ports"),
    [
        ({}, UdpPorts("edge.rtsp.udp_ports", 20000, 20999)),
        ({"rtsp": {"udp_ports": "shared"}}, UdpPorts("edge.rtsp.shared_udp_port", 20000, 20001)),
        ({"rtsp": {"udp_ports": "shared"}, "workers": 3}, UdpPorts("edge.rtsp.shared_udp_port", 20000, 20005)),
        ({"rtsp": {"enable": False}}, None),  # RTSP over WebSocket uses none
    ],
)
def test_the_udp_ports_of_an_edge_are_those_of_all_its_workers(edge: dict[str, Any], ports: UdpPorts | None) -> None:
    config = EdgeConfig.model_validate(edge)
    assert udp_ports(config, int(config.workers)) == ports


@pytest.mark.parametrize(("kept", "status"), [(None, "skipped"), (Kept(False, 16.0), "warning"), (Kept(True, 0.004), "ok")])
def test_a_clock_that_nothing_sets_is_a_warning(kept: Kept | None, status: str) -> None:
    assert statuses([judge_kept(kept)]) == [status]


@pytest.mark.parametrize(
    ("told", "status"),
    [(100.0, "ok"), (99.0, "ok"), (101.5, "ok"), (104.0, "warning"), (95.0, "warning"), (140.0, "failed"), (0.0, "failed")],
)
def test_only_a_difference_that_is_certain_counts(told: float, status: str) -> None:
    """A date has whole seconds, and its answer took half a one."""
    assert statuses([judge_skew("s1", told, 1.0, 100.0, 100.5)]) == [status]


def test_a_date_is_read_and_an_answer_without_one_says_nothing() -> None:
    answer = HttpAnswer(200, {"Date": "Thu, 01 Jan 1970 00:05:00 GMT"}, b"", 300.1, 300.2)
    assert statuses(judge_date("s1", answer)) == ["ok"]
    assert statuses(judge_date("s1", HttpAnswer(200, {}, b"", 300.1, 300.2))) == []
    assert statuses(judge_date("s1", HttpAnswer(200, {"Date": "yesterday"}, b"", 300.1, 300.2))) == []


def node(name: str, version: str = "1.0", state: str = "joined") -> NodeSeen:
    return NodeSeen(name, "edge", state, "", (), version)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([node("e1"), node("e2", state="draining")], ["ok", "ok"]),
        ([node("e1"), node("e2", "0.9")], ["warning", "ok"]),
        ([node("e1"), node("e2", state="away")], ["ok", "warning"]),
        ([], ["ok", "warning"]),
    ],
)
def test_nodes_run_one_version_and_are_there(nodes: list[NodeSeen], expected: list[str]) -> None:
    assert statuses(judge_versions("1.0", [("http://s1", "lalmesh/1.0")], nodes)) == expected


def test_who_runs_which_version_is_said() -> None:
    found = next(iter(judge_versions("1.0", [("http://s1", "lalmesh/1.1")], [node(f"e{number}") for number in range(9)])))
    assert found.found == "1.0: this program, e0, e1, e2, e3 and 5 more; 1.1: http://s1"


@pytest.mark.parametrize(("took_ms", "status"), [(3.0, "ok"), (300.0, "warning")])
def test_a_slow_etcd_is_a_warning(took_ms: float, status: str) -> None:
    assert statuses([judge_answer("e:2379", took_ms)]) == [status]


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("etcd: INVALID_ARGUMENT: etcdserver: authentication failed, invalid user ID or password", "username"),
        ("etcd: PERMISSION_DENIED: etcdserver: permission denied", "role"),
        ("etcd: RESOURCE_EXHAUSTED: etcdserver: mvcc: database space exceeded, no space", "compact"),
        ("etcd: UNAVAILABLE: etcdserver: no leader", "most members"),
        ("etcd: no answer in 3 s", "runbooks/etcd-away"),
    ],
)
def test_what_etcd_says_has_a_remedy(said: str, remedy: str) -> None:
    assert remedy in judge_refusal("etcd", said).remedy


@pytest.mark.parametrize(
    ("info", "took_ms", "expected"),
    [
        ({}, 1.0, ["ok"]),
        ({"aof_enabled": 1}, 1.0, ["ok", "ok"]),
        ({"role": "slave"}, 1.0, ["ok", "failed"]),
        ({"maxmemory": 1 << 30, "maxmemory_policy": "allkeys-lru"}, 1.0, ["ok", "warning"]),
        ({"maxmemory": 1 << 30, "maxmemory_policy": "noeviction"}, 1.0, ["ok"]),
        ({"rdb_last_bgsave_status": "err"}, 1.0, ["ok", "failed"]),
        ({}, 100.0, ["warning"]),
    ],
)
def test_a_redis_takes_writes_and_does_not_forget(info: dict[str, object], took_ms: float, expected: list[str]) -> None:
    assert statuses(judge_server("r:6379", info, took_ms)) == expected


@pytest.mark.parametrize(
    ("free", "total", "status"),
    [(50 * GIB, 100 * GIB, "ok"), (3 * GIB, 100 * GIB, "warning"), (GIB // 2, 100 * GIB, "failed"), (GIB // 2, GIB, "warning")],
)
def test_a_disk_has_room(free: int, total: int, status: str) -> None:
    assert statuses([judge_room("disk", free, total)]) == [status]


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("Object at location x: NoSuchBucket", "make the bucket"),
        ("Client error with status 403 Forbidden", "access_key_id"),
        ("Permission denied (os error 13)", "user that the node runs as"),
        ("No space left on device", "room"),
        ("error sending request", "runbooks/storage-failing"),
    ],
)
def test_what_storage_says_has_a_remedy(said: str, remedy: str) -> None:
    assert remedy in judge_failure("s3://media", "writing", said).remedy


@pytest.mark.parametrize(
    ("url", "shown"),
    [("s3://key:secret@media/x?token=1", "s3://media/x"), ("/srv/media", "/srv/media"), ("file:///srv/a@b", "file:///srv/a@b")],
)
def test_storage_is_named_without_its_secrets(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


@pytest.mark.parametrize(
    ("addresses", "is_own", "is_alone", "status"),
    [
        (["192.0.2.1"], True, False, "ok"),
        (["127.0.0.1", "::1"], True, False, "warning"),
        (["127.0.0.1"], True, True, "ok"),
        (["127.0.0.1"], False, False, "ok"),
        (["127.0.0.1", "192.0.2.1"], True, False, "ok"),
    ],
)
def test_others_cannot_reach_a_node_by_loopback(addresses: list[str], is_own: bool, is_alone: bool, status: str) -> None:
    assert statuses([judge_addresses("edge.advertise.host", "e1", addresses, is_own=is_own, is_alone=is_alone)]) == [status]


NEAR = Reached("192.0.2.1", 1.0, 1500)


@pytest.mark.parametrize(
    ("reached", "answered", "status"),
    [
        (Unreached("nothing listens", "start it"), None, "failed"),
        (NEAR, None, "failed"),
        (NEAR, Answered(grpc.StatusCode.UNAVAILABLE, "handshake"), "failed"),
        (NEAR, Answered(grpc.StatusCode.UNAUTHENTICATED, "no valid cluster token"), "failed"),
        (NEAR, Answered(grpc.StatusCode.INVALID_ARGUMENT, "no hello"), "ok"),
        (NEAR, Answered(grpc.StatusCode.OK, ""), "ok"),
        (Reached("192.0.2.1", 300.0, 1500), Answered(grpc.StatusCode.OK, ""), "warning"),
    ],
)
def test_a_node_is_reached_if_it_knows_the_key(reached: Reached | Unreached, answered: Answered | None, status: str) -> None:
    assert statuses([judge_grpc("origin o1", reached, answered)]) == [status]


@pytest.mark.parametrize(("mtu", "expected"), [(0, []), (1500, []), (MAX_PACKET_BYTES + IP_UDP_BYTES, []), (1280, ["warning"])])
def test_packets_of_rtp_have_to_fit_the_way(mtu: int, expected: list[str]) -> None:
    assert statuses(judge_mtu("edge e1", mtu)) == expected


def test_silence_of_udp_is_no_proof() -> None:
    assert statuses(judge_udp("edge e1", way) for way in UdpWay) == ["ok", "skipped", "warning"]


def test_a_kernel_with_all_is_well() -> None:
    assert set(statuses(judge_kernel(GOOD_KERNEL))) == {"ok"}


def test_an_edge_without_udp_is_not_told_what_its_kernel_lacks_for_it() -> None:
    poor = replace(GOOD_KERNEL, cuts=False, joins=False, receive_bytes=1, send_bytes=1)
    assert set(statuses(judge_kernel(poor, uses_udp=False))) == {"ok"}


@pytest.mark.parametrize(
    "lacking",
    [
        {"cuts": False},
        {"joins": False},
        {"shares_ports": False},
        {"takes_many_writes": False},
        {"receive_bytes": 212992},
        {"send_bytes": 212992},
        {"backlog": 128},
    ],
)
def test_a_kernel_that_lacks_something_is_a_warning(lacking: dict[str, Any]) -> None:
    assert statuses(judge_kernel(replace(GOOD_KERNEL, **lacking))).count("warning") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("etcd-0:2379", ("etcd-0", 2379)),
        ("http://minio:9000", ("minio", 9000)),
        ("https://u:p@s3.example/x?y=1", ("s3.example", 443)),
        ("[2001:db8::1]:50051", ("2001:db8::1", 50051)),
        ("https://[2001:db8::1]/x", ("2001:db8::1", 443)),
    ],
)
def test_host_and_port_are_found_in_addresses_and_urls(text: str, expected: tuple[str, int]) -> None:
    assert split(text, 443) == expected


def test_tls_errors_are_told_in_words() -> None:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed (_ssl.c:1002)")
    error.verify_message = "certificate has expired"
    assert tls_reason(error) == "certificate has expired"


@pytest.mark.parametrize(("workers", "first", "ports"), [(1, 7000, [7000]), (3, 7000, [7000, 7001, 7002]), (2, 0, [0])])
def test_each_worker_of_an_origin_has_a_port_of_its_own(workers: int, first: int, ports: list[int]) -> None:
    config = Config.model_validate({"origin": {"workers": workers, "grpc": {"port": first}}})
    assert [each.port for each in listeners(config, "origin") if each.key == "origin.grpc"] == ports


class BrokenChannel:
    """A channel that fails just as what goes to the node has come to its end: to gRPC that is a call ended on this side."""

    def stream_stream(self, *_: Any) -> Any:
        async def answers(*_args: Any, **_named: Any) -> AsyncIterator[bytes]:
            raise asyncio.CancelledError
            yield b""

        return answers

    async def close(self, _grace: None) -> None:
        pass


class BrokenChannels:
    def dial(self, _address: str) -> BrokenChannel:
        return BrokenChannel()


def test_a_call_that_grpc_ends_by_itself_ends_no_check() -> None:
    channels: Any = BrokenChannels()
    answered = asyncio.run(ask(channels, "127.0.0.1:1", "/lalmesh.v1.Origin/Link", 1.0))
    assert judge_grpc("origin o", NEAR, answered).status is Status.FAILED
