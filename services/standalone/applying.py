"""A changed configuration, brought to the roles of this process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from lalmesh.runtime.config import Config

if TYPE_CHECKING:
    from services.edge.app import EdgeApp
    from services.hls.app import HlsApp
    from services.origin.app import OriginApp
    from services.scheduler.app import SchedulerApp


def apply_config(
    config: Config,
    keys: tuple[bytes, ...],
    *,
    edge: EdgeApp | None,
    hls: HlsApp | None,
    origin: OriginApp | None,
    scheduler: SchedulerApp | None,
) -> None:
    """Let the roles that there are go by `config`, as far as it can change while they run; `keys` are those of the cluster.

    Raises:
        ConfigError: a file that it names cannot be used. Nothing has changed.
    """
    applies = [
        *_of_edge(config, keys, edge),
        *_of_hls(config, keys, hls),
        *_of_origin(config, origin),
        *_of_scheduler(config, scheduler),
    ]
    for apply in applies:
        apply()
    logging.getLogger().setLevel(config.telemetry.log_level.upper())


def _of_edge(config: Config, keys: tuple[bytes, ...], edge: EdgeApp | None) -> list[Callable[[], None]]:
    if edge is None:
        return []
    from services.standalone.edge_settings import edge_settings

    settings = edge_settings(config, keys)
    return [lambda: edge.apply(settings)]


def _of_hls(config: Config, keys: tuple[bytes, ...], hls: HlsApp | None) -> list[Callable[[], None]]:
    if hls is None:
        return []
    from services.standalone.hls_settings import hls_settings

    settings = hls_settings(config, keys)
    return [lambda: hls.apply(settings)]


def _of_origin(config: Config, origin: OriginApp | None) -> list[Callable[[], None]]:
    if origin is None:
        return []
    from services.standalone.origin_settings import origin_settings

    settings = origin_settings(config)
    return [lambda: origin.apply(settings)]


def _of_scheduler(config: Config, scheduler: SchedulerApp | None) -> list[Callable[[], None]]:
    if scheduler is None:
        return []
    from services.standalone.access_settings import app_limits
    from services.standalone.scheduler_settings import (
        api_settings,
        hub_settings,
        record_rules,
        relaying_settings,
        routing_settings,
    )

    recordings, rules, limits = scheduler.service.recordings, record_rules(config), app_limits(config)
    relays, api, routing, events = (
        relaying_settings(config).rules,
        api_settings(config),
        routing_settings(config),
        hub_settings(config),
    )

    def apply() -> None:
        scheduler.app_usage.limits = limits
        if rules != recordings.known.configured:
            recordings.configure(rules)
        scheduler.relays.configure(relays)
        scheduler.take(api)
        scheduler.routes.take(routing)
        scheduler.events.take(events)

    return [apply]
