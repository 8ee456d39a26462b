"""The API of lal, ``/api/stat`` and ``/api/ctrl``, for the whole cluster (docs/migration-from-lal.md)."""

from services.scheduler.lal_api._build import LalSettings, lal_operations
from services.scheduler.lal_api._control import Ban, Kick

__all__ = ["Ban", "Kick", "LalSettings", "lal_operations"]
