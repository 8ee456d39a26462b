"""The section `scheduler`: its listeners, its etcd and its Redis."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, model_validator

from lalmesh.runtime.api_tokens import MAX_TOKENS, parse_token
from lalmesh.runtime.config._base import (
    Allowed,
    ConfigModel,
    Host,
    HostPort,
    HttpOrigin,
    OptionalHost,
    Port,
    SharedKey,
    Text,
    live_keys,
    require_pair,
)
from lalmesh.runtime.config._listeners import ConnectionLimitsConfig, ProxiesConfig, ServerTlsConfig
from lalmesh.runtime.zones import parse_zones


def _token(text: str) -> str:
    parse_token(text)
    return text


KeyPrefix = Annotated[
    str,
    StringConstraints(max_length=255, pattern=r"^/([A-Za-z0-9._-]+/)+$"),
    Allowed("a path such as /lalmesh/, slash at both ends"),
]

RedisPrefix = Annotated[
    str,
    StringConstraints(max_length=255, pattern=r"^([A-Za-z0-9._-]+:)+$"),
    Allowed("letters, digits and . _ -, each part with a colon after it"),
]


ZoneText = Annotated[
    str,
    StringConstraints(max_length=65_536, pattern=r"^[A-Za-z0-9._-]{1,253}( +[0-9A-Fa-f.:]+/[0-9]{1,3})+$"),
    Allowed("ZONE NETWORK [NETWORK ...], such as west 10.1.0.0/16 2001:db8::/32"),
]

TokenText = Annotated[str, AfterValidator(_token), Allowed("NAME ROLE sha256:HEX [expires=TIME], as `lalmesh token` prints it")]


class SchedulerGrpcConfig(ConfigModel):
    """The gRPC listener that nodes join by."""

    host: Host = Field(default="0.0.0.0", description="Address to listen on.")
    port: Port = Field(default=50051, description="TCP port; 0 takes a free one.")


class SchedulerHttpLimitsConfig(ConnectionLimitsConfig):
    """What is granted to those who ask over HTTP."""

    live = ConnectionLimitsConfig.live | live_keys("token_failures_per_minute")

    connections: int = Field(
        default=5_000, ge=1, le=1_000_000, description="Connections at a time: a thousand consoles and routers ask in a few each."
    )
    connections_per_address: int = Field(
        default=1_000, ge=0, le=1_000_000, description="Connections at a time from one address, loopback too; 0: no limit."
    )
    token_failures_per_minute: int = Field(
        default=60,
        ge=0,
        le=100_000,
        description="Tokens that are none, of one address in a minute; after more its tokens are answered 429. 0: no limit.",
    )


class SchedulerHttpTlsConfig(ServerTlsConfig):
    """The certificate of the listener, which speaks HTTPS alone with one. Renewed files are taken within seconds, or on SIGHUP."""


class SchedulerHttpConfig(ProxiesConfig):
    """The HTTP listener: API, routing, health, metrics."""

    live = ProxiesConfig.live | live_keys("read_without_token cors_origins")
    live_by_file = live_keys("token tokens")

    host: Host = Field(default="0.0.0.0", description="Address to listen on.")
    port: Port = Field(default=8083, description="TCP port; 0 takes a free one.")
    proxy_protocol: bool = Field(
        default=False, description="Whether trusted_proxies send a header of the PROXY protocol before all else."
    )
    token: SharedKey = Field(
        default=SecretStr(""),
        description="Bearer token of the role admin. Without any token changes are taken from this machine only.",
    )
    token_file: Text = Field(default="", description="File that holds the token.")
    tokens: tuple[TokenText, ...] = Field(
        default=(),
        strict=False,
        max_length=MAX_TOKENS,
        description="More tokens, each with a role: viewer looks, operator changes streams, sessions and nodes, admin all. "
        "`lalmesh token` makes them.",
    )
    read_without_token: bool = Field(
        default=True, description="Whether anybody may look; otherwise that needs a token of any role."
    )
    cors_origins: tuple[HttpOrigin, ...] = Field(
        default=(),
        strict=False,
        max_length=64,
        description="Origins of web pages that may use the API from a browser; *: any, for what needs no token or has one.",
    )
    tls: SchedulerHttpTlsConfig = SchedulerHttpTlsConfig()
    limits: SchedulerHttpLimitsConfig = SchedulerHttpLimitsConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.require_proxies_for(self.proxy_protocol)
        names = [parse_token(text).name for text in self.tokens]
        if len(set(names)) != len(names):
            raise ValueError("two tokens have the same name")
        return self


class EtcdConfig(ConfigModel):
    """The etcd that schedulers agree in."""

    endpoints: tuple[HostPort, ...] = Field(
        default=(),
        strict=False,
        max_length=64,
        description="Client addresses of the etcd members; none, standalone only: kept in memory.",
    )
    username: Text = Field(default="", description="etcd user; empty: no authentication.")
    password: SecretStr = Field(default=SecretStr(""), description="Password of the user.")
    password_file: Text = Field(default="", description="File that holds the password.")
    ca_file: Text = Field(default="", description="PEM file of the authority that signs etcd's certificate; empty: plain text.")
    cert_file: Text = Field(default="", description="PEM file of the certificate shown to etcd.")
    key_file: Text = Field(default="", description="PEM file of the private key of cert_file.")
    timeout_s: float = Field(default=3.0, ge=0.1, le=60, description="Longest wait for one answer of etcd.")
    prefix: KeyPrefix = Field(default="/lalmesh/", description="What the keys of this cluster start with.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_pair(self.cert_file, self.key_file)
        if self.cert_file and not self.ca_file:
            raise ValueError("cert_file needs ca_file: without it etcd is spoken to in plain text")
        if bool(self.username) != bool(self.password.get_secret_value()):
            raise ValueError("username and password belong together, only one is given")
        return self


class RedisConfig(ConfigModel):
    """The Redis that schedulers keep the sessions of players in."""

    host: OptionalHost = Field(
        default="", description="Host of the Redis server; empty: kept in memory, by each scheduler for itself."
    )
    port: Port = Field(default=6379, description="TCP port of the Redis server.")
    database: int = Field(default=0, ge=0, le=65_535, description="Number of the database.")
    username: Text = Field(default="", description="Redis user; empty: the default one.")
    password: SecretStr = Field(default=SecretStr(""), description="Password of the user; empty: no authentication.")
    password_file: Text = Field(default="", description="File that holds the password.")
    tls: bool = Field(default=False, description="Whether Redis is spoken to over TLS.")
    ca_file: Text = Field(default="", description="PEM file of the authority that signs Redis' certificate; empty: the system's.")
    cert_file: Text = Field(default="", description="PEM file of the certificate shown to Redis.")
    key_file: Text = Field(default="", description="PEM file of the private key of cert_file.")
    timeout_s: float = Field(default=1.0, ge=0.1, le=60, description="Longest wait for one answer of Redis.")
    prefix: RedisPrefix = Field(default="lalmesh:", description="What the keys of this cluster start with.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_pair(self.cert_file, self.key_file)
        if not self.tls and (self.ca_file or self.cert_file):
            raise ValueError("ca_file and cert_file need tls: without it Redis is spoken to in plain text")
        if self.username and not self.password.get_secret_value():
            raise ValueError("username needs a password")
        if self.host and not self.port:
            raise ValueError("host needs a port")
        return self


class RoutingConfig(ConfigModel):
    """Routing: which edge a player or publisher is sent to."""

    live = live_keys("zones")

    zones: tuple[ZoneText, ...] = Field(
        default=(),
        strict=False,
        max_length=10_000,
        description="Which zone clients are in, by their addresses; the longest prefix holds. An edge is in its cluster.zone.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        parse_zones(self.zones)
        return self


class SchedulerConfig(ConfigModel):
    """A scheduler: membership, ownership, routing."""

    grpc: SchedulerGrpcConfig = SchedulerGrpcConfig()
    http: SchedulerHttpConfig = SchedulerHttpConfig()
    etcd: EtcdConfig = EtcdConfig()
    redis: RedisConfig = RedisConfig()
    routing: RoutingConfig = RoutingConfig()
    advertise_host: OptionalHost = Field(
        default="", description="Host that the other replicas reach this one by; empty: grpc.host, or the node's address."
    )
    session_ttl_s: int = Field(
        default=60,
        ge=5,
        le=3600,
        description="A player of HLS that no node saw for this long has left; at least 5 s more than hls.session.idle_s.",
    )
    hls_remember_s: int = Field(
        default=86_400,
        ge=60,
        le=31_536_000,
        description="The numbers of a stream are kept this long after its last HLS segment. Hls nodes read it too.",
    )
