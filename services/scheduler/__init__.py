"""The scheduler: keeps membership and stream ownership in the registry, and says which origin carries which stream."""

from services.scheduler.app import SchedulerApp
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.service import SchedulerService

__all__ = ["SchedulerApp", "SchedulerMetrics", "SchedulerService"]
