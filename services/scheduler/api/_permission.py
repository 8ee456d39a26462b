"""Who may ask for something: whoever has a token of the role for it (docs/design.md §7).

Without one configured, what needs more than looking is for whoever is on this machine.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import urlsplit

from aiohttp import web

from lalmesh.runtime.api_tokens import ApiRole, ApiToken, Tokens
from lalmesh.runtime.http_gate import gate_of, remote_of
from lalmesh.runtime.rate_limit import RateLimit
from services.scheduler.api._problem import ProblemError

log = logging.getLogger(__name__)

TOO_OFTEN_RETRY_S = 60.0
MINUTE_S = 60.0
MAX_REMEMBERED = 10_000  #: addresses and names that need not be looked at again
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")


@dataclass(slots=True, frozen=True)
class Granted:
    """Who asks."""

    role: ApiRole
    token: str = ""  #: name of its token


class TokenFailures:
    """How often an address may show a token that is none: who may choose a token may choose a short one."""

    def __init__(self, per_minute: int = 0) -> None:
        """Take `per_minute` of them; 0: any number."""
        self._failures = RateLimit(per_minute / MINUTE_S, per_minute, time.monotonic)

    def set(self, per_minute: int) -> None:
        """Take so many from now on."""
        self._failures.set(per_minute / MINUTE_S, per_minute)

    def are_too_many(self, address: str) -> bool:
        """Whether no token of `address` is looked at for now."""
        return self._failures.is_spent(address)

    def add(self, address: str) -> None:
        """`address` has shown one."""
        self._failures.take(address)
        log.info("a token that is none", extra={"address": address})


@dataclass(slots=True, frozen=True)
class Permission:
    """The rule."""

    tokens: Tokens
    open_reads: bool = True  #: whether anybody may look
    trusted_origins: frozenset[str] = frozenset()  #: of web pages that may be used from this machine like programs on it
    failures: TokenFailures = field(default_factory=TokenFailures)

    def check(self, request: web.Request, needed: ApiRole) -> Granted:
        """Let a request pass that needs a role. What needs none is for those too whose tokens are not looked at any more.

        Raises:
            ProblemError: it may not.
        """
        granted = self._granted_once(request)
        if granted is None:
            granted = Granted(ApiRole.ANYBODY)
            if not self._is_enough(granted, needed):
                raise ProblemError(HTTPStatus.TOO_MANY_REQUESTS, "too many wrong tokens", retry_after_s=TOO_OFTEN_RETRY_S)
        if self._is_enough(granted, needed):
            return granted
        if not self.tokens:
            raise ProblemError(
                HTTPStatus.FORBIDDEN, "without a configured token, this is for programs on the scheduler's own machine only"
            )
        if granted.token:
            raise ProblemError(HTTPStatus.FORBIDDEN, f"this needs the role {needed.name.lower()}")
        raise ProblemError(HTTPStatus.UNAUTHORIZED, "a bearer token is needed")

    def allows(self, request: web.Request, needed: ApiRole) -> bool:
        """Whether a request may pass that needs a role."""
        return self._is_enough(self.granted(request), needed)

    def _is_enough(self, granted: Granted, needed: ApiRole) -> bool:
        return granted.role >= needed or (needed is ApiRole.VIEWER and self.open_reads)

    def granted(self, request: web.Request) -> Granted:
        """The role that a request comes with."""
        if not self.tokens:
            return Granted(ApiRole.ADMIN if self._is_local(request) else ApiRole.ANYBODY)
        return _worth(self.tokens.find(_shown(request)))

    def _granted_once(self, request: web.Request) -> Granted | None:
        """The same for a request that has just come, whose failure counts; None: there were too many.

        A token that is over is no failure: a page that is left open goes on with it.
        """
        if not self.tokens or not (shown := _shown(request)):
            return self.granted(request)
        address = remote_of(request).address
        if self.failures.are_too_many(address):
            return None
        token = self.tokens.find(shown)
        if token is None:
            self.failures.add(address)
        return _worth(token)

    def _is_local(self, request: web.Request) -> bool:
        """Whether a program on this machine asks for itself: no proxy, no web page of elsewhere or whose name leads here."""
        if not _is_loopback(remote_of(request).address) or any(name in request.headers for name in _FORWARDED):
            return False
        gate = gate_of(request)
        if gate is not None and gate.is_of_proxy:  # also where it does not say whose the request is
            return False
        return _is_no_foreign_name(request.host) and self._is_no_foreign_page(request)

    def _is_no_foreign_page(self, request: web.Request) -> bool:
        """Whether no page of elsewhere asks: it can send a request without a body unasked, and says where it is from."""
        origin = request.headers.get("Origin")
        if origin is None or origin.lower() in self.trusted_origins:
            return True
        try:
            return urlsplit(origin).netloc.lower() == request.host.lower()
        except ValueError:
            return False


def _shown(request: web.Request) -> str:
    """The bearer token of a request, empty where there is none."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def _worth(token: ApiToken | None) -> Granted:
    return Granted(ApiRole.ANYBODY) if token is None or token.is_over(time.time()) else Granted(token.role, token.name)


@lru_cache(MAX_REMEMBERED)  # whoever routes players asks thousands of times a second
def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None  # of a listener for both
    return (mapped or found).is_loopback


@lru_cache(MAX_REMEMBERED)
def _is_no_foreign_name(host: str) -> bool:
    name = host.rpartition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.lower() == "localhost"
    return True
