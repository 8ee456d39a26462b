"""The section `edge`: listeners, limits, publishers, players."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from lalmesh.runtime.config._base import Allowed, ConfigModel, Host, HostPort, HttpOrigin, OptionalHost, Port, live_keys
from lalmesh.runtime.config._listeners import ConnectionLimitsConfig, ProxiesConfig, ServerTlsConfig
from lalmesh.runtime.config._rtsp import RtspConfig, RtspsConfig, WsRtspConfig
from lalmesh.runtime.config._workers import Workers

Listener = Annotated[
    str,
    StringConstraints(pattern="^(rtmp|rtmps|rtsp|rtsps|ws_rtsp|http|https)$"),
    Allowed("rtmp, rtmps, rtsp, rtsps, ws_rtsp, http or https"),
]


class RtmpConfig(ConfigModel):
    """The RTMP listener."""

    enable: bool = Field(default=True, description="Whether to listen.")
    host: Host = Field(default="0.0.0.0", description="Address to listen on.")
    port: Port = Field(default=1935, description="TCP port; 0 takes a free one.")
    chunk_size_bytes: int = Field(
        default=60_000, ge=128, le=16_777_215, description="Size of the chunks sent, RTMP and RTMPS (RTMP 1.0 §5.4.1)."
    )


class RtmpsConfig(ConfigModel):
    """The RTMPS listener: RTMP in TLS."""

    enable: bool | None = Field(default=None, description="Whether to listen; null: when edge.tls has a certificate.")
    host: Host = Field(default="0.0.0.0", description="Address to listen on.")
    port: Port = Field(default=4935, description="TCP port; 0 takes a free one.")


class HttpConfig(ConfigModel):
    """The HTTP listener: FLV, MPEG-TS and fMP4 over HTTP and WebSocket, and what hls nodes serve."""

    live = live_keys("cors_origins")

    enable: bool = Field(default=True, description="Whether to listen.")
    host: Host = Field(default="0.0.0.0", description="Address to listen on.")
    port: Port = Field(default=8080, description="TCP port; 0 takes a free one.")
    cors_origins: tuple[HttpOrigin, ...] = Field(
        default=(),
        strict=False,
        max_length=1000,
        description="Web pages that may read streams, HTTP and HTTPS; * stands for any, without credentials.",
    )


class HttpsConfig(ConfigModel):
    """The HTTPS listener: what HTTP serves, in TLS."""

    enable: bool | None = Field(default=None, description="Whether to listen; null: when edge.tls has a certificate.")
    host: Host = Field(default="0.0.0.0", description="Address to listen on.")
    port: Port = Field(default=4433, description="TCP port; 0 takes a free one.")


class EdgeTlsConfig(ServerTlsConfig):
    """The certificate of RTMPS, RTSPS and HTTPS. Renewed files are taken within seconds, or at once on SIGHUP."""


class AdvertiseConfig(ConfigModel):
    """What the outside reaches this edge by; used in the answers that route players and publishers."""

    host: OptionalHost = Field(default="", description="Host name or address; empty: the address of the node.")
    rtmp_port: Port = Field(default=0, description="RTMP port; 0: the listening one.")
    rtmps_port: Port = Field(default=0, description="RTMPS port; 0: the listening one.")
    rtsp_port: Port = Field(default=0, description="RTSP port; 0: the listening one.")
    rtsps_port: Port = Field(default=0, description="RTSPS port; 0: the listening one.")
    ws_rtsp_port: Port = Field(default=0, description="Port of RTSP over WebSocket; 0: the listening one.")
    http_port: Port = Field(default=0, description="HTTP port; 0: the listening one.")
    https_port: Port = Field(default=0, description="HTTPS port; 0: the listening one.")


class EdgeCapacityConfig(ConfigModel):
    """What routing may load this edge with; how loaded it is, is its share of the fullest of these. A full edge sends people on."""

    sessions: int = Field(default=0, ge=0, le=10_000_000, description="Players and publishers at a time; 0: not stated.")
    egress_bps: int = Field(default=0, ge=0, le=10**13, description="Bits a second that go to players, HLS too; 0: not stated.")
    cpu_percent: float = Field(default=0.0, ge=0, le=100, description="Processor time of all usable cores; 0: not stated.")
    memory_bytes: int = Field(default=0, ge=0, le=1 << 50, description="Memory of the process; 0: not stated.")


class LimitsConfig(ConnectionLimitsConfig):
    """What one listener grants to the outside."""

    live = ConnectionLimitsConfig.live | live_keys("message_bytes")

    message_bytes: int = Field(default=8 << 20, ge=64 << 10, le=0xFFFFFF, description="Largest message taken from a publisher.")


class PublishConfig(ConfigModel):
    """What is done with a publisher and what it sends. Those who publish already go on as they began."""

    live = live_keys(
        "second_publisher replay_s replay_max_s replay_max_bytes silent_audio silent_audio_wait_ms clock_jump_ms "
        "max_delay_ms publishers_per_delay_ms"
    )

    second_publisher: Literal["refuse", "take_over"] = Field(
        default="refuse", description="What a second publisher of a stream meets: it is refused, or takes the stream over."
    )
    replay_s: float = Field(default=3.0, ge=1, le=60, description="What is always kept for an origin that takes over.")
    replay_max_s: float = Field(
        default=30.0,
        ge=0,
        le=600,
        description="How far beyond replay_s to keep back to a random access point, and what no origin has taken.",
    )
    replay_max_bytes: int = Field(default=64 << 20, ge=1 << 20, le=4 << 30, description="Most bytes kept for one stream.")
    silent_audio: bool = Field(default=False, description="Whether a stream without audio gets silent AAC.")
    silent_audio_wait_ms: int = Field(
        default=150, ge=0, le=60_000, description="Video without audio for this long counts as without audio."
    )
    clock_jump_ms: int = Field(
        default=10_000, ge=100, le=3_600_000, description="A larger step of the publisher's clock is mended."
    )

    max_delay_ms: int = Field(
        default=70,
        ge=0,
        le=1000,
        description="The longest that RTMP publishers wait to be read together, or before what their players gather goes out, "
        "which takes less processor time; 0: none waits.",
    )
    publishers_per_delay_ms: int = Field(
        default=3, ge=1, le=1000, description="Publishers wait to be read for one millisecond for each so many of them."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.replay_max_s < self.replay_s:
            raise ValueError("replay_max_s must not be below replay_s")
        return self


class PlayConfig(ConfigModel):
    """What players get. A stream that is played already goes on as it began."""

    live = live_keys("wait_publisher_s linger_s hevc transcode gop_num gop_max_bytes gop_max_s")

    wait_publisher_s: float = Field(default=10.0, ge=0, le=3600, description="How long a player waits for a publisher.")
    linger_s: float = Field(default=3.0, ge=0, le=3600, description="How long a relay outlives its last player.")
    hevc: Literal["enhanced", "legacy"] = Field(
        default="enhanced", description="How RTMP and FLV carry HEVC: Enhanced RTMP, or codec id 12 as older players know it."
    )
    transcode: Literal["auto", "off"] = Field(
        default="auto",
        description="Whether TS and fMP4 get AAC for G.711, which they cannot carry: where the extra transcode is there, or never.",
    )
    gop_num: int = Field(default=1, ge=0, le=100, description="Groups of pictures that a new player gets at once; 0: none.")
    gop_max_bytes: int = Field(default=32 << 20, ge=64 << 10, le=1 << 30, description="Most bytes that a new player gets at once.")
    gop_max_s: float = Field(default=60.0, ge=1, le=600, description="Most seconds that a new player gets at once.")


class FanOutConfig(ConfigModel):
    """How units are written to many players, and what a slow one costs. Gathering changes at once, the rest as `play` does."""

    live = live_keys("max_delay_ms players_per_delay_ms player_sndbuf_bytes player_queue_bytes player_queue_s slow_player_s")

    max_delay_ms: int = Field(
        default=100,
        ge=0,
        le=1000,
        description="Longest time that units are gathered for, if a block (some 1 ms for 100 players) takes no longer to send.",
    )
    players_per_delay_ms: int = Field(
        default=5, ge=1, le=1000, description="Units are gathered for one millisecond for each so many players."
    )
    player_sndbuf_bytes: int = Field(default=512 << 10, ge=16 << 10, le=64 << 20, description="Send buffer of a player's socket.")
    player_queue_bytes: int = Field(
        default=8 << 20, ge=64 << 10, le=1 << 30, description="Bytes that may wait for one player before it skips."
    )
    player_queue_s: float = Field(default=10.0, ge=0.5, le=600, description="Seconds that may wait for one player before it skips.")
    slow_player_s: float = Field(default=30.0, ge=1, le=3600, description="A player that skips for this long is closed.")


class HlsProxyConfig(ConfigModel):
    """What the edge passes on to hls nodes: /hls/ and /record/ of its HTTP and HTTPS listeners."""

    live = live_keys("upstreams")

    upstreams: tuple[HostPort, ...] = Field(
        default=(), strict=False, max_length=1000, description="HTTP of hls nodes; none: those that the scheduler knows."
    )
    cache_bytes: int = Field(
        default=64 << 20, ge=0, le=64 << 30, description="Most bytes kept of answers that may be kept for a while; 0: none."
    )


class SessionConfig(ConfigModel):
    """What is told of publishers, players and relays."""

    report_s: float = Field(
        default=5.0, ge=1, le=10, description="How often the scheduler is told of every session; of its begin and end at once."
    )


#: Each has `enable`, `host` and `port`.
ListenerConfig: TypeAlias = RtmpConfig | RtmpsConfig | RtspConfig | RtspsConfig | WsRtspConfig | HttpConfig | HttpsConfig


class EdgeConfig(ProxiesConfig):
    """An edge: takes publishers and players."""

    workers: Workers = Field(
        default=1,
        description="Processes, a core each, that share the TCP ports; auto: one for each core that may be used. Capacity, "
        "limits.connections, hls.cache_bytes and rtsp.udp_ports are of all together; each by itself counts what one address does.",
    )
    proxy_protocol: tuple[Listener, ...] = Field(
        default=(),
        strict=False,
        max_length=7,
        description="Listeners to which trusted_proxies send a header of the PROXY protocol, version 1 or 2, before all else; "
        "they have to, and nobody else may.",
    )
    rtmp: RtmpConfig = RtmpConfig()
    rtmps: RtmpsConfig = RtmpsConfig()
    rtsp: RtspConfig = RtspConfig()
    rtsps: RtspsConfig = RtspsConfig()
    ws_rtsp: WsRtspConfig = WsRtspConfig()
    http: HttpConfig = HttpConfig()
    https: HttpsConfig = HttpsConfig()
    tls: EdgeTlsConfig = EdgeTlsConfig()
    advertise: AdvertiseConfig = AdvertiseConfig()
    capacity: EdgeCapacityConfig = EdgeCapacityConfig()
    limits: LimitsConfig = LimitsConfig()
    publish: PublishConfig = PublishConfig()
    play: PlayConfig = PlayConfig()
    fanout: FanOutConfig = FanOutConfig()
    hls: HlsProxyConfig = HlsProxyConfig()
    session: SessionConfig = SessionConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.require_proxies_for(self.proxy_protocol)
        self.tls.require_for("rtmps", self.rtmps.enable)
        self.tls.require_for("rtsps", self.rtsps.enable)
        self.tls.require_for("https", self.https.enable)
        return self

    @property
    def listeners(self) -> dict[str, ListenerConfig]:
        """Those that are to listen, by protocol."""
        enabled: dict[str, tuple[bool, ListenerConfig]] = {
            "rtmp": (self.rtmp.enable, self.rtmp),
            "rtmps": (self.rtmps_enabled, self.rtmps),
            "rtsp": (self.rtsp.enable, self.rtsp),
            "rtsps": (self.rtsps_enabled, self.rtsps),
            "ws_rtsp": (self.ws_rtsp.enable, self.ws_rtsp),
            "http": (self.http.enable, self.http),
            "https": (self.https_enabled, self.https),
        }
        return {protocol: listener for protocol, (is_enabled, listener) in enabled.items() if is_enabled}

    @property
    def rtmps_enabled(self) -> bool:
        """Whether to listen for RTMPS."""
        return self.tls.enables(self.rtmps.enable)

    @property
    def rtsps_enabled(self) -> bool:
        """Whether to listen for RTSPS."""
        return self.tls.enables(self.rtsps.enable)

    @property
    def https_enabled(self) -> bool:
        """Whether to listen for HTTPS."""
        return self.tls.enables(self.https.enable)
