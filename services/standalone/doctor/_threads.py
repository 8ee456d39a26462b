"""Threads that nobody waits for: a lookup of a name or a disk that hangs holds up neither a check nor the end of the process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_Asked = ParamSpec("_Asked")
_Given = TypeVar("_Given")


async def in_thread(work: Callable[_Asked, _Given], *args: _Asked.args, **named: _Asked.kwargs) -> _Given:
    """What `work` gives, in a thread of its own. Where the caller is cancelled, it goes on and nobody hears of it."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Given] = loop.create_future()

    def give(result: _Given) -> None:
        if not done.done():
            done.set_result(result)

    def fail(error: BaseException) -> None:
        if not done.done():
            done.set_exception(error)

    def run() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            try:
                result = work(*args, **named)
            except BaseException as error:
                loop.call_soon_threadsafe(fail, error)
            else:
                loop.call_soon_threadsafe(give, result)

    threading.Thread(target=run, daemon=True, name="doctor").start()
    return await done
