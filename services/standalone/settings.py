"""From the configuration to what all nodes are built with, and to the stores of some; see `role_settings` for the roles."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket

from lalmesh.runtime.channels import Channels
from lalmesh.runtime.config import Config, ConfigError, Problem
from lalmesh.runtime.ownership import NodeId, new_incarnation
from lalmesh.runtime.recording import RecordRule, parse_rule
from lalmesh.runtime.storage import StorageOptions
from services.scheduler.registry import EtcdSettings
from services.scheduler.sessions import RedisSettings

RANDOM_KEY_BYTES = 32


def node_name(config: Config, role: str) -> str:
    """What this node is called: as configured, else after its host and role."""
    return config.cluster.node_name(role=role, host_name=socket.gethostname())


def node_id(config: Config, role: str, *, shared: bool) -> NodeId:
    """The name of this node under a fresh incarnation; it ends with the role where roles share the process (`shared`)."""
    name = node_name(config, role)
    return NodeId(f"{name}-{role}" if shared and config.cluster.node else name, new_incarnation())


def cluster_keys(config: Config) -> tuple[bytes, ...]:
    """The key to sign with, then the ones that are accepted too; a random one where none is set (standalone only)."""
    keys = [config.cluster.key.get_secret_value(), config.cluster.previous_key.get_secret_value()]
    return tuple(key.encode() for key in keys if key) or (secrets.token_bytes(RANDOM_KEY_BYTES),)


def channels(config: Config, keys: tuple[bytes, ...]) -> Channels:
    """How this node reaches others.

    Raises:
        ConfigError: a TLS file cannot be read.
    """
    tls = config.cluster.tls
    try:
        return Channels(
            keys,
            ca_file=tls.ca_file,
            cert_file=tls.cert_file,
            key_file=tls.key_file,
            max_message_bytes=config.cluster.link.max_message_bytes,
        )
    except OSError as error:
        raise ConfigError([Problem("cluster.tls", str(error))]) from error


def machine_address() -> str:
    """The address by which other machines are likely to reach this one, IPv4 before IPv6; loopback where there is no network.

    Connecting a datagram socket sends nothing: it asks the routing table which address would be used.
    """
    for family, somewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):  # RFC 5737, RFC 3849
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((somewhere, 9))
            return str(probe.getsockname()[0])
    return "127.0.0.1"


def record_rules(config: Config) -> tuple[RecordRule, ...]:
    """What is recorded, as the configuration has it."""
    return tuple(map(parse_rule, config.hls.recording.rules))


def storage_options(config: Config) -> StorageOptions:
    """How shared storage is reached."""
    storage = config.hls.storage
    return StorageOptions(
        endpoint=storage.endpoint,
        region=storage.region,
        access_key_id=storage.access_key_id,
        secret_access_key=storage.secret_access_key.get_secret_value(),
        deadline_s=storage.deadline_s,
    )


def etcd_settings(config: Config) -> EtcdSettings:
    """How a scheduler reaches etcd."""
    etcd = config.scheduler.etcd
    return EtcdSettings(
        endpoints=etcd.endpoints,
        username=etcd.username,
        password=etcd.password.get_secret_value(),
        ca_file=etcd.ca_file,
        cert_file=etcd.cert_file,
        key_file=etcd.key_file,
        timeout_s=etcd.timeout_s,
        prefix=etcd.prefix,
    )


def redis_settings(config: Config) -> RedisSettings | None:
    """How a scheduler reaches Redis; None where sessions are kept in memory."""
    redis = config.scheduler.redis
    if not redis.host:
        return None
    return RedisSettings(
        host=redis.host,
        port=redis.port,
        database=redis.database,
        username=redis.username,
        password=redis.password.get_secret_value(),
        tls=redis.tls,
        ca_file=redis.ca_file,
        cert_file=redis.cert_file,
        key_file=redis.key_file,
        timeout_s=redis.timeout_s,
        prefix=redis.prefix,
    )


def raise_descriptor_limit() -> int:
    """Let this process open as many sockets as the system allows it; gives the limit, 0 where there is none to raise."""
    if os.name != "posix":
        return 0
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems say that there is no limit, and have one
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
