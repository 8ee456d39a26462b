"""Configuration: models with defaults and bounds, loading from file, environment and command line, and its documents.

The models are the one source: the sample file, the reference and the JSON schema are made from them. Services fill the frozen
dataclasses of their cores from a `Config`.
"""

from lalmesh.runtime.config._auth import (
    AddressesConfig,
    AuthConfig,
    CallbackConfig,
    JwtConfig,
    LalSecretConfig,
    PasswordConfig,
    SignedConfig,
    keys_of,
)
from lalmesh.runtime.config._cluster import ClusterConfig, ClusterTlsConfig, LinkConfig
from lalmesh.runtime.config._config import Config
from lalmesh.runtime.config._document import config_schema, reference_markdown
from lalmesh.runtime.config._edge import (
    AdvertiseConfig,
    EdgeCapacityConfig,
    EdgeConfig,
    EdgeTlsConfig,
    FanOutConfig,
    HlsProxyConfig,
    HttpConfig,
    HttpsConfig,
    LimitsConfig,
    PlayConfig,
    PublishConfig,
    RtmpConfig,
    RtmpsConfig,
    SessionConfig,
)
from lalmesh.runtime.config._hls import (
    HlsCapacityConfig,
    HlsConfig,
    HlsGrpcConfig,
    HlsHttpConfig,
    HlsHttpsConfig,
    HlsLimitsConfig,
    HlsSessionConfig,
    HlsStorageConfig,
    HlsTlsConfig,
)
from lalmesh.runtime.config._listeners import ConnectionLimitsConfig, ProxiesConfig, ServerTlsConfig
from lalmesh.runtime.config._live import API, KeyChange, LiveConfig, api_catalogue, changes_between, check_api_keys, live_catalogue
from lalmesh.runtime.config._load import Loaded, Role, Sources, check_role, load, load_config, overlay
from lalmesh.runtime.config._notify import AlarmsConfig, LalNotifyConfig, NotifyConfig
from lalmesh.runtime.config._origin import CapacityConfig, OriginConfig, OriginGrpcConfig, RingConfig
from lalmesh.runtime.config._problem import ConfigError, Problem
from lalmesh.runtime.config._recording import HlsRecordingConfig
from lalmesh.runtime.config._relay import RelayConfig
from lalmesh.runtime.config._render import sample_yaml, show_yaml
from lalmesh.runtime.config._rtsp import UDP_PAIR, RtspAuthConfig, RtspConfig, RtspsConfig, WsRtspConfig, users_of
from lalmesh.runtime.config._scheduler import (
    EtcdConfig,
    RedisConfig,
    RoutingConfig,
    SchedulerConfig,
    SchedulerGrpcConfig,
    SchedulerHttpConfig,
    SchedulerHttpLimitsConfig,
    SchedulerHttpTlsConfig,
)
from lalmesh.runtime.config._telemetry import MetricsConfig, TelemetryConfig, TracesConfig
from lalmesh.runtime.config._workers import AUTO, MAX_WORKERS

__all__ = [
    "API",
    "AUTO",
    "MAX_WORKERS",
    "UDP_PAIR",
    "AddressesConfig",
    "AdvertiseConfig",
    "AlarmsConfig",
    "AuthConfig",
    "CallbackConfig",
    "CapacityConfig",
    "ClusterConfig",
    "ClusterTlsConfig",
    "Config",
    "ConfigError",
    "ConnectionLimitsConfig",
    "EdgeCapacityConfig",
    "EdgeConfig",
    "EdgeTlsConfig",
    "EtcdConfig",
    "FanOutConfig",
    "HlsCapacityConfig",
    "HlsConfig",
    "HlsGrpcConfig",
    "HlsHttpConfig",
    "HlsHttpsConfig",
    "HlsLimitsConfig",
    "HlsProxyConfig",
    "HlsRecordingConfig",
    "HlsSessionConfig",
    "HlsStorageConfig",
    "HlsTlsConfig",
    "HttpConfig",
    "HttpsConfig",
    "JwtConfig",
    "KeyChange",
    "LalNotifyConfig",
    "LalSecretConfig",
    "LimitsConfig",
    "LinkConfig",
    "LiveConfig",
    "Loaded",
    "MetricsConfig",
    "NotifyConfig",
    "OriginConfig",
    "OriginGrpcConfig",
    "PasswordConfig",
    "PlayConfig",
    "Problem",
    "ProxiesConfig",
    "PublishConfig",
    "RedisConfig",
    "RelayConfig",
    "RingConfig",
    "Role",
    "RoutingConfig",
    "RtmpConfig",
    "RtmpsConfig",
    "RtspAuthConfig",
    "RtspConfig",
    "RtspsConfig",
    "SchedulerConfig",
    "SchedulerGrpcConfig",
    "SchedulerHttpConfig",
    "SchedulerHttpLimitsConfig",
    "SchedulerHttpTlsConfig",
    "ServerTlsConfig",
    "SessionConfig",
    "SignedConfig",
    "Sources",
    "TelemetryConfig",
    "TracesConfig",
    "WsRtspConfig",
    "api_catalogue",
    "changes_between",
    "check_api_keys",
    "check_role",
    "config_schema",
    "keys_of",
    "live_catalogue",
    "load",
    "load_config",
    "overlay",
    "reference_markdown",
    "sample_yaml",
    "show_yaml",
    "users_of",
]
