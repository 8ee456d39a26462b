"""The API of lal, ``/api/stat`` and ``/api/ctrl``, for the whole cluster (docs/migration-from-lal.md)."""

from services.scheduler.lal_api._build import lal_groups, lal_operations

__all__ = ["lal_groups", "lal_operations"]
