"""Whether the members of etcd answer, and take what a scheduler writes."""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from dataclasses import replace

from lalmesh.errors import LalmeshError
from lalmesh.runtime.config import Config
from lalmesh.runtime.registry import Put
from services.scheduler.registry import EtcdRegistry, EtcdSettings
from services.standalone.doctor._finding import Finding, failed, ok, warning
from services.standalone.doctor._place import Place
from services.standalone.doctor._reach import Reached, client_tls, reach, split
from services.standalone.scheduler_settings import etcd_settings

SLOW_MS = 100.0  #: for one answer: with five a claim, publishers would notice
LEASE_S = 10  #: what is written is gone after it, whatever becomes of us
FOLDER = "doctor/"  #: of what is written: nobody reads it


def etcd_tls(config: Config) -> ssl.SSLContext | None:
    """How etcd is spoken to.

    Raises:
        OSError: a file cannot be used.
    """
    etcd = config.scheduler.etcd
    return client_tls(etcd.ca_file, etcd.cert_file, etcd.key_file) if etcd.ca_file else None


def judge_answer(endpoint: str, took_ms: float) -> Finding:
    """Whether a member answers soon enough."""
    if took_ms > SLOW_MS:
        return warning(endpoint, f"answers after {took_ms:.0f} ms", "look at its disk: etcd wants SSDs that nobody else writes to")
    return ok(endpoint, f"answers after {took_ms:.0f} ms")


def judge_refusal(subject: str, said: str) -> Finding:
    """What to do about what etcd says."""
    lower = said.lower()
    if "authentication" in lower or "invalid auth" in lower or "user name" in lower:
        remedy = "mend scheduler.etcd.username and its password"
    elif "permission denied" in lower:
        remedy = "give the user a role that reads and writes below scheduler.etcd.prefix"
    elif "no space" in lower or "nospace" in lower:
        remedy = "etcd is full: compact, defragment, and disarm its alarm; see docs/runbooks/etcd-away.md"
    elif "leader" in lower:
        remedy = "most members have to be up: see docs/runbooks/etcd-away.md"
    else:
        remedy = "see docs/runbooks/etcd-away.md"
    return failed(subject, said, remedy)


async def check_etcd(place: Place) -> list[Finding]:
    """Each member of etcd answers, and one takes what is written under a lease."""
    config = place.config
    if not place.has("scheduler"):
        return []
    if not config.scheduler.etcd.endpoints:
        return [ok("etcd", "none: the registry is in memory")]
    try:
        tls = etcd_tls(config)
    except OSError as error:
        return [failed("etcd", f"TLS files: {error}", "mend scheduler.etcd.ca_file, cert_file and key_file")]
    limit_s = place.limit_s / 2
    settings = replace(etcd_settings(config), timeout_s=min(config.scheduler.etcd.timeout_s, limit_s))
    found = await asyncio.gather(*(_member(each, settings, tls, limit_s) for each in settings.endpoints))
    working = [each for each, (works, _) in zip(settings.endpoints, found, strict=True) if works]
    findings = [finding for _, finding in found]
    return [*findings, await _write(replace(settings, endpoints=tuple(working)))] if working else findings


async def _member(endpoint: str, settings: EtcdSettings, tls: ssl.SSLContext | None, limit_s: float) -> tuple[bool, Finding]:
    reached = await reach(*split(endpoint), limit_s / 2, tls)
    if not isinstance(reached, Reached):
        return False, failed(endpoint, reached.reason, reached.remedy)
    registry = EtcdRegistry(replace(settings, endpoints=(endpoint,)))
    try:
        await registry.get(f"{FOLDER}answer")  # with the login, where there is one
        began = time.perf_counter()
        await registry.get(f"{FOLDER}answer")
        return True, judge_answer(endpoint, (time.perf_counter() - began) * 1000)
    except LalmeshError as error:
        return False, judge_refusal(endpoint, str(error))
    finally:
        await registry.close()


async def _write(settings: EtcdSettings) -> Finding:
    subject = f"write below {settings.prefix}"
    registry = EtcdRegistry(settings)
    try:
        lease = await registry.grant_lease(LEASE_S)
        done = await registry.transact([], [Put(f"{FOLDER}{secrets.token_hex(8)}", b"doctor", lease)])
        await registry.revoke_lease(lease)
        return ok(subject, f"written, and removed again, at revision {done.revision}")
    except LalmeshError as error:
        return judge_refusal(subject, str(error))
    finally:
        await registry.close()
