"""A worker ends with its supervisor, however that ends: nobody else would start it again, drain it, or serve its metrics."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal

from services.standalone.workers._worker import Worker

_PR_SET_PDEATHSIG = 1  #: prctl(2)


def end_with_supervisor(worker: Worker) -> None:
    """From now on. To be called where the loop of the worker runs.

    Linux kills whoever asked for it once the parent has ended, be it busy as it may. Elsewhere, and where that had ended before,
    the loop finds the lifeline closed.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    asyncio.get_running_loop().add_reader(worker.lifeline_fd, os._exit, 1)
