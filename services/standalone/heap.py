"""What is in use of the C library's heap: what libraries hold, and Python where it is larger than half a kilobyte.

Resident memory says less of what is held: the heap keeps what its peaks needed, and grows with each that is higher than all before.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


class _Mallinfo(ctypes.Structure):
    """struct mallinfo2 (mallinfo(3)), bytes and counts."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    ]


def heap_used_bytes() -> int | None:
    """Over all threads, now; None: the C library does not tell (glibc does, from 2.33)."""
    ask = _mallinfo2()
    if ask is None:
        return None
    told = ask()
    return int(told.uordblks + told.hblkhd)


@cache
def _mallinfo2() -> Callable[[], _Mallinfo] | None:
    try:
        found = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):
        return None
    found.restype = _Mallinfo
    return found
