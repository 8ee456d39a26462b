"""The way from this machine to the other nodes: gRPC with the cluster key, TCP to listeners, packet sizes, UDP."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import grpc
import grpc.aio

from lalmesh.errors import LalmeshError, Unavailable
from lalmesh.protocol.rtp import MAX_PACKET_BYTES
from lalmesh.runtime.addresses import host_port
from lalmesh.runtime.channels import Channels, ended_calls_raise
from lalmesh.runtime.config import Config
from services.standalone import settings
from services.standalone.doctor._cluster import NodeSeen
from services.standalone.doctor._finding import Finding, failed, ok, skipped, warning
from services.standalone.doctor._place import Place
from services.standalone.doctor._reach import Reached, Unreached, reach, split

MAX_NODES_DIALLED = 50
FAR_MS = 150.0  #: beyond it `cluster.link.dead_s` and the heartbeats should be looked at
IP_UDP_BYTES = 48  #: headers of IPv6 and UDP; those of IPv4 are smaller
UDP_WAIT_S = 0.5  #: for a machine to say that nobody listens there
_DONT_FRAGMENT = (socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO: linux/in.h

_LOCATE = "/lalmesh.v1.Scheduler/Locate"
_KNOWN_METHOD = {"origin": "/lalmesh.v1.Origin/Link", "hls": "/lalmesh.v1.Hls/Fetch"}


class UdpWay(StrEnum):
    """What became of a datagram."""

    ARRIVED = "arrived"  #: the machine said that nobody has the port
    UNKNOWN = "unknown"  #: nobody said anything
    TOO_LARGE = "too_large"  #: it does not fit the way


@dataclass(slots=True, frozen=True)
class Answered:
    """What a gRPC server said to a question that asks for nothing."""

    code: grpc.StatusCode
    details: str


def judge_grpc(subject: str, reached: Reached | Unreached, answered: Answered | None) -> Finding:
    """Whether a node can be spoken with."""
    if isinstance(reached, Unreached):
        return failed(subject, reached.reason, reached.remedy)
    if answered is None or answered.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        said = f": {answered.details}" if answered and answered.details else ""
        return failed(
            subject,
            f"takes connections, and answers no gRPC{said}",
            "cluster.tls on both sides, or on neither; certificates of one authority, for the names that nodes are reached by",
        )
    if answered.code is grpc.StatusCode.UNAUTHENTICATED:
        return failed(
            subject, "does not take our cluster key", "the same cluster.key everywhere; while it is replaced, previous_key"
        )
    if reached.took_ms > FAR_MS:
        return warning(
            subject, f"answers, {reached.took_ms:.0f} ms away", "raise cluster.link.dead_s and silence_s, or bring them closer"
        )
    return ok(subject, f"answers, {reached.took_ms:.1f} ms away")


def judge_mtu(subject: str, mtu_bytes: int) -> Iterator[Finding]:
    """Whether packets of RTP fit a way."""
    needed = MAX_PACKET_BYTES + IP_UDP_BYTES
    if 0 < mtu_bytes < needed:
        found = f"packets of at most {mtu_bytes} bytes, and RTP needs {needed}: each picture goes in fragments"
        yield warning(subject, found, "raise the MTU of the tunnel or overlay network on the way")


def judge_udp(subject: str, way: UdpWay) -> Finding:
    """What it means what became of a datagram."""
    if way is UdpWay.ARRIVED:
        return ok(subject, "UDP gets there")
    if way is UdpWay.TOO_LARGE:
        return warning(subject, f"datagrams of {MAX_PACKET_BYTES} bytes do not fit the way", "raise the MTU of the way")
    found = "no word of a datagram that was sent: dropped on the way, or taken in silence"
    return skipped(subject, found, "if RTSP over UDP does not play, let edge.rtsp.udp_ports through firewalls")


async def check_path(place: Place) -> list[Finding]:
    """Schedulers and nodes are reached from here, and know our key."""
    if place.role == "standalone":
        return [ok("nodes", "all roles are in one process")]
    try:
        channels = settings.channels(place.config, settings.cluster_keys(place.config))
    except LalmeshError as error:
        return [failed("cluster.tls", str(error), "mend the files of cluster.tls")]
    limit_s = place.limit_s / 4
    found: list[Finding] = []
    if place.role != "scheduler":
        asked = (_dial(channels, each, f"scheduler {each}", "", limit_s) for each in place.config.cluster.schedulers)
        found += [finding for findings in await asyncio.gather(*asked) for finding in findings]
    view = await place.cluster()
    nodes = [node for node in view.nodes if node.state != "away"][:MAX_NODES_DIALLED]
    to_nodes = await asyncio.gather(*(_to_node(place.config, channels, node, limit_s) for node in nodes))
    return found + [finding for findings in to_nodes for finding in findings]


async def _to_node(config: Config, channels: Channels, node: NodeSeen, limit_s: float) -> list[Finding]:
    subject = f"{node.role} {node.name}"
    found: list[Finding] = []
    if node.address:
        found += await _dial(channels, node.address, subject, _KNOWN_METHOD.get(node.role, ""), limit_s)
    seen_host = ""
    for protocol, host, port in node.endpoints:
        reached = await reach(host, port, limit_s)
        where = f"{subject} {protocol} {host_port(host, port)}"
        if isinstance(reached, Unreached):
            found.append(failed(where, reached.reason, reached.remedy))
            continue
        found.append(ok(where, f"open, {reached.took_ms:.1f} ms away"))
        if host != seen_host:
            found += judge_mtu(f"{subject} {host}", reached.mtu_bytes)
        seen_host = host
    if node.role == "edge" and seen_host:
        found.append(judge_udp(f"{subject} {seen_host}", await udp_way(seen_host, _udp_port(config))))
    return found


def _udp_port(config: Config) -> int:
    rtsp = config.edge.rtsp
    return rtsp.shared_udp_port if rtsp.udp_range is None else rtsp.udp_range[-1]


async def _dial(channels: Channels, address: str, subject: str, method: str, limit_s: float) -> list[Finding]:
    reached = await reach(*split(address), limit_s)
    answered = await ask(channels, address, method or _LOCATE, limit_s) if isinstance(reached, Reached) else None
    mtu = list(judge_mtu(subject, reached.mtu_bytes)) if isinstance(reached, Reached) else []
    return [judge_grpc(subject, reached, answered), *mtu]


def _as_it_is(message: bytes) -> bytes:
    return message


async def ask(channels: Channels, address: str, method: str, limit_s: float) -> Answered | None:
    """What it says to an empty request; whatever that is, but a refusal of the token, it has heard us."""
    channel = channels.dial(address)
    try:
        with ended_calls_raise():
            if method == _LOCATE:
                await channel.unary_unary(method, _as_it_is, _as_it_is)(b"", timeout=limit_s)
            elif method == _KNOWN_METHOD["hls"]:
                async for _ in channel.unary_stream(method, _as_it_is, _as_it_is)(b"", timeout=limit_s):
                    pass
            else:
                async for _ in channel.stream_stream(method, _as_it_is, _as_it_is)(iter(()), timeout=limit_s):
                    pass
    except grpc.aio.AioRpcError as error:
        return Answered(error.code(), error.details() or "")
    except Unavailable as error:  # the connection failed just as what goes to it came to its end
        return Answered(grpc.StatusCode.UNAVAILABLE, str(error))
    finally:
        await channel.close(None)
    return Answered(grpc.StatusCode.OK, "")


async def udp_way(host: str, port: int) -> UdpWay:
    """Send one datagram as large as those of RTP, not to be cut on the way, to a port that hardly anybody has."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(*_DONT_FRAGMENT)
        try:
            sock.connect((host, port))
            sock.send(bytes(MAX_PACKET_BYTES))
            async with asyncio.timeout(UDP_WAIT_S):
                await loop.sock_recv(sock, 1)
        except ConnectionRefusedError:
            return UdpWay.ARRIVED
        except TimeoutError:
            return UdpWay.UNKNOWN
        except OSError as error:
            return UdpWay.TOO_LARGE if error.errno == errno.EMSGSIZE else UdpWay.UNKNOWN
        return UdpWay.UNKNOWN
