"""Nodes that are several processes: the worker, and the supervisor that starts and ends them.

```
lalmesh edge, of 2 workers named NAME     holds the public ports, serves health and metrics of all, imports no role
  +- NAME-1    a node of its own, with its share of the capacity, at the same public ports (SO_REUSEPORT)
  +- NAME-2    likewise: the kernel says which of the two a connection comes to
```
A standalone server of several workers is an edge of so many, and a process beside them that is the rest (`CORE`).

Workers are started, not forked: gRPC does not survive a fork. They have the command line of the supervisor, and an environment
variable that says which they are.
"""

from services.standalone.workers._count import worker_count
from services.standalone.workers._lifeline import end_with_supervisor, keep_saying_it_lives
from services.standalone.workers._shares import grpc_port, share_of
from services.standalone.workers._worker import CORE, Worker, listens_at, node_drains, worker_here, worker_leaves

__all__ = [
    "CORE",
    "Worker",
    "end_with_supervisor",
    "grpc_port",
    "keep_saying_it_lives",
    "listens_at",
    "node_drains",
    "share_of",
    "worker_count",
    "worker_here",
    "worker_leaves",
]
