"""A node of several workers, from its start to its end."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Sequence
from pathlib import Path

from lalmesh.errors import ServiceError
from lalmesh.runtime.config import Config, ConfigError, Problem, Role
from lalmesh.runtime.log_setup import configure_logging
from services.standalone.urls import say_where
from services.standalone.workers.supervisor import Supervisor

KEY_BYTES = 32


async def supervise(config: Config, role: Role, count: int, arguments: Sequence[str], ports_file: Path | None) -> None:
    """Run `count` workers with the command line `arguments`, until they have ended.

    Raises:
        ServiceError: they have not ended in order.
        OSError: a port cannot be bound.
        ConfigError: they cannot be as they are configured.
    """
    if role != "origin" and not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigError([Problem("edge.workers", "processes cannot share ports on this system: SO_REUSEPORT is missing")])
    cluster, host_name = config.cluster, socket.gethostname()
    name = cluster.node_name(role=role, host_name=host_name)
    configure_logging(config.telemetry, service=role, node=name)
    key = "" if cluster.key.get_secret_value() else secrets.token_hex(KEY_BYTES)
    node = name if role != "standalone" else cluster.node_name(role="edge", host_name=host_name, is_shared=True)
    reason = await Supervisor(config, role, node, count, arguments, key=key).run(
        lambda ports: say_where(config, role, ports, ports_file)
    )
    if reason:
        raise ServiceError(reason)
