"""Replicas of the scheduler that stand at once, where the wait for that is not what a test is about."""

from __future__ import annotations

import math

from services.scheduler import SchedulerService


async def stand(service: SchedulerService) -> None:
    """Have a replica stand beside the others, as if it had found them a lease ago."""
    service.presence._found_at = -math.inf
    await service.presence._keep()
