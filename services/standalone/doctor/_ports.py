"""Whether the listeners of the role could listen, and who has their ports if not."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lalmesh.runtime.addresses import host_port
from lalmesh.runtime.config import SHARED_PORTS, Config, Role
from services.standalone.doctor._finding import Finding, failed, ok, warning
from services.standalone.doctor._place import Place
from services.standalone.doctor._threads import in_thread

_LISTENS = "0A"  # proc(5), /proc/net/tcp
EPHEMERAL_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
RESERVED_FILE = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
SCARCE = 0.1  #: of a range of UDP ports: with fewer free than this part, somebody else uses it


@dataclass(slots=True, frozen=True)
class Listener:
    """Something that is to listen."""

    key: str  #: its section of the configuration
    host: str
    port: int


@dataclass(slots=True, frozen=True)
class Owner:
    """Who has a port."""

    pid: int
    command: str

    @property
    def program(self) -> str:
        """What runs."""
        return Path(self.command.partition(" ")[0]).name or "?"

    @property
    def is_ours(self) -> bool:
        """Whether it is a lalmesh."""
        return any(Path(word).name.startswith("lalmesh") for word in self.command.split())


def edge_listeners(config: Config) -> list[Listener]:
    """TCP of an edge."""
    edge = config.edge
    wanted = (
        ("rtmp", edge.rtmp.enable, edge.rtmp.host, edge.rtmp.port),
        ("rtmps", edge.rtmps_enabled, edge.rtmps.host, edge.rtmps.port),
        ("rtsp", edge.rtsp.enable, edge.rtsp.host, edge.rtsp.port),
        ("rtsps", edge.rtsps_enabled, edge.rtsps.host, edge.rtsps.port),
        ("ws_rtsp", edge.ws_rtsp.enable, edge.ws_rtsp.host, edge.ws_rtsp.port),
        ("http", edge.http.enable, edge.http.host, edge.http.port),
        ("https", edge.https_enabled, edge.https.host, edge.https.port),
    )
    return [Listener(f"edge.{name}", host, port) for name, enabled, host, port in wanted if enabled]


def listeners(config: Config, role: Role) -> list[Listener]:
    """TCP of a process of the role. Standalone has no gRPC: its roles are in one process."""
    hls, scheduler, alone = config.hls, config.scheduler, role == "standalone"
    found = [Listener("metrics", config.metrics.host, config.metrics.port)]
    if alone or role == "edge":
        found += edge_listeners(config)
    if alone or role == "hls":
        found.append(Listener("hls.http", hls.http.host, hls.http.port))
        if hls.https_enabled:
            found.append(Listener("hls.https", hls.https.host, hls.https.port))
    if role == "hls":
        found.append(Listener("hls.grpc", hls.grpc.host, hls.grpc.port))
    if role == "origin":
        found.append(Listener("origin.grpc", config.origin.grpc.host, config.origin.grpc.port))
    if alone or role == "scheduler":
        found.append(Listener("scheduler.http", scheduler.http.host, scheduler.http.port))
    if role == "scheduler":
        found.append(Listener("scheduler.grpc", scheduler.grpc.host, scheduler.grpc.port))
    return found


def judge_port(listener: Listener, error: int, owner: Owner | None) -> Finding:
    """What it means that listening failed with `error` (0: it did not); `owner` is who has the port, where that can be seen."""
    where = host_port(listener.host, listener.port)
    match error:
        case 0:
            return ok(listener.key, f"{where} is free")
        case errno.EADDRINUSE:
            return _in_use(listener.key, where, owner)
        case errno.EACCES:
            return failed(
                listener.key,
                f"{where} is not allowed for this user",
                "sysctl net.ipv4.ip_unprivileged_port_start=0, the capability NET_BIND_SERVICE, or a port above 1023",
            )
        case errno.EADDRNOTAVAIL:
            return failed(
                listener.key, f"this machine has no address {listener.host}", f"set {listener.key}.host to one that it has"
            )
        case _:
            found = f"{where}: {errno.errorcode.get(error, error)}"
            return failed(listener.key, found, f"set {listener.key}.host and port to what can be listened on")


def _in_use(key: str, where: str, owner: Owner | None) -> Finding:
    if owner is None:
        remedy = "if it is not the node itself: run this as root to see who it is, or take another port"
        return warning(key, f"{where} is in use, by whom this user cannot see", remedy)
    if owner.is_ours:
        return ok(key, f"{where} is in use by lalmesh, process {owner.pid}")
    found = f"{where} is in use by {owner.program}, process {owner.pid}"
    return failed(key, found, f"end that, or set {key}.port to another")


def judge_udp_range(first: int, last: int, free: int, ephemeral: tuple[int, int], reserved: Iterable[range]) -> Iterator[Finding]:
    """Whether a range of UDP ports is there for RTP.

    Args:
        first: of the range.
        last: of the range, which is in it.
        free: how many of them can be bound now.
        ephemeral: first and last of those that the system gives to whoever asks for any.
        reserved: which of these it does not give.
    """
    count, subject = last - first + 1, "edge.rtsp.udp_ports"
    if not free:
        yield failed(subject, f"none of {first}-{last} is free", "take another range: something has all of these")
    elif free < count * SCARCE:
        yield warning(
            subject, f"{free} of {first}-{last} are free", "a larger range, or `shared`: tracks wait for free ones otherwise"
        )
    else:
        yield ok(subject, f"{free} of {count} ports in {first}-{last} are free")
    shared = range(max(first, ephemeral[0]), min(last, ephemeral[1]) + 1)
    if shared and not any(each.start <= shared.start and shared.stop <= each.stop for each in reserved):
        yield warning(
            subject,
            f"{shared.start}-{shared.stop - 1} are also given to whoever asks for any port",
            f"sysctl net.ipv4.ip_local_reserved_ports={shared.start}-{shared.stop - 1}",
        )


def parse_ports(text: str) -> list[range]:
    """Ports as the kernel lists them: ``8080,20000-20999``."""
    found = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found.append(range(int(first), int(last or first) + 1))
    return found


async def check_ports(place: Place) -> list[Finding]:
    """The listeners of the role can listen."""
    return await in_thread(_look, place.config, place.role)


def _look(config: Config, role: Role) -> list[Finding]:
    found = []
    for listener in listeners(config, role):
        if not listener.port:
            found.append(ok(listener.key, "takes a free port"))
            continue
        error = try_to_listen(listener.host, listener.port)
        found.append(judge_port(listener, error, owner_of(listener.port) if error == errno.EADDRINUSE else None))
    rtsp = config.edge.rtsp
    if role in ("standalone", "edge") and (rtsp.enable or config.edge.ws_rtsp.enable):
        found += _look_at_udp(rtsp.host, rtsp.udp_ports, rtsp.shared_udp_port)
    return found


def _look_at_udp(host: str, ports: str, shared: int) -> list[Finding]:
    if ports == SHARED_PORTS:
        if not shared:
            return [ok("edge.rtsp.shared_udp_port", "takes two free UDP ports")]
        taken = [port for port in (shared, shared + 1) if not can_bind_udp(host, port)]
        if not taken:
            return [ok("edge.rtsp.shared_udp_port", f"UDP {shared} and {shared + 1} are free")]
        found = f"UDP {' and '.join(map(str, taken))} in use"
        return [warning("edge.rtsp.shared_udp_port", found, "if it is not the node itself: end what has it, or take another port")]
    first, last = map(int, ports.split("-"))
    free = sum(can_bind_udp(host, port) for port in range(first, last + 1))
    low, high = map(int, EPHEMERAL_FILE.read_text().split()) if EPHEMERAL_FILE.exists() else (0, -1)
    reserved = parse_ports(RESERVED_FILE.read_text()) if RESERVED_FILE.exists() else []
    return list(judge_udp_range(first, last, free, (low, high), reserved))


def try_to_listen(host: str, port: int) -> int:
    """Listen for a moment, as the node would; gives the number of the error, 0 where there is none."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind, protocol) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(1)
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def can_bind_udp(host: str, port: int) -> bool:
    """Whether a UDP port is free."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((host, port))
        except OSError:
            return False
        return True


def owner_of(port: int) -> Owner | None:
    """Who listens on a TCP port; None where that cannot be seen."""
    sockets = {f"socket:[{inode}]" for file in ("tcp", "tcp6") for inode in _listening(Path("/proc/net", file), port)}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()) in sockets for link in (process / "fd").iterdir()):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                return Owner(int(process.name), command.strip())
        except OSError:  # it has ended, or is another user's
            continue
    return None


def _listening(table: Path, port: int) -> Iterator[str]:
    try:
        rows = table.read_text().splitlines()[1:]
    except OSError:
        return
    for row in rows:
        fields = row.split()
        if fields[3] == _LISTENS and fields[1].endswith(f":{port:04X}"):
            yield fields[9]
