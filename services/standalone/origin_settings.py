"""From the configuration to what an origin is built with."""

from __future__ import annotations

from lalmesh.runtime.config import CapacityConfig, Config
from lalmesh.runtime.ring import TRIM_US, RingLimits
from lalmesh.runtime.scheduling import Capacity
from services.origin.app import OriginSettings
from services.origin.group import GroupSettings
from services.standalone import settings


def origin_settings(config: Config) -> OriginSettings:
    """What an origin is built with."""
    origin = config.origin
    ring = RingLimits(
        keep_us=int(config.edge.publish.replay_s * 1e6),
        trim_us=TRIM_US,
        gop_num=origin.gop_num,
        audio_cache_us=origin.audio_cache_ms * 1000,
        max_us=int(origin.ring.max_s * 1e6),
        max_bytes=origin.ring.max_bytes,
        max_units=origin.ring.max_units,
    )
    return OriginSettings(
        member=settings.member(config, origin.advertise_host, _capacity(origin.capacity)),
        grpc_host=origin.grpc.host,
        grpc_port=origin.grpc.port,
        groups=GroupSettings(ring=ring, grace_s=origin.grace_s, remembered_num=config.cluster.remembered_num),
        link=settings.link_limits(config),
        stream_series=config.telemetry.stream_series,
    )


def _capacity(config: CapacityConfig) -> Capacity:
    return Capacity(
        egress_bps=config.egress_bps,
        sessions=config.sessions,
        streams=config.streams,
        memory_bytes=config.memory_bytes,
        cpu_fraction=config.cpu_percent / 100,
    )
