"""Which worker a process is, as its supervisor tells it; and what it tells its supervisor."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict, dataclass, field

#: of the environment; not one of those that begin with LALMESH_, which are keys of the configuration
VARIABLE = "_LALMESH_WORKER"
CORE = 0  #: number of the process of a standalone server that is all but its edge
MAX_TOLD_BYTES = 64 << 10  #: of a line that a worker tells: a dozen ports
DRAINS = b"drains\n"  #: what `node_drains` tells
LEAVES = b"leaves\n"  #: what `worker_leaves` tells
LIVES = b"lives\n"  #: what `worker_lives` tells


@dataclass(slots=True, frozen=True, kw_only=True)
class Worker:
    """One of the processes of a node, or of a standalone server."""

    node: str  #: name of the node that it is a part of
    number: int  #: from 1; `CORE`
    count: int  #: of those from 1 on
    ports: Mapping[str, int] = field(default_factory=dict)  #: that all workers share, by protocol
    joins_first: bool = False  #: whether it listens once it has joined only, as others listen at those ports
    scheduler_port: int = 0  #: of a standalone server, on the loopback; 0: the scheduler is as configured
    lifeline_fd: int = -1  #: the reading end of a pipe that nobody writes to, and that is closed once the supervisor has ended
    report_fd: int = -1  #: what it tells its supervisor by, for as long as it lives; a pipe that does not block

    @property
    def name(self) -> str:
        """Of the node that it is itself."""
        return f"{self.node}-{self.number}"

    @property
    def environ(self) -> dict[str, str]:
        """The variable that tells a process that it is this one."""
        return {VARIABLE: json.dumps(asdict(self))}


def worker_here(environ: MutableMapping[str, str] = os.environ) -> Worker | None:
    """The worker that this process is, None where it is none. Takes the variable out: what the process starts is no worker."""
    told = environ.pop(VARIABLE, None)
    return None if told is None else Worker(**json.loads(told))


def listens_at(worker: Worker, ports: Mapping[str, int]) -> None:
    """Tell the supervisor that all `ports` listen, by listener."""
    _tell(worker, f"{json.dumps(dict(ports))}\n".encode())


def node_drains(worker: Worker) -> None:
    """Tell the supervisor that all workers of the node drain: none is to be started again."""
    _tell(worker, DRAINS)


def worker_leaves(worker: Worker) -> None:
    """Tell the supervisor that this worker drains, and others go on: it is not to be started again."""
    _tell(worker, LEAVES)


def worker_lives(worker: Worker) -> None:
    """Tell the supervisor that the loop of this worker runs."""
    _tell(worker, LIVES)


def _tell(worker: Worker, line: bytes) -> None:
    """Write a line at once, as pipes do with what is shorter than a page; or nothing."""
    with contextlib.suppress(BlockingIOError, BrokenPipeError):  # of a supervisor that has stood still for hours, or is gone
        os.write(worker.report_fd, line)


def parse_ports(line: bytes) -> dict[str, int] | None:
    """What `listens_at` told; None where the worker has ended meanwhile."""
    return {str(name): int(port) for name, port in json.loads(line).items()} if line.endswith(b"\n") else None
