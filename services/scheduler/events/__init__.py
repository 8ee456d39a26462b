"""The two logs behind `lalmesh.runtime.event_log.EventLog`: in memory for one scheduler, Redis for several."""

from services.scheduler.events._memory import MemoryEventLog
from services.scheduler.events._redis import RedisEventLog

__all__ = ["MemoryEventLog", "RedisEventLog"]
