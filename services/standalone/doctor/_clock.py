"""Whether the clock of this machine goes right: by what keeps it, and beside the clocks of those it works with."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import ctypes.util
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from lalmesh.runtime.addresses import host_port
from services.standalone.doctor._cluster import HttpAnswer, ask
from services.standalone.doctor._etcd import etcd_tls
from services.standalone.doctor._finding import Finding, failed, ok, skipped, warning
from services.standalone.doctor._place import Place
from services.standalone.doctor._redis import redis_time

DATE_S = 1.0  #: how exactly a Date header tells the time
SKEW_S = 2.0  #: beyond it signed URLs, tokens and times of segments begin to go wrong
MAX_SKEW_S = 30.0  #: beyond it tokens and signatures are refused
MAX_NODES_ASKED = 20
KEEPER = "install chrony or systemd-timesyncd, and look whether it runs: timedatectl"

_UNSYNCHRONISED = 0x40  # STA_UNSYNC, linux/timex.h
_ERROR = 5  # TIME_ERROR


class _Timex(ctypes.Structure):
    """``struct timex`` of linux/timex.h; what is read of it, and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


@dataclass(slots=True, frozen=True)
class Kept:
    """What the kernel knows of how its clock is kept."""

    is_kept: bool
    error_s: float  #: at most so far off


def kept_clock() -> Kept | None:
    """How the clock is kept (adjtimex(2), which changes nothing here); None where the system does not say."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        state = _Timex(modes=0)
        result = libc.adjtimex(ctypes.byref(state))
        if result >= 0:
            return Kept(result != _ERROR and not state.status & _UNSYNCHRONISED, state.maxerror / 1e6)
    return None


def judge_kept(kept: Kept | None) -> Finding:
    """Whether something keeps the clock."""
    if kept is None:
        return skipped("kept", "the system does not say", KEEPER)
    if not kept.is_kept:
        return warning("kept", "nothing sets this clock by others", KEEPER)
    return ok("kept", f"set by others, at most {kept.error_s * 1000:.0f} ms off")


def judge_skew(whose: str, told_s: float, exact_s: float, began_s: float, ended_s: float) -> Finding:
    """How far the clock of somebody is from ours.

    Args:
        whose: clock it is.
        told_s: the time by it.
        exact_s: how exactly: it was `told_s` or up to so much later.
        began_s: our time before we asked.
        ended_s: our time when the answer was there.
    """
    low, high = told_s - ended_s, told_s + exact_s - began_s
    off = 0.0 if low <= 0 <= high else low if low > 0 else high
    words = f"{abs(off):.1f} s {'ahead of' if off > 0 else 'behind'} ours"
    remedy = f"set both by the same servers: {KEEPER}"
    if abs(off) > MAX_SKEW_S:
        return failed(whose, words, remedy)
    if abs(off) > SKEW_S:
        return warning(whose, words, remedy)
    return ok(whose, "as ours" if not off else words)


def judge_date(whose: str, answer: HttpAnswer) -> Iterator[Finding]:
    """The clock of who sent an answer, where it has a date."""
    try:
        told_s = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return
    yield judge_skew(whose, told_s, DATE_S, answer.began_s, answer.ended_s)


async def check_clock(place: Place) -> list[Finding]:
    """Our clock is kept, and is that of the schedulers, nodes, etcd, Redis and the store."""
    config = place.config
    limit_s = place.limit_s / 2  # the nodes are asked after the schedulers
    view = await place.cluster()
    found = [judge_kept(kept_clock())]
    for url, answer in view.schedulers:
        found += judge_date(url, answer)
    urls = [
        (node.name, f"http://{host_port(host, port)}/")
        for node in view.nodes
        for protocol, host, port in node.endpoints
        if protocol == "http" and node.state != "away"
    ][:MAX_NODES_ASKED]
    if place.has("scheduler") and config.scheduler.etcd.endpoints:
        scheme = "https" if config.scheduler.etcd.ca_file else "http"
        urls += [(f"etcd {each}", f"{scheme}://{each}/health") for each in config.scheduler.etcd.endpoints]
    if place.has("hls") and config.hls.storage.endpoint:
        urls.append(("storage", config.hls.storage.endpoint))
    tls = None
    with contextlib.suppress(OSError):  # of the check of etcd
        tls = etcd_tls(config)
    asked = (ask(url, limit_s, tls=tls if whose.startswith("etcd ") else None) for whose, url in urls)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    for (whose, _), said in zip(urls, answers, strict=True):
        if isinstance(said, HttpAnswer):
            found += judge_date(whose, said)
    if place.has("scheduler") and config.scheduler.redis.host:
        with contextlib.suppress(OSError, TimeoutError):
            told = await redis_time(config, limit_s)
            found.append(judge_skew("redis", told.told_s, 0.0, told.began_s, told.ended_s))
    return found
