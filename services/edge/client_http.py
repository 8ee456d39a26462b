"""Who a request over HTTP comes from."""

from __future__ import annotations

from aiohttp import web

from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.protocol.http_auth import BasicCredentials, parse_credentials
from lalmesh.relay_path import RELAY_HEADER, parse_via
from lalmesh.runtime.authorisation import PlainLogin
from lalmesh.runtime.listener import peer_of
from services.edge.client import Client


def client_of(request: web.Request, protocol: str) -> Client:
    """The client of a request that its session calls `protocol`."""
    shown = request.headers.get("Authorization", "")
    login = login_of(shown)
    address, peer = peer_of(request.transport) if request.transport is not None else ("", "?")
    return Client(
        protocol=protocol,
        address=address,
        peer=peer,
        url=f"{request.scheme}://{request.host}{request.path}",
        query=request.rel_url.raw_query_string,
        user_agent=request.headers.get("User-Agent", ""),
        via=parse_via(request.headers.get(RELAY_HEADER, "")),
        user=login.user if login is not None else "",
        login=login,
        bearer=bearer_of(shown),
    )


def login_of(shown: str) -> PlainLogin | None:
    """The name and the password of an Authorization header; None where it has none."""
    try:
        credentials = parse_credentials(shown) if shown else None
    except (RemoteProtocolError, UnsupportedError):
        return None
    return PlainLogin(credentials.user, credentials.password) if isinstance(credentials, BasicCredentials) else None


def bearer_of(shown: str) -> str:
    """The token of an Authorization header (RFC 6750 §2.1); empty where it has none."""
    scheme, _, token = shown.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
