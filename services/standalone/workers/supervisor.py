"""The process that a node of several workers is started as: it starts them, hands on what it is told, and answers for them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from lalmesh.runtime.config import Config, Role
from services.standalone.workers._health import WorkersHealth
from services.standalone.workers._ports import HeldPorts, try_ports_of_core, try_ports_of_origin
from services.standalone.workers._shares import LOOPBACK, share_of
from services.standalone.workers._silence import Silence
from services.standalone.workers._supervision import (
    AllUp,
    Command,
    Died,
    Drains,
    End,
    Event,
    Leaves,
    Send,
    Start,
    State,
    Supervision,
    Told,
    Up,
)
from services.standalone.workers._worker import CORE, DRAINS, LEAVES, LIVES, MAX_TOLD_BYTES, Worker, parse_ports

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
METRICS_PORT = "metrics"  #: what a worker calls the port of its health and metrics
KEY_VARIABLE = "LALMESH_CLUSTER__KEY"
PROGRAM = (sys.executable, "-P", "-m", "services.standalone")


@dataclass(slots=True)
class _Run:
    """One process of a worker."""

    process: asyncio.subprocess.Process
    watching: asyncio.Task[None]
    ports: Mapping[str, int]  # of its own, once it is up


class Supervisor:
    """Runs the workers of one node. Made where a loop runs, and used once."""

    def __init__(self, config: Config, role: Role, node: str, count: int, arguments: Sequence[str], *, key: str = "") -> None:
        """Prepare.

        Args:
            config: of the node.
            role: of its workers; `standalone`: they are edges, beside a process that is the rest.
            node: its name, which those of its workers begin with.
            count: of workers.
            arguments: the command line of the workers, behind the role.
            key: of the cluster that a standalone server is, where none is configured.
        """
        self._config = config
        self._role = role
        self._node = node
        self._count = count
        self._arguments = arguments
        self._key = key
        self._is_standalone = role == "standalone"
        self._supervision = Supervision(count, has_core=self._is_standalone)
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._runs: dict[int, _Run] = {}
        self._shared: dict[str, int] = {}
        self._said: dict[str, int] = {}
        self._scheduler_port = 0
        self._reason: str | None = None  # once all is over: why not well
        self._loop = asyncio.get_running_loop()
        self._silence = Silence(self._loop.time())
        self._lifeline = os.pipe()
        self._registry = CollectorRegistry()
        self._starts = self._measure()
        self._health = WorkersHealth(self._registry, self._health_ports, lambda: self._supervision.ends)

    async def run(self, all_up: Callable[[dict[str, int]], None]) -> str:
        """Run until all workers are over; gives why not well, empty where they have ended in order.

        Args:
            all_up: hears of the ports of the node once all workers listen, and of others once they do again.

        Raises:
            OSError: a port cannot be bound.
            ConfigError: the workers cannot be as they are configured.
        """
        async with AsyncExitStack() as stack:
            for end in self._lifeline:
                stack.callback(os.close, end)
            await self._take_ports(stack)
            stack.push_async_callback(self._health.stop)
            await self._health.start(self._config.metrics.host, self._config.metrics.port)
            for number in SIGNALS:
                self._loop.add_signal_handler(number, self._events.put_nowait, Told(number))
            stack.push_async_callback(self._kill)
            await self._carry_out(self._supervision.handle_timer(self._loop.time()), all_up)
            while self._reason is None:
                event = await self._next_event()
                now = self._loop.time()
                commands = self._supervision.handle_timer(now) if event is None else self._supervision.handle(event, now)
                await self._carry_out([*commands, *self._silence.look(self._running(), now)], all_up)
        return self._reason

    async def _take_ports(self, stack: AsyncExitStack) -> None:
        if self._role == "origin":
            await try_ports_of_origin(self._config.origin, self._count)
        else:
            held = HeldPorts()
            stack.push_async_callback(held.close)
            self._shared = await held.hold(self._config.edge)
            if self._is_standalone:
                await try_ports_of_core(self._config)
                self._scheduler_port = await held.hold_for_grpc(LOOPBACK)
        for number in self._supervision.states():
            share_of(self._config, self._role_of(number), self._worker(number))

    def _role_of(self, number: int) -> Role:
        return "edge" if self._is_standalone and number != CORE else self._role

    def _worker(self, number: int, report_fd: int = -1) -> Worker:
        return Worker(
            node=self._node,
            number=number,
            count=self._count,
            ports=self._shared,
            joins_first=self._supervision.listening > 0,  # they know hls nodes and streams, if the schedulers are away just now
            scheduler_port=self._scheduler_port,
            lifeline_fd=self._lifeline[0],
            report_fd=report_fd,
        )

    async def _next_event(self) -> Event | None:
        """None where a timer is due first."""
        timers = (self._supervision.next_timer(), self._silence.due_at)
        try:
            async with asyncio.timeout_at(min(due_at for due_at in timers if due_at is not None)):
                return await self._events.get()
        except TimeoutError:
            return None

    async def _carry_out(self, commands: Iterable[Command], all_up: Callable[[dict[str, int]], None]) -> None:
        for command in commands:
            match command:
                case Start(number):
                    await self._start(number)
                case Send(number, number_of_signal):
                    with contextlib.suppress(ProcessLookupError, KeyError):  # it may have ended, or never begun
                        self._runs[number].process.send_signal(number_of_signal)
                    if number_of_signal == signal.SIGKILL:
                        log.error("worker %d stands still: killed", number)
                case AllUp():
                    ports = self._ports()
                    if ports != self._said:  # a worker that is started again may have others, where any were free to it
                        self._said = ports
                        all_up(ports)
                case End(reason):
                    self._reason = reason

    async def _start(self, number: int) -> None:
        """Start the process of a worker, in a group of its own: what is sent to that of the supervisor is handed on by it."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)  # a worker does not wait for a supervisor that stands still
        worker = self._worker(number, writing)
        try:
            process = await asyncio.create_subprocess_exec(
                *PROGRAM,
                self._role_of(number),
                *self._arguments,
                stdin=subprocess.DEVNULL,
                env=self._environ(worker),
                pass_fds=(worker.lifeline_fd, worker.report_fd),
                process_group=0,
            )
        except OSError as error:
            log.error("worker %d cannot be started: %s", number, error)
            os.close(reading)
            self._events.put_nowait(Died(number, 1))
            return
        finally:
            os.close(writing)
        self._starts.labels(str(number)).inc()
        log.info("worker %d started, process %d", number, process.pid)
        watching = self._loop.create_task(self._watch(number, process, reading), name=f"worker-{number}")
        self._runs[number] = _Run(process, watching, {})

    def _environ(self, worker: Worker) -> dict[str, str]:
        own = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **worker.environ}
        return {**os.environ, **own, **({KEY_VARIABLE: self._key} if self._key else {})}

    async def _watch(self, number: int, process: asyncio.subprocess.Process, report_fd: int) -> None:
        await self._hear(number, report_fd)
        status = await process.wait()
        level = logging.WARNING if status else logging.INFO
        log.log(level, "worker %d, process %d, has ended: %d", number, process.pid, status)
        self._events.put_nowait(Died(number, status))

    async def _hear(self, number: int, report_fd: int) -> None:
        """Take in what a worker says, until it has ended."""
        reader = asyncio.StreamReader(limit=MAX_TOLD_BYTES)
        file = os.fdopen(report_fd, "rb", buffering=0)
        transport, _ = await self._loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
        try:
            while line := await reader.readline():
                self._silence.heard(number)
                if line == DRAINS:
                    self._events.put_nowait(Drains(number))
                elif line == LEAVES:
                    self._events.put_nowait(Leaves(number))
                elif line != LIVES and (ports := parse_ports(line)) is not None:
                    self._runs[number].ports = ports
                    self._events.put_nowait(Up(number))
        finally:
            transport.close()

    async def _kill(self) -> None:
        """Leave no process behind, whatever this one ends by."""
        for run in self._runs.values():
            if run.process.returncode is None:
                run.process.kill()
            await run.watching

    def _running(self) -> list[int]:
        return [number for number, state in self._supervision.states().items() if state is State.RUNNING]

    def _ports(self) -> dict[str, int]:
        """Of the node: those that are shared, those that each worker has for others, and that of its health and metrics."""
        own: dict[str, int] = {}
        for number in self._running():
            for listener, port in self._runs[number].ports.items():
                if listener not in self._shared and listener != METRICS_PORT and not (self._is_standalone and listener == "grpc"):
                    own[listener if number <= 1 else f"{listener}-{number}"] = port
        return {**self._shared, **own, METRICS_PORT: self._health.port}

    def _health_ports(self) -> dict[int, int]:
        states = self._supervision.states()
        return {
            number: self._runs[number].ports[METRICS_PORT] if state is State.RUNNING else 0
            for number, state in states.items()
            if state is not State.OVER
        }

    def _measure(self) -> Counter:
        """What the supervisor itself shows. Gives the counter of starts."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        Gauge("lalmesh_workers", "Workers that the node is to have.", registry=self._registry).set(self._count)
        Gauge("lalmesh_workers_up", "Those of them that listen.", registry=self._registry).set_function(
            lambda: self._supervision.listening
        )
        return Counter(
            "lalmesh_worker_starts", "Starts of each worker: of one that dies there are many.", ("worker",), registry=self._registry
        )
