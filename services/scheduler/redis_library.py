"""What is used of redis-py, imported without what it would import for metrics of its own.

Where OpenTelemetry is installed redis-py imports 60 modules of it, 0.1 s of start and 2 MB, for metrics that nobody asks it for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _without_opentelemetry() -> Iterator[None]:
    """To what is imported within it OpenTelemetry is not installed, unless it has been imported before."""
    name = "opentelemetry"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # what `import` takes for: there is none
    try:
        yield
    finally:
        del sys.modules[name]


with _without_opentelemetry():
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError

__all__ = ["NoBackoff", "Redis", "RedisError", "Retry"]
