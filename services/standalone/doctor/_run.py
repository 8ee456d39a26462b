"""All checks, side by side, each within its time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from lalmesh.runtime.config import ConfigError, Role, check_role
from services.standalone.doctor._clock import check_clock
from services.standalone.doctor._cluster import check_versions
from services.standalone.doctor._etcd import check_etcd
from services.standalone.doctor._finding import Finding, failed, ok
from services.standalone.doctor._kernel import check_kernel
from services.standalone.doctor._limits import check_limits
from services.standalone.doctor._names import check_names
from services.standalone.doctor._path import check_path
from services.standalone.doctor._place import Place
from services.standalone.doctor._ports import check_ports
from services.standalone.doctor._redis import check_redis
from services.standalone.doctor._storage import check_storage
from services.standalone.doctor._tls import check_tls
from services.standalone.workers import Worker, share_of, worker_count

Check: TypeAlias = Callable[[Place], Awaitable[list[Finding]]]


async def check_configuration(place: Place) -> list[Finding]:
    """The role can start with the configuration."""
    found: list[Finding] = []
    try:
        check_role(place.config, place.role)
    except ConfigError as error:
        remedy = f"lalmesh config check --role {place.role}"
        found += (failed(problem.key, problem.text, remedy) for problem in error.problems)
    try:
        _share_out(place)
    except ConfigError as error:
        found += (failed(problem.key, problem.text, "more ports, or fewer workers") for problem in error.problems)
    return found or [ok(place.role, "has what it cannot start without")]


def _share_out(place: Place) -> None:
    """Give each worker its share; raises ConfigError where one gets none, as the start would."""
    count = worker_count(place.config, place.role)
    of_workers: Role = "edge" if place.role == "standalone" else place.role
    for number in range(1, count + 1) if count > 1 else ():
        share_of(place.config, of_workers, Worker(node=place.role, number=number, count=count))


#: By the names that they are told by, in the order that they are told in.
CHECKS: Mapping[str, Check] = {
    "configuration": check_configuration,
    "limits": check_limits,
    "kernel": check_kernel,
    "ports": check_ports,
    "names": check_names,
    "clock": check_clock,
    "tls": check_tls,
    "etcd": check_etcd,
    "redis": check_redis,
    "storage": check_storage,
    "versions": check_versions,
    "path": check_path,
}


@dataclass(slots=True, frozen=True)
class Examined:
    """What all checks found."""

    findings: Mapping[str, list[Finding]]  #: by check
    hung: bool  #: whether one had not ended in time: something of it may go on


async def examine(place: Place, checks: Mapping[str, Check] = CHECKS) -> Examined:
    """Run all checks; takes as long as the longest, `place.limit_s` at most."""
    try:
        results = await asyncio.gather(*(_bounded(check, place) for check in checks.values()))
    finally:
        await place.close()
    findings = {name: found for name, (found, _) in zip(checks, results, strict=True)}
    return Examined(findings, any(hung for _, hung in results))


async def _bounded(check: Check, place: Place) -> tuple[list[Finding], bool]:
    try:
        async with asyncio.timeout(place.limit_s):
            return await check(place), False
    except TimeoutError:
        remedy = "something that it asks hangs: look at names, disks and firewalls; or give it longer with --limit"
        return [failed("check", f"not done in {place.limit_s:g} s", remedy)], True
    except Exception as error:  # a check that breaks must not keep the others from telling
        return [failed("check", f"broke off: {type(error).__name__}: {error}", "please report this")], False
