"""Threads for what may block for long: a disk that hangs holds up these, and not what the rest of the process does in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

_Asked = ParamSpec("_Asked")
_Given = TypeVar("_Given")


class Threads:
    """Some threads, made as they are needed, for one kind of work."""

    def __init__(self, count: int, name: str) -> None:
        """At most `count`, called `name` and a number; more work waits."""
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def call(self, work: Callable[_Asked, _Given], *args: _Asked.args, **named: _Asked.kwargs) -> _Given:
        """What `work` gives. Where the caller is cancelled, work that has begun goes on, and nobody hears of it."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(work, *args, **named))
