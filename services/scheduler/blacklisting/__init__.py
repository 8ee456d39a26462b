"""The blacklist: where it is kept, and who is told of it."""

from services.scheduler.blacklisting._memory import MemoryBlacklist
from services.scheduler.blacklisting._part import Blacklisting
from services.scheduler.blacklisting._redis import RedisBlacklist
from services.scheduler.blacklisting._store import BlacklistFullError, BlacklistStore, Listed

__all__ = ["BlacklistFullError", "BlacklistStore", "Blacklisting", "Listed", "MemoryBlacklist", "RedisBlacklist"]
