"""A worker ends with its supervisor, however that ends: nobody else would start it again, drain it, or serve its metrics.

And it says that it lives, since a process whose loop stands still has not ended: see `Silence`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal

from services.standalone.workers._worker import Worker, worker_lives

LIVES_EVERY_S = 1.0  #: is it said
_PR_SET_PDEATHSIG = 1  #: prctl(2)


def end_with_supervisor(worker: Worker) -> None:
    """From now on. To be called where the loop of the worker runs.

    Linux kills whoever asked for it once the parent has ended, be it busy as it may. Elsewhere, and where that had ended before,
    the loop finds the lifeline closed.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    asyncio.get_running_loop().add_reader(worker.lifeline_fd, os._exit, 1)


def keep_saying_it_lives(worker: Worker) -> None:
    """From now on, for as long as the loop of the worker runs. To be called there."""
    worker_lives(worker)
    asyncio.get_running_loop().call_later(LIVES_EVERY_S, keep_saying_it_lives, worker)
