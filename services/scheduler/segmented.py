"""Streams that an hls node segments under an epoch that the registry does not show (any more): it is written down again.

The store was wiped, or restored from before; or its owner was taken for dead and is back. Until the owner raised its limit by
itself, which is a minute for a stream of few parts, a successor would be named for one that lives.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NO_EPOCH
from lalmesh.runtime.scheduling.hls import HlsLimit
from lalmesh.runtime.scheduling.model import HeldStream, Role
from services.scheduler.hls_directory import HlsDirectory
from services.scheduler.members import Session
from services.scheduler.parallel import for_each
from services.scheduler.segmenting import Segmenting

log = logging.getLogger(__name__)

TIME_S = 5.0  #: for one stream; later reports have it tried again


class Segmented:
    """Compares the reports of hls nodes with the directory."""

    def __init__(
        self,
        directory: HlsDirectory,
        segmenting: Segmenting,
        spawn: Callable[[Callable[[], Awaitable[None]]], asyncio.Task[None]],
    ) -> None:
        """Look into `directory`, write by `segmenting`; `spawn` runs tasks until they end or the scheduler stops."""
        self._directory = directory
        self._segmenting = segmenting
        self._spawn = spawn

    def check(self, session: Session) -> None:
        """Have that written down which two reports in a row have shown."""
        if session.report.role is not Role.HLS:
            return
        due = session.differences.due([stream for stream, held in session.held.items() if self._is_forgotten(held)])
        if due:
            self._spawn(partial(self._write_down, session, due))

    def _is_forgotten(self, held: HeldStream) -> bool:
        if held.epoch == NO_EPOCH:
            return False
        record = self._directory.record(held.stream)
        if record is None or record.epoch < held.epoch:
            return True
        return record.epoch == held.epoch and record.owner is None and not record.exact

    async def _write_down(self, session: Session, streams: list[StreamKey]) -> None:
        """The limit stays what is known of it: the owner knows its own, and raises it."""
        end = asyncio.get_running_loop().time() + TIME_S

        async def write(stream: StreamKey) -> bool:
            held = session.held.get(stream)
            if held is None:
                return False
            return await self._segmenting.raise_limit(HlsLimit(stream, held.epoch, 0), session.report.node, end) is True

        done = await for_each(streams, write)
        log.info("%s segments %d streams that the registry had forgotten", session.node.name, done.count(True))
