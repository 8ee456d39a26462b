"""Who may change something over HTTP: whoever has the token (docs/design.md §7).

Without one configured it is whoever is on this machine.
"""

from __future__ import annotations

import hmac
import ipaddress
from http import HTTPStatus

from aiohttp import web

from services.scheduler.http import ProblemError

JSON = "application/json"
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")


def check_may_change(request: web.Request, token: str) -> None:
    """Let a request pass that may change something.

    Raises:
        ProblemError: it may not.
    """
    if token:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
            raise ProblemError(HTTPStatus.UNAUTHORIZED, "a bearer token is needed")
    elif not _is_local(request):
        raise ProblemError(HTTPStatus.FORBIDDEN, "without a configured token, changes are taken from this machine only")


def check_json(request: web.Request) -> None:
    """Refuse a body of another type: JSON is what a web page of another origin cannot send unasked (Fetch Standard §3.2).

    Raises:
        ProblemError: it is of another type.
    """
    if request.content_type != JSON:
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body has to be {JSON}")


def _is_local(request: web.Request) -> bool:
    """Whether a program on this machine asks for itself: no proxy, and no web page that had its own name lead here."""
    if any(name in request.headers for name in _FORWARDED):
        return False
    return _is_loopback(request.remote or "") and _is_no_foreign_name(request.host)


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None  # of a listener for both
    return (mapped or found).is_loopback


def _is_no_foreign_name(host: str) -> bool:
    name = host.rpartition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.lower() == "localhost"
    return True
