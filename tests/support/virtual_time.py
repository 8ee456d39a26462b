"""An event loop whose time passes at once: whatever waits only for a timer waits no real moment."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

_Arguments = ParamSpec("_Arguments")


class _JumpingSelector(selectors.SelectSelector):
    """Lets time jump to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("the test waits for something that nothing will bring about")
        self.now += max(0.0, timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop without sockets and with a time of its own."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def suspend(self, seconds: float) -> None:
        """Let time pass in which the process does not run."""
        self._jumping.now += seconds


def in_virtual_time(test: Callable[_Arguments, Coroutine[Any, Any, None]]) -> Callable[_Arguments, None]:
    """Run an async test on a `VirtualTimeLoop`."""

    @functools.wraps(test)
    def run(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


def suspend(seconds: float) -> None:
    """Let time pass in which the process does not run."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.suspend(seconds)


async def settle(rounds: int = 20) -> None:
    """Let everything run that is ready, without a moment passing."""
    for _ in range(rounds):
        await asyncio.sleep(0)
