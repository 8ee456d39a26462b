"""Whether the UDP ports of RTP are there, for how many, and whether they stay so. Who gets none (461) has TCP."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lalmesh.runtime.config import UDP_PAIR, EdgeConfig
from services.standalone.doctor._finding import Finding, failed, ok, warning
from services.standalone.doctor._owners import LOOK, UNSEEN, Owner, owner_of

EPHEMERAL_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
RESERVED_FILE = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
RANGE_KEY, SHARED_KEY = "edge.rtsp.udp_ports", "edge.rtsp.shared_udp_port"
TRACKS = 2  #: of most clients: video and sound
SCARCE = 0.1  #: part of a range


@dataclass(slots=True, frozen=True)
class UdpPorts:
    """Those that an edge may open."""

    key: str  #: of the configuration
    first: int  #: even
    last: int  #: odd

    @property
    def is_shared(self) -> bool:
        """Whether all clients of a worker have one pair."""
        return self.key == SHARED_KEY

    @property
    def pairs(self) -> range:
        """The first of each."""
        return range(self.first, self.last, UDP_PAIR)

    @property
    def scarce_below(self) -> float:
        """With fewer pairs free, of a range, somebody uses it."""
        return len(self.pairs) * SCARCE

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


def udp_ports(edge: EdgeConfig, workers: int) -> UdpPorts | None:
    """Those of all `workers` of an edge; None where it opens none, or whichever are free."""
    rtsp = edge.rtsp
    if not rtsp.enable:  # RTSPS and RTSP over WebSocket use none
        return None
    if rtsp.udp_range is not None:
        return UdpPorts(RANGE_KEY, rtsp.udp_range[0], rtsp.udp_range[-1])
    first = rtsp.shared_udp_port
    return UdpPorts(SHARED_KEY, first, first + UDP_PAIR * workers - 1) if first else None


def judge_pairs(ports: UdpPorts, free: int, owner: Owner | None) -> Finding:
    """Whether tracks get pairs of their own, of which `free` are nobody's; `owner` is who has others, where that can be seen."""
    whose = f"others are in use, {UNSEEN}" if owner is None else f"others are in use by {owner.name}"
    found = f"{free} of {len(ports.pairs)} pairs in {ports} are free"
    if free >= ports.scarce_below:
        return ok(ports.key, f"{found}: enough for {free // TRACKS} clients with video and sound")
    if not free and owner is not None and not owner.is_ours:
        return failed(ports.key, f"{found}, {whose}", f"end that, or set {ports.key} to another range")
    return warning(ports.key, f"{found}, {whose}", "a larger range, or `shared`: clients that get none use TCP, or do not play")


def judge_shared(ports: UdpPorts, taken: Sequence[int], owner: Owner | None) -> Finding:
    """Whether the pair that all clients share, each worker's, can be had; `taken` are those that cannot."""
    if not taken:
        return ok(ports.key, f"UDP {ports} are free")
    found = f"UDP {', '.join(map(str, taken))} in use"
    if owner is None:
        return warning(ports.key, f"{found}, {UNSEEN}", f"{LOOK}, or take another port")
    if owner.is_ours:
        return ok(ports.key, f"{found} by {owner.name}")
    return failed(ports.key, f"{found} by {owner.name}", f"end that, or set {ports.key} to another")


def judge_ephemeral(ports: UdpPorts, ephemeral: tuple[int, int], reserved: Sequence[range]) -> Iterator[Finding]:
    """Whether others may be given the ports.

    Args:
        ports: the edge's.
        ephemeral: first and last of those that the system gives to whoever asks for any.
        reserved: which of these it does not give.
    """
    first, last = max(ports.first, ephemeral[0]), min(ports.last, ephemeral[1])
    if first > last or any(each.start <= first and last < each.stop for each in reserved):
        return
    kept = ",".join([*(f"{each.start}-{each[-1]}" if len(each) > 1 else f"{each.start}" for each in reserved), f"{first}-{last}"])
    yield warning(
        ports.key,
        f"{first}-{last} are also given to whoever asks for any port",
        f"sysctl net.ipv4.ip_local_reserved_ports={kept}, or ports outside of {ephemeral[0]}-{ephemeral[1]}",
    )


def parse_ports(text: str) -> list[range]:
    """Ports as the kernel lists them: ``8080,20000-20999``."""
    found = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found.append(range(int(first), int(last or first) + 1))
    return found


def look_at_udp(edge: EdgeConfig, workers: int) -> list[Finding]:
    """What is found of the UDP ports of an edge."""
    host, ports = edge.rtsp.host, udp_ports(edge, workers)
    if ports is None:
        return [ok(SHARED_KEY, "takes free UDP ports")] if edge.rtsp.enable else []
    if not can_bind_udp(host, 0):  # no address of this machine, as is told of the listener
        return []
    taken = [port for port in range(ports.first, ports.last + 1) if not can_bind_udp(host, port)]
    free = len(ports.pairs) - len({port // UDP_PAIR for port in taken})
    owner = owner_of(taken, "udp") if taken and (ports.is_shared or free < ports.scarce_below) else None
    finding = judge_shared(ports, taken, owner) if ports.is_shared else judge_pairs(ports, free, owner)
    low, high = map(int, EPHEMERAL_FILE.read_text().split()) if EPHEMERAL_FILE.exists() else (0, -1)
    reserved = parse_ports(RESERVED_FILE.read_text()) if RESERVED_FILE.exists() else []
    return [finding, *judge_ephemeral(ports, (low, high), reserved)]


def can_bind_udp(host: str, port: int) -> bool:
    """Whether a UDP port is free."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((host, port))
        except (OSError, OverflowError):
            return False
        return True
