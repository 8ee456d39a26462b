"""The two stores behind `lalmesh.runtime.registry.Registry`: in memory for one process, etcd for a cluster."""

from services.scheduler.registry._etcd import EtcdRegistry
from services.scheduler.registry._memory import EXPIRE_CHECK_S, MemoryRegistry
from services.scheduler.registry._rules import MAX_OPERATIONS
from services.scheduler.registry._settings import EtcdSettings

__all__ = ["EXPIRE_CHECK_S", "MAX_OPERATIONS", "EtcdRegistry", "EtcdSettings", "MemoryRegistry"]
