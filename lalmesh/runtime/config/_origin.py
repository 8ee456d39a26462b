"""The section `origin`: where its gRPC listens, what a group keeps, what the node can carry."""

from __future__ import annotations

from pydantic import Field

from lalmesh.runtime.config._base import ConfigModel, Host, OptionalHost, Port, live_keys
from lalmesh.runtime.config._workers import Workers


class OriginGrpcConfig(ConfigModel):
    """The gRPC listener that edges open their links to."""

    host: Host = Field(default="0.0.0.0", description="Address to listen on.")
    port: Port = Field(default=50052, description="TCP port; 0 takes a free one.")


class RingConfig(ConfigModel):
    """The most that a group keeps of its stream, whichever bound is met first. Streams that are there already keep theirs."""

    live = live_keys("max_s max_bytes max_units")

    max_s: float = Field(default=60.0, ge=1, le=600, description="Seconds of media.")
    max_bytes: int = Field(default=64 << 20, ge=1 << 20, le=4 << 30, description="Bytes of media.")
    max_units: int = Field(default=20_000, ge=100, le=1_000_000, description="Access units.")


class CapacityConfig(ConfigModel):
    """What placement may load this origin with; how loaded it is, is its share of the fullest of these."""

    live = live_keys("streams egress_bps sessions cpu_percent memory_bytes")

    streams: int = Field(default=0, ge=0, le=1_000_000, description="Streams at a time; 0: no limit.")
    egress_bps: int = Field(default=0, ge=0, le=10**13, description="Bits a second that are sent; 0: no limit.")
    sessions: int = Field(default=0, ge=0, le=10_000_000, description="Readers of all streams together; 0: no limit.")
    cpu_percent: float = Field(default=0.0, ge=0, le=100, description="Processor time of all usable cores; 0: no limit.")
    memory_bytes: int = Field(default=0, ge=0, le=1 << 50, description="Memory of the process; 0: no limit.")


class OriginConfig(ConfigModel):
    """An origin: holds the groups of streams."""

    live = live_keys("gop_num audio_cache_ms grace_s")

    workers: Workers = Field(
        default=1,
        description="Processes, a core each, that streams are spread over; auto: one for each core that may be used. "
        "Capacity is of all together. They listen on grpc.port and the ports behind it.",
    )
    advertise_host: OptionalHost = Field(default="", description="Host that edges reach this origin by; empty: the node's address.")
    gop_num: int = Field(default=1, ge=1, le=100, description="Groups of pictures that a group keeps for joins.")
    audio_cache_ms: int = Field(default=2000, ge=0, le=60_000, description="What a stream without video keeps for joins.")
    grace_s: float = Field(
        default=30.0,
        ge=0,
        le=3600,
        description="How long a stream without publisher is kept for its return. While no origin can be reached, players are kept "
        "as long, and at least cluster.link.dead_s and 5 s: so long a failover may take.",
    )
    grpc: OriginGrpcConfig = OriginGrpcConfig()
    ring: RingConfig = RingConfig()
    capacity: CapacityConfig = CapacityConfig()
