"""The section `hls`: where it listens, how streams are cut, what is stored, how players are counted."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, model_validator

from lalmesh.runtime.config._base import Allowed, ConfigModel, Host, HttpOrigin, OptionalHost, Port, SharedKey, Text, live_keys
from lalmesh.runtime.config._listeners import ConnectionLimitsConfig, ProxiesConfig, ServerTlsConfig
from lalmesh.runtime.config._recording import HlsRecordingConfig

Listener = Annotated[str, StringConstraints(pattern="^https?$"), Allowed("http or https")]


class HlsHttpConfig(ConfigModel):
    """The HTTP listener that players, or edges for them, ask for playlists and segments."""

    live = live_keys("cors_origins")

    host: Host = Field(default="0.0.0.0", description="Address to listen on.")
    port: Port = Field(default=8081, description="TCP port; 0 takes a free one.")
    advertise_port: Port = Field(default=0, description="Port that edges reach it by; 0: the listening one.")
    cors_origins: tuple[HttpOrigin, ...] = Field(
        default=(),
        strict=False,
        max_length=1000,
        description="Web pages that may read playlists and segments, HTTP and HTTPS; * stands for any, without credentials.",
    )


class HlsHttpsConfig(ConfigModel):
    """The HTTPS listener, for players that ask hls nodes themselves: what HTTP serves, in TLS."""

    enable: bool | None = Field(default=None, description="Whether to listen; null: when hls.tls has a certificate.")
    host: Host = Field(default="0.0.0.0", description="Address to listen on.")
    port: Port = Field(default=4434, description="TCP port; 0 takes a free one.")


class HlsTlsConfig(ServerTlsConfig):
    """The certificate of HTTPS. Renewed files are taken within seconds, or at once on SIGHUP."""


class HlsLimitsConfig(ConnectionLimitsConfig):
    """What HTTP and HTTPS each grant to players and edges."""


class HlsGrpcConfig(ConfigModel):
    """The gRPC listener that other hls nodes ask for what is not stored yet."""

    host: Host = Field(default="0.0.0.0", description="Address to listen on.")
    port: Port = Field(default=50054, description="TCP port; 0 takes a free one.")


class HlsStorageConfig(ConfigModel):
    """Where segments and recordings are stored, the same for all hls nodes."""

    url: Text = Field(
        default="lalmesh-media", description="A folder, s3://BUCKET/PREFIX, or memory: (one process only, nothing outlives it)."
    )
    endpoint: Text = Field(default="", description="URL of an S3-compatible store; empty: the store of AWS.")
    region: Text = Field(default="", description="Region of the store; empty: from the environment.")
    access_key_id: Text = Field(default="", description="Name of the access key; empty: from the environment or the machine.")
    secret_access_key: SecretStr = Field(default=SecretStr(""), description="The access key itself.")
    secret_access_key_file: Text = Field(default="", description="File that holds the access key itself.")
    deadline_s: float = Field(default=10.0, ge=0.5, le=600, description="Longest wait for one call to the store.")


class HlsSessionConfig(ConfigModel):
    """Counting players: each gets a session id with its first playlist, and asks for playlists with it. Edges read it too."""

    enable: bool = Field(default=True, description="Whether players are counted, listed and can be ended.")
    hash_key: SharedKey = Field(
        default=SecretStr(""),
        description="Key of session ids, on URLs of files too, for hls nodes to count; empty: cluster.key's, on playlists alone.",
    )
    hash_key_file: Text = Field(default="", description="File that holds hash_key.")
    idle_s: float = Field(
        default=30.0,
        ge=1,
        le=86_400,
        description="A player that asks for nothing for this long has left. scheduler.session_ttl_s has to be 5 s more.",
    )


class HlsCapacityConfig(ConfigModel):
    """What placement may load this node with."""

    live = live_keys("streams")

    streams: int = Field(default=0, ge=0, le=1_000_000, description="Streams at a time; 0: no limit.")


class HlsConfig(ProxiesConfig):
    """The hls service: cuts streams into segments, stores them, serves playlists and segments."""

    live = ProxiesConfig.live | live_keys("segment_ms part_ms list_num delete_threshold_num idle_s keep_s transcode")

    proxy_protocol: tuple[Listener, ...] = Field(
        default=(),
        strict=False,
        max_length=2,
        description="Listeners to which trusted_proxies send a header of the PROXY protocol; edges send none.",
    )
    start: Literal["on_demand", "always"] = Field(
        default="on_demand", description="Whether a stream is segmented from its first request on, or from its start."
    )
    segment_ms: int = Field(default=3000, ge=500, le=60_000, description="A segment ends at the first key frame after this long.")
    part_ms: int = Field(
        default=500,
        ge=100,
        le=5000,
        description="Longest part of a low-latency playlist; with few pictures a second it may be longer.",
    )
    max_target_s: int = Field(
        default=12, ge=1, le=120, description="Longest segment; a longer group of pictures is cut. Edges read it too."
    )
    list_num: int = Field(default=6, ge=3, le=10_000, description="Segments in a live playlist.")
    delete_threshold_num: int = Field(
        default=6, ge=1, le=10_000, description="Stored segments kept beyond the playlist, where cleanup is rolling."
    )
    cleanup: Literal["never", "after_end", "rolling"] = Field(
        default="rolling",
        description="What becomes of stored segments: they stay; all go some time after the stream's end; "
        "or those that have left the playlist go too.",
    )
    idle_s: float = Field(default=60.0, ge=1, le=86_400, description="How long a stream is segmented that nobody asks for.")
    wait_s: float = Field(
        default=20.0, ge=0, le=600, description="How long a first request waits for the first segment. Edges read it too."
    )
    memory_bytes: int = Field(
        default=512 << 20, ge=16 << 20, le=1 << 40, description="Most bytes of segments in memory, of all streams of the node."
    )
    keep_s: float = Field(
        default=30.0, ge=0, le=600, description="What origins keep for a worker that takes over; their own bounds hold."
    )
    transcode: Literal["auto", "off"] = Field(
        default="auto",
        description="Whether segments get AAC for G.711, which they cannot carry: where the extra transcode is there, or never.",
    )
    advertise_host: OptionalHost = Field(default="", description="Host that others reach this node by; empty: the node's address.")
    http: HlsHttpConfig = HlsHttpConfig()
    https: HlsHttpsConfig = HlsHttpsConfig()
    tls: HlsTlsConfig = HlsTlsConfig()
    limits: HlsLimitsConfig = HlsLimitsConfig()
    grpc: HlsGrpcConfig = HlsGrpcConfig()
    storage: HlsStorageConfig = HlsStorageConfig()
    recording: HlsRecordingConfig = HlsRecordingConfig()
    session: HlsSessionConfig = HlsSessionConfig()
    capacity: HlsCapacityConfig = HlsCapacityConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.segment_ms > self.max_target_s * 1000:
            raise ValueError("max_target_s must not be below segment_ms")
        if self.part_ms * 2 > self.segment_ms:
            raise ValueError("part_ms must be at most half of segment_ms")
        self.require_proxies_for(self.proxy_protocol)
        self.tls.require_for("https", self.https.enable)
        return self

    @property
    def https_enabled(self) -> bool:
        """Whether to listen for HTTPS."""
        return self.tls.enables(self.https.enable)
