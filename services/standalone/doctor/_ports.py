"""Whether the listeners of the role could listen, and who has their ports if not."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from lalmesh.runtime.addresses import host_port
from lalmesh.runtime.config import Config, Role
from services.standalone.doctor._finding import Finding, failed, ok, warning
from services.standalone.doctor._owners import LOOK, UNSEEN, Owner, owner_of
from services.standalone.doctor._place import Place
from services.standalone.doctor._threads import in_thread
from services.standalone.doctor._udp_ports import look_at_udp
from services.standalone.workers import grpc_port, worker_count


@dataclass(slots=True, frozen=True)
class Listener:
    """Something that is to listen."""

    key: str  #: its section of the configuration
    host: str
    port: int


def edge_listeners(config: Config) -> list[Listener]:
    """TCP of an edge."""
    return [Listener(f"edge.{name}", each.host, each.port) for name, each in config.edge.listeners.items()]


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
        count = worker_count(config, role)
        ports = dict.fromkeys(grpc_port(config.origin, number, count) for number in range(1, count + 1))
        found += [Listener("origin.grpc", config.origin.grpc.host, port) for port in ports]
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
        return warning(key, f"{where} is in use, {UNSEEN}", f"{LOOK}, or take another port")
    if owner.is_ours:
        return ok(key, f"{where} is in use by {owner.name}")
    return failed(key, f"{where} is in use by {owner.name}", f"end that, or set {key}.port to another")


async def check_ports(place: Place) -> list[Finding]:
    """The listeners of the role can listen."""
    found = await in_thread(_look, place.config, place.role)
    if place.has("edge"):
        found += await in_thread(look_at_udp, place.config.edge, worker_count(place.config, place.role))
    return found


def _look(config: Config, role: Role) -> list[Finding]:
    found = []
    for listener in listeners(config, role):
        if not listener.port:
            found.append(ok(listener.key, "takes a free port"))
            continue
        error = try_to_listen(listener.host, listener.port)
        found.append(judge_port(listener, error, owner_of((listener.port,)) if error == errno.EADDRINUSE else None))
    return found


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
