"""Who a request over HTTP comes from."""

from __future__ import annotations

from aiohttp import web

from lalmesh.relay_path import RELAY_HEADER, parse_via
from lalmesh.runtime import telemetry
from lalmesh.runtime.authorisation import basic_login, bearer_of
from lalmesh.runtime.http_gate import remote_of
from services.edge.client import Client


def client_of(request: web.Request, protocol: str) -> Client:
    """The client of a request that its session calls `protocol`."""
    shown = request.headers.get("Authorization", "")
    login = basic_login(shown)
    remote = remote_of(request)
    return Client(
        protocol=protocol,
        address=remote.address,
        peer=remote.peer,
        url=f"{remote.scheme}://{request.host}{request.path}",
        app=request.path.strip("/").rpartition("/")[0],
        query=request.rel_url.raw_query_string,
        user_agent=request.headers.get("User-Agent", ""),
        via=parse_via(request.headers.get(RELAY_HEADER, "")),
        user=login.user if login is not None else "",
        login=login,
        bearer=bearer_of(shown),
        trace=telemetry.from_outside(request.headers.get(telemetry.HEADER, "")),
    )
