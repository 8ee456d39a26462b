"""Folders in memory, for stores that wait until the disk has what they write: a disk that is kept busy makes that seconds."""

from __future__ import annotations

import shutil
import weakref
from pathlib import Path
from tempfile import mkdtemp

MEMORY = Path("/dev/shm")
ROOM_BYTES = 2 << 30  #: that must be free there, for the stores of all tests that run at a time


def folder_in_memory(owner: object) -> Path:
    """A new folder, which goes with `owner`; on the disk where memory has too little room."""
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM_BYTES
    folder = Path(mkdtemp(prefix="lalmesh-", dir=MEMORY if has_room else None))
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return folder
