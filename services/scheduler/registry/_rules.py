"""What no transaction may hold, whichever store carries it out."""

from __future__ import annotations

from collections.abc import Sequence

from lalmesh.errors import LocalProtocolError
from lalmesh.runtime.registry import Compare, Operation

MAX_OPERATIONS = 128  #: compares, and operations, of one transaction: the default of etcd's ``--max-txn-ops``


def check_transaction(compares: Sequence[Compare], operations: Sequence[Operation]) -> None:
    """Refuse what etcd would refuse.

    Raises:
        LocalProtocolError: a key stands in two operations, or there are more than `MAX_OPERATIONS` of either kind.
    """
    longest = max(len(compares), len(operations))
    if longest > MAX_OPERATIONS:
        raise LocalProtocolError(f"transaction of {longest} operations, limit {MAX_OPERATIONS}", section="etcd API: Txn")
    seen: set[str] = set()
    for operation in operations:
        if operation.key in seen:
            raise LocalProtocolError(f"key {operation.key!r} stands in two operations", section="etcd API: Txn")
        seen.add(operation.key)
