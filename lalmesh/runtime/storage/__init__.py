"""Shared storage of media files: a folder, an S3-compatible store, or memory, behind one interface (docs/design.md §5)."""

from __future__ import annotations

from lalmesh.runtime.storage._interface import (
    MAX_LISTED,
    Storage,
    StorageUnavailable,
    StoredObject,
    delete_all,
    list_all,
    list_pages,
)
from lalmesh.runtime.storage._open import StorageOptions, open_storage

__all__ = [
    "MAX_LISTED",
    "Storage",
    "StorageOptions",
    "StorageUnavailable",
    "StoredObject",
    "delete_all",
    "list_all",
    "list_pages",
    "open_storage",
]
