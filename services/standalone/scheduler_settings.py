"""From the configuration to what a scheduler is built with: its stores, and the rules that it begins with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lalmesh.runtime.api_tokens import ApiRole, ApiToken, hash_token, parse_token
from lalmesh.runtime.config import Config, ConfigError, Problem
from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.event_log import EventBounds
from lalmesh.runtime.notify import NotifyFormat, Receiver, parse_receiver
from lalmesh.runtime.recording import RecordRule, RuleError, parse_rule
from lalmesh.runtime.relay_rules import RelayRule, parse_relay_rule, static_pull_rule
from lalmesh.runtime.zones import parse_zones
from services.scheduler.api import ApiSettings
from services.scheduler.event_hub import HubSettings
from services.scheduler.notifying import About, DeliverySettings
from services.scheduler.redis_client import RedisSettings
from services.scheduler.registry import EtcdSettings
from services.scheduler.relays import RelayingSettings
from services.scheduler.routes import RoutingSettings
from services.standalone.settings import limits

MIN_SECRET_CHARS = 16  #: of a secret that events are signed with: a shorter one can be tried out
LAL_RECEIVER = "lal"  #: what the URLs below `notify.lal` are called together
FIRST_TOKEN = "token"  #: what `scheduler.http.token` is called among the others


def api_settings(config: Config) -> ApiSettings:
    """Who may ask a scheduler over HTTP."""
    http = config.scheduler.http
    token = http.token.get_secret_value()
    first = (ApiToken(name=FIRST_TOKEN, role=ApiRole.ADMIN, hash=hash_token(token)),) if token else ()
    return ApiSettings(
        tokens=(*first, *map(parse_token, http.tokens)),
        open_reads=http.read_without_token,
        cors_origins=http.cors_origins,
        limits=limits(http.limits, http),
        token_failures_per_minute=http.limits.token_failures_per_minute,
        proxy_protocol=http.proxy_protocol,
    )


def record_rules(config: Config) -> tuple[RecordRule, ...]:
    """What is recorded, as the configuration has it."""
    return tuple(map(parse_rule, config.hls.recording.rules))


def routing_settings(config: Config) -> RoutingSettings:
    """What clients are sent to edges by."""
    return RoutingSettings(zones=parse_zones(config.scheduler.routing.zones), match_app=config.cluster.match_app)


def relaying_settings(config: Config) -> RelayingSettings:
    """What is relayed, as the configuration has it, lal's static pull last.

    Raises:
        ConfigError: the file of rules cannot be used.
    """
    relay = config.relay
    rules = [parse_relay_rule(text, is_push=False) for text in relay.pulls]
    rules += [parse_relay_rule(text, is_push=True) for text in relay.pushes]
    rules += _rules_in(relay.rules_file) if relay.rules_file else ()
    rules += [static_pull_rule(relay.static_pull)] if relay.static_pull else ()
    return RelayingSettings(rules=rules, start_timeout_s=relay.start_timeout_s)


def hub_settings(config: Config) -> HubSettings:
    """Who is told of events; lal's URLs are one receiver.

    Raises:
        ConfigError: the secret of one cannot be read.
    """
    notify = config.notify
    receivers = [_with_secret(parse_receiver(text), notify.secret.get_secret_value()) for text in notify.receivers]
    if notify.lal.urls:
        urls = {EventKind(name): url for name, url in notify.lal.urls.items()}
        lal = Receiver(
            name=LAL_RECEIVER,
            urls=urls,
            format=NotifyFormat.LAL,
            timeout_s=notify.lal.timeout_s,
            give_up_s=notify.lal.give_up_s,
        )
        receivers.append(_with_secret(lal, notify.secret.get_secret_value()))
    about = About(server_id=notify.server_id, cluster=config.cluster.name)
    return HubSettings(
        delivery=DeliverySettings(receivers=tuple(receivers), about=about),
        update_interval_s=notify.update_interval_s,
        kept=notify.kept_events_num,
        bounds=event_bounds(config),
    )


def event_bounds(config: Config) -> EventBounds:
    """How much the log of events holds."""
    notify = config.notify
    return EventBounds(shard_events=notify.shard_events_num, shard_bytes=notify.shard_events_bytes, letters=notify.dead_letters_num)


def _with_secret(receiver: Receiver, secret: str) -> Receiver:
    if not receiver.secret_file:
        return replace(receiver, secret=secret)
    try:
        found = Path(receiver.secret_file).read_text().strip()
    except (OSError, UnicodeError) as error:
        raise ConfigError([Problem("notify.receivers", f"secret of {receiver.name}: {error}")]) from error
    if len(found) < MIN_SECRET_CHARS:
        raise ConfigError([Problem("notify.receivers", f"secret of {receiver.name}: under {MIN_SECRET_CHARS} characters")])
    return replace(receiver, secret=found)


def _rules_in(file: str) -> Iterator[RelayRule]:
    """The rules in a file, one on a line. What is wrong with one is said without the line, which may hold secrets."""
    try:
        lines = Path(file).read_text().splitlines()
    except (OSError, UnicodeError) as error:
        raise ConfigError([Problem("relay.rules_file", str(error))]) from error
    for number, line in enumerate(lines, 1):
        kind, _, text = line.strip().partition(" ")
        if not kind or kind.startswith("#"):
            continue
        if kind not in ("pull", "push"):
            raise ConfigError([Problem("relay.rules_file", f"line {number} begins with neither pull nor push")])
        try:
            yield parse_relay_rule(text, is_push=kind == "push")
        except RuleError as error:
            raise ConfigError([Problem("relay.rules_file", f"line {number}: {error.field}: {error}")]) from error


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
