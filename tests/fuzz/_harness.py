"""What all fuzz targets share: the documented errors are right answers, any other exception is a finding."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

import atheris

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.errors import RemoteProtocolError, UnsupportedError


def fuzz(target: Callable[[bytes], object]) -> None:
    """Call `target` with made-up bytes until libFuzzer's arguments (``sys.argv``) say to stop."""

    def one_input(data: bytes) -> None:
        with suppress(RemoteProtocolError, UnsupportedError):
            target(data)

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


def halves(data: bytes) -> tuple[bytes, bytes]:
    """`data` cut where its last byte says: to try how a reader takes a split."""
    cut = len(data) * data[-1] // 255 if data else 0
    return data[:cut], data[cut:]
