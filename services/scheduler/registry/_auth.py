"""Password login: the token that every call carries, and when it has gone stale."""

from __future__ import annotations

import asyncio

import grpc

from lalmesh.rpc.etcd import rpc_pb2
from services.scheduler.registry._channel import Endpoints, Metadata, Method
from services.scheduler.registry._settings import EtcdSettings

_AUTHENTICATE = Method("/etcdserverpb.Auth/Authenticate", rpc_pb2.AuthenticateResponse)

#: etcd reports these as invalid arguments: rights were changed since the login; login was off and has been turned on
_STALE_DETAILS = ("revision of auth store is old", "user name is empty")


def is_stale(error: grpc.aio.AioRpcError) -> bool:
    """Whether a call was refused, before anything was done, because its token is no longer known."""
    if error.code() is grpc.StatusCode.UNAUTHENTICATED:
        return True
    return any(words in (error.details() or "") for words in _STALE_DETAILS)


class Tokens:
    """The token of one client, fetched when first needed and after it went stale."""

    def __init__(self, settings: EtcdSettings, endpoints: Endpoints) -> None:
        """For the user of `settings`; without one the token is empty."""
        self._settings = settings
        self._endpoints = endpoints
        self._lock = asyncio.Lock()  # one login at a time: etcd spends about 50 ms of processor on each
        self._token: str | None = None if settings.username else ""

    async def current(self) -> str:
        """The token, empty where there is no login.

        Raises:
            grpc.aio.AioRpcError: the login was refused or not answered.
        """
        async with self._lock:
            if self._token is None:
                self._token = await self._log_in()
            return self._token

    def drop(self, token: str) -> None:
        """Log in again before the next call, unless `token` has been replaced meanwhile."""
        if self._settings.username and self._token == token:
            self._token = None

    async def _log_in(self) -> str:
        request = rpc_pb2.AuthenticateRequest(name=self._settings.username, password=self._settings.password)
        try:
            reply = await self._endpoints.unary(_AUTHENTICATE, request, (), self._settings.timeout_s)
        except grpc.aio.AioRpcError as exc:
            if exc.code() is grpc.StatusCode.FAILED_PRECONDITION:  # login is turned off
                return ""
            raise
        return reply.token


def token_metadata(token: str) -> Metadata:
    """The metadata that carries `token`."""
    return (("token", token),) if token else ()
