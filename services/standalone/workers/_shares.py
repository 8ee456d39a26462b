"""The configuration of a worker: that of its node, with its share of what is of all workers together."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

from lalmesh.runtime.config import (
    UDP_PAIR,
    ClusterConfig,
    ClusterTlsConfig,
    Config,
    ConfigError,
    EdgeConfig,
    OriginConfig,
    Problem,
    Role,
    RtspConfig,
)
from services.standalone.workers._worker import CORE, Worker

LOOPBACK = "127.0.0.1"
MAX_PORT = (1 << 16) - 1

_Section = TypeVar("_Section", bound=BaseModel)


def share_of(config: Config, role: Role, worker: Worker) -> Config:
    """What `worker` is to go by, a node of `role`. All of it is told with the supervisor: health and metrics are on the loopback.

    Raises:
        ConfigError: there are not enough ports for all workers.
    """
    parts: dict[str, Any] = {
        "cluster": _cluster(config.cluster, worker),
        "metrics": _with(config.metrics, host=LOOPBACK, port=0),
    }
    if worker.number == CORE:
        grpc = {"host": LOOPBACK, "port": worker.scheduler_port}
        parts["scheduler"] = _with(config.scheduler, grpc=_with(config.scheduler.grpc, **grpc))
        origin = config.origin
        parts["origin"] = _with(origin, advertise_host=LOOPBACK, grpc=_with(origin.grpc, host=LOOPBACK, port=0))
    if role == "edge":
        parts["edge"] = _edge(config.edge, worker)
    if role == "origin":
        parts["origin"] = _origin(config.origin, worker)
    return _with(config, **parts)


def _cluster(cluster: ClusterConfig, worker: Worker) -> ClusterConfig:
    """Who the worker is. Those of a standalone server have one of their own, on the loopback, and wait for nobody at the end."""
    own = cluster if worker.number == CORE else _with(cluster, node=worker.name)
    if not worker.scheduler_port:
        return own
    return _with(own, schedulers=(f"{LOOPBACK}:{worker.scheduler_port}",), tls=ClusterTlsConfig(), drain_s=0.0)


def _edge(edge: EdgeConfig, worker: Worker) -> EdgeConfig:
    listeners = {
        name: _with(listener, port=worker.ports[name]) for name, listener in edge.listeners.items() if name in worker.ports
    }
    listeners["rtsp"] = _with(listeners.get("rtsp", edge.rtsp), **_udp(edge.rtsp, worker))
    return _with(
        edge,
        workers=1,
        capacity=_divided(edge.capacity, worker.count),
        limits=_with(edge.limits, connections=_share(edge.limits.connections, worker.count)),
        hls=_with(edge.hls, cache_bytes=_share(edge.hls.cache_bytes, worker.count)),
        **listeners,
    )


def _origin(origin: OriginConfig, worker: Worker) -> OriginConfig:
    return _with(
        origin,
        workers=1,
        capacity=_divided(origin.capacity, worker.count),
        grpc=_with(origin.grpc, port=grpc_port(origin, worker.number, worker.count)),
    )


def grpc_port(origin: OriginConfig, number: int, count: int) -> int:
    """Of one of `count` workers of an origin: behind that of the one before it; 0, a free one, where that is configured.

    Raises:
        ConfigError: there are no ports behind the configured one.
    """
    first = origin.grpc.port
    if first + count - 1 > MAX_PORT:
        raise ConfigError([Problem("origin.grpc.port", f"no {count} ports begin at {first}: one for each of origin.workers")])
    return first + number - 1 if first else 0


def _udp(rtsp: RtspConfig, worker: Worker) -> dict[str, Any]:
    """Ports that the kernel could not share out: what comes to them is of one client, who is at one worker."""
    ports = rtsp.udp_range
    if ports is None:
        first = rtsp.shared_udp_port
        if first + UDP_PAIR * worker.count - 1 > MAX_PORT:
            text = f"no {UDP_PAIR * worker.count} ports begin at {first}: two for each of edge.workers"
            raise ConfigError([Problem("edge.rtsp.shared_udp_port", text)])
        return {"shared_udp_port": first + UDP_PAIR * (worker.number - 1) if first else 0}
    pairs = len(ports) // UDP_PAIR
    if pairs < worker.count:
        raise ConfigError([Problem("edge.rtsp.udp_ports", f"pairs of ports for {pairs} of {worker.count} workers (edge.workers)")])
    begin, end = (ports[0] + UDP_PAIR * (pairs * number // worker.count) for number in (worker.number - 1, worker.number))
    return {"udp_ports": f"{begin}-{end - 1}"}


def _divided(capacity: _Section, count: int) -> _Section:
    of_all: dict[str, int | float] = {name: getattr(capacity, name) for name in type(capacity).model_fields}
    return _with(
        capacity, **{name: each / count if isinstance(each, float) else _share(each, count) for name, each in of_all.items()}
    )


def _share(of_all: int, count: int) -> int:
    """Rounded up, so that all together are no less; of nothing, which says that there is no limit, nothing."""
    return -(-of_all // count)


def _with(section: _Section, **values: Any) -> _Section:
    changed: _Section = section.model_copy(update=values)
    return changed
