"""The two stores behind `lalmesh.runtime.sessions.SessionDirectory`: in memory for one scheduler, Redis for several."""

from services.scheduler.sessions._memory import MemorySessions
from services.scheduler.sessions._redis import RedisSessions
from services.scheduler.sessions._settings import SESSION_TTL_S

__all__ = ["SESSION_TTL_S", "MemorySessions", "RedisSessions"]
