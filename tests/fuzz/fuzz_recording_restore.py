"""Fuzz: recordings that a crash left, of every format, made whole; what was made whole is left as it is the next time."""

from functools import partial

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh", "services"]):
    from services.hls.recording._events import Restored
    from services.hls.recording._formats import FORMATS


def whole(data: bytes, restored: Restored) -> bytes:
    made = bytearray(data[: restored.end])
    if restored.completion.patch is not None:
        at, patch = restored.completion.patch
        assert at + len(patch) <= len(made)
        made[at : at + len(patch)] = patch
    return bytes(made)


def read(data: bytes, offset: int, count: int) -> bytes:
    return data[offset : offset + count]


def target(data: bytes) -> None:
    for made_as in FORMATS.values():
        restored = made_as.restore(partial(read, data), len(data))
        assert 0 <= restored.end <= len(data)
        once = whole(data, restored)
        again = made_as.restore(partial(read, once), len(once))
        assert whole(once, again) == once


fuzz(target)
