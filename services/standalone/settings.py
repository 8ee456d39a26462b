"""From the configuration to what nodes of all roles are built with; a module a role has the rest."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import ssl

from lalmesh.runtime.certificate import ServerCertificate
from lalmesh.runtime.channels import Channels
from lalmesh.runtime.config import Config, ConfigError, ConnectionLimitsConfig, Problem, ProxiesConfig, ServerTlsConfig
from lalmesh.runtime.forwarded import ForwardedHeader, TrustedProxies
from lalmesh.runtime.link import LinkLimits
from lalmesh.runtime.listener import ListenerLimits
from lalmesh.runtime.member import MemberSettings
from lalmesh.runtime.ownership import NodeId, new_incarnation
from lalmesh.runtime.profile_http import ProfileHttp
from lalmesh.runtime.scheduling import Capacity

EVERY_ADDRESS = ("", "0.0.0.0", "::")  #: of a listener that listens on all that the machine has
RANDOM_KEY_BYTES = 32
#: that readers look for an origin at least, beyond the `dead_s` that publications may take longer than they to notice that one is
#: lost: an heir is reached within a second, and where there is none the scheduler is asked, which may have to be looked for too
FAILOVER_S = 5.0


def node_name(config: Config, role: str, *, is_shared: bool = False) -> str:
    """What this node is called: as configured, with its role where roles share that (`is_shared`); else after its host and role."""
    return config.cluster.node_name(role=role, host_name=socket.gethostname(), is_shared=is_shared)


def node_id(config: Config, role: str, *, shared: bool) -> NodeId:
    """The name of this node under a fresh incarnation; it ends with the role where roles share the process (`shared`)."""
    return NodeId(node_name(config, role, is_shared=shared), new_incarnation())


def cluster_keys(config: Config) -> tuple[bytes, ...]:
    """The key to sign with, then the ones that are accepted too; a random one where none is set (standalone only)."""
    keys = [config.cluster.key.get_secret_value(), config.cluster.previous_key.get_secret_value()]
    return tuple(key.encode() for key in keys if key) or (secrets.token_bytes(RANDOM_KEY_BYTES),)


def profiles(config: Config, role: str) -> ProfileHttp:
    """Who may have a profile of this process, and what it is called."""
    return ProfileHttp(config.metrics.profile_token.get_secret_value(), node_name(config, role))


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


_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def machine_address() -> str:
    """The address by which other machines are likely to reach this one, IPv4 before IPv6; loopback where there is no network.

    Connecting a datagram socket sends nothing: it asks the routing table which address would be used.
    """
    for family, somewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):  # RFC 5737, RFC 3849
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((somewhere, 9))
            return str(probe.getsockname()[0])
    return "127.0.0.1"


def own_pages(config: Config, port: int) -> tuple[str, ...]:
    """The origins that the console of a standalone server, at `port`, is likely to be opened by."""
    scheme = "https" if config.scheduler.http.tls.cert_file else "http"
    said = "" if (scheme, port) in (("http", 80), ("https", 443)) else f":{port}"  # a browser leaves it out
    names = (config.edge.advertise.host, machine_address(), socket.gethostname(), *_LOOPBACK_NAMES)
    hosts = dict.fromkeys(f"[{name}]" if ":" in name else name for name in names if name)
    return tuple(f"{scheme}://{host}{said}" for host in hosts)


def scheduler_host(config: Config) -> str:
    """What the other replicas of the scheduler reach this one by."""
    listens = config.scheduler.grpc.host
    return config.scheduler.advertise_host or (machine_address() if listens in EVERY_ADDRESS else listens)


def member(config: Config, advertise_host: str, capacity: Capacity | None = None) -> MemberSettings:
    """What a node tells of itself."""
    cluster = config.cluster
    return MemberSettings(
        zone=cluster.zone,
        machine=cluster.machine_name(host_name=socket.gethostname()),
        advertise_host=advertise_host,
        capacity=capacity or Capacity(),
        report_interval_s=cluster.report_interval_ms / 1000,
        silence_s=cluster.silence_s,
    )


def lost_s(config: Config) -> float:
    """How long readers are kept while no origin can be reached, in seconds: a failover has its time, however short the grace."""
    return max(config.origin.grace_s, failover_s(config))


def failover_s(config: Config) -> float:
    """How long a failover may take, from the loss of an origin on, in seconds."""
    return config.cluster.link.dead_s + FAILOVER_S


def link_limits(config: Config) -> LinkLimits:
    """The pace and bounds of links."""
    link = config.cluster.link
    return LinkLimits(
        dead_s=link.dead_s,
        heartbeat_s=link.heartbeat_ms / 1000,
        flush_s=link.flush_ms / 1000,
        busy_flush_s=link.busy_flush_ms / 1000,
        busy_messages_per_s=link.busy_messages_per_s,
        batch_bytes=link.batch_bytes,
        max_message_bytes=link.max_message_bytes,
    )


def limits(limits: ConnectionLimitsConfig, proxies: ProxiesConfig) -> ListenerLimits:
    """Deadlines and bounds of public listeners, and whom they trust."""
    return ListenerLimits(
        connections=limits.connections,
        connections_per_address=limits.connections_per_address,
        handshakes_per_s=limits.handshakes_per_s,
        handshake_timeout_s=limits.handshake_timeout_s,
        idle_timeout_s=limits.idle_timeout_s,
        proxies=trusted_proxies(proxies),
    )


def trusted_proxies(config: ProxiesConfig) -> TrustedProxies:
    """Whose word is taken for the address of a client."""
    return TrustedProxies(config.trusted_proxies, ForwardedHeader(config.forwarded_header))


def certificate(section: str, tls: ServerTlsConfig) -> ServerCertificate | None:
    """The certificate of public listeners; None where there is none.

    Raises:
        ConfigError: it cannot be used.
    """
    if not tls.has_certificate:
        return None
    try:
        return ServerCertificate(tls.cert_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([Problem(section, f"certificate cannot be used: {error}")]) from error


def raise_descriptor_limit() -> int:
    """Let this process open as many sockets as the system allows it; gives the limit, 0 where there is none to raise."""
    if os.name != "posix":
        return 0
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems say that there is no limit, and have one
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
