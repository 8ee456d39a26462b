"""The tasks that a node consists of: it is none any more where one of them has failed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

log = logging.getLogger(__name__)


def end_with_any(tasks: Iterable[asyncio.Task[None]], failed: Callable[[str], None]) -> None:
    """Where one of `tasks` fails, by a bug of ours, log it and tell `failed`: nothing else would, and the others would go on."""

    def over(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)
            failed(f"{task.get_name()} failed: {error!r}")

    for task in tasks:
        task.add_done_callback(over)
