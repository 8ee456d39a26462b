"""The event loops that a test runs on: asyncio's own, and uvloop where it is installed."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

#: The fixture `run` of integration tests: runs a coroutine on either loop.
Run = Callable[[Coroutine[Any, Any, None]], None]
NEEDS_UVLOOP = pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed")


def new_uvloop() -> asyncio.AbstractEventLoop:
    """A loop of uvloop."""
    import uvloop

    return uvloop.new_event_loop()


#: Parameters of a fixture: functions that make a loop.
LOOP_FACTORIES = [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(new_uvloop, id="uvloop", marks=NEEDS_UVLOOP)]
#: Parameters of a test: what `--loop` takes.
LOOP_NAMES = [pytest.param("asyncio"), pytest.param("uvloop", marks=NEEDS_UVLOOP)]
