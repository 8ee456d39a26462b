"""The doctor's checks against the real thing: etcd, Redis, storage, ports, certificates, names; up, away, frozen, in the way."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from redis.asyncio import Redis
from support import policies
from support.certificates import self_signed, served_with
from support.child_server import ChildServer
from support.cluster import PROGRAM
from support.etcd import CAN_RUN_ETCD, Certificates, EtcdServer, make_certificates
from support.http_thread import HttpThread, QuietHandler
from support.netns import can_make_namespaces
from support.ports import LOOPBACK, free_ports
from support.process import Child, wait_until
from support.redis import CAN_RUN_REDIS, RedisServer
from support.s3 import BUCKET, S3Server

from lalmesh.runtime.config import Role, load_config
from lalmesh.runtime.registry import Absent
from services.scheduler.registry import EtcdRegistry, EtcdSettings
from services.standalone.doctor import CHECKS, Finding, Place, Status, examine
from services.standalone.doctor._path import UdpWay, udp_way
from services.standalone.doctor._reach import Reached, Unreached, client_tls, reach

LIMIT_S = 2.0


def check(name: str, role: Role, *sets: str, env: dict[str, str] | None = None, limit_s: float = LIMIT_S) -> list[Finding]:
    """What one check finds, as a role that is configured so."""
    config = load_config(None, sets, env or {})

    async def run() -> list[Finding]:
        return (await examine(Place(config, role, limit_s=limit_s), {name: CHECKS[name]})).findings[name]

    found = asyncio.run(run())
    for each in found:
        assert bool(each.remedy) or each.status is Status.OK, each
    return found


def told(found: list[Finding]) -> str:
    return "\n".join(f"{each.status} {each.subject}: {each.found} -> {each.remedy}" for each in found)


def worst(found: list[Finding]) -> str:
    order = list(Status)
    return str(max((each.status for each in found), key=order.index))


# etcd


@pytest.mark.skipif(not CAN_RUN_ETCD, reason="etcd is not installed")
def test_etcd_that_serves_is_written_to_and_left_as_it_was(etcd_server: EtcdServer) -> None:
    prefix = "/of-the-doctor/"
    found = check("etcd", "scheduler", f"scheduler.etcd.endpoints=127.0.0.1:{etcd_server.port}", f"scheduler.etcd.prefix={prefix}")
    assert (worst(found), len(found)) == ("ok", 2), told(found)

    async def left() -> int:
        registry = EtcdRegistry(EtcdSettings(endpoints=etcd_server.endpoints, prefix=prefix))
        try:
            assert (await registry.transact([Absent("x")], [])).succeeded
            return len((await registry.list("doctor/")).entries)
        finally:
            await registry.close()

    assert asyncio.run(left()) == 0


@pytest.mark.skipif(not CAN_RUN_ETCD, reason="etcd is not installed")
def test_of_two_members_the_one_that_is_away_is_named(etcd_server: EtcdServer) -> None:
    (away,) = free_ports(1)
    found = check("etcd", "scheduler", f"scheduler.etcd.endpoints=127.0.0.1:{etcd_server.port},127.0.0.1:{away}")
    assert [str(each.status) for each in found] == ["ok", "failed", "ok"], told(found)
    assert f"nothing listens on 127.0.0.1:{away}" in found[1].found


@pytest.mark.skipif(not CAN_RUN_ETCD, reason="etcd is not installed")
def test_etcd_that_is_stopped_is_told_within_the_time(tmp_path: Path) -> None:
    with EtcdServer(tmp_path) as server:
        server.freeze()
        try:
            began = time.monotonic()
            found = check("etcd", "scheduler", f"scheduler.etcd.endpoints=127.0.0.1:{server.port}", limit_s=1.0)
            assert time.monotonic() - began < 3
        finally:
            server.thaw()
    assert worst(found) == "failed", told(found)


@pytest.mark.skipif(not CAN_RUN_ETCD, reason="etcd is not installed")
def test_etcd_over_tls_and_with_another_authority(tmp_path: Path) -> None:
    made, other = make_certificates(tmp_path / "tls"), make_certificates(tmp_path / "other")

    def found(authority: Certificates) -> list[Finding]:
        files = {"ca_file": authority.ca_file, "cert_file": made.cert_file("client"), "key_file": made.key_file("client")}
        sets = [f"scheduler.etcd.{name}={file}" for name, file in files.items()]
        return check("etcd", "scheduler", f"scheduler.etcd.endpoints=127.0.0.1:{server.port}", *sets)

    with EtcdServer(tmp_path / "etcd", certificates=made) as server:
        assert worst(found(made)) == "ok"
        refused = found(other)
    assert worst(refused) == "failed"
    assert "TLS fails" in refused[0].found


# redis


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if not CAN_RUN_REDIS:
        pytest.skip("redis-server is not installed")
    with RedisServer(tmp_path_factory.mktemp("redis"), password="a password") as server:
        yield server


def redis_sets(server: ChildServer) -> tuple[str, ...]:
    return (f"scheduler.redis.host={LOOPBACK}", f"scheduler.redis.port={server.port}")


PASSWORD = {"LALMESH_SCHEDULER__REDIS__PASSWORD": "a password"}


def test_redis_that_serves_is_well(redis: RedisServer) -> None:
    found = check("redis", "scheduler", *redis_sets(redis), env=PASSWORD)
    assert (worst(found), found[-1].found) == ("ok", "written, read, and removed again"), told(found)


def test_redis_refuses_a_wrong_password(redis: RedisServer) -> None:
    found = check("redis", "scheduler", *redis_sets(redis), env={"LALMESH_SCHEDULER__REDIS__PASSWORD": "another one"})
    assert worst(found) == "failed"
    assert "password" in found[0].remedy


def test_redis_whose_user_may_not_ask_for_everything_is_well_where_it_may_write(redis: RedisServer) -> None:
    async def allow(*rights: str) -> None:
        async with Redis(host=LOOPBACK, port=redis.port, password="a password") as client:
            command: Any = client.execute_command  # which has no types
            await command("ACL", "SETUSER", "lalmesh", "reset", "on", ">of the user", "~lalmesh:*", *rights)

    env = {"LALMESH_SCHEDULER__REDIS__PASSWORD": "of the user"}
    sets = (*redis_sets(redis), "scheduler.redis.username=lalmesh")
    asyncio.run(allow("+@all", "-info"))
    assert worst(check("redis", "scheduler", *sets, env=env)) == "ok"
    asyncio.run(allow("+@all", "-set"))
    found = check("redis", "scheduler", *sets, env=env)
    assert (worst(found), "what that user may" in found[0].remedy) == ("failed", True), told(found)


def test_redis_that_is_stopped_is_told_within_the_time(redis: RedisServer) -> None:
    redis.freeze()
    try:
        began = time.monotonic()
        found = check("redis", "scheduler", *redis_sets(redis), env=PASSWORD, limit_s=1.0)
        assert time.monotonic() - began < 3
    finally:
        redis.thaw()
    assert "answers nothing" in told(found)


def test_redis_that_is_away_is_told() -> None:
    (port,) = free_ports(1)
    found = check("redis", "scheduler", f"scheduler.redis.host={LOOPBACK}", f"scheduler.redis.port={port}")
    assert "nothing listens" in told(found)


def test_the_clocks_of_etcd_and_redis_are_compared(redis: RedisServer, etcd_server: EtcdServer) -> None:
    sets = (*redis_sets(redis), f"scheduler.etcd.endpoints=127.0.0.1:{etcd_server.port}")
    found = {each.subject: str(each.status) for each in check("clock", "scheduler", *sets, env=PASSWORD)}
    assert found.pop("kept") in ("ok", "warning", "skipped")  # whatever this machine has
    assert found == {f"etcd 127.0.0.1:{etcd_server.port}": "ok", "redis": "ok"}


# storage


def test_a_folder_is_written_and_left_empty(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    sets = (f"hls.storage.url={tmp_path / 'media'}", f"hls.recording.spool_dir={tmp_path / 'spool'}")
    found = check("storage", "hls", *sets)
    assert any("written in" in each.found for each in found), told(found)
    assert [each for each in (tmp_path / "media").rglob("*") if each.is_file()] == []
    assert not (tmp_path / "spool").exists()


def test_a_folder_that_nobody_has_made_is_not_made(tmp_path: Path) -> None:
    found = check("storage", "hls", f"hls.storage.url={tmp_path / 'a/b'}", f"hls.recording.spool_dir={tmp_path / 'spool'}")
    assert [each.found.endswith("made when it is first needed") for each in found] == [True, True], told(found)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "media").write_text("no folder")
    found = check("storage", "hls", f"hls.storage.url={tmp_path / 'media'}", f"hls.recording.spool_dir={tmp_path / 'spool'}")
    assert worst(found) == "failed", told(found)


def test_s3_is_written_and_a_bucket_that_is_not_there_is_told(tmp_path: Path) -> None:
    with S3Server(tmp_path) as store:
        options = store.options()
        sets = (
            f"hls.storage.endpoint={store.endpoint}",
            f"hls.storage.region={options.region}",
            f"hls.storage.access_key_id={options.access_key_id}",
            f"hls.recording.spool_dir={tmp_path / 'spool'}",
        )
        env = {"LALMESH_HLS__STORAGE__SECRET_ACCESS_KEY": options.secret_access_key}
        good = check("storage", "hls", *sets, f"hls.storage.url=s3://{BUCKET}/x", env=env, limit_s=10)
        bad = check("storage", "hls", *sets, "hls.storage.url=s3://nobodys/x", env=env, limit_s=10)
        clock = check("clock", "hls", *sets, f"hls.storage.url=s3://{BUCKET}/x", env=env, limit_s=4)
    assert worst(good) == "ok", told(good)
    assert worst(bad) == "failed", told(bad)
    assert ("ok", "storage") in {(str(each.status), each.subject) for each in clock}, told(clock)


# ports


def test_who_has_a_port_is_named() -> None:
    listening = (
        "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", listening], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            found = check("ports", "origin", f"origin.grpc.port={port}", "metrics.port=0")
        finally:
            process.kill()
    assert [str(each.status) for each in found] == ["ok", "failed"], told(found)
    assert f"process {process.pid}" in found[1].found


FREE_LISTENERS = ("metrics.port=0", *(f"edge.{each}.port=0" for each in ("rtmp", "http", "ws_rtsp", "rtsp")))


def udp_found(*sets: str) -> Finding:
    """What is found first of the UDP ports of an edge."""
    found = check("ports", "edge", *FREE_LISTENERS, "edge.rtsp.host=127.0.0.1", *sets)
    return next(each for each in found if each.subject.endswith(("udp_ports", "udp_port")))


def test_a_pair_of_udp_ports_of_which_somebody_has_one_is_not_free_and_who_has_it_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOOPBACK, 0))
        port = sock.getsockname()[1]
        first = port & ~1
        of_range = udp_found(f"edge.rtsp.udp_ports={first}-{first + 1}")
        shared = udp_found("edge.rtsp.udp_ports=shared", f"edge.rtsp.shared_udp_port={first}")
    assert f"0 of 1 pairs in {first}-{first + 1} are free" in of_range.found
    assert f"process {os.getpid()}" in of_range.found
    assert f"UDP {port} in use by" in shared.found
    assert f"process {os.getpid()}" in shared.found


def test_each_worker_has_udp_ports_that_all_share() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOOPBACK, 0))
        port = sock.getsockname()[1]
        found = udp_found("edge.workers=2", "edge.rtsp.udp_ports=shared", f"edge.rtsp.shared_udp_port={(port & ~1) - 2}")
    assert f"UDP {port} in use" in found.found


def test_of_an_address_that_the_machine_has_not_nothing_is_told_of_udp_ports() -> None:
    found = check("ports", "edge", *FREE_LISTENERS, "edge.rtsp.host=192.0.2.1", "edge.rtsp.port=5544")
    assert [each.subject for each in found if each.status is Status.FAILED] == ["edge.rtsp"]
    assert not [each for each in found if "udp" in each.subject]


# certificates


def expired(folder: Path) -> Path:
    """A certificate and its key in one file: for 127.0.0.1, and good for a day, some years ago."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edge")])
    begin = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(begin).not_valid_after(begin + datetime.timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))])
    made = builder.add_extension(names, critical=False).sign(key, SHA256())
    path = folder / "old.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return path


def test_an_expired_certificate_is_told_from_the_file_and_from_the_wire(tmp_path: Path) -> None:
    path = expired(tmp_path)
    found = check("tls", "edge", f"edge.tls.cert_file={path}", f"edge.tls.key_file={path}")
    assert "failed edge.tls: expired on 2020-01-02 00:00 UTC" in told(found)

    async def dialled() -> Reached | Unreached:
        server = await asyncio.start_server(lambda _, writer: writer.close(), LOOPBACK, 0, ssl=served_with(path))
        async with server:
            return await reach(LOOPBACK, server.sockets[0].getsockname()[1], LIMIT_S, client_tls(str(path)))

    seen = asyncio.run(dialled())
    assert isinstance(seen, Unreached)
    assert "expired" in seen.reason


def test_a_certificate_that_serves_is_well_but_known_to_nobody(tmp_path: Path) -> None:
    path = self_signed(tmp_path)
    found = check("tls", "edge", f"edge.tls.cert_file={path}", f"edge.tls.key_file={path}")
    assert "self-signed" in told(found)
    assert worst(found) == "warning"


def test_a_listener_that_shows_another_certificate_than_its_file_is_told(tmp_path: Path) -> None:
    old, new = self_signed(tmp_path, "old"), self_signed(tmp_path, "new")

    async def found(shown: Path) -> list[str]:
        server = await asyncio.start_server(lambda _, writer: writer.close(), LOOPBACK, 0, ssl=served_with(shown))
        async with server:
            port = server.sockets[0].getsockname()[1]
            sets = [f"edge.tls.cert_file={new}", f"edge.tls.key_file={new}", f"edge.https.port={port}", "edge.https.host=127.0.0.1"]
            config = load_config(None, [*sets, "edge.rtmps.port=0", "edge.rtsps.port=0"], {})
            findings = (await examine(Place(config, "edge", limit_s=LIMIT_S), {"tls": CHECKS["tls"]})).findings["tls"]
        return [f"{each.status} {each.found}" for each in findings if each.subject == "edge.https"]

    assert asyncio.run(found(new)) == ["ok shows the certificate of the file"]
    (told,) = asyncio.run(found(old))
    assert told.startswith("warning shows another certificate")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    found = check("tls", "edge", f"edge.tls.cert_file={tmp_path / 'no.pem'}", f"edge.tls.key_file={tmp_path / 'no.key'}")
    assert "No such file" in told(found)


# names, machine, ways


def test_a_name_that_nobody_knows_is_told() -> None:
    found = check("names", "edge", "cluster.schedulers=scheduler.invalid:50051,127.0.0.1:50051", "edge.advertise.host=localhost")
    by_key = {(each.subject, str(each.status)) for each in found}
    assert by_key == {("cluster.schedulers", "failed"), ("cluster.schedulers", "ok"), ("edge.advertise.host", "warning")}, told(
        found
    )


def test_every_host_that_a_role_asks_is_looked_up() -> None:
    sets = (
        "cluster.schedulers=127.0.0.1:50051",
        "telemetry.traces.endpoint=http://collector.invalid:4317",
        "auth.callback.url=https://callback.invalid/allow",
        "auth.jwt.jwks_url=https://keys.invalid/jwks.json",
        "notify.receivers=one http://receiver.invalid:8080/events",
    )
    by_role: dict[Role, set[str]] = {
        "edge": {"telemetry.traces.endpoint", "auth.callback.url", "auth.jwt.jwks_url"},
        "scheduler": {"telemetry.traces.endpoint", "notify.receivers"},
        "origin": {"telemetry.traces.endpoint"},
    }
    for role, keys in by_role.items():
        found = check("names", role, *sets)
        assert {each.subject for each in found if each.status is Status.FAILED} == keys, told(found)


def test_this_machine_has_limits_and_a_kernel() -> None:
    assert {each.subject for each in check("limits", "edge")} == {"nofile"}
    subjects = {each.subject for each in check("kernel", "edge")}
    assert subjects >= {"UDP GSO", "UDP GRO", "SO_REUSEPORT", "io_submit", "net.core.rmem_max", "net.core.wmem_max"}
    assert check("kernel", "origin") == []


def test_a_datagram_to_this_machine_arrives_and_one_that_somebody_takes_is_not_known() -> None:
    async def ways() -> list[UdpWay]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((LOOPBACK, 0))
            port = sock.getsockname()[1]
            taken = await udp_way(LOOPBACK, port)
        return [taken, await udp_way(LOOPBACK, port)]

    assert asyncio.run(ways()) == [UdpWay.UNKNOWN, UdpWay.ARRIVED]


def test_a_whole_examination_by_the_command_leaves_in_time_though_a_name_hangs(tmp_path: Path) -> None:
    """The resolver waits longer than the check: its thread is left behind."""
    slow = "import socket, time; socket.getaddrinfo = lambda *_, **__: time.sleep(60)\n"
    command = [sys.executable, "-c", f"{slow}from services.standalone.cli import main; main()", "doctor", "--role", "edge"]
    began = time.monotonic()
    with Child([*command, "--limit", "1"], log=tmp_path / "doctor.log") as child:
        wait_until("its end", lambda: not child.running, 20)
        assert "failed" in child.output()
        assert time.monotonic() - began < 15


@pytest.mark.parametrize("off_s", [-90, -5, 0, 5, 90])
def test_a_clock_that_goes_wrong_is_told(off_s: int) -> None:
    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802 - the name that is called
            self.answer(200, b"", "text/plain")

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() + off_s)

    with HttpThread(Handler) as store:
        found = check("clock", "hls", "hls.storage.url=s3://media", f"hls.storage.endpoint={store.root}", "cluster.schedulers=")
    (of_the_store,) = (each for each in found if each.subject == "storage")
    assert of_the_store.status == {90: "failed", 5: "warning", 0: "ok"}[abs(off_s)]
    assert not off_s or ("ahead of" if off_s > 0 else "behind") in of_the_store.found


# a machine that lacks something: namespaces of its own, in which it is so


def in_a_machine(script: str, role: Role, *sets: str) -> dict[tuple[str, str], dict[str, str]]:
    """Findings by check and subject, of the command where a script has run before it."""
    words = [part for text in sets for part in ("--set", text)]
    command = [PROGRAM, "doctor", "--role", role, "--json", "--limit", "2", *words]
    apart = ["unshare", "--net", "--mount", "--propagation", "private", "/bin/sh", "-ec", f'{script}\nexec "$@"', "sh"]
    done = subprocess.run([*apart, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout, done.stderr
    return {(each["check"], each["subject"]): each for each in json.loads(done.stdout)["findings"]}


needs_root = pytest.mark.skipif(not can_make_namespaces(), reason="machines are namespaces, which need root")


@needs_root
def test_few_descriptors_a_short_backlog_and_ports_that_others_are_given_are_told() -> None:
    script = """
        ip link set lo up
        ulimit -n 600
        echo 100 >/proc/sys/net/core/somaxconn
        echo 20500 60999 >/proc/sys/net/ipv4/ip_local_port_range"""
    found = in_a_machine(script, "edge", "edge.limits.connections=500", "edge.rtsp.udp_ports=20000-20999")
    few = found["limits", "nofile"]
    assert (few["status"], few["found"]) == ("failed", "at most 600 open files and sockets")
    backlog = found["kernel", "net.core.somaxconn"]
    assert (backlog["status"], "100 connections wait" in backlog["found"]) == ("warning", True)
    ports = found["ports", "edge.rtsp.udp_ports"]
    remedy = "sysctl net.ipv4.ip_local_reserved_ports=20500-20999, or ports outside of 20500-60999"
    assert (ports["status"], ports["remedy"]) == ("warning", remedy)


@needs_root
@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ("mount -t tmpfs -o size=300k tmpfs {0}; head -c 250000 /dev/zero >{0}/full", "No space"),
        ("mount -t tmpfs tmpfs {0}; mount -o remount,ro {0}", "Read-only"),
    ],
)
def test_a_disk_that_is_full_or_cannot_be_written_is_told(lacking: str, said: str, tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    sets = (f"hls.storage.url={media}", f"hls.recording.spool_dir={tmp_path / 'spool'}")
    found = in_a_machine(lacking.format(media), "hls", *sets)["storage", str(media)]
    assert found["status"] == "failed"
    assert said in found["found"]
    assert found["remedy"] == "a disk with room that can be written"


@needs_root
@pytest.mark.skipif(not policies.available(), reason="no nftables here")
def test_a_firewall_on_the_way_is_told() -> None:
    rules = "table inet way { chain in { type filter hook input priority 0; tcp dport 50051 drop; }; }"
    found = in_a_machine(f"ip link set lo up; echo '{rules}' | {policies.NFT} -f -", "edge", "cluster.schedulers=127.0.0.1:50051")
    way = found["path", "scheduler 127.0.0.1:50051"]
    assert (way["status"], way["found"].startswith("no answer in")) == ("failed", True)
    assert "firewall" in way["remedy"]
