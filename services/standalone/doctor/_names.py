"""Whether the hosts that the configuration names have addresses, and those by which others reach this node do not mislead them."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator, Sequence

from lalmesh.runtime.config import Config
from lalmesh.runtime.notify import parse_receiver
from services.standalone.doctor._finding import Finding, failed, ok, warning
from services.standalone.doctor._place import Place
from services.standalone.doctor._reach import resolve, split


def hosts(config: Config, place: Place) -> Iterator[tuple[str, str, bool]]:
    """Key, host, and whether others reach this node by it."""
    yield "telemetry.traces.endpoint", split(config.telemetry.traces.endpoint)[0], False
    if place.role not in ("standalone", "scheduler"):
        yield from (("cluster.schedulers", split(each)[0], False) for each in config.cluster.schedulers)
    if place.has("edge") or place.has("hls"):
        yield "auth.callback.url", split(config.auth.callback.url)[0], False
        yield "auth.jwt.jwks_url", split(config.auth.jwt.jwks_url)[0], False
    if place.has("scheduler"):
        yield from (("notify.receivers", split(parse_receiver(each).url)[0], False) for each in config.notify.receivers)
        yield from (("scheduler.etcd.endpoints", split(each)[0], False) for each in config.scheduler.etcd.endpoints)
        yield "scheduler.redis.host", config.scheduler.redis.host, False
        yield "scheduler.advertise_host", config.scheduler.advertise_host, True
    if place.has("edge"):
        yield from (("edge.hls.upstreams", split(each)[0], False) for each in config.edge.hls.upstreams)
        yield "edge.advertise.host", config.edge.advertise.host, True
    if place.has("origin"):
        yield "origin.advertise_host", config.origin.advertise_host, True
    if place.has("hls"):
        endpoint = config.hls.storage.endpoint
        yield "hls.storage.endpoint", split(endpoint)[0] if endpoint else "", False
        yield "hls.advertise_host", config.hls.advertise_host, True


def judge_addresses(key: str, host: str, addresses: Sequence[str], *, is_own: bool, is_alone: bool) -> Finding:
    """What a host resolves to; `is_own`: others reach this node by it; `is_alone`: there are no others."""
    words = f"{host} is {', '.join(addresses)}" if list(addresses) != [host] else f"{host} is an address"
    if is_own and not is_alone and all(ipaddress.ip_address(each.partition("%")[0]).is_loopback for each in addresses):
        return warning(key, f"{words}: other machines reach themselves by it", f"set {key} to what they reach this one by")
    return ok(key, words)


async def check_names(place: Place) -> list[Finding]:
    """Every host of the configuration has an address."""
    wanted = list(dict.fromkeys(each for each in hosts(place.config, place) if each[1]))
    found = await asyncio.gather(*(_one(place, *each) for each in wanted))
    return list(found) or [ok("hosts", "the configuration names none")]


async def _one(place: Place, key: str, host: str, is_own: bool) -> Finding:
    remedy = f"add {host} to DNS or /etc/hosts, or mend {key}"
    try:
        async with asyncio.timeout(place.limit_s * 0.8):
            addresses = await resolve(host)
    except TimeoutError:
        return failed(key, f"nobody says what {host} is", f"look at the servers in /etc/resolv.conf, or mend {key}")
    except OSError as error:
        return failed(key, f"{host}: {error.strerror or error}", remedy)
    return judge_addresses(key, host, addresses, is_own=is_own, is_alone=place.role == "standalone")
