"""The registry in etcd, over its v3 gRPC API; written against the servers of the 3.4 line.

Every call has a deadline, which includes waiting for a member to be connected. No call is repeated here but one whose login
token had gone stale, which etcd refuses before doing anything: whether a call that broke was carried out only the caller can
find out. `EtcdRegistry.follow` goes on by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from lalmesh.rpc.etcd import rpc_pb2
from lalmesh.runtime.registry import (
    Compare,
    FollowEvent,
    KeyValue,
    LeaseLost,
    Listing,
    Operation,
    Put,
    RegistryUnavailable,
    TransactionResult,
)
from services.scheduler.reached import Reached
from services.scheduler.registry._auth import Tokens, is_stale, token_metadata
from services.scheduler.registry._channel import Endpoints, Metadata, Method
from services.scheduler.registry._errors import Refused, unavailable
from services.scheduler.registry._rules import check_transaction
from services.scheduler.registry._settings import EtcdSettings
from services.scheduler.registry._watch import Pauses, Position, StartOver, Watch
from services.scheduler.registry._wire import Wire

PAGE_KEYS = 1000  #: keys read at once by a listing: about 1 MB of claims
#: refusals by an etcd that is well: no such lease, compacted, not as it was
ANSWERS = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.FAILED_PRECONDITION)
LIST_TRIES = 3  #: a listing whose revision is compacted between two pages starts again; thrice in a row is no accident

_RANGE = Method("/etcdserverpb.KV/Range", rpc_pb2.RangeResponse)
_TXN = Method("/etcdserverpb.KV/Txn", rpc_pb2.TxnResponse)
_LEASE_GRANT = Method("/etcdserverpb.Lease/LeaseGrant", rpc_pb2.LeaseGrantResponse)
_LEASE_REVOKE = Method("/etcdserverpb.Lease/LeaseRevoke", rpc_pb2.LeaseRevokeResponse)
_LEASE_TIME_TO_LIVE = Method("/etcdserverpb.Lease/LeaseTimeToLive", rpc_pb2.LeaseTimeToLiveResponse)
_LEASE_KEEP_ALIVE = Method("/etcdserverpb.Lease/LeaseKeepAlive", rpc_pb2.LeaseKeepAliveResponse)

T = TypeVar("T")
ReplyT = TypeVar("ReplyT", bound=Message)

log = logging.getLogger(__name__)


class EtcdRegistry:
    """The registry in etcd (see `lalmesh.runtime.registry.Registry`). Build it on the event loop that uses it."""

    def __init__(self, settings: EtcdSettings, reached: Reached | None = None) -> None:
        """A client that connects at its first call; `reached` is told what becomes of each.

        Raises:
            OSError: a certificate file cannot be read.
        """
        self._timeout_s = settings.timeout_s
        self._reached = reached or Reached()
        self._wire = Wire(settings.prefix)
        self._endpoints = Endpoints(settings)
        self._tokens = Tokens(settings, self._endpoints)

    async def get(self, key: str) -> tuple[KeyValue | None, int]:
        """The key as it is now, linearizable, and the registry's revision."""
        reply = await self._unary(_RANGE, rpc_pb2.RangeRequest(key=self._wire.key(key)))
        entry = self._wire.entry(reply.kvs[0]) if reply.kvs else None
        return entry, reply.header.revision

    async def list(self, prefix: str) -> Listing:
        """All keys that begin with `prefix`, linearizable; each `PAGE_KEYS` of them have a deadline of their own."""
        listing, _ = await self._list(prefix)
        return listing

    async def transact(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> TransactionResult:
        """Carry out all `operations` if every compare holds, otherwise none.

        Raises:
            LeaseLost: a put names a lease that has ended; nothing was written.
            LocalProtocolError: a key stands in two operations, or the transaction is too large.
        """
        check_transaction(compares, operations)
        try:
            reply = await self._unary(_TXN, self._wire.transaction(compares, operations))
        except Refused as exc:
            lease_ids = dict.fromkeys(op.lease_id for op in operations if isinstance(op, Put) and op.lease_id)
            if exc.code is grpc.StatusCode.NOT_FOUND and lease_ids:  # "requested lease not found"
                raise LeaseLost(await self._lost_lease([*lease_ids])) from exc
            raise
        return self._wire.result(compares, reply)

    async def grant_lease(self, ttl_s: int) -> int:
        """A new lease that ends `ttl_s` seconds after its last renewal; etcd lengthens one shorter than its elections take."""
        reply = await self._unary(_LEASE_GRANT, rpc_pb2.LeaseGrantRequest(TTL=ttl_s))
        return reply.ID

    async def renew_lease(self, lease_id: int) -> bool:
        """Renew; False where the lease does not exist (any more)."""
        return await self._authorised(lambda token: self._keep_alive(lease_id, token_metadata(token)))

    async def revoke_lease(self, lease_id: int) -> None:
        """End a lease now, and every key under it. No error where it does not exist."""
        try:
            await self._unary(_LEASE_REVOKE, rpc_pb2.LeaseRevokeRequest(ID=lease_id))
        except Refused as exc:
            if exc.code is not grpc.StatusCode.NOT_FOUND:
                raise

    async def follow(self, prefix: str) -> AsyncIterator[FollowEvent]:
        """A `Listing` of `prefix`, then every change; a `Listing` again where changes may have been missed. Ends with `close`.

        A store that was wiped or restored and has within the same interruption grown past the revision last seen is known by what
        it has at that revision. Where what was written there is none of this prefix, before as well as now, it looks like the old
        one: epochs guard against what is then missed, not this.
        """
        position: Position | None = None
        pauses = Pauses()
        while not self._endpoints.closed:
            try:
                if position is None:
                    listing, position = await self._list(prefix)
                    yield listing
                async with self._watching(prefix, position.told.revision) as watch:
                    while True:
                        response = await self._next(watch, position)
                        news = position.told.new([self._wire.event(event) for event in response.events])
                        pauses.reset()
                        for event in news:
                            yield event
            except StartOver as exc:
                log.warning("listing %r again: %s", prefix, exc)
                position = None
            except RegistryUnavailable as exc:
                if self._endpoints.closed:
                    return
                log.log(logging.WARNING if pauses.fresh else logging.DEBUG, "following %r is interrupted: %s", prefix, exc)
            await asyncio.sleep(pauses.next())

    async def close(self) -> None:
        """Close the connections and end the followers; every call from now on raises `RegistryUnavailable`."""
        await self._endpoints.close()

    async def _unary(self, method: Method[ReplyT], request: Message) -> ReplyT:
        return await self._authorised(lambda token: self._endpoints.unary(method, request, token_metadata(token), self._timeout_s))

    async def _authorised(self, attempt: Callable[[str], Awaitable[T]]) -> T:
        """The reply that `attempt` gets with our token, or with a fresh one where that is stale."""
        async with self._translated():
            reply = await self._with_token(attempt)
            self._reached.answered()
            return reply

    async def _with_token(self, attempt: Callable[[str], Awaitable[T]]) -> T:
        token = await self._tokens.current()
        try:
            return await attempt(token)
        except grpc.aio.AioRpcError as exc:
            if not is_stale(exc):
                raise
        self._tokens.drop(token)
        return await attempt(await self._tokens.current())

    @contextlib.asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        """Give what runs inside the deadline, and the registry's errors."""
        if self._endpoints.closed:
            raise unavailable("etcd: client is closed")
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except TimeoutError as exc:
            self._reached.failed()
            raise unavailable(f"etcd: no answer in {self._timeout_s:g} s") from exc
        except grpc.aio.AioRpcError as exc:
            (self._reached.answered if exc.code() in ANSWERS else self._reached.failed)()
            raise Refused(exc) from exc
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._endpoints.closed or task is None or task.cancelling():
                raise
            raise unavailable("etcd: client was closed") from None  # nobody cancelled us: the channel cancelled its calls

    async def _list(self, prefix: str) -> tuple[Listing, Position]:
        for _ in range(LIST_TRIES):
            try:
                return await self._list_pages(prefix)
            except Refused as exc:
                if exc.code is not grpc.StatusCode.OUT_OF_RANGE:  # "required revision has been compacted"
                    raise
        raise unavailable(f"etcd: compacted faster than {prefix!r} can be listed")

    async def _list_pages(self, prefix: str) -> tuple[Listing, Position]:
        """Page by page, all as of the revision of the first."""
        key, end = self._wire.range(prefix)
        page = await self._unary(_RANGE, rpc_pb2.RangeRequest(key=key, range_end=end, limit=PAGE_KEYS))
        header = page.header
        entries = [self._wire.entry(kv) for kv in page.kvs]
        while page.more:
            key = page.kvs[-1].key + b"\0"
            request = rpc_pb2.RangeRequest(key=key, range_end=end, limit=PAGE_KEYS, revision=header.revision)
            page = await self._unary(_RANGE, request)
            entries += [self._wire.entry(kv) for kv in page.kvs]
        listing = Listing(tuple(entries), header.revision)
        return listing, Position.of(listing, header)

    async def _lost_lease(self, lease_ids: Sequence[int]) -> int:
        """Which of these leases, one of which is gone; etcd does not say."""
        for lease_id in lease_ids[:-1]:
            reply = await self._unary(_LEASE_TIME_TO_LIVE, rpc_pb2.LeaseTimeToLiveRequest(ID=lease_id))
            if reply.TTL < 0:
                return lease_id
        return lease_ids[-1]

    async def _keep_alive(self, lease_id: int, metadata: Metadata) -> bool:
        channel = await self._endpoints.connected()
        request = rpc_pb2.LeaseKeepAliveRequest(ID=lease_id)
        call = self._endpoints.stream(channel, _LEASE_KEEP_ALIVE, iter([request]), metadata)
        try:
            return any([reply.TTL > 0 async for reply in call])
        except (grpc.aio.AioRpcError, asyncio.CancelledError):
            self._endpoints.leave(channel)
            raise
        finally:
            call.cancel()

    @contextlib.asynccontextmanager
    async def _watching(self, prefix: str, start_revision: int) -> AsyncIterator[Watch]:
        """A watch of `prefix`, closed at the end; its member is left if it did not serve."""
        async with self._translated():
            token = await self._tokens.current()
            channel = await self._endpoints.connected()
        key, end = self._wire.range(prefix)
        create = rpc_pb2.WatchCreateRequest(key=key, range_end=end, start_revision=start_revision)
        watch = Watch(self._endpoints, channel, token, create, quiet_s=self._timeout_s)
        try:
            yield watch
        except RegistryUnavailable:
            self._endpoints.leave(channel)
            raise
        finally:
            await watch.close()

    async def _next(self, watch: Watch, position: Position) -> rpc_pb2.WatchResponse:
        """The next response of `watch` that continues from `position`."""
        response = await watch.next()
        position.check(response)
        if response.canceled:  # where rights are checked, a stale token shows only here
            self._tokens.drop(watch.token)
            raise unavailable(f"etcd: watch refused: {response.cancel_reason}")
        return response
