"""The registry's words as etcd's messages, and back; the key prefix is put on and taken off here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

from lalmesh.rpc.etcd import rpc_pb2
from lalmesh.runtime.registry import (
    Absent,
    Changed,
    Compare,
    Delete,
    KeyValue,
    Operation,
    Put,
    Removed,
    TransactionResult,
    Unchanged,
)


class Wire:
    """Conversion under one key prefix."""

    def __init__(self, prefix: str) -> None:
        """With `prefix` before every key."""
        self._prefix = prefix.encode()

    def key(self, key: str) -> bytes:
        """The key as etcd knows it."""
        return self._prefix + key.encode("utf-8", "surrogateescape")

    def range(self, prefix: str) -> tuple[bytes, bytes]:
        """First key and end (exclusive) of all that begins with `prefix`."""
        start = self.key(prefix)
        return start, start[:-1] + bytes([start[-1] + 1])  # the last byte of UTF-8 is at most 0xBF

    def entry(self, kv: rpc_pb2.KeyValue) -> KeyValue:
        """A key of etcd's as the registry's."""
        return KeyValue(self._name(kv.key), kv.value, kv.create_revision, kv.mod_revision, kv.lease)

    def event(self, event: rpc_pb2.Event) -> Changed | Removed:
        """A change of etcd's as the registry's."""
        if event.type == rpc_pb2.Event.DELETE:
            return Removed(self._name(event.kv.key), event.kv.mod_revision)
        return Changed(self.entry(event.kv))

    def transaction(self, compares: Sequence[Compare], operations: Iterable[Operation]) -> rpc_pb2.TxnRequest:
        """The request; where a compare fails it reads every compared key instead of writing."""
        keys = dict.fromkeys(compare.key for compare in compares)
        return rpc_pb2.TxnRequest(
            compare=[self._compare(compare) for compare in compares],
            success=[self._operation(operation) for operation in operations],
            failure=[rpc_pb2.RequestOp(request_range=rpc_pb2.RangeRequest(key=self.key(key))) for key in keys],
        )

    def result(self, compares: Sequence[Compare], reply: rpc_pb2.TxnResponse) -> TransactionResult:
        """What the reply to `transaction` says."""
        if reply.succeeded:
            return TransactionResult(True, reply.header.revision)
        found: dict[str, KeyValue | None] = dict.fromkeys(compare.key for compare in compares)
        for response in reply.responses:
            for kv in response.response_range.kvs:
                found[self._name(kv.key)] = self.entry(kv)
        return TransactionResult(False, reply.header.revision, found)

    def _name(self, key: bytes) -> str:
        return key.removeprefix(self._prefix).decode("utf-8", "surrogateescape")  # others may write keys that are not UTF-8

    def _compare(self, compare: Compare) -> rpc_pb2.Compare:
        key = self.key(compare.key)
        match compare:
            case Absent():
                return rpc_pb2.Compare(key=key, target=rpc_pb2.Compare.CREATE, create_revision=0)
            case Unchanged(mod_revision=mod_revision):
                return rpc_pb2.Compare(key=key, target=rpc_pb2.Compare.MOD, mod_revision=mod_revision)
            case _:
                assert_never(compare)

    def _operation(self, operation: Operation) -> rpc_pb2.RequestOp:
        key = self.key(operation.key)
        match operation:
            case Put(value=value, lease_id=lease_id):
                return rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=key, value=value, lease=lease_id))
            case Delete():
                return rpc_pb2.RequestOp(request_delete_range=rpc_pb2.DeleteRangeRequest(key=key))
            case _:
                assert_never(operation)
